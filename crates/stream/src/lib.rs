//! Real time: live tags follow the events of live calls within a fifth of a second, by the fold
//! that productions use.
//!
//! ```text
//! log ─► landing admits rows ─► fold: what they add, by user and tile ─► states in pages, merged ─► values that changed ─► index
//!                                                        timers: windows that move by time alone ─┘
//! ```
//!
//! - A state is a pure function of the log up to a position and of what the lake held before: the
//!   log is trimmed only behind the checkpoint ([`taghouse_ingest::Follower::landing`]). A restart
//!   opens the checkpoint and takes in what the log holds behind it.
//! - Values that are shown are whole values, not differences: shown twice they are the same.
//! - Each value that is shown is a record of the change feed, too ([`taghouse_feed::Feeds`]).
//! - A live crowd is a derived tag that is not shown: who enters or leaves is told ([`Status`] does not
//!   count it).
//! - States are kept by tag, in pages of 256 users; pages that change are in memory until the next
//!   checkpoint, which writes them as one object and moves one pointer.
//! - A tag that is new, or another than before, has its states computed from the lake while rows go
//!   on to come ([`Stream::rebuild`]). Those of others stay as they are, also over a restart.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod ahead;
mod bounds;
mod by_hand;
mod checkpoint;
mod closed;
mod derive;
mod derive_watched;
mod draft;
mod emission;
mod error;
mod follow;
mod gone;
mod hands;
mod intake;
mod landed_files;
mod links;
mod look;
mod members;
mod page;
mod parity;
mod partial;
mod plan;
mod plan_states;
mod rebuild;
mod returned;
mod saved_members;
mod segments;
mod slot;
mod state;
mod status;
mod store;
mod stream;
mod telling;
mod timers;
mod verdict;
mod watched_row;
mod watches;

pub use bounds::{TagBound, state_bounds};
pub use error::{Error, Result};
pub use parity::{Compared, Difference, DifferenceClass, Parity, ParityAsk, ParityParts, Settle};
pub use status::Status;
pub use stream::{Stream, StreamParts, Tick};
pub use taghouse_fold::{StateBound, Unbounded};
