//! The durable event log: live events enter Taghouse only here, and are acknowledged only when they
//! are on disk.
//!
//! Ground truth until `ingest` has landed a record in the lake; then [`EventLog::trim`] may drop
//! it. Positions are dense per app, start at 1 and are never given twice, so a lake snapshot that
//! carries a position says exactly which records it holds.
//!
//! The embedded log is append-only segment files for all apps, in one folder:
//!
//! 1. One thread, the committer, takes the requests that wait, gives them positions, and writes
//!    them as one group of frames with one sync. Then it acknowledges them.
//! 2. In memory are each app's mark, which is its end and how far it is trimmed, and its runs: where
//!    its records are, one run for up to 64 KiB of a segment. A read finds its run, and reads the
//!    disk without a lock.
//! 3. A segment that reaches 64 MiB gets a successor, which begins with the marks of all apps. The
//!    oldest segments are removed when nothing lives in them. Where little does, for an app that is
//!    far behind, it is carried behind all others first.
//! 4. An opening reads all segments, and checks every frame. A group without its end was never
//!    acknowledged, and is cut off; all else that is not as it was written is refused.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod carry;
mod committer;
mod contents;
mod embedded;
mod error;
mod event_log;
mod frame;
mod frozen;
mod group;
mod mark;
mod opening;
mod options;
mod plan;
mod read;
mod runs;
mod segment;

pub use embedded::EmbeddedLog;
pub use error::{Error, Result};
pub use event_log::{
    EventLog, FrozenLog, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_READ_BYTES, MAX_RECORD_BYTES,
};
#[doc(hidden)]
pub use options::Options;
