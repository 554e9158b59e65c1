//! What the queries of one lake share: threads, turns, memory and room on the disk.

use super::failure::failure;
use super::limits::SqlLimits;
use crate::{Error, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use std::sync::{Arc, OnceLock};
use taghouse_model::give_way;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;

/// Queries that are planned at one time; that takes milliseconds.
const PLANNED_AT_ONCE: usize = 4;

/// What the queries of one lake share.
#[derive(Default)]
pub(crate) struct SqlRuntime {
    limits: OnceLock<SqlLimits>,
    shared: OnceLock<Shared>,
}

/// Made with the first query.
pub(super) struct Shared {
    /// A query that never comes to an await holds its threads, and no other work's.
    threads: Option<Runtime>,
    environment: Arc<RuntimeEnv>,
    pub(super) running: Arc<Semaphore>,
    pub(super) planning: Semaphore,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl SqlRuntime {
    pub(crate) fn limit(&self, limits: SqlLimits) {
        if self.limits.set(limits).is_err() {
            tracing::error!(
                "limits of queries were set after the first query: the earlier ones stay"
            );
        }
    }

    pub(super) fn limits(&self) -> SqlLimits {
        *self.limits.get_or_init(SqlLimits::default)
    }

    pub(super) fn shared(&self) -> Result<&Shared> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        let limits = self.limits();
        let threads = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("sql")
            .on_thread_start(give_way)
            .build();
        let threads =
            threads.map_err(|e| Error::Unavailable(format!("no threads for queries: {e}")))?;
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::OsTmpDirectory)
            .with_max_temp_directory_size(limits.spill_bytes);
        let environment = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|e| failure(&e));
        let made = Shared {
            threads: Some(threads),
            environment: environment?,
            running: Arc::new(Semaphore::new(limits.at_once)),
            planning: Semaphore::new(PLANNED_AT_ONCE),
        };
        Ok(self.shared.get_or_init(|| made))
    }

    pub(super) fn threads(&self) -> Result<Handle> {
        let threads = self.shared()?.threads.as_ref().map(Runtime::handle);
        threads
            .cloned()
            .ok_or_else(|| Error::Unavailable("queries have ended with the process".to_owned()))
    }

    /// Memory of one query's own, the disk of all.
    pub(super) fn environment(&self) -> Result<Arc<RuntimeEnv>> {
        let mut environment = self.shared()?.environment.as_ref().clone();
        environment.memory_pool = Arc::new(FairSpillPool::new(self.limits().memory_bytes));
        Ok(Arc::new(environment))
    }
}
