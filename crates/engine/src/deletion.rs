//! Users who are deleted, with what is kept of them beside tags and crowds.

use crate::person_rows::Kept;
use crate::{Engine, Result};
use futures::StreamExt;
use std::collections::{BTreeSet, HashMap};
use taghouse_disk::blocking;
use taghouse_ingest::{LogRecord, RecordBody, landed};
use taghouse_lake::layout;
use taghouse_model::{AppId, TimestampMs};
use taghouse_users::{DeletionWatch, Receipt};

/// Records of the log that are read at once.
const READ_AT_ONCE: usize = 10_000;

/// Of which deletions and dead letters nothing is left to be done.
pub(crate) struct Looked {
    /// Who was deleted since.
    watch: DeletionWatch,
    /// How many letters there had been.
    buried: u64,
    /// Of the users: those who expire get another.
    generation: u64,
}

impl Engine {
    /// Deletes users, and what could not be delivered of them.
    ///
    /// # Errors
    /// Those of the deletion, see [`taghouse_users::Users::delete`].
    pub async fn delete_users(&self, app: &AppId, ids: &[String]) -> Result<Receipt> {
        let receipt = self.users.delete(app, ids).await?;
        self.erase_dead_letters(app).await;
        Ok(receipt)
    }

    /// Removes the dead letters of users who were deleted, or expired, if there may be any. What fails
    /// is logged, and tried again with the next tidying.
    pub(crate) async fn erase_dead_letters(&self, app: &AppId) {
        let buried = self.webhooks.buried(app) + self.activations.failed_rows.written();
        let generation = self.dictionary.generation(app);
        let is_done = |looked: &Looked| {
            looked.watch.is_empty() && looked.buried == buried && looked.generation == generation
        };
        if self.memory.letters.lock().get(app).is_some_and(is_done) {
            return;
        }
        // Watched first: whoever is deleted meanwhile is looked for again.
        let watch = self.users.watch_deletions(app);
        match self.dead_letters_erased(app).await {
            Ok(erased) => {
                if erased > 0 {
                    tracing::info!(%app, erased, "dead letters of deleted users are removed");
                }
                let looked = Looked { watch, buried, generation };
                self.memory.letters.lock().insert(app.clone(), looked);
            }
            Err(error) => tracing::error!(
                %app,
                detail = error.to_string(),
                "dead letters of deleted users could not be removed; it is tried again"
            ),
        }
    }

    async fn dead_letters_erased(&self, app: &AppId) -> Result<u64> {
        let mut users = self.webhooks.dead_letter_users(app).await?;
        let (rows, of) = (self.activations.failed_rows.clone(), app.clone());
        users.extend(blocking(move || rows.users(&of)).await?);
        if users.is_empty() {
            return Ok(0);
        }
        // The log first: what lands meanwhile is seen twice.
        let mut position = landed(self.catalog.as_ref(), app).await?;
        let mut gone = HashMap::new();
        loop {
            let records = self.log.read(app, position, READ_AT_ONCE).await?;
            let Some((last, _)) = records.last() else { break };
            position = *last;
            // What cannot be read is refused where it lands.
            for record in records.iter().filter_map(|(_, bytes)| LogRecord::decode(bytes).ok()) {
                if let RecordBody::Gone { user_id, .. } = record.body
                    && users.contains(&user_id)
                {
                    gone.insert(user_id, record.received_at_ms);
                }
            }
        }
        for (user, at_ms) in self.gone(app, &users).await? {
            let known = gone.entry(user).or_insert(at_ms);
            *known = at_ms.max(*known);
        }
        if gone.is_empty() {
            return Ok(0);
        }
        let (rows, of, ids) = (self.activations.failed_rows.clone(), app.clone(), gone.clone());
        let erased = blocking(move || rows.erase(&of, &ids)).await?;
        Ok(erased + self.webhooks.erase_users(app, gone).await?)
    }

    /// When the ids were deleted, or expired, the last time, as the lake has it.
    pub(crate) async fn gone(
        &self,
        app: &AppId,
        ids: &BTreeSet<String>,
    ) -> Result<HashMap<String, TimestampMs>> {
        let mut gone = HashMap::new();
        let changes = self.lake.table(app, layout::USER_CHANGES).await?;
        let Some(table) = changes else { return Ok(gone) };
        for mut batches in table.scan(&["user_id", "op", "time"]).plan(1).await?.partitions() {
            while let Some(batch) = batches.next().await {
                Kept::note_gone(&batch?, ids, &mut gone)?;
            }
        }
        Ok(gone)
    }
}
