use crate::graph::Graph;
use crate::status::{RunState, RunStatus, TaskState};
use crate::{Progress, Retry, Task, TaskError};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::{AppId, Clock, ErrorKind};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a task of a cancelled run never started.
const CANCELLED: &str = "the run was cancelled";
/// How long a task that is dropped may take to its next await.
const DROPPING: Duration = Duration::from_millis(300);

type Outcome = Result<Json, TaskError>;

/// A handle to a run. Clones refer to the same run; dropping them does not stop it.
#[derive(Debug, Clone)]
pub struct RunHandle {
    pub(crate) id: Arc<str>,
    pub(crate) app: AppId,
    pub(crate) status: watch::Receiver<RunStatus>,
    pub(crate) cancel: CancellationToken,
}

impl RunHandle {
    /// The run's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The app that the run belongs to.
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// The current status.
    pub fn status(&self) -> RunStatus {
        self.status.borrow().clone()
    }

    /// Whether it is of this kind, and goes on.
    pub(crate) fn is_of(&self, kind: &str) -> bool {
        let status = self.status.borrow();
        status.kind == kind && !status.state.is_final()
    }

    /// The status once the run has ended and is recorded, or after `timeout`.
    pub async fn wait(&self, timeout: Duration) -> RunStatus {
        let _ = tokio::time::timeout(timeout, self.finished()).await;
        self.status()
    }

    /// The status at the end of the run.
    pub async fn finished(&self) -> RunStatus {
        let mut status = self.status.clone();
        match status.wait_for(|run| run.state.is_final()).await {
            Ok(run) => run.clone(),
            // Its driver is gone with the runtime: what it said last.
            Err(_) => self.status(),
        }
    }

    /// Every change of the status. Changes in quick succession may be seen as one.
    pub fn watch(&self) -> watch::Receiver<RunStatus> {
        self.status.clone()
    }

    /// Asks the run to stop: waiting tasks never start, running tasks have half a second to end.
    /// What is committed stays. Cancelling again has no effect.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// A run being driven: started tasks are in `running`, the others in `tasks`.
pub(crate) struct RunDriver {
    tasks: Vec<Option<Box<dyn Task>>>,
    graph: Graph,
    running: JoinSet<Outcome>,
    places: HashMap<Id, usize>,
    status: Arc<watch::Sender<RunStatus>>,
    cancel: CancellationToken,
    clock: Arc<dyn Clock>,
    patience: Patience,
    /// Of the tasks.
    runtime: Handle,
}

/// What a run bears with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) retry: Retry,
    /// How long tasks have to end by themselves after a cancel.
    pub(crate) grace: Duration,
}

impl RunDriver {
    pub(crate) fn new(
        tasks: Vec<Box<dyn Task>>,
        graph: Graph,
        status: Arc<watch::Sender<RunStatus>>,
        cancel: CancellationToken,
        clock: Arc<dyn Clock>,
        patience: Patience,
        runtime: Handle,
    ) -> Self {
        let tasks = tasks.into_iter().map(Some).collect();
        Self {
            tasks,
            graph,
            running: JoinSet::new(),
            places: HashMap::new(),
            status,
            cancel,
            clock,
            patience,
            runtime,
        }
    }

    /// Runs all that can run; gives the state the run ends in.
    pub(crate) async fn drive(mut self) -> RunState {
        for place in 0..self.tasks.len() {
            if self.graph.needs[place] == 0 {
                self.start(place);
            }
        }
        let cancel = self.progress(0);
        let (mut asked, mut dropped) = (false, false);
        let timer = tokio::time::sleep(self.patience.grace);
        tokio::pin!(timer);
        while !self.running.is_empty() {
            tokio::select! {
                Some(done) = self.running.join_next_with_id() => self.end(done),
                () = cancel.cancelled(), if !asked => {
                    asked = true;
                    timer.as_mut().reset(Instant::now() + self.patience.grace);
                    (0..self.tasks.len()).for_each(|place| self.give_up(place, TaskState::Cancelled, CANCELLED));
                }
                () = &mut timer, if asked => {
                    if dropped {
                        self.leave_behind();
                        break;
                    }
                    dropped = true;
                    timer.as_mut().reset(Instant::now() + DROPPING);
                    self.running.abort_all();
                }
            }
        }
        let run = self.status.borrow();
        let any = |state| run.tasks.iter().any(|task| task.state == state);
        match () {
            () if any(TaskState::Cancelled) => RunState::Cancelled,
            () if any(TaskState::Failed) => RunState::Failed,
            () if run.tasks.iter().any(|task| !task.warnings.is_empty()) => {
                RunState::SucceededWithWarnings
            }
            () => RunState::Succeeded,
        }
    }

    fn progress(&self, index: usize) -> Progress {
        Progress { status: self.status.clone(), cancel: self.cancel.clone(), index }
    }

    fn start(&mut self, place: usize) {
        if self.cancel.is_cancelled() {
            return self.give_up(place, TaskState::Cancelled, CANCELLED);
        }
        let Some(task) = self.tasks[place].take() else { return };
        let (progress, now_ms) = (self.progress(place), self.clock.now_ms());
        progress.update(|task| (task.state, task.started_ms) = (TaskState::Running, Some(now_ms)));
        let id = self
            .running
            .spawn_on(attempts(task, progress, self.patience.retry), &self.runtime)
            .id();
        self.places.insert(id, place);
    }

    /// Notes how a task ended and starts those that waited for it alone.
    fn end(&mut self, done: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match done {
            Ok(done) => done,
            Err(error) if error.is_cancelled() => {
                (error.id(), Err(TaskError::new(ErrorKind::Unavailable, "stopped by a cancel")))
            }
            Err(error) => (
                error.id(),
                Err(TaskError::new(
                    ErrorKind::Internal,
                    format!("internal error: the task failed: {error}"),
                )),
            ),
        };
        let Some(place) = self.places.remove(&id) else { return };
        let (now_ms, cancelled) = (self.clock.now_ms(), self.cancel.is_cancelled());
        let succeeded = outcome.is_ok();
        self.progress(place).update(|task| {
            task.finished_ms = Some(now_ms);
            match outcome {
                Ok(result) => (task.state, task.result) = (TaskState::Succeeded, Some(result)),
                Err(error) if cancelled => {
                    (task.state, task.error) = (TaskState::Cancelled, Some(error.message))
                }
                Err(error) => (task.state, task.error) = (TaskState::Failed, Some(error.message)),
            }
        });
        for dependant in std::mem::take(&mut self.graph.dependants[place]) {
            if !succeeded && cancelled {
                self.give_up(dependant, TaskState::Cancelled, CANCELLED);
                continue;
            }
            if !succeeded {
                let name = self.status.borrow().tasks[place].name.clone();
                self.give_up(dependant, TaskState::Skipped, &format!("\"{name}\" did not succeed"));
                continue;
            }
            self.graph.needs[dependant] -= 1;
            if self.graph.needs[dependant] == 0 {
                self.start(dependant);
            }
        }
    }

    /// Ends the run without the tasks that hold their threads and hear nothing.
    fn leave_behind(&mut self) {
        self.running.detach_all();
        let (now_ms, why) = (self.clock.now_ms(), "it did not stop in time and was left behind");
        for (_, place) in std::mem::take(&mut self.places) {
            tracing::error!(task = self.status.borrow().tasks[place].name, why);
            self.progress(place).update(|task| {
                (task.state, task.error, task.finished_ms) =
                    (TaskState::Cancelled, Some(why.to_owned()), Some(now_ms));
            });
        }
    }

    /// Ends a task that has not started, and all that wait for it.
    fn give_up(&mut self, place: usize, state: TaskState, why: &str) {
        let mut ended = vec![place];
        while let Some(place) = ended.pop() {
            if self.tasks[place].take().is_some() {
                self.progress(place)
                    .update(|task| (task.state, task.error) = (state, Some(why.to_owned())));
                ended.extend(&self.graph.dependants[place]);
            }
        }
    }
}

/// Runs one task until it succeeds, fails for good, or has used up its retries.
async fn attempts(mut task: Box<dyn Task>, progress: Progress, retry: Retry) -> Outcome {
    let mut retried = 0;
    loop {
        progress.update(|task| (task.attempts, task.done, task.total) = (retried + 1, 0, 0));
        let error = match task.run(&progress).await {
            Err(error)
                if error.is_passing() && retried < retry.retries && !progress.is_cancelled() =>
            {
                error
            }
            outcome => return outcome,
        };
        let pause = retry.pause(retried);
        retried += 1;
        tracing::warn!(task = task.name(), %error, retry = retried, "a task is tried again");
        progress.message(format!(
            "retry {retried} of {} in {} ms: {error}",
            retry.retries,
            pause.as_millis()
        ));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = progress.cancelled() => return Err(error),
        }
    }
}
