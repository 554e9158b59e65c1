//! What one key and one app may take of the server at one time.

use std::time::Duration;
use taghouse_engine::AuditLimits;

/// The limits of a server; [`Default`] is what one has that nobody told otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Questions that one key may have under way: counts, lists, samples, overlaps and all else
    /// that reads bitmaps.
    pub questions_per_key: usize,
    /// Judgments and profiles that one key may have under way.
    pub judgments_per_key: usize,
    /// Tracking calls, changes and deletions that one key may have under way.
    pub calls_per_key: usize,
    /// Files on their way into the lake.
    pub uploads: UploadLimits,
    /// The audit trail.
    pub audit: AuditLimits,
}

/// What uploads may hold before they are ingested.
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
    /// After so long without a file one counts as abandoned, and goes.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            questions_per_key: 64,
            judgments_per_key: 1024,
            calls_per_key: 1024,
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
