//! Clean-up work beside requests.

use crate::{Engine, Result};
use taghouse_users::Tidied;

impl Engine {
    /// Keeps every app's tables small: see [`taghouse_lake::Lake::maintain`]. A failure of one app
    /// is logged, and does not affect the others.
    ///
    /// # Errors
    /// The list of apps cannot be read.
    pub(crate) async fn keep_small(&self) -> Result<()> {
        for app in self.catalog.apps().await? {
            match self.lake.maintain(&app).await {
                Ok(done) if done.joined_files > 0 => {
                    tracing::info!(%app, joined = done.joined_files, into = done.into_files, "small files of the lake are joined");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%app, %error, "the app's tables could not be kept small; it is tried again")
                }
            }
        }
        Ok(())
    }

    /// Writes what the audit trail sums up, removes what the change feeds keep no longer, and erases what deletions left in files. What fails is
    /// tried again at the next turn: nobody is shown it meanwhile.
    pub(crate) async fn tidy(&self) {
        if let Err(error) = self.write_sums().await.and(self.prune_audit().await) {
            tracing::error!(
                detail = error.to_string(),
                "the audit trail could not be written; it is tried again"
            );
        }
        if let Err(error) = self.feeds.trim().await {
            tracing::error!(%error, "old records of the change feed could not be removed; it is tried again");
        }
        // Whose apps are not known is told where crowds are tidied.
        for app in self.catalog.apps().await.unwrap_or_default() {
            self.erase_dead_letters(&app).await;
        }
        match self.users.tidy().await {
            Ok(Tidied { ids: 0, versions: 0 }) => {}
            Ok(Tidied { ids, versions }) => {
                tracing::info!(
                    ids,
                    versions,
                    "deleted users are erased from the dictionary's and the crowds' files"
                )
            }
            Err(error) => {
                tracing::error!(%error, "deleted users could not be erased from the files; it is tried again")
            }
        }
    }
}
