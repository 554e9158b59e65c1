//! Learns in the background what other processes published, so that judgments never wait for it.

use crate::crowds::{CATALOG_WAIT, POINTER_KIND};
use crate::known::{AppCrowds, Record, versions_of};
use crate::{Crowds, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::AppId;

/// How often [`Crowds::refresh_in_background`] checks what other processes published.
pub const REFRESH_EVERY: Duration = Duration::from_secs(1);

impl Crowds {
    /// Learns the crowds of all apps, then again and again what other processes published, as long
    /// as the crowds live. While the catalog does not answer, what is known goes on to answer;
    /// see [`Crowds::stalest_ms`].
    pub fn refresh_in_background(self: &Arc<Self>) {
        let crowds = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut all_known = false;
            while let Some(crowds) = crowds.upgrade() {
                let refreshed = async {
                    if !all_known {
                        crowds.learn_all().await?;
                        all_known = true;
                    }
                    crowds.refresh().await
                };
                if let Err(error) = refreshed.await {
                    tracing::warn!(%error, "the catalog does not answer what changed; crowds are judged by the versions known last");
                }
                drop(crowds);
                tokio::time::sleep(REFRESH_EVERY).await;
            }
        });
    }

    async fn learn_all(&self) -> Result<()> {
        let late = |_| {
            taghouse_catalog::Error::Unavailable(format!(
                "it did not answer within {} s",
                CATALOG_WAIT.as_secs()
            ))
        };
        for app in tokio::time::timeout(CATALOG_WAIT, self.catalog.apps()).await.map_err(late)?? {
            if let Err(error) = self.asked(&app).await {
                tracing::warn!(%error, %app, "the crowds of an app cannot be read; the first question for them tries again");
            }
        }
        Ok(())
    }

    /// Asks the catalog which crowds changed, and reads only those.
    ///
    /// # Errors
    /// Of the catalog, when it fails or does not answer.
    pub async fn refresh(&self) -> Result<()> {
        let mut outcome = Ok(());
        for app in self.apps() {
            let state = self.state(&app);
            let refreshed = match state.confirmed_ms() {
                Some(_) => self.refresh_app(&app, &state).await,
                None => self.ask(&app, &state).await,
            };
            outcome = outcome.and(refreshed);
        }
        outcome
    }

    async fn refresh_app(&self, app: &AppId, state: &AppCrowds) -> Result<()> {
        let (known, now_ms) = (state.all(), self.clock.now_ms());
        let revisions =
            self.catalog_answers(app, self.catalog.pointer_revisions(POINTER_KIND, app)).await?;
        let there: HashMap<&str, u64> =
            revisions.iter().map(|(name, revision)| (name.as_str(), *revision)).collect();
        state.retain(&known, &|crowd| there.contains_key(crowd));
        let now = state.all();
        let mut moved = Vec::new();
        for (crowd, _) in revisions.iter().filter(|(crowd, revision)| {
            now.get(crowd).is_none_or(|known| known.revision < *revision)
        }) {
            let Some(pointer) =
                self.catalog_answers(app, self.catalog.pointer(POINTER_KIND, app, crowd)).await?
            else {
                continue;
            };
            match versions_of(crowd, pointer.value) {
                Ok(versions) => moved.push(Record {
                    crowd: crowd.clone(),
                    versions,
                    revision: pointer.revision,
                }),
                Err(error) => {
                    tracing::error!(%error, crowd, "a crowd's new versions cannot be read; it is judged by the version before")
                }
            }
        }
        if !moved.is_empty() {
            state.put_all(moved);
        }
        state.confirm(now_ms);
        Ok(())
    }

    /// How long ago the catalog last confirmed the crowds of the app for which that is longest, in
    /// ms; `None`: no crowds are known. More than a few times [`REFRESH_EVERY`] says that
    /// judgments are given without the catalog.
    pub fn stalest_ms(&self) -> Option<u64> {
        let ages = self.apps().into_iter().map(|app| self.state(&app));
        ages.filter(|state| state.confirmed_ms().is_some()).map(|state| self.age_ms(&state)).max()
    }
}
