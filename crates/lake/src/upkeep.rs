//! How the lake is kept small: what [`crate::Lake::maintain`] goes by.

/// How the lake is kept small.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// A snapshot stays in the metadata for so long after it was superseded, …
    pub kept_ms: i64,
    /// … but no more than so many beside the current one.
    pub kept_snapshots: usize,
    /// Files that the current snapshot does not name stay for so long after the snapshot that did
    /// was superseded: other engines may be reading.
    pub grace_ms: i64,
    /// A file that no table names is swept when it has not been written to for so long; other
    /// engines must have committed theirs by then.
    pub orphan_ms: i64,
    /// How often it is swept.
    pub sweep_every_ms: i64,
    /// Files of three quarters of this or more are large enough; what is joined of smaller ones is
    /// of this size at most.
    pub target_bytes: u64,
    /// So many small files of one partition are joined.
    pub min_files: usize,
}

impl Default for Upkeep {
    fn default() -> Self {
        const MINUTE_MS: i64 = 60_000;
        Self {
            kept_ms: 60 * MINUTE_MS,
            kept_snapshots: 32,
            grace_ms: 10 * MINUTE_MS,
            orphan_ms: 24 * 60 * MINUTE_MS,
            sweep_every_ms: 24 * 60 * MINUTE_MS,
            target_bytes: 64 << 20,
            min_files: 8,
        }
    }
}
