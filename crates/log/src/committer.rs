use crate::mark::Mark;
use crate::store::{Opened, Store, StoreFiles};
use crate::{Error, Result, key};
use fjall::{Keyspace, PersistMode, UserValue};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
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
/// How many dead records are removed at least between two groups.
const SLICE_RECORDS: u64 = 2_000;

/// How often a store that cannot be opened is tried again.
const REOPEN_EVERY: Duration = Duration::from_millis(200);

/// Trimmed records of an app that are still stored.
pub(crate) struct Dead {
    app: AppId,
    first: u64,
    last: u64,
}

/// The only writer of the store: it alone gives positions, so they are dense without a lock.
pub(crate) struct Committer {
    pub(crate) store: Arc<Store>,
    pub(crate) place: StoreFiles,
    /// How many groups were acknowledged, beside the store.
    pub(crate) mark: taghouse_disk::Mark,
    /// The same. The store may have one more, whose sync failed.
    pub(crate) acknowledged: u64,
    /// The number of the store's last group.
    pub(crate) groups: u64,
    pub(crate) marks: HashMap<AppId, Mark>,
    pub(crate) syncs: Arc<AtomicU64>,
    /// Trimmed records, to be deleted: the marks that cover them are on disk.
    pub(crate) dead: VecDeque<Dead>,
    pub(crate) slices: Arc<AtomicU64>,
}

/// A group's writes, and what to do when they are on disk.
#[derive(Default)]
struct CommitPlan {
    records: Vec<(Vec<u8>, UserValue)>,
    /// Marks move only when the batch is on disk.
    moved: HashMap<AppId, Mark>,
    waiting: Vec<(oneshot::Sender<Result<u64>>, u64, Option<OwnedSemaphorePermit>)>,
    dead: Vec<Dead>,
}

impl Committer {
    /// Serves until every sender is gone. While one group syncs, the next one gathers: that is the
    /// whole group commit. What was trimmed is removed slice by slice, one after each group, so
    /// that nobody waits for a long trim.
    pub(crate) fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        loop {
            if self.store.is_open() {
                if self.dead.is_empty() {
                    requests.blocking_recv_many(&mut group, GROUP);
                } else {
                    while group.len() < GROUP
                        && let Ok(request) = requests.try_recv()
                    {
                        group.push(request);
                    }
                }
                if group.is_empty() && (self.dead.is_empty() || requests.is_closed()) {
                    return;
                }
                let appended = self.commit(std::mem::take(&mut group));
                // Twice what came in, so that what is dead cannot grow for ever.
                self.bury(SLICE_RECORDS.max(2 * appended));
                continue;
            }
            // Nobody has to ask for it to come back. Meanwhile each caller is told why it is
            // closed.
            match requests.try_recv() {
                Ok(Request { reply, .. }) => drop(reply.send(self.store.with(|_| Ok(0)))),
                Err(mpsc::error::TryRecvError::Disconnected) => return,
                Err(mpsc::error::TryRecvError::Empty) => {
                    std::thread::sleep(REOPEN_EVERY);
                    self.reopen();
                }
            }
        }
    }

    /// Writes a group in one batch with one sync, and answers each caller. Gives the number of
    /// records appended.
    fn commit(&mut self, group: Vec<Request>) -> u64 {
        let mut plan = self.plan(group);
        if plan.waiting.is_empty() {
            return 0;
        }
        let number = self.groups + 1;
        let mut outcome = self.write(&plan, number);
        if let Err(error) = &outcome {
            tracing::error!(%error, folder = %self.store.path().display(), "the event log cannot write; it is opened again");
            // Nothing of it may be there, after an earlier failure that nobody was told: then it is
            // written now. If it is there, its sync failed, and it is not acknowledged.
            if self.reopen() && self.groups < number {
                outcome = self.write(&plan, number);
            }
        }
        match outcome.and_then(|()| self.place.check()) {
            Ok(()) => {
                (self.groups, self.acknowledged) = (number, number);
                self.mark.set(number);
                self.marks.extend(std::mem::take(&mut plan.moved));
                plan.waiting.into_iter().for_each(|(reply, end, _)| drop(reply.send(Ok(end))));
                self.dead.extend(plan.dead);
                plan.records.len() as u64
            }
            Err(error) => {
                self.marks.clear();
                plan.waiting
                    .into_iter()
                    .for_each(|(reply, _, _)| drop(reply.send(Err(error.again()))));
                0
            }
        }
    }

    /// Gives each request its positions; those that cannot have any are answered.
    fn plan(&mut self, group: Vec<Request>) -> CommitPlan {
        let mut plan = CommitPlan::default();
        for Request { app, work, reply, permit } in group {
            let mut mark = match plan.moved.get(&app).copied().map_or_else(|| self.mark(&app), Ok) {
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
                        plan.records.push((key::record(&app, mark.end), record.into()));
                    }
                }
                Work::Trim(through) if through > mark.end => {
                    let _ = reply.send(Err(Error::PastEnd { app, through, end: mark.end }));
                    continue;
                }
                Work::Trim(through) => {
                    if through > mark.trimmed {
                        plan.dead.push(Dead {
                            app: app.clone(),
                            first: mark.trimmed + 1,
                            last: through,
                        });
                        mark.trimmed = through;
                    }
                }
            }
            plan.moved.insert(app, mark);
            plan.waiting.push((reply, mark.end, permit));
        }
        plan
    }

    fn write(&self, plan: &CommitPlan, number: u64) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.store.with(|Opened { database, keyspace }| {
            let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
            plan.records
                .iter()
                .for_each(|(key, record)| batch.insert(keyspace, key.as_slice(), record.clone()));
            plan.moved
                .iter()
                .for_each(|(app, mark)| batch.insert(keyspace, key::mark(app), mark.to_bytes()));
            batch.insert(keyspace, key::GROUPS, number.to_be_bytes());
            Ok(batch.commit()?)
        })
    }

    /// Opens the store again; whether it is open now.
    fn reopen(&mut self) -> bool {
        self.marks.clear();
        match self.store.reopen(self.acknowledged, self.mark.path()) {
            Ok(groups) => {
                self.groups = groups;
                self.dead =
                    self.store.with(|opened| left_behind(&opened.keyspace)).unwrap_or_default();
                tracing::info!(folder = %self.store.path().display(), "the event log is open again");
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the event log cannot be opened yet");
                false
            }
        }
    }

    fn mark(&mut self, app: &AppId) -> Result<Mark> {
        if let Some(mark) = self.marks.get(app) {
            return Ok(*mark);
        }
        let mark = self
            .store
            .with(|opened| Mark::from_bytes(opened.keyspace.get(key::mark(app))?.as_deref()))?;
        self.marks.insert(app.clone(), mark);
        Ok(mark)
    }

    /// Removes up to `records` of the records that are dead. Readers do not see them any more, so
    /// neither sync nor success matters: what a crash leaves is unreachable, and `left_behind`
    /// finds it at the next opening.
    fn bury(&mut self, records: u64) {
        let Some(Dead { app, first, last }) = self.dead.pop_front() else { return };
        let stop = last.min(first.saturating_add(records - 1));
        let removed = self.store.with(|Opened { database, keyspace }| {
            // To the system, not to the disk: an end of the process does not undo it.
            let mut batch = database.batch().durability(Some(PersistMode::Buffer));
            (first..=stop).for_each(|position| batch.remove(keyspace, key::record(&app, position)));
            Ok(batch.commit()?)
        });
        if let Err(error) = removed {
            tracing::warn!(%error, %app, "trimmed records could not be removed: the next opening tries again");
        } else if stop < last {
            self.dead.push_front(Dead { app, first: stop + 1, last });
        }
        self.slices.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a crash left behind the marks: one look an app, whatever is left.
pub(crate) fn left_behind(keyspace: &Keyspace) -> Result<VecDeque<Dead>> {
    let mut dead = VecDeque::new();
    for guard in keyspace.prefix(key::MARKS) {
        let (key, value) = guard.into_inner()?;
        let app = key::app_of_mark(&key)
            .ok_or_else(|| Error::Corrupt("a mark's key names no app".to_owned()))?;
        let trimmed = Mark::from_bytes(Some(&value))?.trimmed;
        if trimmed == 0 {
            continue;
        }
        let left = keyspace
            .range(key::records(&app, 1..=trimmed))
            .next()
            .map(fjall::Guard::key)
            .transpose()?;
        if let Some(first) = left.as_deref().and_then(key::position) {
            dead.push_back(Dead { app, first, last: trimmed });
        }
    }
    Ok(dead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OpenedStore;

    #[test]
    fn a_group_that_was_never_acknowledged_may_be_gone_when_the_store_is_opened_again() {
        let above = tempfile::tempdir().unwrap();
        let OpenedStore { store, mark, groups } = Store::open(&above.path().join("log")).unwrap();
        let place = StoreFiles::of(store.path()).unwrap();
        let mut committer = Committer {
            store: Arc::new(store),
            place,
            mark,
            acknowledged: groups,
            groups,
            marks: HashMap::new(),
            syncs: Arc::default(),
            dead: VecDeque::new(),
            slices: Arc::default(),
        };
        let (reply, mut answer) = oneshot::channel();
        let app = AppId::new("shop").unwrap();
        committer.commit(vec![Request {
            app,
            work: Work::Append(vec![b"x".to_vec()]),
            reply,
            permit: None,
        }]);
        assert_eq!(answer.try_recv().unwrap().unwrap(), 1);
        // As after a sync that failed, of a group that the system's memory still had.
        committer.groups += 1;
        assert!(committer.reopen() && committer.groups == 1);
        committer.acknowledged += 1;
        assert!(!committer.reopen(), "what was acknowledged must be there");
    }
}
