//! Rows and calls in, checked events and attributes out: files straight into the lake, live calls from the log.
//!
//! Ground truth here are the lake's tables `events`, `attributes` and `rejected_events` with the catalog's ledger of files. What a run or a
//! landing has read becomes visible by one lake commit, which also moves the ledger or the log position: it happened wholly or not at all.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod blocking;
mod builder;
mod change_rows;
mod check;
mod comma;
mod csv;
mod decode;
mod dedup;
mod duplicates;
mod error;
mod file_commit;
mod file_read;
mod file_run;
mod file_time;
mod folder;
mod header;
mod ids;
mod input;
mod input_row;
mod inspect;
mod jsonl;
mod landed_ids;
mod landing;
mod ledger;
mod live_rows;
mod mapping;
mod overlay;
mod parquet;
mod placed;
mod record;
mod reject;
mod rejected;
mod report;
mod row;
mod seen;
mod segment;
mod turns;
mod waiting;
mod writers;

pub use error::{Error, Result};
pub use file_run::{Attendant, FileIngest};
pub use folder::{FoundFile, files_at};
pub use ids::{MessageIds, NotedId, message_hash};
pub use inspect::inspect;
pub use landing::{HeldLanding, LOG_POSITION, Landing, LiveTotals, landed};
pub use live_rows::Landed;
pub use record::{HandOp, LogRecord, RecordBody};
pub use reject::Reason;
pub use rejected::{RejectedPage, RejectedQuery, RejectedRow, rejected};
pub use report::{FailedFile, IngestOptions, IngestProgress, IngestReport};
pub use segment::{CallError, LiveCall, MAX_BATCH_BYTES, MAX_CALL_BYTES};
pub use waiting::LandingTrigger;
