//! The `result` of each task of a run.

use crate::{ActivationReport, IdCountsBody, ImportReport, ParityReport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of a task, by its kind.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum TaskResult {
    /// Of `ingest`.
    Ingest(IngestReport),
    /// Of `land`, with which a production begins.
    Land(LandReport),
    /// Of `produce`.
    Produce(ProduceReport),
    /// Of `crowd` and its name.
    Crowd(CrowdReport),
    /// Of `import` and the crowd's name.
    Import(ImportReport),
    /// Of `compact`.
    Compact(CompactReport),
    /// Of `activate` and the activation's name.
    Activation(ActivationReport),
    /// Of `parity`.
    Parity(ParityReport),
    /// Of `live tags`, in a production of an app that has some.
    Live(LiveReport),
}

/// How the live tags of an app stand.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LiveReport {
    /// How many tags the stream keeps current.
    pub live_tags: u64,
    /// The instant that their values are as of, ISO 8601 with the app's offset.
    pub current_as_of: Option<String>,
    /// The position in the log of calls up to which everything is in the values; `null` while no
    /// states are there: they are computed from the lake, or no server runs that follows the log.
    pub position: Option<u64>,
    /// The position that the last checkpoint holds.
    pub saved_position: Option<u64>,
    /// Whether states are being computed from the lake.
    pub computing: bool,
    /// Why the states had to be computed from the lake, the last time.
    pub problem: Option<String>,
    /// How many users have been seen.
    pub live_users: u64,
    /// Bytes of the stored states.
    pub state_bytes: u64,
    /// Bytes of states in memory.
    pub memory_bytes: u64,
    /// Values that will change by time alone.
    pub timers: u64,
    /// Those whose time has come already.
    pub timers_due: u64,
    /// Changes to come of events and values that are dated ahead of time.
    pub ahead: u64,
    /// Values that changed since the process began.
    pub values: u64,
    /// Tags whose values were computed from the lake since then; one that was computed twice counts
    /// twice.
    #[serde(default)]
    pub computed: u64,
    /// Rows of files that came into the values since then without such a computation.
    #[serde(default)]
    pub file_rows: u64,
}

/// The result of an ingestion.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IngestReport {
    /// Files that landed.
    pub files_new: u64,
    /// Files that landed in the place of their earlier rows.
    pub files_replaced: u64,
    /// Files that had landed before, as they are.
    pub files_unchanged: u64,
    /// Files without a row, in order of name. They do not count as ingested: a file of the same
    /// name with rows is ingested later.
    pub empty: Vec<String>,
    /// Files that were refused, in order of name. None of their rows landed.
    pub failed: Vec<RefusedFile>,
    /// Rows of the files that landed.
    pub rows: u64,
    /// Events by name.
    pub accepted: BTreeMap<String, u64>,
    /// How many events there were in all.
    pub accepted_total: u64,
    /// Rows of the table `attributes`.
    pub attributes: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// All rejected rows.
    pub rejected_total: u64,
    /// Halves of surrogate pairs, which name no character, that were replaced by U+FFFD.
    pub replaced: u64,
    /// Rows that a filter left out.
    pub filtered: u64,
    /// Rows of suppressed ids: nothing of them is kept.
    #[serde(default)]
    pub suppressed: u64,
    /// Rows dropped because an earlier row, of this run or landed before, has their message id.
    pub duplicates: u64,
    /// Lake commits: 1, or 0 if no file was new.
    pub batches: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// A file that was refused.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RefusedFile {
    /// Name of the file, as the ledger has it.
    pub file: String,
    /// What is wrong, and how to fix it.
    pub message: String,
}

/// Live calls that landed before a production.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LandReport {
    /// Rows of `events`.
    pub events: u64,
    /// Rows of `attributes`.
    pub attributes: u64,
    /// Rows of `rejected_events`.
    pub rejected: u64,
    /// Halves of surrogate pairs, which name no character, that were replaced by U+FFFD.
    pub replaced: u64,
    /// Calls dropped because their message id had been received before.
    pub duplicates: u64,
}

/// Tags that were produced.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProduceReport {
    /// The as-of time, ISO 8601 with the app's offset.
    pub as_of: String,
    /// In order of dependency.
    pub tags: Vec<ProducedTagBody>,
    /// How many users exist.
    pub users: u64,
    /// How many events were read.
    pub events_read: u64,
    /// The index's revision that shows the tags.
    pub revision: u64,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What took how long: reading and folding, writing the tables, publishing the index.
    pub steps_ms: BTreeMap<String, u64>,
}

/// A tag that was produced.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProducedTagBody {
    /// The name, unique within the app.
    pub name: String,
    /// How many users have a value.
    pub users: u64,
    /// The time that was spent on this tag alone; the pass over events is shared.
    pub elapsed_ms: u64,
    /// Values that were left out, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// A crowd that was computed.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CrowdReport {
    /// The name, unique within the app.
    pub name: String,
    /// How many members it has.
    pub size: u64,
    /// The version that was computed.
    pub version: u64,
    /// Why it does not answer; `null`: it does, of a rollout for the share of users.
    #[serde(default)]
    #[schema(required)]
    pub waits: Option<String>,
    /// What became of the ids that it is made of, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdCountsBody>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// Users that were renumbered.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CompactReport {
    /// The dictionary's generation of the new numbers.
    pub generation: u64,
    /// How many users there were.
    pub users_before: u64,
    /// How many of them expired.
    pub expired: u64,
    /// How many are left.
    pub users: u64,
    /// The size of the dictionary on disk before, in bytes.
    pub dictionary_bytes_before: u64,
    /// Its size now, in bytes.
    pub dictionary_bytes: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}
