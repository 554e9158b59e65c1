//! Rollouts of crowds go on by themselves, stage by stage.

use crate::{Engine, Result};
use std::sync::Arc;
use taghouse_crowd::StageEnd;
use taghouse_model::{AppId, TimestampMs};
use taghouse_rules::Definitions;

/// Who goes on with rollouts, in the audit trail.
const ACTOR: &str = "schedule";

/// How long it is waited after a rollout could not go on.
const PAUSE_MS: TimestampMs = 60_000;

impl Engine {
    /// Goes on with the rollouts of every app whose next stage is due. What fails is logged, and
    /// tried again.
    ///
    /// # Errors
    /// The list of apps cannot be read.
    pub async fn go_on_with_rollouts(self: &Arc<Self>) -> Result<()> {
        for app in self.catalog.apps().await? {
            if let Err(error) = self.go_on_with_rollouts_of(&app).await {
                tracing::error!(%app, %error, "rollouts of crowds could not go on; it is tried again");
            }
        }
        Ok(())
    }

    async fn go_on_with_rollouts_of(self: &Arc<Self>, app: &AppId) -> Result<()> {
        let due = self.crowds.due_rollouts(app).await?;
        if due.is_empty() {
            return Ok(());
        }
        let definitions = self.definitions(app).await?;
        let has_versions = |end: &StageEnd| has_versions(&definitions, &end.crowd);
        for end in due.into_iter().filter(has_versions) {
            self.go_on(app, end).await?;
        }
        Ok(())
    }

    /// A rollout that cannot go on has one line in the trail, and is tried again each minute.
    async fn go_on(self: &Arc<Self>, app: &AppId, end: StageEnd) -> Result<()> {
        let StageEnd { crowd, share } = end;
        let of = (app.clone(), crowd.clone());
        let now_ms = self.clock.now_ms();
        let failed_ms = self.memory.stuck.lock().get(&of).copied();
        if failed_ms.is_some_and(|failed_ms| now_ms < failed_ms + PAUSE_MS) {
            return Ok(());
        }
        let act = async { self.crowds.go_on(app, &crowd).await };
        let outcome = match failed_ms {
            None => {
                let subject = format!("{crowd} to {share}");
                let line = self.begin(ACTOR, app, "crowd.rollout", &subject).await?;
                line.end(act.await).await
            }
            Some(_) => act.await,
        };
        match outcome {
            Ok(_) => {
                self.memory.stuck.lock().remove(&of);
            }
            Err(error) => {
                tracing::error!(%app, crowd, %error, "a rollout cannot go on; it is tried again each minute");
                self.memory.stuck.lock().insert(of, now_ms);
            }
        }
        Ok(())
    }
}

/// Whether a crowd is defined and not live.
fn has_versions(definitions: &Definitions, crowd: &str) -> bool {
    definitions.crowds.get(crowd).is_some_and(|crowd| !crowd.is_live)
}
