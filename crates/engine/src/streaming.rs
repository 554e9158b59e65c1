//! Live tags: rows admitted as they come, time that goes on, states computed where there are none.

use crate::{Engine, Result, reports};
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::AppId;
use taghouse_rules::Definitions;
use taghouse_stream::Tick;
use taghouse_wire::LiveReport;
use tokio_util::sync::CancellationToken;

/// How long live tags that could not be kept current are left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How often it is looked whether states that somebody else computes are there.
const WAIT: Duration = Duration::from_millis(50);

impl Engine {
    /// Shows every app's live tags what has come since, and what time it is. What fails of an app
    /// is logged, and keeps no other waiting.
    ///
    /// # Errors
    /// It cannot be read which apps there are.
    pub(crate) async fn follow(self: &Arc<Self>, stop: &CancellationToken) -> Result<()> {
        for app in self.catalog.apps().await? {
            if stop.is_cancelled() {
                break;
            }
            if self.memory.is_paused(&app) {
                continue;
            }
            if let Err(error) = self.follow_app(&app, stop).await {
                self.memory.pause(&app, AGAIN_AFTER);
                tracing::warn!(%app, %error, "the app's live tags are not current; it is tried again");
            }
        }
        Ok(())
    }

    async fn follow_app(self: &Arc<Self>, app: &AppId, stop: &CancellationToken) -> Result<()> {
        let definitions = self.definitions(app).await?;
        if has_live_tags(&definitions) {
            let end = self.log.end(app).await?;
            self.landing.admit(app, &definitions, end, stop).await?;
        }
        if self.stream.tick(&definitions).await? == Tick::Rebuild {
            let engine = self.clone();
            self.background.spawn(async move {
                if let Err(error) = engine.stream.rebuild(&definitions, &engine.landing).await {
                    tracing::warn!(app = %definitions.app.id, %error, "the live tags' states could not be computed; it is tried again");
                }
            });
        }
        Ok(())
    }

    /// How the app's live tags stand; `None`: it has none, or they were not looked at yet.
    pub async fn live_tags(&self, definitions: &Definitions) -> Option<LiveReport> {
        let status = self.stream.status(&definitions.app.id).await?;
        Some(reports::live_tags(&status, &definitions.app.time_zone))
    }

    /// Waits until the app's live tags have values, and computes them if nobody does.
    ///
    /// # Errors
    /// Of the stream; cancelled by dropping it.
    pub(crate) async fn live_tags_settled(&self, definitions: &Arc<Definitions>) -> Result<()> {
        while has_live_tags(definitions) {
            match self.stream.tick(definitions).await? {
                Tick::Rebuild => self.stream.rebuild(definitions, &self.landing).await?,
                Tick::Done if self.stream.is_serving(&definitions.app.id).await => break,
                Tick::Done => tokio::time::sleep(WAIT).await,
            }
        }
        Ok(())
    }
}

pub(crate) fn has_live_tags(definitions: &Definitions) -> bool {
    definitions.tags.values().any(|tag| tag.mode.is_live())
}
