//! Rollouts of crowds go on by themselves, stage by stage.

use crate::{Engine, Result};
use std::sync::Arc;
use taghouse_crowd::StageEnd;
use taghouse_model::AppId;

/// Who goes on with rollouts, in the audit trail.
const ACTOR: &str = "schedule";

impl Engine {
    /// Goes on with the rollouts of every app whose next stage is due. What fails is logged, and
    /// tried again.
    ///
    /// # Errors
    /// The list of apps cannot be read.
    pub async fn go_on_with_rollouts(self: &Arc<Self>) -> Result<()> {
        for app in self.catalog.apps().await? {
            if let Err(error) = self.go_on_with_rollouts_of(&app).await {
                tracing::error!(%app, %error, "a crowd's rollout could not go on; it is tried again");
            }
        }
        Ok(())
    }

    async fn go_on_with_rollouts_of(self: &Arc<Self>, app: &AppId) -> Result<()> {
        let mut failed = None;
        for StageEnd { crowd, share } in self.crowds.due_rollouts(app).await? {
            let subject = format!("{crowd} to {share}");
            let line = self.begin(ACTOR, app, "crowd.rollout", &subject).await?;
            if let Err(error) = line.end(self.crowds.go_on(app, &crowd).await).await {
                failed = failed.or(Some(error));
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
