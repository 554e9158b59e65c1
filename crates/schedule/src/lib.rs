//! Runs: a DAG of tasks with retries, progress and cancel, recorded in the catalog. It knows what a
//! [`Task`] is, never what one does.
//!
//! A run lives in this process; the catalog holds what is left of it. [`Scheduler::recover`] closes
//! the runs of a process that died.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod error;
mod graph;
mod progress;
mod retry;
mod run;
mod scheduler;
mod status;
mod task;

pub use error::{Error, Result};
pub use progress::Progress;
pub use retry::Retry;
pub use run::RunHandle;
pub use scheduler::Scheduler;
pub use status::{RunState, RunStatus, TaskState, TaskStatus};
pub use task::{Task, TaskError};
