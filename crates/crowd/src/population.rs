use crate::question::Ready;
use crate::tag_column::TagColumn;
use crate::{Crowds, Error, Question, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::Snapshot;
use taghouse_model::AppId;
use taghouse_rules::Definitions;

/// The users that something is asked about, on one snapshot: those who match an expression, or all.
pub(crate) struct Population {
    pub(crate) snapshot: Arc<Snapshot>,
    ready: Option<Ready>,
}

impl Population {
    /// The users. Evaluates the expression: not for a thread that answers requests.
    pub(crate) fn set(&self) -> Result<Arc<Bitmap>> {
        match &self.ready {
            None => Ok(Arc::clone(self.snapshot.users())),
            Some(ready) => Ok(Arc::new(ready.query()?.bitmap()?)),
        }
    }

    /// A tag's values in the snapshot.
    pub(crate) fn column(&self, tag: &str) -> Result<TagColumn> {
        TagColumn::of(&self.snapshot, tag)
    }
}

/// Fails if a tag is defined but has no values in the snapshot yet.
pub(crate) fn produced<'a>(
    snapshot: &Snapshot,
    definitions: &Definitions,
    tags: impl IntoIterator<Item = &'a str>,
) -> Result<()> {
    let mut waiting = tags
        .into_iter()
        .filter(|tag| snapshot.info(tag).is_none() && definitions.tags.contains_key(*tag));
    match waiting.next() {
        Some(tag) => Err(Error::UnknownTag(format!(
            "tag `{tag}` is defined and not produced yet: run `taghouse produce`"
        ))),
        None => Ok(()),
    }
}

impl Crowds {
    /// The users who match the question, or all users, on the newest snapshot.
    pub(crate) async fn population(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: Option<&Question>,
    ) -> Result<Population> {
        let snapshot = self.snapshot(app).await?;
        self.population_on(snapshot, app, definitions, question).await
    }

    /// The same on a snapshot.
    pub(crate) async fn population_on(
        &self,
        snapshot: Arc<Snapshot>,
        app: &AppId,
        definitions: &Definitions,
        question: Option<&Question>,
    ) -> Result<Population> {
        let ready = match question {
            None => None,
            Some(question) => {
                Some(self.ready_on(Arc::clone(&snapshot), app, definitions, question).await?)
            }
        };
        Ok(Population { snapshot, ready })
    }
}
