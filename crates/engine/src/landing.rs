//! Live calls on their way from the log into the lake.

use crate::{Engine, Error, Result, named};
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_ingest::{Landed, LandingTrigger};
use taghouse_model::AppId;
use tokio_util::sync::CancellationToken;

impl Engine {
    /// Lands an app's live calls and counts them. A landing is useful to everybody and is never
    /// aborted: dropping this only stops waiting for it, and `stop` ends it after the batch in
    /// progress.
    ///
    /// # Errors
    /// Those of the definitions and of the landing; what did not land stays in the log.
    pub async fn land(self: &Arc<Self>, app: &AppId, stop: &CancellationToken) -> Result<Landed> {
        let (engine, app, stop) = (self.clone(), app.clone(), stop.clone());
        let landing = self.background.spawn(async move {
            let outcome = engine.land_all(&app, &stop).await;
            engine.memory.landed(&app, outcome.as_ref().map_err(ToString::to_string));
            outcome
        });
        landing.await.map_err(|error| Error::LandingBrokeOff(error.to_string()))?
    }

    async fn land_all(&self, app: &AppId, stop: &CancellationToken) -> Result<Landed> {
        let definitions = self.definitions(app).await?;
        let end = self.users.settled(app, self.log.as_ref()).await?;
        Ok(self.landing.land_through(app, &definitions, end, stop).await?)
    }

    /// Lands the live calls of every app whose calls have waited long enough, or are enough; after
    /// `stop`, what it has begun with. What fails of an app is logged, and keeps no other from
    /// landing.
    ///
    /// # Errors
    /// The list of apps cannot be read.
    pub(crate) async fn land_due(
        self: &Arc<Self>,
        trigger: &LandingTrigger,
        stop: &CancellationToken,
    ) -> Result<()> {
        // A full disk fails all apps with the same words.
        let mut failed: BTreeMap<String, Vec<AppId>> = BTreeMap::new();
        for app in self.catalog.apps().await? {
            if stop.is_cancelled() {
                break;
            }
            let landed = match self.landing.is_due(&app, trigger).await {
                Ok(true) => self.land(&app, stop).await.map(drop),
                Ok(false) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = landed {
                failed.entry(error.to_string()).or_default().push(app);
            }
        }
        for (detail, apps) in failed {
            let apps = named(apps.iter().map(AppId::as_str));
            tracing::error!(apps, detail, "landing live calls failed; it is tried again");
        }
        Ok(())
    }
}
