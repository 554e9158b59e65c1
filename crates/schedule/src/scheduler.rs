use crate::graph::Graph;
use crate::run::{Patience, RunDriver};
use crate::status::{RunState, RunStatus, TaskState, TaskStatus};
use crate::{Error, Result, Retry, RunHandle, Task};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use taghouse_catalog::{Catalog, Change, RunRecord};
use taghouse_model::{AppId, Clock, ErrorKind};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Ended runs kept in memory; older ones are in the catalog only.
const ENDED_KEPT: usize = 256;
/// How often an end that could not be recorded is tried again.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Long enough for a task to put away what it holds; a caller who cancels should not have to wait.
const GRACE: Duration = Duration::from_millis(300);
/// How long the end of a cancelled run may wait for the catalog before it is told all the same.
const RECORDED_WITHIN: Duration = Duration::from_millis(200);
/// How long a process that ends waits for ends that the catalog has not taken yet.
const LAST_RECORDS: Duration = Duration::from_secs(1);

/// Starts runs and knows those of this process.
pub struct Scheduler {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    retry: Retry,
    grace: Duration,
    /// Where tasks run; `None`: where they are started.
    runtime: Option<Handle>,
    /// Makes ids of one millisecond differ.
    started: AtomicU64,
    known: Mutex<Known>,
    /// Those who see runs to their end, and to its record.
    driving: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Known {
    closed: bool,
    /// By order of start.
    runs: BTreeMap<u64, RunHandle>,
}

impl Scheduler {
    /// A scheduler without runs; call [`Scheduler::recover`] before the first one. Needs a tokio
    /// runtime with time from the first start on.
    pub fn new(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self {
            catalog,
            clock,
            retry: Retry::default(),
            grace: GRACE,
            runtime: None,
            started: AtomicU64::new(0),
            known: Mutex::default(),
            driving: Mutex::default(),
        }
    }

    /// The same with other retries.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with tasks on another runtime than the one that starts them and listens for a
    /// cancel: their work does not stand in its way.
    #[must_use]
    pub fn on(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// The same with another time, instead of 300 ms, that running tasks have to end by themselves
    /// after a cancel before they are dropped.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Marks the runs that a dead process left open as `interrupted`; gives how many. Runs of this
    /// scheduler are left alone, those of another live process on the same catalog are not: the
    /// data folder has one owner.
    ///
    /// # Errors
    /// Errors of the catalog.
    pub async fn recover(&self) -> Result<usize> {
        let now_ms = self.clock.now_ms();
        let mut closed = Vec::new();
        for mut record in self.catalog.unfinished_runs().await? {
            if self.get(&record.id).is_some() {
                continue;
            }
            if let Some(Ok(mut tasks)) =
                record.detail.get("tasks").cloned().map(serde_json::from_value::<Vec<TaskStatus>>)
            {
                for task in tasks.iter_mut().filter(|task| !task.state.is_final()) {
                    (task.state, task.error) =
                        (TaskState::Cancelled, Some("its process ended".to_owned()));
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

    /// Records a run and starts it. Tasks that need none start at once, side by side. A task that
    /// fails takes those that need it with it, the others go on.
    ///
    /// # Errors
    /// `Invalid` for tasks that are not a DAG, `Unavailable` after [`Scheduler::shut_down`], else
    /// the catalog's: nothing runs then.
    pub async fn start(
        &self,
        app: &AppId,
        kind: &str,
        tasks: Vec<Box<dyn Task>>,
    ) -> Result<RunHandle> {
        let names: Vec<_> = tasks.iter().map(|task| (task.name(), task.after())).collect();
        let graph = Graph::new(&names)?;
        if self.known().closed {
            return Err(Error::ShutDown);
        }
        let tasks_status =
            names.into_iter().map(|(name, after)| TaskStatus::pending(name, after)).collect();
        let (number, status) = self.record(app, kind, tasks_status).await?;
        let id: Arc<str> = status.id.as_str().into();
        let (sender, receiver) = watch::channel(status);
        let cancel = CancellationToken::new();
        let handle = RunHandle { id, app: app.clone(), status: receiver, cancel: cancel.clone() };
        self.remember(number, handle.clone());
        let sender = Arc::new(sender);
        let runtime = self.runtime.clone().unwrap_or_else(Handle::current);
        let patience = Patience { retry: self.retry, grace: self.grace };
        let run = RunDriver::new(
            tasks,
            graph,
            sender.clone(),
            cancel,
            self.clock.clone(),
            patience,
            runtime,
        );
        let (catalog, clock, retry) = (self.catalog.clone(), self.clock.clone(), self.retry);
        let mut driving = self.driving.lock();
        while driving.try_join_next().is_some() {}
        driving.spawn(async move {
            let state = run.drive().await;
            let mut end = sender.borrow().clone();
            (end.state, end.finished_ms) = (state, Some(clock.now_ms()));
            let saving = save(catalog.as_ref(), &end, retry);
            let saved = match state {
                // Whoever cancels is told at once, also by a catalog that does not answer.
                RunState::Cancelled => {
                    tokio::time::timeout(RECORDED_WITHIN, saving).await.unwrap_or(false)
                }
                _ => saving.await,
            };
            sender.send_replace(end.clone());
            if !saved {
                save_late(catalog.as_ref(), &end).await;
            }
        });
        Ok(handle)
    }

    /// A run of this process that runs or ended not long ago.
    pub fn get(&self, id: &str) -> Option<RunHandle> {
        self.known().runs.values().find(|run| run.id() == id).cloned()
    }

    /// An app's runs of this process, newest first.
    pub fn list(&self, app: &AppId) -> Vec<RunStatus> {
        self.known()
            .runs
            .values()
            .rev()
            .filter(|run| run.app() == app)
            .map(RunHandle::status)
            .collect()
    }

    /// Whether a run of this kind is going on in this process.
    pub fn is_running(&self, app: &AppId, kind: &str) -> bool {
        self.known().runs.values().any(|run| run.app() == app && run.is_of(kind))
    }

    /// Whether runs are cancelled because the process ends, not because somebody asks for it.
    pub fn is_ending(&self) -> bool {
        self.known().closed
    }

    /// Cancels all runs and waits for their end (two seconds at most, see [`Task::run`]). No run
    /// starts any more.
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
        let mut driving = std::mem::take(&mut *self.driving.lock());
        let recorded = async { while driving.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_RECORDS, recorded).await.is_err() {
            tracing::warn!(
                "the catalog did not take the end of every run: the next start calls those interrupted"
            );
            driving.detach_all();
        }
    }

    /// Puts the new run into the catalog under an id that no other run has.
    async fn record(
        &self,
        app: &AppId,
        kind: &str,
        tasks: Vec<TaskStatus>,
    ) -> Result<(u64, RunStatus)> {
        let started_ms = self.clock.now_ms();
        let (app, kind, state) = (app.clone(), kind.to_owned(), RunState::Running);
        let mut status =
            RunStatus { id: String::new(), app, kind, state, started_ms, finished_ms: None, tasks };
        loop {
            let number = self.started.fetch_add(1, Ordering::Relaxed);
            status.id = format!("run-{started_ms}-{number}");
            // The numbers begin again with the process, and clocks go back.
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
        let ended: Vec<u64> = known
            .runs
            .iter()
            .filter(|(_, run)| run.status.borrow().state.is_final())
            .map(|(number, _)| *number)
            .collect();
        for number in ended.iter().take(ended.len().saturating_sub(ENDED_KEPT)) {
            known.runs.remove(number);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing under this lock can leave it half done.
        self.known.lock()
    }
}

impl Drop for Scheduler {
    /// Runs go on without it.
    fn drop(&mut self) {
        self.driving.lock().detach_all();
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

/// Records a run's end; whether that worked.
async fn save(catalog: &dyn Catalog, status: &RunStatus, retry: Retry) -> bool {
    let mut retried = 0;
    loop {
        match catalog.commit(vec![Change::PutRun(record(status))]).await {
            Ok(()) => return true,
            Err(error) if retried >= retry.retries => {
                tracing::error!(run = status.id, %error, "the end of a run is not recorded yet; it is tried again");
                return false;
            }
            Err(_) => tokio::time::sleep(retry.pause(retried)).await,
        }
        retried += 1;
    }
}

/// Records an end that everybody knows already, once the catalog takes it: a disk that was full has
/// room again, say. If the process ends before, the run is `interrupted` after the next start.
async fn save_late(catalog: &dyn Catalog, status: &RunStatus) {
    loop {
        tokio::time::sleep(SAVE_EVERY).await;
        match catalog.commit(vec![Change::PutRun(record(status))]).await {
            Ok(()) => return,
            Err(error) if error.kind() == ErrorKind::Conflict => {
                return tracing::error!(run = status.id, %error, "the end of a run is lost");
            }
            Err(_) => {}
        }
    }
}
