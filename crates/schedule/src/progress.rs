use crate::status::{RunStatus, TaskStatus};
use std::sync::Arc;
use tokio::sync::watch;

/// A task's line to those who watch it. Cheap, but not free: report a batch, not a row.
#[derive(Debug, Clone)]
pub struct Progress {
    pub(crate) status: Arc<watch::Sender<RunStatus>>,
    pub(crate) cancel: watch::Receiver<bool>,
    /// Which of the run's tasks this is.
    pub(crate) index: usize,
}

impl Progress {
    /// Sets the units done and those in all (0: unknown).
    pub fn set(&self, done: u64, total: u64) {
        self.update(|task| (task.done, task.total) = (done, total));
    }

    /// Adds to the units done.
    pub fn advance(&self, units: u64) {
        self.update(|task| task.done = task.done.saturating_add(units));
    }

    /// Says what is being done now.
    pub fn message(&self, text: impl Into<String>) {
        self.update(|task| task.message = text.into());
    }

    /// Whether the run shall stop; ask between batches.
    pub fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Waits until the run shall stop; for `tokio::select!`.
    pub async fn cancelled(&self) {
        if self.cancel.clone().wait_for(|asked| *asked).await.is_err() {
            // Nobody is left who could cancel.
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut TaskStatus)) {
        self.status.send_modify(|run| {
            if let Some(task) = run.tasks.get_mut(self.index) {
                change(task);
            }
        });
    }
}
