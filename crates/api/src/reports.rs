//! What the tasks of runs leave behind: the `result` of each.

use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;
use taghouse_crowd::CrowdVersion;
use taghouse_ingest::{FailedFile, Landed};
use taghouse_produce::{Produced, ProducedTag};
use taghouse_schedule::TaskError;
use taghouse_users::Compacted;

/// What a task left behind, by what it did.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(crate) enum TaskResult {
    /// Of `ingest`.
    Ingest(IngestReport),
    /// Of `land`, with which a production begins.
    Land(LandReport),
    /// Of `produce`.
    Produce(ProduceReport),
    /// Of `crowd` and its name.
    Crowd(CrowdReport),
    /// Of `compact`.
    Compact(CompactReport),
}

impl TaskResult {
    /// As the scheduler keeps it.
    pub(crate) fn json(&self) -> Result<serde_json::Value, TaskError> {
        serde_json::to_value(self).map_err(|error| TaskError::new(taghouse_model::ErrorKind::Internal, error))
    }
}

/// The time since then.
pub(crate) fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What came of files.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct IngestReport {
    /// Files that landed.
    files_new: u64,
    /// Files that landed in the place of their earlier rows.
    files_replaced: u64,
    /// Files that had landed before, as they are.
    files_unchanged: u64,
    /// Files without a row, in order of name. They are not known as ingested: under the same name they may come again with rows.
    empty: Vec<String>,
    /// Files that were refused, in order of name: nothing of them landed.
    failed: Vec<RefusedFile>,
    /// Rows of the files that landed.
    rows: u64,
    /// Events by name.
    accepted: BTreeMap<String, u64>,
    /// All events.
    accepted_total: u64,
    /// Rows of the table `attributes`.
    attributes: u64,
    /// Rejected rows by reason.
    rejected: BTreeMap<String, u64>,
    /// All rejected rows.
    rejected_total: u64,
    /// Halves of surrogate pairs, which name no character, that were replaced by U+FFFD.
    replaced: u64,
    /// Rows that a filter left out.
    filtered: u64,
    /// Rows dropped because an earlier row, of this run or landed before, has their message id.
    duplicates: u64,
    /// Lake commits: 1, or 0 if no file was new.
    batches: u64,
    /// How long it took.
    elapsed_ms: u64,
}

/// A file that was refused.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RefusedFile {
    /// Its name.
    file: String,
    /// What is wrong, and how to fix it.
    message: String,
}

impl From<&FailedFile> for RefusedFile {
    fn from(failed: &FailedFile) -> Self {
        Self { file: failed.file.clone(), message: failed.message.clone() }
    }
}

impl From<&taghouse_ingest::IngestReport> for IngestReport {
    fn from(report: &taghouse_ingest::IngestReport) -> Self {
        Self {
            files_new: report.files_new,
            files_replaced: report.files_replaced,
            files_unchanged: report.files_unchanged,
            empty: report.empty.clone(),
            failed: report.failed.iter().map(RefusedFile::from).collect(),
            rows: report.rows,
            accepted: report.accepted.clone(),
            accepted_total: report.events(),
            attributes: report.attributes,
            rejected: report.rejected.clone(),
            rejected_total: report.rejected_rows(),
            replaced: report.replaced,
            filtered: report.filtered,
            duplicates: report.duplicates,
            batches: report.batches,
            elapsed_ms: report.elapsed_ms,
        }
    }
}

/// Live calls that landed before a production.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LandReport {
    /// Rows of `events`.
    events: u64,
    /// Rows of `attributes`.
    attributes: u64,
    /// Rows of `rejected_events`.
    rejected: u64,
    /// Halves of surrogate pairs, which name no character, that were replaced by U+FFFD.
    replaced: u64,
    /// Calls dropped because their message id came in before.
    duplicates: u64,
}

impl From<&Landed> for LandReport {
    fn from(landed: &Landed) -> Self {
        Self {
            events: landed.events,
            attributes: landed.attributes,
            rejected: landed.rejected,
            replaced: landed.replaced,
            duplicates: landed.duplicates,
        }
    }
}

/// Tags that were produced.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ProduceReport {
    /// The as-of time, ISO 8601 with the app's offset.
    as_of: String,
    /// In order of dependency.
    tags: Vec<ProducedTagBody>,
    /// How many users exist.
    users: u64,
    /// How many events were read.
    events_read: u64,
    /// The index's revision that shows the tags.
    revision: u64,
    /// How long it took.
    elapsed_ms: u64,
    /// What took how long: reading and folding, writing the tables, publishing the index.
    steps_ms: BTreeMap<&'static str, u64>,
}

/// A tag that was produced.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ProducedTagBody {
    /// Its name.
    name: String,
    /// How many users have a value.
    users: u64,
    /// The time that was spent on this tag alone; the pass over events is shared.
    elapsed_ms: u64,
    /// What counted for nothing, by reason.
    skipped: BTreeMap<String, u64>,
}

impl ProduceReport {
    pub(crate) fn new(produced: &Produced, as_of: String) -> Self {
        let tag = |tag: &ProducedTag| ProducedTagBody {
            name: tag.name.to_string(),
            users: tag.users,
            elapsed_ms: tag.elapsed_ms,
            skipped: tag.skipped.iter().map(|(reason, count)| (reason.to_string(), *count)).collect(),
        };
        Self {
            as_of,
            tags: produced.tags.iter().map(tag).collect(),
            users: produced.users,
            events_read: produced.events_read,
            revision: produced.revision,
            elapsed_ms: produced.elapsed_ms,
            steps_ms: produced.steps_ms.clone(),
        }
    }
}

/// A crowd that was computed.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CrowdReport {
    /// Its name.
    name: String,
    /// How many members it has.
    size: u64,
    /// The version that holds them.
    version: u64,
    /// How long it took.
    elapsed_ms: u64,
}

impl CrowdReport {
    pub(crate) fn new(name: &str, version: &CrowdVersion, began: Instant) -> Self {
        Self { name: name.to_owned(), size: version.size, version: version.version, elapsed_ms: elapsed_ms(began) }
    }
}

/// Users that were renumbered.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CompactReport {
    /// The dictionary's generation under which the numbers stand.
    generation: u64,
    /// How many users there were.
    users_before: u64,
    /// How many of them expired.
    expired: u64,
    /// How many are left.
    users: u64,
    /// What the dictionary took on disk.
    dictionary_bytes_before: u64,
    /// What it takes now.
    dictionary_bytes: u64,
    /// How long it took.
    elapsed_ms: u64,
}

impl CompactReport {
    pub(crate) fn new(compacted: &Compacted, began: Instant) -> Self {
        Self {
            generation: compacted.generation,
            users_before: compacted.before,
            expired: compacted.expired,
            users: compacted.users,
            dictionary_bytes_before: compacted.dictionary_bytes.0,
            dictionary_bytes: compacted.dictionary_bytes.1,
            elapsed_ms: elapsed_ms(began),
        }
    }
}
