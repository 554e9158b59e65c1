use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use taghouse_catalog::Catalog;
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_index::Index;
use taghouse_model::{AppId, Clock};
use tokio::sync::RwLock;

/// The most changes of one call.
pub const MAX_CHANGES: usize = 100_000;
/// The most users deleted by one call.
pub const MAX_DELETED: usize = 10_000;

/// All apps' users. Share it in an `Arc`.
pub struct Users {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) index: Arc<Index>,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) crowds: Arc<Crowds>,
    pub(crate) clock: Arc<dyn Clock>,
    /// By app: shared by changes, held alone by what must not meet one.
    locks: Mutex<HashMap<AppId, Arc<RwLock<()>>>>,
}

impl Users {
    /// Over these rooms; the index must keep live changes.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        index: Arc<Index>,
        dictionary: Arc<Dictionary>,
        crowds: Arc<Crowds>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { catalog, index, dictionary, crowds, clock, locks: Mutex::default() }
    }

    pub(crate) fn lock(&self, app: &AppId) -> Arc<RwLock<()>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(app.clone()).or_default().clone()
    }

    /// Makes the generation that is published the current one, for all apps: after a crash in the midst of [`Users::compact`] there may be two.
    /// Call it once, before anything is asked.
    ///
    /// # Errors
    /// Of the catalog and the dictionary.
    pub async fn settle(&self) -> Result<()> {
        for app in self.catalog.apps().await? {
            if let Some(published) = self.index.published(&app).await? {
                let (dictionary, generation) = (self.dictionary.clone(), published.generation);
                let owner = app.clone();
                match off_thread(move || Ok(dictionary.settle(&owner, generation)?)).await {
                    // A lost or older dictionary is the next production's to mend.
                    Err(Error::Dictionary(error @ taghouse_dictionary::Error::NoGeneration { .. })) => {
                        tracing::warn!(%app, %error, "settling")
                    }
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    /// Erases the text of deleted users from the dictionary's files. Cheap where there is none.
    ///
    /// # Errors
    /// Of the catalog and the dictionary.
    pub async fn tidy(&self) -> Result<u64> {
        let mut erased = 0;
        for app in self.catalog.apps().await? {
            let dictionary = self.dictionary.clone();
            erased += off_thread(move || Ok(dictionary.purge(&app)?)).await?;
        }
        Ok(erased)
    }
}

/// Runs work that computes or reads files off the threads that answer requests.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::BrokeOff(e.to_string()))?
}
