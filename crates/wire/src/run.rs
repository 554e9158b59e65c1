//! Runs and their tasks.

use crate::TaskResult;
use crate::shape::{RunState, TaskState};
use serde::{Deserialize, Serialize};

/// A run and its tasks.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunBody {
    /// The id, as other calls take it.
    pub id: String,
    /// `ingest`, `produce`, `refresh`, `import`, `activate`, `compact` or `parity`.
    pub kind: String,
    /// Where it stands.
    #[schema(value_type = RunState)]
    pub state: String,
    /// In the order in which they were planned.
    pub tasks: Vec<TaskBody>,
}

/// One task of a run.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskBody {
    /// The name, unique within the app.
    pub name: String,
    /// Where it stands.
    #[schema(value_type = TaskState)]
    pub state: String,
    /// Units done, such as rows.
    pub done: u64,
    /// Units in all; 0 while unknown.
    pub total: u64,
    /// A message about the current step.
    pub message: String,
    /// The result; `null` before it succeeded.
    #[schema(value_type = Option<TaskResult>, required)]
    pub result: Option<serde_json::Value>,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<String>,
    /// What was left out although it succeeded. The run then ends as `succeeded_with_warnings`.
    pub warnings: Vec<String>,
}

/// A run in the list.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunLine {
    /// The id, as other calls take it.
    pub id: String,
    /// `ingest`, `produce`, `refresh`, `import`, `activate`, `compact` or `parity`.
    pub kind: String,
    /// Where it stands.
    #[schema(value_type = RunState)]
    pub state: String,
    /// When it began, ISO 8601, UTC.
    pub started: String,
    /// How long it took; `null`: it has not ended.
    #[schema(required)]
    pub elapsed_ms: Option<i64>,
}

/// The last runs.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunList {
    /// All of them, from newest to oldest.
    pub runs: Vec<RunLine>,
}

impl RunBody {
    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        !["pending", "running"].contains(&self.state.as_str())
    }

    /// Whether it succeeded, with or without warnings.
    pub fn has_succeeded(&self) -> bool {
        self.state.starts_with("succeeded")
    }
}

impl TaskBody {
    /// Its result, if it has one.
    pub fn report(&self) -> Option<TaskResult> {
        TaskResult::deserialize(self.result.as_ref()?).ok()
    }
}
