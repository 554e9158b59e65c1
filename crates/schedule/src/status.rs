use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fmt;
use taghouse_model::{AppId, TimestampMs};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Tasks run or wait.
    Running,
    /// Every task succeeded.
    Succeeded,
    /// Every task succeeded, and some say that something was left out.
    SucceededWithWarnings,
    /// A task failed; those that did not need it were done.
    Failed,
    /// It was cancelled before all was done.
    Cancelled,
    /// Its process ended before it did.
    Interrupted,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for others.
    Pending,
    /// Runs, or pauses before a retry.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// Never started, for one that it needs failed.
    Skipped,
    /// Stopped, or never started, by a cancel or the end of its process.
    Cancelled,
}

/// A run at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Unique over all apps.
    pub id: String,
    /// App that it belongs to.
    pub app: AppId,
    /// What it does, in its starter's words.
    pub kind: String,
    /// Where it stands.
    pub state: RunState,
    /// When it started.
    pub started_ms: TimestampMs,
    /// When it ended.
    pub finished_ms: Option<TimestampMs>,
    /// In the order given.
    pub tasks: Vec<TaskStatus>,
}

/// A task at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// One of its run.
    pub name: String,
    /// The tasks it needs.
    pub after: Vec<String>,
    /// Where it stands.
    pub state: TaskState,
    /// How many attempts have begun.
    pub attempts: u32,
    /// Units done in this attempt, such as rows.
    pub done: u64,
    /// Units in all; 0 while unknown.
    pub total: u64,
    /// What it does now, for people.
    pub message: String,
    /// The result, once the task has succeeded.
    pub result: Option<Json>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// What was left out although it succeeded, for people.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// When its first attempt began.
    pub started_ms: Option<TimestampMs>,
    /// When it ended.
    pub finished_ms: Option<TimestampMs>,
}

impl TaskStatus {
    pub(crate) fn pending(name: String, after: Vec<String>) -> Self {
        let (message, state) = (String::new(), TaskState::Pending);
        Self {
            name,
            after,
            state,
            attempts: 0,
            done: 0,
            total: 0,
            message,
            result: None,
            error: None,
            warnings: Vec::new(),
            started_ms: None,
            finished_ms: None,
        }
    }
}

impl RunState {
    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        self != Self::Running
    }

    /// Whether all was done, with warnings or without.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Succeeded | Self::SucceededWithWarnings)
    }
}

impl TaskState {
    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

impl fmt::Display for RunState {
    /// As in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::SucceededWithWarnings => "succeeded_with_warnings",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        })
    }
}

impl fmt::Display for TaskState {
    /// As in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        })
    }
}
