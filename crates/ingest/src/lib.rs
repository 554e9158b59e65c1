//! Rows and calls in, checked events and attributes out: files straight into the lake, live calls
//! from the log.
//!
//! Ground truth here are the lake's tables `events`, `attributes` and `rejected_events` with the
//! catalog's ledger of files. What a run or a landing has read becomes visible by one lake commit,
//! which also moves the ledger or the log position: it happened wholly or not at all.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod admitted;
mod change_rows;
mod comma;
mod csv;
mod decode;
mod dedup;
mod duplicates;
mod error;
mod file_batches;
mod file_commit;
mod file_list;
mod file_read;
mod file_run;
mod file_time;
mod folder;
mod halt;
mod header;
mod id_file;
mod ids;
mod input_bytes;
mod input_row;
mod inspect;
mod jsonl;
mod landed_ids;
mod landing;
mod landing_hold;
mod landing_memory;
mod ledger;
mod linking;
mod live_rows;
mod live_source;
mod live_totals;
mod log_record;
mod mapping;
mod overlay;
mod parquet;
mod pending;
mod placed;
mod reject;
mod rejected;
mod report;
mod row_checks;
mod row_reader;
mod row_tally;
mod seen;
mod segment_api;
mod stretch;
mod suppressed;
mod table_columns;
mod table_writers;
mod topic_progress;
mod topic_record;
mod topic_rows;
mod turns;
mod waiting;

pub use admitted::{Admitted, Follower, GoneUser, HandChange};
pub use error::{Error, Result};
pub use file_batches::{FileBatches, LandedFile};
pub use file_run::{Attendant, FileIngest};
pub use folder::{FoundFile, files_at};
pub use id_file::{IdFile, IdFileOptions, IdRows, ProblemRows, UnpackedRows, read_ids};
pub use ids::{MessageIds, NotedId, message_hash};
pub use input_bytes::Stopped;
pub use inspect::inspect;
pub use landing::{LOG_POSITION, Landing};
pub use landing_hold::{HeldLanding, Restarted};
pub use live_rows::Landed;
pub use live_totals::{LiveTotals, landed};
pub use log_record::{HandOp, LogRecord, OtherId, RecordBody};
pub use reject::Reason;
pub use rejected::{RejectedPage, RejectedQuery, RejectedRow, rejected};
pub use report::{FailedFile, IngestOptions, IngestProgress, IngestReport};
pub use segment_api::{CallError, LiveCall, MAX_BATCH_BYTES, MAX_CALL_BYTES};
pub use suppressed::{MAX_SUPPRESSED, Suppress, SuppressedIds, Suppression, Suppressions};
pub use topic_progress::{TopicPosition, TopicProgress, TopicTotals, topic_progress};
pub use topic_record::{TopicContent, TopicPlace, TopicRecord};
pub use waiting::LandingTrigger;
