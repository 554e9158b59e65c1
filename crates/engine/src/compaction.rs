//! Expires users and renumbers the others, as a run.

use crate::{Engine, Error, Result, reports};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;
use taghouse_crowd::Question;
use taghouse_rules::Definitions;
use taghouse_schedule::{Progress, RunHandle, Task, TaskError};

const COMPACT: &str = "compact";

impl Engine {
    /// Starts to renumber an app's users; those who match `expire` are removed. `actor`, a key's
    /// id, and `subject` are written to the audit trail.
    ///
    /// # Errors
    /// [`Error::Running`] while another one goes on; those of the trail and the scheduler. Nothing
    /// was begun.
    pub async fn compact(
        self: &Arc<Self>,
        actor: &str,
        definitions: &Arc<Definitions>,
        expire: Option<Question>,
        subject: &str,
    ) -> Result<RunHandle> {
        let app = &definitions.app.id;
        // A production and a compaction take turns.
        let _one = self.memory.producing.lock().await;
        let start = async {
            self.no_run_of(app, COMPACT)?;
            let task =
                CompactTask { engine: self.clone(), definitions: definitions.clone(), expire };
            Ok(self.scheduler.start(app, COMPACT, vec![Box::new(task)]).await?)
        };
        self.audited_run(actor, app, COMPACT, subject, start).await
    }
}

struct CompactTask {
    engine: Arc<Engine>,
    definitions: Arc<Definitions>,
    expire: Option<Question>,
}

#[async_trait]
impl Task for CompactTask {
    fn name(&self) -> String {
        COMPACT.to_owned()
    }

    async fn run(&mut self, progress: &Progress) -> std::result::Result<Value, TaskError> {
        let began = Instant::now();
        let Self { engine, definitions, expire } = self;
        let compacted = engine
            .users
            .compact(&definitions.app.id, definitions, expire.as_ref(), &progress.cancel())
            .await;
        reports::result(&reports::compacted(&compacted.map_err(Error::from)?, began))
    }
}
