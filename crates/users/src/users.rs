use crate::{Error, Result};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_catalog::Catalog;
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_disk::blocking;
use taghouse_identities::Identities;
use taghouse_index::Index;
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

/// The most changes of one call.
pub const MAX_CHANGES: usize = 100_000;
/// The most users deleted by one call.
pub const MAX_DELETED: usize = 10_000;

/// What [`Users::tidy`] rewrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Ids erased from the dictionary's files.
    pub ids: u64,
    /// Crowd versions whose objects contained deleted users.
    pub versions: usize,
}

/// The users of all apps. Share it in an `Arc`.
pub struct Users {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) index: Arc<Index>,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) crowds: Arc<Crowds>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Option<Arc<dyn EventLog>>,
    /// Whose ids are whose; without it each is its own user's.
    pub(crate) identities: Option<Arc<Identities>>,
    /// One lock for each app: changes share it, and whatever must exclude them takes it alone.
    locks: Mutex<HashMap<AppId, Arc<RwLock<()>>>>,
}

impl Users {
    /// Users over these stores. The index must keep live changes.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        index: Arc<Index>,
        dictionary: Arc<Dictionary>,
        crowds: Arc<Crowds>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            catalog,
            index,
            dictionary,
            crowds,
            clock,
            log: None,
            identities: None,
            locks: Mutex::default(),
        }
    }

    /// Records every change, deletion and expiry in this log, from which they land in the lake.
    /// Without it, the next production overwrites them.
    #[must_use]
    pub fn noting_in(self, log: Arc<dyn EventLog>) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Takes any id of a user for the user.
    #[must_use]
    pub fn resolving(self, identities: Arc<Identities>) -> Self {
        Self { identities: Some(identities), ..self }
    }

    pub(crate) fn lock(&self, app: &AppId) -> Arc<RwLock<()>> {
        self.locks.lock().entry(app.clone()).or_default().clone()
    }

    /// Makes changes, deletions and renumberings of an app's users wait while the result lives.
    pub async fn hold(&self, app: &AppId) -> HeldUsers {
        HeldUsers { _held: self.lock(app).write_owned().await }
    }

    /// Makes the published generation of each app the current one: after a crash during
    /// [`Users::compact`] there may be two. Then finishes interrupted deletions. Call it once,
    /// before the first query.
    ///
    /// # Errors
    /// Of the catalog and the dictionary.
    pub async fn settle(&self) -> Result<()> {
        for app in self.catalog.apps().await? {
            if let Some(published) = self.index.published(&app).await? {
                let (dictionary, generation) = (self.dictionary.clone(), published.generation);
                let owner = app.clone();
                match blocking(move || Ok(dictionary.settle(&owner, generation)?)).await {
                    // A lost or older dictionary is the next production's to fix.
                    Err(Error::Dictionary(
                        error @ taghouse_dictionary::Error::NoGeneration { .. },
                    )) => {
                        tracing::warn!(%app, %error, "settling")
                    }
                    outcome => outcome?,
                }
                // Whoever asks for the app is told what is wrong with its log.
                if let Err(error) = self.finish_deletions(&app).await {
                    tracing::warn!(%app, %error, "interrupted deletions are not finished yet");
                }
                if let Err(error) = self.make_noted(&app).await {
                    tracing::warn!(%app, %error, "interrupted changes are not applied yet; the next production applies them");
                }
            }
        }
        Ok(())
    }

    /// Erases deleted users from the files of the dictionary and of the crowds' versions. Cheap
    /// when there are none. A failure for one app does not affect the others.
    ///
    /// # Errors
    /// Of the catalog, the dictionary and the crowds.
    pub async fn tidy(&self) -> Result<Tidied> {
        let (mut tidied, mut failed) = (Tidied::default(), None);
        for app in self.catalog.apps().await? {
            match self.tidy_app(&app).await {
                Ok(Tidied { ids, versions }) => {
                    tidied = Tidied { ids: tidied.ids + ids, versions: tidied.versions + versions }
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(tidied), Err)
    }

    async fn tidy_app(&self, app: &AppId) -> Result<Tidied> {
        let versions = self.crowds.clean(app).await?;
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        Ok(Tidied {
            ids: blocking::<_, Error>(move || Ok(dictionary.purge(&owner)?)).await?,
            versions,
        })
    }
}

/// While it lives, nobody changes the users of an app.
pub struct HeldUsers {
    _held: OwnedRwLockWriteGuard<()>,
}
