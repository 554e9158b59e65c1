use crate::delete::deleted_of;
use crate::{Result, Users};
use std::sync::Arc;
use taghouse_dictionary::DeletionWatch;
use taghouse_disk::blocking;
use taghouse_index::{Bitmap, Changes};
use taghouse_model::{AppId, Ordinal};
use taghouse_rules::TagDefinition;
use tokio::sync::OwnedRwLockReadGuard;

/// Users by ordinals of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The dictionary's generation.
    pub generation: u64,
    /// The ordinals, one for each id.
    pub ordinals: Vec<Ordinal>,
}

/// An app whose users are neither deleted nor renumbered as long as this lives: for values that
/// are computed, such as the stream's. Changes by others go on.
pub struct SharedUsers<'a> {
    users: &'a Users,
    app: AppId,
    _shared: OwnedRwLockReadGuard<()>,
}

impl Users {
    /// Watches the deletions of an app from now on. Those that ended before [`Users::share`]
    /// returns are seen by then.
    pub fn watch_deletions(&self, app: &AppId) -> DeletionWatch {
        self.dictionary.watch_deletions(app)
    }

    /// Waits for a deletion or a renumbering that goes on.
    pub async fn share(&self, app: &AppId) -> SharedUsers<'_> {
        let shared = self.lock(app).read_owned().await;
        SharedUsers { users: self, app: app.clone(), _shared: shared }
    }
}

impl SharedUsers<'_> {
    /// The generation that ordinals are of.
    pub fn generation(&self) -> u64 {
        self.users.dictionary.generation(&self.app)
    }

    /// The ordinals of these ids; new ids get theirs, durable when this returns.
    ///
    /// # Errors
    /// Of the dictionary and the index.
    pub async fn assign(&self, ids: Arc<Vec<String>>) -> Result<Assigned> {
        self.users.assigned(&self.app, ids).await
    }

    /// The ordinals of these ids; `None` of one that is not known.
    ///
    /// # Errors
    /// Of the dictionary.
    pub async fn lookup(&self, ids: Vec<String>) -> Result<Vec<Option<Ordinal>>> {
        let (dictionary, app) = (self.users.dictionary.clone(), self.app.clone());
        blocking(move || {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            Ok(dictionary.lookup(&app, &ids)?)
        })
        .await
    }

    /// Takes users away whose id turned out to be another's, as a deletion would; nothing is noted
    /// in the log, for it says so already.
    ///
    /// # Errors
    /// Of the index and the dictionary. What was done stays done; call it again.
    pub async fn retire(&self, ordinals: Vec<Ordinal>) -> Result<()> {
        if ordinals.is_empty() {
            return Ok(());
        }
        self.users.index.delete_users(&self.app, self.generation(), &ordinals).await?;
        let (dictionary, app) = (self.users.dictionary.clone(), self.app.clone());
        blocking(move || Ok(dictionary.delete(&app, &ordinals).map(drop)?)).await
    }

    /// Who is deleted, by ordinals of the current generation.
    ///
    /// # Errors
    /// Of the index.
    pub async fn deleted(&self) -> Result<Arc<Bitmap>> {
        let deletions = self.users.index.deletions(&self.app).await?;
        let now = deletions.map(|deletions| deletions.now());
        Ok(now
            .filter(|deleted| deleted.generation() == self.generation())
            .map(|deleted| deleted.users().clone())
            .unwrap_or_default())
    }

    /// The ids of these users; `None` where the dictionary has forgotten the user.
    ///
    /// # Errors
    /// Of the dictionary.
    pub async fn ids(&self, ordinals: Vec<Ordinal>) -> Result<Vec<Option<String>>> {
        let (dictionary, owner) = (self.users.dictionary.clone(), self.app.clone());
        blocking(move || Ok(dictionary.resolve(&owner, &ordinals)?)).await
    }

    /// The user's ordinal; `None`: the id was never seen, or the user is deleted.
    ///
    /// # Errors
    /// Of the dictionary.
    pub async fn ordinal(&self, id: &str) -> Result<Option<Ordinal>> {
        let (dictionary, owner, id) =
            (self.users.dictionary.clone(), self.app.clone(), id.to_owned());
        blocking(move || Ok(dictionary.lookup(&owner, &[&id])?.into_iter().next().flatten())).await
    }

    /// Whose users they are.
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// Makes tags known to the index that it does not know yet, so that values of them can be
    /// applied.
    ///
    /// # Errors
    /// Of the catalog and the index.
    pub async fn declare(&self, tags: &[&TagDefinition]) -> Result<()> {
        self.users.declare(&self.app, self.generation(), tags).await
    }

    /// Applies computed values, durable when this returns; the position in the index's log.
    ///
    /// # Errors
    /// Of the index.
    pub async fn apply(&self, changes: Changes) -> Result<u64> {
        Ok(self.users.index.change(&self.app, changes).await?)
    }
}

impl Users {
    /// The ordinals of ids; new ones get theirs.
    pub(crate) async fn assigned(&self, app: &AppId, ids: Arc<Vec<String>>) -> Result<Assigned> {
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        let deletions = self.index.deletions(app).await?;
        blocking(move || {
            let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
            let mut ordinals = dictionary.assign(&owner, &texts)?;
            // Of a deletion that broke off the dictionary knows the user yet, and a change of that
            // ordinal would never be seen.
            let gone = deletions.map_or_else(Vec::new, |deletions| {
                deleted_of(&dictionary, &owner, &deletions, &ordinals)
            });
            if !gone.is_empty() {
                dictionary.delete(&owner, &gone)?;
                ordinals = dictionary.assign(&owner, &texts)?;
            }
            Ok(Assigned { generation: dictionary.generation(&owner), ordinals })
        })
        .await
    }
}
