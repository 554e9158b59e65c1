//! The rooms' work as tasks of runs. `produce` and `crowd` do not know each other: the order between them is made here.

use crate::House;
use crate::clock_text::local;
use crate::reports::{CompactReport, CrowdReport, ProduceReport, TaskResult};
use crate::routes::uploads::Claimed;
use async_trait::async_trait;
use futures::FutureExt;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use taghouse_crowd::Question;
use taghouse_ingest::IngestOptions;
use taghouse_lake::layout;
use taghouse_model::{AppId, ErrorKind, Name, TimestampMs};
use taghouse_produce::{ProducedTag, SkipReason};
use taghouse_rules::{CrowdDefinition, Definitions, SourceFormat};
use taghouse_schedule::{Progress, Task, TaskError};

const INGEST: &str = "ingest";

/// Files of one source into the lake.
struct IngestTask {
    house: Arc<House>,
    app: AppId,
    definitions: Arc<Definitions>,
    source: Name,
    paths: Vec<PathBuf>,
    /// An upload's folder, which goes with this task.
    upload: Option<Claimed>,
    options: IngestOptions,
    /// What [`RefusedFiles`] is to tell.
    refused: Arc<Mutex<Vec<String>>>,
}

/// The tasks of an ingestion: the files, then the verdict on them.
pub(crate) fn ingestion(
    house: &Arc<House>,
    app: &AppId,
    definitions: Arc<Definitions>,
    source: Name,
    paths: Vec<PathBuf>,
    upload: Option<Claimed>,
    options: IngestOptions,
) -> Vec<Box<dyn Task>> {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let (house, app) = (house.clone(), app.clone());
    let files = IngestTask { house, app, definitions, source, paths, upload, options, refused: refused.clone() };
    vec![Box::new(files), Box::new(RefusedFiles(refused))]
}

#[async_trait]
impl Task for IngestTask {
    fn name(&self) -> String {
        INGEST.to_owned()
    }

    async fn run(&mut self, progress: &Progress) -> Result<Value, TaskError> {
        let told = |at: &taghouse_ingest::IngestProgress| {
            progress.set(at.bytes_done, at.bytes_total);
            progress.message(format!("{} of {} files, {} rows", at.files_done, at.files_total, at.rows));
        };
        // What earlier runs left as small files. This one's are for the next: the same run would only write its rows twice.
        let tables = [layout::EVENTS, layout::ATTRIBUTES, layout::REJECTED_EVENTS];
        tokio::select! {
            biased;
            // What is broken off has changed nothing.
            () = progress.cancelled() => return Err(TaskError::new(ErrorKind::Unavailable, taghouse_ingest::Error::Cancelled)),
            kept = self.house.lake.maintain_some(&self.app, &tables) => {
                if let Err(error) = kept {
                    tracing::warn!(app = %self.app, %error, "the lake could not be kept small; the next ingestion tries again");
                }
            }
        }
        let attendant = taghouse_ingest::Attendant { progress: &told, cancelled: Box::pin(progress.cancelled()) };
        let ingested = self.house.files.ingest(&self.app, &self.definitions, &self.source, &self.paths, &self.options, attendant).await;
        let report = ingested.map_err(|error| TaskError::new(error.kind(), error))?;
        if report.files_new + report.files_replaced == 0
            && report.files_unchanged == 0
            && report.failed.is_empty()
            && report.empty.is_empty()
        {
            return Err(TaskError::new(ErrorKind::Invalid, self.nothing_found()));
        }
        let failed = report.failed.iter().map(|file| format!("{}: {}", file.file, file.message)).collect();
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        TaskResult::Ingest((&report).into()).json()
    }
}

impl IngestTask {
    fn nothing_found(&self) -> String {
        let source = self.definitions.sources.get(&self.source);
        let wanted = match source.map(|source| (&source.files, source.format)) {
            Some((Some(pattern), _)) => format!("matches its pattern \"{pattern}\""),
            Some((None, SourceFormat::Csv { .. })) => "ends in .csv or .csv.gz".to_owned(),
            Some((None, SourceFormat::Jsonl)) => "ends in .jsonl or .ndjson, with or without .gz".to_owned(),
            Some((None, SourceFormat::Parquet)) => "ends in .parquet".to_owned(),
            Some((None, SourceFormat::Segment)) | None => "is of it".to_owned(),
        };
        let paths = self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let place = if self.upload.is_some() { "the upload".to_owned() } else { paths.join(", ") };
        let looked = "subfolders are looked into where they are called column=value, and all of them by a pattern such as **/*.csv";
        format!("source \"{}\": no file in {place} {wanted}; {looked}", self.source)
    }
}

/// Makes the run fail where files were refused. A task of its own, so that the report of those that landed is kept beside the failure.
struct RefusedFiles(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Task for RefusedFiles {
    fn name(&self) -> String {
        "refused files".to_owned()
    }

    fn after(&self) -> Vec<String> {
        vec![INGEST.to_owned()]
    }

    async fn run(&mut self, _: &Progress) -> Result<Value, TaskError> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if refused.is_empty() { Ok(Value::Null) } else { Err(TaskError::new(ErrorKind::Invalid, refused.join("; "))) }
    }
}

const PRODUCE: &str = "produce";

/// The tasks of a production: live calls landed, then tags, then the crowds, each after those it is made of. Of a production of some tags
/// the crowds that it changes: see [`changed_crowds`].
pub(crate) fn production(
    house: &Arc<House>,
    app: &AppId,
    definitions: &Arc<Definitions>,
    as_of_ms: TimestampMs,
    only: Option<Vec<Name>>,
    crowds: Vec<CrowdDefinition>,
) -> Vec<Box<dyn Task>> {
    let place = || Place { house: house.clone(), app: app.clone(), definitions: definitions.clone() };
    let mut tasks: Vec<Box<dyn Task>> = vec![Box::new(LandTask(place())), Box::new(ProduceTask { place: place(), as_of_ms, only })];
    let running: BTreeSet<Name> = crowds.iter().map(|crowd| crowd.name.clone()).collect();
    for crowd in crowds {
        let others = crowd.checked.crowds().into_iter().filter(|other| running.contains(*other)).map(crowd_task);
        let after = std::iter::once(PRODUCE.to_owned()).chain(others).collect();
        tasks.push(Box::new(CrowdTask { place: place(), crowd, after }));
    }
    tasks
}

/// The crowds that change with these tags and what is computed from them: those that use one, also through other crowds, and that can be
/// computed, for all their tags are in the index (`indexed`) or come now, and all their crowds were computed (`computed`) or come now.
pub(crate) fn changed_crowds(
    definitions: &Definitions,
    only: &[Name],
    indexed: &BTreeSet<Name>,
    computed: &BTreeSet<Name>,
) -> Vec<CrowdDefinition> {
    let mut published: BTreeSet<Name> = only.iter().cloned().collect();
    for name in definitions.tag_order() {
        if definitions.tags.get(&name).is_some_and(|tag| !tag.kind.tags().is_disjoint(&published)) {
            published.insert(name);
        }
    }
    let mut changed: BTreeSet<Name> = BTreeSet::new();
    let mut crowds = Vec::new();
    for crowd in definitions.crowd_order().iter().filter_map(|name| definitions.crowds.get(name)) {
        let (tags, others) = (crowd.checked.names(), crowd.checked.crowds());
        let touched = tags.iter().any(|tag| published.contains(*tag)) || others.iter().any(|other| changed.contains(*other));
        let whole = tags.iter().all(|tag| published.contains(*tag) || indexed.contains(*tag))
            && others.iter().all(|other| changed.contains(*other) || computed.contains(*other));
        if touched && whole {
            changed.insert(crowd.name.clone());
            crowds.push(crowd.clone());
        }
    }
    crowds
}

/// The one task of a compaction.
pub(crate) fn compaction(house: &Arc<House>, app: &AppId, definitions: &Arc<Definitions>, expire: Option<Question>) -> Vec<Box<dyn Task>> {
    let place = Place { house: house.clone(), app: app.clone(), definitions: definitions.clone() };
    vec![Box::new(CompactTask { place, expire })]
}

struct CompactTask {
    place: Place,
    expire: Option<Question>,
}

#[async_trait]
impl Task for CompactTask {
    fn name(&self) -> String {
        "compact".to_owned()
    }

    async fn run(&mut self, progress: &Progress) -> Result<Value, TaskError> {
        let began = Instant::now();
        let Place { house, app, definitions } = &self.place;
        let compacted = house.users.compact(app, definitions, self.expire.as_ref(), &progress.cancel()).await;
        let compacted = compacted.map_err(|error| TaskError::new(error.kind(), error))?;
        TaskResult::Compact(CompactReport::new(&compacted, began)).json()
    }
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

    async fn run(&mut self, progress: &Progress) -> Result<Value, TaskError> {
        let Place { house, app, .. } = &self.0;
        // Dropped by a cancel this waits no more, and the landing ends by itself.
        let landed = house.land(app, &progress.cancel()).await.map_err(|problem| TaskError::new(problem.error_kind(), problem.detail))?;
        TaskResult::Land((&landed).into()).json()
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
        let stop = progress.cancel();
        let land = || async { house.land(app, &stop).await.map(drop).map_err(|problem| problem.detail) };
        let land = || land().boxed();
        let produced = house.producer.produce_landing(app, definitions, self.as_of_ms, self.only.as_deref(), &report, &land).await;
        let produced = produced.map_err(|error| TaskError::new(error.kind(), error))?;
        produced.tags.iter().flat_map(left_out).for_each(|warning| progress.warn(warning));
        for warning in unseen_sources(house, app, definitions, self.as_of_ms).await? {
            progress.warn(warning);
        }
        TaskResult::Produce(ProduceReport::new(&produced, local(self.as_of_ms, &definitions.app.time_zone))).json()
    }
}

/// Sources none of whose attributes count, for they are dated at their ingestion, and that was later.
async fn unseen_sources(house: &House, app: &AppId, definitions: &Definitions, as_of_ms: TimestampMs) -> Result<Vec<String>, TaskError> {
    let zone = &definitions.app.time_zone;
    let mut unseen = Vec::new();
    for source in definitions.sources.values().filter(|source| source.is_undated()) {
        let files = house.catalog.ingested_files(app, &source.name).await.map_err(|error| TaskError::new(error.kind(), error))?;
        if let Some(first_ms) = files.iter().map(|file| file.ingested_ms).min().filter(|first_ms| *first_ms >= as_of_ms) {
            let (as_of, first) = (local(as_of_ms, zone), local(first_ms, zone));
            unseen.push(format!(
                "source {}: none of its attributes counts as of {as_of}: they have no time column, so they hold from their ingestion on, first at {first}",
                source.name
            ));
        }
    }
    Ok(unseen)
}

/// What a tag could not take in, in words.
fn left_out(tag: &ProducedTag) -> impl Iterator<Item = String> {
    let line = |(reason, count): (&SkipReason, &u64)| {
        let values = if *count == 1 { "1 value was".to_owned() } else { format!("{count} values were") };
        format!("tag {}: {values} left out, {reason}", tag.name)
    };
    tag.skipped.iter().map(line)
}

struct CrowdTask {
    place: Place,
    crowd: CrowdDefinition,
    after: Vec<String>,
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
        self.after.clone()
    }

    async fn run(&mut self, _: &Progress) -> Result<Value, TaskError> {
        let began = Instant::now();
        let Place { house, app, .. } = &self.place;
        let version = house.crowds.compute(app, &self.crowd).await.map_err(|error| TaskError::new(error.kind(), error))?;
        TaskResult::Crowd(CrowdReport::new(self.crowd.name.as_str(), &version, began)).json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_rules::{DefinitionFile, parse_definitions};

    const SHOP: &str = "
kind: app
id: shop
---
kind: source
name: orders
format: csv
user_id: user
event: buy
time: time
properties: { sku: sku }
---
{kind: tag, name: orders, type: int, aggregate: {events: [buy], function: count}}
---
{kind: tag, name: skus, type: int, aggregate: {events: [buy], function: count_distinct, value: sku}}
---
{kind: tag, name: twice, type: int, expression: orders * 2}
---
{kind: crowd, name: a_buyers, expression: orders >= 1}
---
{kind: crowd, name: b_twice, expression: twice >= 4}
---
{kind: crowd, name: c_both, expression: orders >= 1 && skus >= 2}
---
{kind: crowd, name: d_not_buyers, expression: '!crowd(\"a_buyers\")'}
---
{kind: crowd, name: e_skus, expression: skus >= 1}
---
{kind: crowd, name: f_mixed, expression: 'crowd(\"a_buyers\") && crowd(\"e_skus\")'}
";

    fn check(only: &[&str], indexed: &[&str], computed: &[&str], expected: &[&str]) {
        let file = DefinitionFile { path: "shop.yaml".to_owned(), text: SHOP.to_owned() };
        let definitions = Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap();
        let names = |texts: &[&str]| texts.iter().map(|text| Name::new(text).unwrap()).collect::<BTreeSet<_>>();
        let only: Vec<Name> = names(only).into_iter().collect();
        let crowds = changed_crowds(&definitions, &only, &names(indexed), &names(computed));
        let found: Vec<&str> = crowds.iter().map(|crowd| crowd.name.as_str()).collect();
        assert_eq!(found, expected, "of {only:?}");
    }

    #[test]
    fn crowds_change_with_their_tags_and_wait_for_tags_that_were_never_produced() {
        check(&["orders"], &[], &[], &["a_buyers", "b_twice", "d_not_buyers"]);
        check(&["orders"], &["skus"], &["e_skus"], &["a_buyers", "b_twice", "c_both", "d_not_buyers", "f_mixed"]);
        check(&["twice"], &["orders", "skus"], &["a_buyers"], &["b_twice"]);
        check(&["skus"], &["orders"], &["a_buyers"], &["c_both", "e_skus", "f_mixed"]);
        check(&["skus"], &[], &[], &["e_skus"]);
    }
}
