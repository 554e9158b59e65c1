use crate::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use taghouse_model::{AppId, Grant, TimestampMs};

/// A named version pointer: what readers follow to immutable objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Pointer {
    /// Rises by one with every put, across deletions too: an equal revision is an equal value.
    pub revision: u64,
    /// What it points to.
    pub value: Json,
}

/// A definition as last applied.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDefinition {
    /// `app`, `source`, `tag` or `crowd`.
    pub kind: String,
    /// Its name, one of its kind.
    pub name: String,
    /// The canonical JSON of `rules`.
    pub body: Json,
    /// Rises by one with every put, across deletions too.
    pub revision: u64,
    /// When it was put.
    pub updated_ms: TimestampMs,
}

/// A file that has landed in the lake, with what became of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestedFile {
    /// The file's name within its source; recorded at most once.
    pub name: String,
    /// Bytes as found on disk (compressed where it is).
    pub size_bytes: u64,
    /// A digest of these bytes, in the form its writer chose.
    pub checksum: String,
    /// Data rows read.
    pub rows: u64,
    /// Rows that became events or attributes.
    pub accepted: u64,
    /// Rows in `rejected_events`.
    pub rejected: u64,
    /// Rows that a filter left out.
    pub filtered: u64,
    /// Rows dropped because their message id was seen before.
    pub duplicates: u64,
    /// The number of the batch that landed it.
    pub batch: u64,
    /// When it landed.
    pub ingested_ms: TimestampMs,
}

/// An API key; the secret itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part of the key; unique.
    pub id: String,
    /// The only app it opens; `None` opens all.
    pub app: Option<AppId>,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
    /// A person's note.
    pub note: String,
    /// When it was made.
    pub created_ms: TimestampMs,
    /// Since when it opens nothing.
    pub revoked_ms: Option<TimestampMs>,
    /// What it is limited to.
    pub terms: KeyTerms,
    /// When it was last used, to the minute; `None`: never, or by an earlier version only.
    pub used_ms: Option<TimestampMs>,
}

/// What a key is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyTerms {
    /// What it may do with which tags and crowds; empty: what its role may, with all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// From when on it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<TimestampMs>,
    /// The secret before the last rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<FormerSecret>,
    /// How many requests it may make; `None`: as many as the server's own limit says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<KeyRate>,
}

/// A secret that was rotated out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerSecret {
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// Until when it still works.
    pub until_ms: TimestampMs,
}

/// How many requests a key may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyRate {
    /// In a second, on average; at least 1.
    pub per_second: u32,
    /// At once, after a pause; at least 1.
    pub burst: u32,
}

/// One execution of a DAG of tasks, as `schedule` last saved it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Unique over all apps.
    pub id: String,
    /// Whose run it is.
    pub app: AppId,
    /// What it does: `ingest`, `produce`, …
    pub kind: String,
    /// The state, in `schedule`'s words.
    pub state: String,
    /// The tasks and their outcomes, in `schedule`'s form.
    pub detail: Json,
    /// When it started.
    pub started_ms: TimestampMs,
    /// When it ended; `None` while it runs (or where its process died).
    pub finished_ms: Option<TimestampMs>,
}

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Whose data; `None` for what concerns the whole data folder (keys of all apps).
    pub app: Option<AppId>,
    /// The time, in milliseconds since 1970.
    pub at_ms: TimestampMs,
    /// The key id, or `local` for the command line.
    pub actor: String,
    /// What was done: `definition.put`, `key.revoke`, …
    pub action: String,
    /// The thing that was acted on.
    pub subject: String,
    /// What became of it: `done`, `begun`, `failed: …`.
    pub outcome: String,
}

impl AuditRecord {
    /// The outcome of a first line, to which a second one with the end belongs.
    pub const BEGUN: &str = "begun";
}

/// A line that is in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Rises from line to line.
    pub id: u64,
    /// The line of the audit trail.
    pub line: AuditRecord,
}

/// Which lines of the trail.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Of this app; `None`: of the whole data folder, not of its apps.
    pub app: Option<AppId>,
    /// Of this action, or of those below it: `key` is `key.create` too.
    pub action: Option<String>,
    /// Of this actor.
    pub actor: Option<String>,
    /// Not before this time.
    pub from_ms: Option<TimestampMs>,
    /// Before this time.
    pub to_ms: Option<TimestampMs>,
    /// Before this line.
    pub before: Option<u64>,
    /// So many at most.
    pub limit: u32,
}
