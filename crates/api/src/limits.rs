//! Limits of a key and of an app.

use std::time::Duration;
use taghouse_catalog::KeyRate;
use taghouse_engine::AuditLimits;

/// The limits of a server. [`Default`] has the defaults of the command line.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Concurrent questions per key: counts, lists, samples, overlaps and everything else that
    /// reads bitmaps.
    pub questions_per_key: usize,
    /// Concurrent judgments and profiles per key.
    pub judgments_per_key: usize,
    /// Concurrent tracking calls, changes and deletions per key.
    pub calls_per_key: usize,
    /// Concurrent readers of the change feed per key.
    pub subscribers_per_key: usize,
    /// Requests of each key that has no rate of its own; `None`: as many as it likes.
    pub requests_per_key: Option<KeyRate>,
    /// Bytes that the change feed of an app keeps.
    pub feed_bytes: u64,
    /// Concurrent readers of the events of flags per key: a page that is open is one.
    pub flag_events_per_key: usize,
    /// How old answers may be until the server says that it is not ready.
    pub max_stale: Duration,
    /// Files on their way into the lake.
    pub uploads: UploadLimits,
    /// The audit trail.
    pub audit: AuditLimits,
}

/// Limits of uploads that are not ingested yet.
#[derive(Debug, Clone, Copy)]
pub struct UploadLimits {
    /// Bytes of all apps.
    pub bytes: u64,
    /// Bytes of one app.
    pub bytes_per_app: u64,
    /// Uploads of one app.
    pub uploads_per_app: usize,
    /// Files of one upload.
    pub files: usize,
    /// After this long without a file, an upload counts as abandoned and is removed.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            questions_per_key: 64,
            judgments_per_key: 1024,
            calls_per_key: 1024,
            subscribers_per_key: 64,
            requests_per_key: None,
            feed_bytes: taghouse_feed::Retention::default().bytes,
            flag_events_per_key: 1000,
            max_stale: Duration::from_secs(60),
            uploads: UploadLimits::default(),
            audit: AuditLimits::default(),
        }
    }
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            bytes: 256 << 30,
            bytes_per_app: 64 << 30,
            uploads_per_app: 100,
            files: 10_000,
            age: Duration::from_secs(24 * 60 * 60),
        }
    }
}
