//! What was ingested, and what was rejected.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A source and what became of its rows.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceBody {
    /// The name, unique within the app.
    pub name: String,
    /// `csv`, `jsonl`, `parquet`, `segment` or `kafka`.
    pub format: Cow<'static, str>,
    /// Files that landed; `null` for live calls and topics.
    #[schema(required)]
    pub files: Option<u64>,
    /// Rows of its files, live messages, or records of its topic.
    pub rows: u64,
    /// Rows that became events or attributes.
    pub accepted: u64,
    /// Rows in `rejected_events`; of live calls single fields, too.
    pub rejected: u64,
    /// Rows that a filter left out.
    pub filtered: u64,
    /// Rows dropped because their message id had been received before.
    pub duplicates: u64,
    /// `rejected` divided by `rows`; `null` if there are no rows.
    #[schema(required)]
    pub rejected_share: Option<f64>,
    /// When rows landed last, ISO 8601, UTC; `null`: never.
    #[schema(required)]
    pub last_landed: Option<String>,
    /// Rows of the last batch of files, or of the last landing.
    pub last_rows: u64,
    /// Those of them that were rejected.
    pub last_rejected: u64,
}

/// The sources of an app.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceList {
    /// In order of name.
    pub sources: Vec<SourceBody>,
}

/// A file that landed.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileLine {
    /// Name of the source.
    pub source: String,
    /// Its name, below the folder that was given.
    pub file: String,
    /// When it landed, ISO 8601, UTC.
    pub landed: String,
    /// Its bytes on disk.
    pub size_bytes: u64,
    /// How many rows it had.
    pub rows: u64,
    /// Rows that became events or attributes.
    pub accepted: u64,
    /// Rows in `rejected_events`.
    pub rejected: u64,
    /// Rows that a filter left out.
    pub filtered: u64,
    /// Rows dropped because their message id had been received before.
    pub duplicates: u64,
    /// The number of the source's batch that landed it.
    pub batch: u64,
}

/// A page of files.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FilePage {
    /// Newest first.
    pub files: Vec<FileLine>,
    /// What to send as `after` for the next page; `null`: there is none.
    #[schema(required)]
    pub next: Option<String>,
}

/// A rejected row.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RejectedLine {
    /// When it was received, ISO 8601, UTC.
    pub received: String,
    /// Name of the source.
    pub source: String,
    /// The file; of a topic its name, `/` and the partition; `null`: a live call.
    #[schema(required)]
    pub file: Option<String>,
    /// The row of the file, from 1; the record's offset; or the position in the log of live calls.
    #[schema(required)]
    pub row: Option<i64>,
    /// The class of the refusal, such as `bad_type`.
    pub reason: String,
    /// What is wrong with this row.
    pub detail: String,
    /// The row as it was read, cut at 4 KiB.
    #[schema(required)]
    pub raw: Option<String>,
}

/// A page of rejected rows.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RejectedList {
    /// Newest first, then by source, file and row.
    pub rows: Vec<RejectedLine>,
    /// How many there are on all pages, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// What to send as `after` for the next page; `null`: there is none.
    #[schema(required)]
    pub next: Option<String>,
}
