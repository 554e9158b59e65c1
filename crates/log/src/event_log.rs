use crate::{Error, Result};
use async_trait::async_trait;
use std::path::Path;
use taghouse_model::AppId;

/// The longest record, in bytes.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// The most bytes of one append.
pub const MAX_APPEND_BYTES: usize = 32 << 20;
/// The most records of one append.
pub const MAX_APPEND_RECORDS: usize = 1_000_000;
/// A read stops after the record that reaches this many bytes, whatever its limit.
pub const MAX_READ_BYTES: usize = 64 << 20;

/// The interface of a log: today segment files of this process; Kafka once one machine is too small.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends the records in order at consecutive positions, all or none, and gives the position
    /// of the last; without records, the log's end. Returns when they are on disk. Concurrent
    /// appends share one sync. A caller that stops waiting may still have its records appended.
    ///
    /// # Errors
    /// `Invalid` over the limits of this file; `Unavailable` when the disk fails: whether the
    /// records are kept is then unknown.
    async fn append(&self, app: &AppId, records: Vec<Vec<u8>>) -> Result<u64>;

    /// Records with a position greater than `from`, in order, at most `limit`, and no more after
    /// [`MAX_READ_BYTES`]. Empty only at the end (or for a limit of 0). Trimmed records are
    /// skipped, so the first position may be greater than `from + 1`.
    async fn read(&self, app: &AppId, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>>;

    /// Drops all records up to and with position `through`. Trimming again is nothing.
    ///
    /// # Errors
    /// `Invalid` for a position past the end.
    async fn trim(&self, app: &AppId, through: u64) -> Result<()>;

    /// The last position given, 0 before the first.
    async fn end(&self, app: &AppId) -> Result<u64>;

    /// Fixes what the log holds now, to be copied while it goes on.
    ///
    /// # Errors
    /// `Invalid` where the log has ways of its own for this.
    async fn freeze(&self) -> Result<Box<dyn FrozenLog>> {
        Err(Error::NoCopies)
    }
}

/// What a log held at one moment.
pub trait FrozenLog: Send {
    /// Writes it as a log of its own, in a folder that is not there yet. Blocks; on disk on return.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails, `Corrupt` where the log cannot be read.
    fn write(self: Box<Self>, folder: &Path) -> Result<()>;
}
