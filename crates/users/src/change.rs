use crate::delete::deleted_of;
use crate::nearest;
use crate::share::Assigned;
use crate::{Error, MAX_CHANGES, Op, Result, Users};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_index::{Changes, TagChange};
use taghouse_model::{AppId, Name, Ordinal, check_user_id};
use taghouse_rules::{Definitions, TagDefinition, did_you_mean};

/// One user's value of one tag, changed.
#[derive(Debug, Clone, PartialEq)]
pub struct UserChange {
    /// The user's id.
    pub user: String,
    /// Name of the tag.
    pub tag: Name,
    /// The operator, or what is done to the value.
    pub op: Op,
}

/// How changes treat unknown user ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownUsers {
    /// The changes are refused: an id that was never seen is usually a typo.
    Refused,
    /// They become new users.
    Created,
}

/// Changes by ordinals of a generation.
struct Numbered {
    generation: u64,
    points: Vec<TagChange>,
}

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The position of the last change in the app's log of changes.
    pub position: u64,
    /// The position of the last change in the app's log of calls; `None` without one.
    pub log_position: Option<u64>,
    /// The number of changes.
    pub changes: usize,
}

impl Users {
    /// Makes live changes, all of them or none. Durable on return, and visible to queries a tenth
    /// of a second later. A production keeps them until a later event or value of their tag
    /// arrives.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_CHANGES`]; [`Error::UnknownTag`]; [`Error::NoSuchUser`] where
    /// `unknown` are refused; errors of the index for a value that does not fit its tag; errors
    /// of the dictionary and the log.
    pub async fn change(
        &self,
        app: &AppId,
        definitions: &Definitions,
        changes: Vec<UserChange>,
        unknown: UnknownUsers,
    ) -> Result<Changed> {
        if changes.len() > MAX_CHANGES {
            return Err(Error::Limit { what: "changes", given: changes.len(), limit: MAX_CHANGES });
        }
        let tags: BTreeSet<&Name> = changes.iter().map(|change| &change.tag).collect();
        let tags: Vec<&TagDefinition> =
            tags.into_iter().map(|tag| defined(definitions, tag)).collect::<Result<_>>()?;
        let lock = self.lock(app);
        let _changing = lock.read().await;
        let count = changes.len();
        let changes = Arc::new(self.resolved(app, changes).await?);
        if unknown == UnknownUsers::Refused {
            self.refuse_unknown(app, &changes).await?;
        }
        if self.dictionary.len(app) == 0 {
            // Its generation begins with the first user, and tags are declared in it.
            self.numbered(app, &changes).await?;
        }
        self.declare(app, self.dictionary.generation(app), &tags).await?;
        self.check(app, &changes).await?;
        // What is noted is made: by this, or at the next start (`Users::make_noted`).
        let log_position = self.note_changes(app, &changes).await?;
        let position = self.make(app, &changes).await?;
        Ok(Changed { position, log_position, changes: count })
    }

    /// The changes, of the users whose ids are named.
    async fn resolved(&self, app: &AppId, mut changes: Vec<UserChange>) -> Result<Vec<UserChange>> {
        let Some(identities) = &self.identities else { return Ok(changes) };
        let identities = identities.of(app).await?;
        for change in &mut changes {
            if let Cow::Owned(user) = identities.user_of(&change.user) {
                change.user = user;
            }
        }
        Ok(changes)
    }

    /// Checks everything that the index checks, before anything is written.
    async fn check(&self, app: &AppId, changes: &[UserChange]) -> Result<()> {
        for change in changes {
            check_user_id(&change.user).map_err(|error| Error::UserId(error.to_string()))?;
        }
        // Whose they are makes no difference.
        let points = changes
            .iter()
            .map(|change| TagChange { tag: change.tag.clone(), ordinal: 0, op: change.op.clone() })
            .collect();
        let changes =
            Changes { generation: self.dictionary.generation(app), points, ..Changes::default() };
        Ok(self.index.check(app, &changes).await?)
    }

    /// Applies changes to the index. Returns the position of the last one.
    pub(crate) async fn make(&self, app: &AppId, changes: &Arc<Vec<UserChange>>) -> Result<u64> {
        let Numbered { generation, points } = self.numbered(app, changes).await?;
        // Whoever is named exists from now on, also if all that is said is that they have no value.
        let users = points
            .iter()
            .filter(|point| matches!(point.op, Op::Unset | Op::Remove(_)))
            .map(|point| point.ordinal)
            .collect();
        Ok(self
            .index
            .change(app, Changes { generation, users, points, ..Changes::default() })
            .await?)
    }

    /// Resolves user ids to ordinals, assigning new ones.
    async fn numbered(&self, app: &AppId, changes: &Arc<Vec<UserChange>>) -> Result<Numbered> {
        let ids = changes.iter().map(|change| change.user.clone()).collect();
        let Assigned { generation, ordinals } = self.assigned(app, Arc::new(ids)).await?;
        let of = |(ordinal, change): (Ordinal, &UserChange)| TagChange {
            tag: change.tag.clone(),
            ordinal,
            op: change.op.clone(),
        };
        let points = ordinals.into_iter().zip(changes.iter()).map(of).collect();
        Ok(Numbered { generation, points })
    }

    /// Checks that each user is known and not deleted.
    async fn refuse_unknown(&self, app: &AppId, changes: &[UserChange]) -> Result<()> {
        let (dictionary, owner, deletions) =
            (self.dictionary.clone(), app.clone(), self.index.deletions(app).await?);
        let ids: Vec<String> = changes.iter().map(|change| change.user.clone()).collect();
        blocking(move || {
            let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
            let ordinals = dictionary.lookup(&owner, &texts)?;
            let known: Vec<Ordinal> = ordinals.iter().flatten().copied().collect();
            let deleted = deletions.map_or_else(Vec::new, |deletions| {
                deleted_of(&dictionary, &owner, &deletions, &known)
            });
            let deleted: HashSet<Ordinal> = deleted.into_iter().collect();
            let unknown = ids
                .iter()
                .zip(&ordinals)
                .find(|(_, ordinal)| ordinal.is_none_or(|ordinal| deleted.contains(&ordinal)));
            let Some((user, _)) = unknown else { return Ok(()) };
            let hint = nearest::hint(&dictionary, &owner, user)?;
            Err(Error::NoSuchUser { user: user.clone(), app: owner, hint })
        })
        .await
    }

    /// Registers with the index tags that are defined but were never produced.
    pub(crate) async fn declare(
        &self,
        app: &AppId,
        generation: u64,
        tags: &[&TagDefinition],
    ) -> Result<()> {
        let snapshot = self.index.snapshot(app).await?;
        let unknown = |tag: &&&TagDefinition| {
            snapshot.as_ref().is_none_or(|snapshot| snapshot.info(tag.name.as_str()).is_none())
        };
        let mut unknown = tags.iter().filter(unknown).peekable();
        if unknown.peek().is_none() {
            return Ok(());
        }
        let stored = self.catalog.definitions(app).await?;
        for tag in unknown {
            let body = stored
                .iter()
                .find(|d| d.kind == "tag" && d.name == tag.name.as_str())
                .map(|d| d.body.clone())
                .unwrap_or_default();
            self.index
                .declare(
                    app,
                    generation,
                    tag.name.clone(),
                    tag.value_type,
                    self.clock.now_ms(),
                    body,
                )
                .await?;
        }
        Ok(())
    }
}

fn defined<'a>(definitions: &'a Definitions, tag: &Name) -> Result<&'a TagDefinition> {
    let named = || definitions.tags.values().filter(|tag| !tag.is_anonymous());
    definitions.tags.get(tag).filter(|tag| !tag.is_anonymous()).ok_or_else(|| {
        let hint = did_you_mean(tag.as_str(), named().map(|tag| tag.name.as_str()));
        Error::UnknownTag(format!("there is no tag `{tag}` in app {}{hint}", definitions.app.id))
    })
}
