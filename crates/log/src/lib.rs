//! The durable event log: live events enter Taghouse only here, and are acknowledged only when they
//! are on disk.
//!
//! Ground truth until `ingest` has landed a record in the lake; then [`EventLog::trim`] may drop
//! it. Positions are dense per app, start at 1 and are never given twice, so a lake snapshot that
//! carries a position says exactly which records it holds.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod committer;
mod embedded;
mod error;
mod event_log;
mod frozen;
mod key;
mod mark;
mod store;

pub use embedded::EmbeddedLog;
pub use error::{Error, Result};
pub use event_log::{
    EventLog, FrozenLog, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_READ_BYTES, MAX_RECORD_BYTES,
};
