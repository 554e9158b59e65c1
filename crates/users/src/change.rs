use crate::delete::deleted_of;
use crate::users::off_thread;
use crate::{Error, MAX_CHANGES, Op, Result, Users};
use std::collections::BTreeSet;
use taghouse_index::{Changes, TagChange};
use taghouse_model::{AppId, Name};
use taghouse_rules::{CheckError, Definitions, TagDefinition};

/// One user's value of one tag, changed.
#[derive(Debug, Clone, PartialEq)]
pub struct UserChange {
    /// The user's id; one that was never seen becomes a user.
    pub user: String,
    /// The tag.
    pub tag: Name,
    /// How.
    pub op: Op,
}

/// What is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The position of the last change in the app's log of changes.
    pub position: u64,
    /// How many changes.
    pub changes: usize,
}

impl Users {
    /// Makes live changes, all of them or none. When this returns they are on disk; answers show them a tenth of a second later.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_CHANGES`]; [`Error::UnknownTag`]; of the index for a value that its tag cannot hold; of the dictionary.
    pub async fn change(&self, app: &AppId, definitions: &Definitions, changes: Vec<UserChange>) -> Result<Changed> {
        if changes.len() > MAX_CHANGES {
            return Err(Error::Limit { what: "changes", given: changes.len(), limit: MAX_CHANGES });
        }
        let tags: BTreeSet<&Name> = changes.iter().map(|change| &change.tag).collect();
        let tags: Vec<&TagDefinition> = tags.into_iter().map(|tag| defined(definitions, tag)).collect::<Result<_>>()?;
        let lock = self.lock(app);
        let _changing = lock.read().await;
        let count = changes.len();
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        let deletions = self.index.deletions(app).await?;
        let (generation, points) = off_thread(move || {
            let ids: Vec<&str> = changes.iter().map(|change| change.user.as_str()).collect();
            let mut ordinals = dictionary.assign(&owner, &ids)?;
            // Of a deletion that broke off the dictionary knows the user yet, and a change of that ordinal would never be seen.
            let gone = deletions.map_or_else(Vec::new, |deletions| deleted_of(&dictionary, &owner, &deletions, &ordinals));
            if !gone.is_empty() {
                dictionary.delete(&owner, &gone)?;
                ordinals = dictionary.assign(&owner, &ids)?;
            }
            let points = ordinals.into_iter().zip(changes).map(|(ordinal, UserChange { tag, op, .. })| TagChange { tag, ordinal, op });
            Ok((dictionary.generation(&owner), points.collect::<Vec<_>>()))
        })
        .await?;
        self.declare(app, generation, &tags).await?;
        // Whoever is named exists from now on, also if all that is said is that they have no value.
        let users = points.iter().filter(|point| matches!(point.op, Op::Unset | Op::Remove(_))).map(|point| point.ordinal).collect();
        let changes = Changes { generation, users, points, ..Changes::default() };
        let position = self.index.change(app, changes).await?;
        Ok(Changed { position, changes: count })
    }

    /// Makes tags known to the index that are defined and were never produced.
    async fn declare(&self, app: &AppId, generation: u64, tags: &[&TagDefinition]) -> Result<()> {
        let snapshot = self.index.snapshot(app).await?;
        let unknown = |tag: &&&TagDefinition| snapshot.as_ref().is_none_or(|snapshot| snapshot.info(tag.name.as_str()).is_none());
        let mut unknown = tags.iter().filter(unknown).peekable();
        if unknown.peek().is_none() {
            return Ok(());
        }
        let stored = self.catalog.definitions(app).await?;
        for tag in unknown {
            let body = stored.iter().find(|d| d.kind == "tag" && d.name == tag.name.as_str()).map(|d| d.body.clone()).unwrap_or_default();
            self.index.declare(app, generation, tag.name.clone(), tag.value_type, self.clock.now_ms(), body).await?;
        }
        Ok(())
    }
}

fn defined<'a>(definitions: &'a Definitions, tag: &Name) -> Result<&'a TagDefinition> {
    definitions.tags.get(tag).ok_or_else(|| {
        let message = format!("there is no tag `{tag}` in app {}", definitions.app.id);
        let error = CheckError { message, leaf: 0, unknown: Some(tag.to_string()) };
        Error::UnknownTag(error.suggest(definitions.tags.keys().map(Name::as_str)).message)
    })
}
