use crate::mark::Mark;
use crate::{Error, Result, key};
use fjall::{Database, Keyspace, PersistMode};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_model::AppId;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// One write of one caller.
pub(crate) struct Request {
    pub(crate) app: AppId,
    pub(crate) work: Work,
    /// Gets the app's end once the work is on disk.
    pub(crate) reply: oneshot::Sender<Result<u64>>,
    /// The caller's share of the bytes that may wait; given back when the request is done.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// What is to be written.
pub(crate) enum Work {
    /// Records at the next positions.
    Append(Vec<Vec<u8>>),
    /// Everything up to this position goes.
    Trim(u64),
}

/// How many requests share one sync at most; the bytes that wait are limited already.
const GROUP: usize = 4096;
/// How many dead records one batch removes: a long trim must not hold appends up.
const TRIM_STEP: u64 = 10_000;

/// The only writer of the store: it alone gives positions, so they are dense without a lock.
pub(crate) struct Committer {
    pub(crate) database: Database,
    pub(crate) keyspace: Keyspace,
    pub(crate) marks: HashMap<AppId, Mark>,
    pub(crate) syncs: Arc<AtomicU64>,
}

impl Committer {
    /// Serves until every sender is gone. While one group syncs, the next one gathers: that is the whole group commit.
    pub(crate) fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        while requests.blocking_recv_many(&mut group, GROUP) > 0 {
            self.commit(std::mem::take(&mut group));
        }
    }

    /// Writes a group in one batch with one sync, and answers each caller.
    fn commit(&mut self, group: Vec<Request>) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        // Marks move only when the batch is on disk.
        let mut moved = HashMap::new();
        let mut waiting = Vec::with_capacity(group.len());
        let mut dead = Vec::new();
        for Request { app, work, reply, permit } in group {
            let mut mark = match moved.get(&app).copied().map_or_else(|| self.mark(&app), Ok) {
                Ok(mark) => mark,
                Err(error) => {
                    let _ = reply.send(Err(error));
                    continue;
                }
            };
            match work {
                Work::Append(records) => {
                    for record in records {
                        mark.end += 1;
                        batch.insert(&self.keyspace, key::record(&app, mark.end), record);
                    }
                }
                Work::Trim(through) if through > mark.end => {
                    let _ = reply.send(Err(Error::PastEnd { app, through, end: mark.end }));
                    continue;
                }
                Work::Trim(through) => {
                    if through > mark.trimmed {
                        dead.push((app.clone(), mark.trimmed + 1, through));
                        mark.trimmed = through;
                    }
                }
            }
            moved.insert(app, mark);
            waiting.push((reply, mark.end, permit));
        }
        for (app, mark) in &moved {
            batch.insert(&self.keyspace, key::mark(app), mark.to_bytes());
        }
        if waiting.is_empty() {
            return;
        }
        let outcome = batch.commit();
        self.syncs.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Ok(()) => {
                self.marks.extend(moved);
                waiting.into_iter().for_each(|(reply, end, _)| drop(reply.send(Ok(end))));
                self.bury(&dead);
            }
            Err(error) => {
                tracing::error!(%error, "the event log cannot write");
                waiting.into_iter().for_each(|(reply, _, _)| drop(reply.send(Err(Error::Unavailable(error.to_string())))));
            }
        }
    }

    fn mark(&mut self, app: &AppId) -> Result<Mark> {
        if let Some(mark) = self.marks.get(app) {
            return Ok(*mark);
        }
        let mark = Mark::from_bytes(self.keyspace.get(key::mark(app))?.as_deref())?;
        self.marks.insert(app.clone(), mark);
        Ok(mark)
    }

    /// Removes records behind a mark that is on disk. Readers do not see them any more, so neither sync nor success matters: what a
    /// crash leaves is unreachable, and `sweep` removes it at the next opening.
    fn bury(&self, dead: &[(AppId, u64, u64)]) {
        for (app, first, last) in dead {
            if let Err(error) = bury_range(&self.database, &self.keyspace, app, *first, *last) {
                tracing::warn!(%error, %app, "trimmed records could not be removed");
            }
        }
    }
}

fn bury_range(database: &Database, keyspace: &Keyspace, app: &AppId, first: u64, last: u64) -> Result<()> {
    let mut next = first;
    while next <= last {
        let stop = last.min(next.saturating_add(TRIM_STEP - 1));
        let mut batch = database.batch();
        (next..=stop).for_each(|position| batch.remove(keyspace, key::record(app, position)));
        batch.commit()?;
        next = stop + 1;
    }
    Ok(())
}

/// Removes what a crash left behind the marks. Bounded by what is left: it reads no live record.
pub(crate) fn sweep(database: &Database, keyspace: &Keyspace) -> Result<()> {
    for guard in keyspace.prefix(key::MARKS) {
        let (key, value) = guard.into_inner()?;
        let app = key::app_of_mark(&key).ok_or_else(|| Error::Corrupt("a mark's key names no app".to_owned()))?;
        let trimmed = Mark::from_bytes(Some(&value))?.trimmed;
        if trimmed == 0 {
            continue;
        }
        let left = keyspace.range(key::records(&app, 1..=trimmed)).next().map(fjall::Guard::key).transpose()?;
        if let Some(first) = left.as_deref().and_then(key::position) {
            bury_range(database, keyspace, &app, first, trimmed)?;
        }
    }
    Ok(())
}
