//! Runs: a DAG of tasks with retries, progress and cancel, recorded in the catalog. It runs
//! [`Task`]s and does not know what they do.
//!
//! A run lives in this process; the catalog keeps its record. [`Scheduler::recover`] closes
//! the runs of a process that died.
//!
//! ```
//! use async_trait::async_trait;
//! use serde_json::{Value, json};
//! use std::sync::Arc;
//! use taghouse_catalog::SqliteCatalog;
//! use taghouse_model::{AppId, Clock, TimestampMs};
//! use taghouse_schedule::{Progress, RunState, Scheduler, Task, TaskError};
//!
//! struct Count;
//!
//! #[async_trait]
//! impl Task for Count {
//!     fn name(&self) -> String {
//!         "count".to_owned()
//!     }
//!
//!     async fn run(&mut self, _: &Progress) -> Result<Value, TaskError> {
//!         Ok(json!({ "users": 3 }))
//!     }
//! }
//!
//! # struct Fixed;
//! # impl Clock for Fixed {
//! #     fn now_ms(&self) -> TimestampMs {
//! #         0
//! #     }
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let catalog = Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await?);
//! let scheduler = Scheduler::new(catalog, Arc::new(Fixed));
//!
//! let run = scheduler.start(&AppId::new("shop")?, "counting", vec![Box::new(Count)]).await?;
//! assert_eq!(run.finished().await.state, RunState::Succeeded);
//! # Ok(())
//! # }
//! ```
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
