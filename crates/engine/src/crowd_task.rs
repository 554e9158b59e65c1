//! The task of a run that computes a crowd.

use crate::{Engine, Error, reports};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use taghouse_model::TimestampMs;
use taghouse_rules::{CrowdDefinition, Definitions};
use taghouse_schedule::{Progress, Task, TaskError};

/// Computes a crowd.
pub(crate) struct CrowdTask {
    pub(crate) engine: Arc<Engine>,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) crowd: CrowdDefinition,
    /// Of what its query sees, if it has one.
    pub(crate) as_of_ms: TimestampMs,
    /// Set if nothing of what it is made of changed after all.
    pub(crate) unchanged: Arc<AtomicBool>,
    /// The tasks of what it is made of.
    pub(crate) after: Vec<String>,
}

/// The name of a crowd's task.
pub(crate) fn crowd_task(name: &str) -> String {
    format!("crowd {name}")
}

#[async_trait]
impl Task for CrowdTask {
    fn name(&self) -> String {
        crowd_task(self.crowd.name.as_str())
    }

    fn after(&self) -> Vec<String> {
        self.after.clone()
    }

    async fn run(&mut self, progress: &Progress) -> std::result::Result<Value, TaskError> {
        if self.unchanged.load(Ordering::Acquire) {
            return Ok(Value::Null);
        }
        let began = Instant::now();
        let Self { engine, definitions, crowd, as_of_ms, .. } = self;
        let version = match engine.compute_crowd(definitions, crowd, *as_of_ms).await {
            // What it is made of waits: nothing failed.
            Err(error @ Error::Crowd(taghouse_crowd::Error::Unpublished { .. })) => {
                progress.warn(format!("crowd {} is not computed: {error}", crowd.name));
                return Ok(Value::Null);
            }
            // Nobody can compute what files are to say.
            Err(error) if awaits_import(&error, definitions) => {
                progress.warn(format!("crowd {} is not computed: {error}", crowd.name));
                return Ok(Value::Null);
            }
            computed => computed?,
        };
        if let Some(waits) = &version.waits {
            let (name, version) = (&crowd.name, version.version);
            progress.warn(format!(
                "crowd {name}: version {version} does not answer, for {waits}; `taghouse versions publish {name}` lets it"
            ));
        }
        if let Some(warning) = engine.unknown_ids(&definitions.app.id, crowd, &version).await? {
            progress.warn(warning);
        }
        reports::result(&reports::computed(crowd.name.as_str(), &version, began))
    }
}

/// Whether what a crowd lacks is the first import of one that it is made of, also through others.
fn awaits_import(error: &Error, definitions: &Definitions) -> bool {
    let Error::Crowd(taghouse_crowd::Error::NotComputed { crowd }) = error else { return false };
    let mut lacking = vec![crowd.as_str()];
    while let Some(crowd) = lacking.pop().and_then(|crowd| definitions.crowds.get(crowd)) {
        if crowd.is_imported() {
            return true;
        }
        lacking.extend(crowd.crowds());
    }
    false
}
