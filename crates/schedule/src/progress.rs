use crate::status::{RunStatus, TaskStatus};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A task's line to those who watch it. Cheap, but not free: report a batch, not a row.
#[derive(Debug, Clone)]
pub struct Progress {
    pub(crate) status: Arc<watch::Sender<RunStatus>>,
    pub(crate) cancel: CancellationToken,
    /// Which of the run's tasks this is.
    pub(crate) index: usize,
}

impl Progress {
    /// The id of the run.
    pub fn run(&self) -> String {
        self.status.borrow().id.clone()
    }

    /// Sets the units done and those in all (0: unknown).
    pub fn set(&self, done: u64, total: u64) {
        self.update(|task| (task.done, task.total) = (done, total));
    }

    /// Says what is being done now.
    pub fn message(&self, text: impl Into<String>) {
        self.update(|task| task.message = text.into());
    }

    /// Says that something was left out, although the task goes on: the run then ends as one that
    /// succeeded with warnings.
    pub fn warn(&self, text: impl Into<String>) {
        self.update(|task| task.warnings.push(text.into()));
    }

    /// Whether the run shall stop; ask between batches.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until the run shall stop; for `tokio::select!`.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// The run's cancel, for work that goes on where this cannot be borrowed.
    pub fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut TaskStatus)) {
        self.status.send_modify(|run| {
            if let Some(task) = run.tasks.get_mut(self.index) {
                change(task);
            }
        });
    }
}
