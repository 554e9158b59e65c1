//! Makes room for live changes in memory when flushing falls behind; writers wait for it.

use crate::error::{Error, Result};
use crate::index::Index;
use crate::live::{Admitted, AppLog, Weight};
use crate::snapshot::Snapshot;
use std::sync::Arc;
use std::time::Duration;
use taghouse_disk::blocking;
use taghouse_model::AppId;

/// How long those who are on their way are waited for before it is looked again.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Index {
    /// Waits for room for more changes. If there is none, one writer makes room for all that wait
    /// by flushing, and they are admitted in order.
    pub(crate) async fn room(
        &self,
        app: &AppId,
        log: &Arc<AppLog>,
        weight: Weight,
    ) -> Result<Admitted> {
        let _waits = match log.admit_or_wait(weight) {
            Ok(room) => return Ok(room),
            Err(waits) => waits,
        };
        let state = self.apps.get(app);
        let _flushing = state.flushing.lock().await;
        loop {
            // Somebody else may have flushed while this one waited.
            if let Some(room) = log.admit(weight) {
                return Ok(room);
            }
            // From here on nobody else goes in: what is on its way gets less.
            let on_their_way = log.on_their_way();
            let ticking = log.clone();
            blocking::<_, Error>(move || Ok(ticking.tick())).await?;
            let flushed = self.flush_the_most(app, weight).await?;
            let ticking = log.clone();
            blocking::<_, Error>(move || Ok(ticking.tick())).await?;
            if flushed > 0 {
                continue;
            }
            if on_their_way > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            } else if let Some(room) = log.admit(weight) {
                return Ok(room);
            } else {
                // What no flush takes away is not made less by waiting.
                tracing::warn!(%app, changes = log.held(), "the live changes of the app are over their limit, and flushing makes them no fewer");
                return Ok(log.admit_over_limit(weight));
            }
        }
    }

    /// Flushes all tags and frees their texts. Writers go on while most of it is flushed, then
    /// wait for the rest. The caller sees to it that nobody else flushes. How many tags got a
    /// new segment.
    pub(crate) async fn flush_texts(&self, app: &AppId, log: &Arc<AppLog>) -> Result<usize> {
        let mut flushed = self.flush_all(app).await?;
        let _waits = log.let_wait();
        while log.on_their_way() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let ticking = log.clone();
        blocking::<_, Error>(move || Ok(ticking.tick())).await?;
        flushed += self.flush_all(app).await?;
        let ticking = log.clone();
        blocking::<_, Error>(move || {
            ticking.tick();
            ticking.renew_texts();
            Ok(())
        })
        .await?;
        Ok(flushed)
    }
}

/// How many live changes a tag must have to be flushed, so that at most `left` changes stay
/// unflushed; `None` when there are no more than that.
pub(crate) fn least_to_flush(snapshot: &Snapshot, left: u64) -> Option<usize> {
    let live = snapshot.live()?;
    let mut changes: Vec<usize> = live.overlay.tags.values().map(|tag| tag.len()).collect();
    let mut total = changes.iter().sum::<usize>() as u64;
    changes.sort_unstable_by(|a, b| b.cmp(a));
    let mut least = None;
    for of_tag in changes {
        if total <= left {
            break;
        }
        total -= of_tag as u64;
        least = Some(of_tag.max(1));
    }
    least
}
