use crate::{AuditRecord, IngestedFile, KeyRecord, KeyTerms, RunRecord};
use serde_json::Value as Json;
use taghouse_model::{AppId, Name, TimestampMs};

/// One change of a commit, with the condition it holds under. Changes of one commit apply in order,
/// each sees those before it.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Makes or moves a pointer; its revision becomes `expected + 1`. A new one starts at 1, or
    /// goes on where a deleted one of the same name ended.
    PutPointer {
        /// The kind of pointer: `index`, `crowd`, …
        kind: String,
        /// App that it belongs to.
        app: AppId,
        /// Its name, one of its kind and app.
        name: String,
        /// The revision it must have; `None`: it must not exist.
        expected: Option<u64>,
        /// What it shall point to.
        value: Json,
    },
    /// Removes a pointer.
    DeletePointer {
        /// The kind of pointer.
        kind: String,
        /// App that it belongs to.
        app: AppId,
        /// The name, unique within the app.
        name: String,
        /// The revision it must have.
        expected: u64,
    },
    /// Makes or moves an Iceberg table's pointer, in the tables that pyiceberg's `SqlCatalog`
    /// reads.
    SwapTable {
        /// Whose; the Iceberg namespace.
        app: AppId,
        /// The table's name.
        table: String,
        /// The metadata location it must have; `None`: it must not exist.
        expected: Option<String>,
        /// The new metadata file.
        location: String,
    },
    /// Makes or replaces a definition; revisions as for pointers.
    PutDefinition {
        /// App that it belongs to.
        app: AppId,
        /// `app`, `source`, `tag` or `crowd`.
        kind: String,
        /// The name, unique within the app.
        name: String,
        /// The revision it must have; `None`: it must not exist.
        expected: Option<u64>,
        /// The canonical JSON of `rules`.
        body: Json,
        /// Becomes `updated_ms`.
        at_ms: TimestampMs,
    },
    /// Removes a definition.
    DeleteDefinition {
        /// App that it belongs to.
        app: AppId,
        /// The kind, such as a tag or a crowd.
        kind: String,
        /// The name, unique within the app.
        name: String,
        /// The revision it must have.
        expected: u64,
    },
    /// Records a landed file; it must not be recorded yet.
    RecordFile {
        /// App that it belongs to.
        app: AppId,
        /// The source it came by.
        source: Name,
        /// What became of it.
        file: IngestedFile,
    },
    /// Records that a file which landed was replaced.
    ReplaceFile {
        /// App that it belongs to.
        app: AppId,
        /// The source it came by.
        source: Name,
        /// The batch that it must be of.
        expected_batch: u64,
        /// What became of the new one, of the same name.
        file: IngestedFile,
    },
    /// Records a new key; its id must be new.
    PutKey(KeyRecord),
    /// Ends a key; one revoked already keeps its first date. An unknown id is `NotFound`.
    RevokeKey {
        /// Id of the key.
        id: String,
        /// Since when it opens nothing.
        at_ms: TimestampMs,
    },
    /// Gives a key another secret and other terms. An unknown id is `NotFound`; one that is revoked, or
    /// was changed meanwhile, a `Conflict`.
    RotateKey {
        /// Id of the key.
        id: String,
        /// The hash of the secret that it must have.
        expected: [u8; 32],
        /// The hash of the new one.
        secret_sha256: [u8; 32],
        /// Its terms from now on.
        terms: KeyTerms,
    },
    /// Notes when a key was last used. Of a key that is gone, nothing.
    UseKey {
        /// Id of the key.
        id: String,
        /// When; an earlier time than the one noted changes nothing.
        at_ms: TimestampMs,
    },
    /// Records a run or replaces its record. The id must not belong to another app.
    PutRun(RunRecord),
    /// Adds a line to the audit trail.
    Audit(AuditRecord),
    /// Removes the oldest lines of the audit trail.
    PruneAudit {
        /// Those before this time go.
        before_ms: TimestampMs,
        /// And those beyond the newest so many.
        keep: u64,
        /// But no more than so many of each sort with one commit.
        at_once: u32,
    },
}
