//! The rooms' work as tasks of runs. `produce` and `crowd` do not know each other: the order between them is made here.

use crate::clock_text::instant;
use crate::{House, Problem};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use taghouse_ingest::{IngestOptions, IngestReport};
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_produce::Produced;
use taghouse_rules::{CrowdDefinition, Definitions};
use taghouse_schedule::{Progress, Task, TaskError};

/// Files of one source into the lake.
pub(crate) struct IngestTask {
    pub(crate) house: Arc<House>,
    pub(crate) app: AppId,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) source: Name,
    pub(crate) paths: Vec<PathBuf>,
    /// An upload's folder, removed once it is ingested.
    pub(crate) upload: Option<PathBuf>,
    pub(crate) allow_rejects: bool,
}

#[async_trait]
impl Task for IngestTask {
    fn name(&self) -> String {
        "ingest".to_owned()
    }

    async fn run(&mut self, progress: &Progress) -> Result<Value, TaskError> {
        let options = IngestOptions { allow_rejects: self.allow_rejects };
        let told = |at: &taghouse_ingest::IngestProgress| {
            progress.set(at.bytes_done, at.bytes_total);
            progress.message(format!("{} of {} files, {} rows", at.files_done, at.files_total, at.rows));
        };
        let ingested = self.house.files.ingest(&self.app, &self.definitions, &self.source, &self.paths, &options, &told).await;
        let report = ingested.map_err(|error| TaskError::new(error.kind(), error))?;
        if let Some(folder) = self.upload.take() {
            tokio::fs::remove_dir_all(folder).await.ok();
        }
        Ok(ingest_report(&report))
    }
}

fn ingest_report(report: &IngestReport) -> Value {
    json!({
        "files_new": report.files_new,
        "files_unchanged": report.files_unchanged,
        "failed": report.failed.iter().map(|file| json!({"file": file.file, "message": file.message})).collect::<Vec<_>>(),
        "rows": report.rows,
        "accepted": report.accepted,
        "accepted_total": report.events(),
        "attributes": report.attributes,
        "rejected": report.rejected,
        "rejected_total": report.rejected_rows(),
        "filtered": report.filtered,
        "duplicates": report.duplicates,
        "batches": report.batches,
        "elapsed_ms": report.elapsed_ms,
    })
}

const PRODUCE: &str = "produce";

/// The tasks of a production: live calls landed, then tags, then every crowd after those it is made of.
pub(crate) fn production(
    house: &Arc<House>,
    app: &AppId,
    definitions: &Arc<Definitions>,
    as_of_ms: TimestampMs,
    only: Option<Vec<Name>>,
) -> Vec<Box<dyn Task>> {
    let place = || Place { house: house.clone(), app: app.clone(), definitions: definitions.clone() };
    let mut tasks: Vec<Box<dyn Task>> = vec![Box::new(LandTask(place())), Box::new(ProduceTask { place: place(), as_of_ms, only })];
    for crowd in definitions.crowds.values() {
        tasks.push(Box::new(CrowdTask { place: place(), crowd: crowd.clone() }));
    }
    tasks
}

struct Place {
    house: Arc<House>,
    app: AppId,
    definitions: Arc<Definitions>,
}

struct LandTask(Place);

const LAND: &str = "land";

#[async_trait]
impl Task for LandTask {
    fn name(&self) -> String {
        LAND.to_owned()
    }

    async fn run(&mut self, _: &Progress) -> Result<Value, TaskError> {
        let Place { house, app, definitions } = &self.0;
        let landed = house.landing.land(app, definitions).await.map_err(|error| TaskError::new(error.kind(), error))?;
        Ok(json!({"events": landed.events, "attributes": landed.attributes, "rejected": landed.rejected, "duplicates": landed.duplicates}))
    }
}

struct ProduceTask {
    place: Place,
    as_of_ms: TimestampMs,
    only: Option<Vec<Name>>,
}

#[async_trait]
impl Task for ProduceTask {
    fn name(&self) -> String {
        PRODUCE.to_owned()
    }

    fn after(&self) -> Vec<String> {
        vec![LAND.to_owned()]
    }

    async fn run(&mut self, progress: &Progress) -> Result<Value, TaskError> {
        let Place { house, app, definitions } = &self.place;
        let report = |done, total| progress.set(done, total);
        let produced = house.producer.produce(app, definitions, self.as_of_ms, self.only.as_deref(), &report).await;
        Ok(produced_report(&produced.map_err(|error| TaskError::new(error.kind(), error))?, self.as_of_ms))
    }
}

fn produced_report(produced: &Produced, as_of_ms: TimestampMs) -> Value {
    let tags = produced.tags.iter().map(|tag| {
        let skipped: serde_json::Map<_, _> = tag.skipped.iter().map(|(reason, count)| (reason.to_string(), json!(count))).collect();
        json!({"name": tag.name.as_str(), "users": tag.users, "elapsed_ms": tag.elapsed_ms, "skipped": skipped})
    });
    json!({
        "as_of": instant(as_of_ms),
        "tags": tags.collect::<Vec<_>>(),
        "users": produced.users,
        "events_read": produced.events_read,
        "revision": produced.revision,
        "elapsed_ms": produced.elapsed_ms,
        "steps_ms": produced.steps_ms,
    })
}

struct CrowdTask {
    place: Place,
    crowd: CrowdDefinition,
}

fn crowd_task(name: &str) -> String {
    format!("crowd {name}")
}

#[async_trait]
impl Task for CrowdTask {
    fn name(&self) -> String {
        crowd_task(self.crowd.name.as_str())
    }

    fn after(&self) -> Vec<String> {
        let crowds = self.crowd.checked.crowds();
        std::iter::once(PRODUCE.to_owned()).chain(crowds.into_iter().map(crowd_task)).collect()
    }

    async fn run(&mut self, _: &Progress) -> Result<Value, TaskError> {
        let began = Instant::now();
        let Place { house, app, .. } = &self.place;
        let version = house.crowds.compute(app, &self.crowd).await.map_err(|error| TaskError::new(error.kind(), error))?;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(json!({"name": self.crowd.name.as_str(), "size": version.size, "version": version.version, "elapsed_ms": elapsed_ms}))
    }
}

/// Lands the live calls of every app.
///
/// # Errors
/// The first app's problem; the others were still landed.
pub async fn land_all(house: &House) -> Result<(), Problem> {
    let mut outcome = Ok(());
    for app in house.catalog.apps().await? {
        let landed = async {
            let definitions = house.definitions(&app).await?;
            house.landing.land(&app, &definitions).await?;
            Ok::<(), Problem>(())
        };
        if let Err(problem) = landed.await {
            outcome = outcome.and(Err(problem));
        }
    }
    outcome
}
