//! The stream hears of what is admitted and lands.

use crate::slot::Slot;
use crate::stream::Stream;
use async_trait::async_trait;
use taghouse_ingest::{Admitted, Follower};
use taghouse_model::AppId;

#[async_trait]
impl Follower for Stream {
    async fn admitted(&self, rows: Admitted<'_>) {
        let slot = self.slot(rows.app);
        let mut slot = slot.lock().await;
        if let Err(error) = self.take(&mut slot, &rows).await {
            slot.fail(rows.app, &error);
        }
    }

    async fn landing(&self, app: &AppId, _: u64) {
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        // States that lack rows of the lake are not worth a checkpoint.
        if slot.stale || slot.taking_files {
            return;
        }
        let Slot { serving, members, .. } = &mut *slot;
        let Some(serving) = serving else { return };
        if let Err(error) = self.save(app, serving, members).await {
            slot.fail(app, &error);
        }
    }

    async fn files_landed(&self, app: &AppId) {
        let slot = self.slot(app);
        slot.lock().await.more_files = true;
    }

    async fn taken_back(&self, app: &AppId) {
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        slot.stale = true;
        // Also for a process that ends before it is done.
        if let Err(error) = self.checkpoints(app).forget().await {
            slot.fail(app, &error);
        }
    }
}
