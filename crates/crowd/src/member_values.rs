//! Values of tags for many members, on one snapshot.

use crate::tag_column::TagColumn;
use crate::{CrowdMembers, Crowds, Result};
use std::sync::Arc;
use taghouse_model::{AppId, Name, Ordinal, Value};

/// The values that some tags have on one snapshot.
#[derive(Clone)]
pub struct MemberValues {
    columns: Arc<Vec<TagColumn>>,
}

impl Crowds {
    /// The tags' values for these members, as they are now; `None`: the users were renumbered since.
    ///
    /// # Errors
    /// [`UnknownTag`](crate::Error::UnknownTag) for a tag that was not produced; of the index.
    pub async fn values_of(
        &self,
        app: &AppId,
        members: &CrowdMembers,
        tags: &[Name],
    ) -> Result<Option<MemberValues>> {
        if tags.is_empty() {
            return Ok(Some(MemberValues { columns: Arc::default() }));
        }
        let snapshot = self.snapshot(app).await?;
        if snapshot.generation() != members.version().generation {
            return Ok(None);
        }
        let columns = tags.iter().map(|tag| TagColumn::of(&snapshot, tag.as_str()));
        Ok(Some(MemberValues { columns: Arc::new(columns.collect::<Result<_>>()?) }))
    }
}

impl MemberValues {
    /// A member's values, in the order of the tags. Reads files: not for a thread that answers requests.
    ///
    /// # Errors
    /// Of the index.
    pub fn of(&self, ordinal: Ordinal) -> Result<Vec<Option<Value>>> {
        self.columns.iter().map(|column| column.value_of(ordinal)).collect()
    }
}
