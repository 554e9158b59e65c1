use crate::graph::Graph;
use crate::run::Run;
use crate::status::{RunState, RunStatus, TaskState, TaskStatus};
use crate::{Error, Result, Retry, RunHandle, Task};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use taghouse_catalog::{Catalog, Change, RunRecord};
use taghouse_model::{AppId, Clock, ErrorKind};
use tokio::sync::watch;

/// Ended runs kept in memory; older ones are in the catalog only.
const ENDED_KEPT: usize = 256;
const GRACE: Duration = Duration::from_secs(5);

/// Starts runs and knows those of this process.
pub struct Scheduler {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    retry: Retry,
    grace: Duration,
    /// Makes ids of one millisecond differ.
    started: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    closed: bool,
    /// By order of start.
    runs: BTreeMap<u64, RunHandle>,
}

impl Scheduler {
    /// A scheduler without runs; call [`Scheduler::recover`] before the first one. Needs a tokio runtime with time from the first start on.
    pub fn new(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, clock, retry: Retry::default(), grace: GRACE, started: AtomicU64::new(0), known: Mutex::default() }
    }

    /// The same with other retries.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with another time, instead of 5 s, that running tasks have to end by themselves after a cancel before they are dropped.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Marks the runs that a dead process left open as `interrupted`; gives how many. Runs of this scheduler are left alone, those of
    /// another live process on the same catalog are not: the data folder has one owner.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn recover(&self) -> Result<usize> {
        let now_ms = self.clock.now_ms();
        let mut closed = Vec::new();
        for mut record in self.catalog.unfinished_runs().await? {
            if self.get(&record.id).is_some() {
                continue;
            }
            if let Some(Ok(mut tasks)) = record.detail.get("tasks").cloned().map(serde_json::from_value::<Vec<TaskStatus>>) {
                for task in tasks.iter_mut().filter(|task| !task.state.is_final()) {
                    (task.state, task.error) = (TaskState::Cancelled, Some("its process ended".to_owned()));
                }
                record.detail = detail(&tasks);
            }
            record.state = RunState::Interrupted.to_string();
            record.finished_ms = Some(now_ms);
            closed.push(Change::PutRun(record));
        }
        let count = closed.len();
        if count > 0 {
            self.catalog.commit(closed).await?;
            tracing::warn!(count, "runs of an earlier process were interrupted");
        }
        Ok(count)
    }

    /// Records a run and starts it. Tasks that need none start at once, side by side. A task that fails takes those that need it with it,
    /// the others go on.
    ///
    /// # Errors
    /// `Invalid` for tasks that are no DAG, `Unavailable` after [`Scheduler::shut_down`], else the catalog's: nothing runs then.
    pub async fn start(&self, app: &AppId, kind: &str, tasks: Vec<Box<dyn Task>>) -> Result<RunHandle> {
        let names: Vec<_> = tasks.iter().map(|task| (task.name(), task.after())).collect();
        let graph = Graph::new(&names)?;
        if self.known().closed {
            return Err(Error::ShutDown);
        }
        let tasks_status = names.into_iter().map(|(name, after)| TaskStatus::pending(name, after)).collect();
        let (number, status) = self.record(app, kind, tasks_status).await?;
        let id: Arc<str> = status.id.as_str().into();
        let (sender, receiver) = watch::channel(status);
        let (cancel, cancelled) = watch::channel(false);
        let handle = RunHandle { id, app: app.clone(), status: receiver, cancel: Arc::new(cancel) };
        self.remember(number, handle.clone());
        let sender = Arc::new(sender);
        let run = Run::new(tasks, graph, sender.clone(), cancelled, self.clock.clone(), self.retry, self.grace);
        let (catalog, clock, retry) = (self.catalog.clone(), self.clock.clone(), self.retry);
        // The cancel's sender lives as long as the run, so that nobody's dropping of a handle looks like its end.
        let keep = handle.cancel.clone();
        tokio::spawn(async move {
            let state = run.drive().await;
            let mut end = sender.borrow().clone();
            (end.state, end.finished_ms) = (state, Some(clock.now_ms()));
            save(catalog.as_ref(), &end, retry).await;
            sender.send_replace(end);
            drop(keep);
        });
        Ok(handle)
    }

    /// A run of this process that runs or ended not long ago.
    pub fn get(&self, id: &str) -> Option<RunHandle> {
        self.known().runs.values().find(|run| run.id() == id).cloned()
    }

    /// An app's runs of this process, newest first.
    pub fn list(&self, app: &AppId) -> Vec<RunStatus> {
        self.known().runs.values().rev().filter(|run| run.app() == app).map(RunHandle::status).collect()
    }

    /// Cancels all runs and waits for their end (some seconds at most). No run starts any more.
    pub async fn shut_down(&self) {
        let runs: Vec<_> = {
            let mut known = self.known();
            known.closed = true;
            known.runs.values().cloned().collect()
        };
        runs.iter().for_each(RunHandle::cancel);
        for run in runs {
            run.finished().await;
        }
    }

    /// Puts the new run into the catalog under an id that no other run has.
    async fn record(&self, app: &AppId, kind: &str, tasks: Vec<TaskStatus>) -> Result<(u64, RunStatus)> {
        let started_ms = self.clock.now_ms();
        let (app, kind, state) = (app.clone(), kind.to_owned(), RunState::Running);
        let mut status = RunStatus { id: String::new(), app, kind, state, started_ms, finished_ms: None, tasks };
        loop {
            let number = self.started.fetch_add(1, Ordering::Relaxed);
            status.id = format!("run-{started_ms}-{number}");
            // The numbers begin anew with the process, and clocks go back.
            if self.catalog.run(&status.app, &status.id).await?.is_some() {
                continue;
            }
            match self.catalog.commit(vec![Change::PutRun(record(&status))]).await {
                // The id is another app's.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => return Ok(outcome.map(|()| (number, status))?),
            }
        }
    }

    fn remember(&self, number: u64, handle: RunHandle) {
        let mut known = self.known();
        if known.closed {
            // Shut down while the run was being recorded: it ends before it begins.
            handle.cancel();
        }
        known.runs.insert(number, handle);
        let ended: Vec<u64> =
            known.runs.iter().filter(|(_, run)| run.status.borrow().state.is_final()).map(|(number, _)| *number).collect();
        for number in ended.iter().take(ended.len().saturating_sub(ENDED_KEPT)) {
            known.runs.remove(number);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing under this lock can leave it half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn detail(tasks: &[TaskStatus]) -> Json {
    json!({ "tasks": tasks })
}

fn record(status: &RunStatus) -> RunRecord {
    RunRecord {
        id: status.id.clone(),
        app: status.app.clone(),
        kind: status.kind.clone(),
        state: status.state.to_string(),
        detail: detail(&status.tasks),
        started_ms: status.started_ms,
        finished_ms: status.finished_ms,
    }
}

/// Records a run's end. One that cannot be recorded stays open in the catalog and is `interrupted` after the next start.
async fn save(catalog: &dyn Catalog, status: &RunStatus, retry: Retry) {
    let mut retried = 0;
    loop {
        match catalog.commit(vec![Change::PutRun(record(status))]).await {
            Ok(()) => return,
            Err(error) if retried >= retry.retries => return tracing::error!(run = status.id, %error, "the end of a run is not recorded"),
            Err(_) => tokio::time::sleep(retry.pause(retried)).await,
        }
        retried += 1;
    }
}
