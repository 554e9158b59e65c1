use crate::groups::Groups;
use crate::population::produced;
use crate::{Axis, Crowds, Group, Question, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_index::{UserSet, overlap};
use taghouse_model::AppId;
use taghouse_rules::Definitions;

/// A row or a column of a [`Cross`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// The group of users.
    pub group: Group,
    /// How many of the users asked about are in it.
    pub users: u64,
}

/// Users by two tags at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cross {
    /// The groups of the first tag; the last two are [`Group::Others`] and [`Group::None`].
    pub rows: Vec<Heading>,
    /// The groups of the second tag, as the rows.
    pub columns: Vec<Heading>,
    /// How many users are in both, row by row.
    pub counts: Vec<u64>,
    /// The users asked about.
    pub users: u64,
    /// The index's revision that answered.
    pub revision: u64,
}

impl Crowds {
    /// Counts the users who match the question, or all users, by the groups of two tags. Each count
    /// is exact. Where neither tag is a set, every user is in one row and one column; the
    /// groups of a set tag overlap, so their counts add up to more.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] over [`crate::MAX_GROUPS`] for either; [`crate::Error::UnknownTag`];
    /// as [`Crowds::count`].
    pub async fn cross(
        &self,
        app: &AppId,
        definitions: &Definitions,
        within: Option<&Question>,
        axes: [Axis; 2],
    ) -> Result<Cross> {
        axes.iter().try_for_each(Axis::check)?;
        let within = self.population(app, definitions, within).await?;
        produced(&within.snapshot, definitions, axes.iter().map(|axis| axis.tag.as_str()))?;
        blocking(move || {
            let set = within.set()?;
            let [rows, columns] = axes;
            let rows = Groups::of(&within.snapshot, &rows, &set)?;
            let columns = Groups::of(&within.snapshot, &columns, &set)?;
            Ok(Cross {
                counts: overlap(&rows.members, &columns.members, Some(&set))?,
                rows: headings(rows, &set)?,
                columns: headings(columns, &set)?,
                users: set.len(),
                revision: within.snapshot.revision(),
            })
        })
        .await
    }
}

fn headings(groups: Groups, within: &Arc<Bitmap>) -> Result<Vec<Heading>> {
    let users = overlap(&[UserSet::Owned(Arc::clone(within))], &groups.members, None)?;
    Ok(groups
        .groups
        .into_iter()
        .zip(users)
        .map(|(group, users)| Heading { group, users })
        .collect())
}
