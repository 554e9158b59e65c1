//! The apps there are, from memory, for calls that name none.

use crate::{Engine, Error, Result};
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_model::AppId;

/// What is known is used for so long.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long the catalog may take to answer.
const CATALOG_WAIT: Duration = Duration::from_secs(2);

/// The apps as the catalog last told them.
#[derive(Default)]
pub(crate) struct KnownApps {
    last: ArcSwapOption<Last>,
    /// Held by whoever asks.
    asking: tokio::sync::Mutex<()>,
}

struct Last {
    apps: Vec<AppId>,
    asked: Instant,
}

impl KnownApps {
    /// The next call asks the catalog: there may be another app.
    pub(crate) fn forget(&self) {
        self.last.store(None);
    }
}

impl Engine {
    /// The only app, if there is just one. Of another process's apps it is known after a second; while
    /// the catalog does not answer, those known last count.
    ///
    /// # Errors
    /// Of the catalog, where nothing of it was ever read.
    pub async fn only_app(&self) -> Result<Option<AppId>> {
        let known = &self.memory.apps;
        let only = |last: &Last| match last.apps.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        };
        let last = known.last.load_full();
        if let Some(last) = last.as_deref() {
            if last.asked.elapsed() < ASK_EVERY {
                return Ok(only(last));
            }
            // One asks, and nobody waits for it who has an answer.
            let Ok(_asking) = known.asking.try_lock() else { return Ok(only(last)) };
            let apps = self.asked_apps().await.unwrap_or_else(|_| last.apps.clone());
            let next = Last { apps, asked: Instant::now() };
            let answer = only(&next);
            known.last.store(Some(Arc::new(next)));
            return Ok(answer);
        }
        let _asking = known.asking.lock().await;
        if let Some(last) = known.last.load_full() {
            return Ok(only(&last));
        }
        let apps = match self.asked_apps().await {
            Ok(apps) => apps,
            // The crowds of all apps are read when a server starts.
            Err(error) => match self.crowds.apps() {
                none if none.is_empty() => return Err(error),
                apps => apps,
            },
        };
        let next = Last { apps, asked: Instant::now() };
        let answer = only(&next);
        known.last.store(Some(Arc::new(next)));
        Ok(answer)
    }

    async fn asked_apps(&self) -> Result<Vec<AppId>> {
        let asked = tokio::time::timeout(CATALOG_WAIT, self.catalog.apps()).await;
        Ok(asked.map_err(|_| Error::CatalogLate)??)
    }
}
