use crate::Progress;
use async_trait::async_trait;
use serde_json::Value as Json;
use std::fmt;
use taghouse_model::ErrorKind;

/// One step of a run.
#[async_trait]
pub trait Task: Send {
    /// The name of the task, unique in its run.
    fn name(&self) -> String;

    /// The names of the tasks that must succeed before it starts.
    fn after(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does the work; called again after a `Conflict` or `Unavailable`. When a cancel is asked, it
    /// should end soon by itself (see [`Progress::is_cancelled`]); 300 ms later it is dropped
    /// at its next await, so what it publishes must be published whole. One that does not
    /// come to an await for another 300 ms is left behind: the run ends without it. So what
    /// computes for long belongs on a blocking thread, and holds nothing there that others wait
    /// for.
    ///
    /// # Errors
    /// Why the task failed; the kind decides whether it is tried again.
    async fn run(&mut self, progress: &Progress) -> Result<Json, TaskError>;
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    /// `Conflict` and `Unavailable` are tried again.
    pub kind: ErrorKind,
    /// Free text for people; nothing depends on it.
    pub message: String,
}

impl TaskError {
    /// Makes one from the error of any crate.
    pub fn new(kind: ErrorKind, error: impl fmt::Display) -> Self {
        Self { kind, message: error.to_string() }
    }

    /// Whether trying again can help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.kind, ErrorKind::Conflict | ErrorKind::Unavailable)
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TaskError {}
