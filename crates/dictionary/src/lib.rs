//! User id ⇄ ordinal: maps each app's external string ids to the dense numbers that bitmaps
//! contain.
//!
//! - Ordinals of an app are dense from 0, in the order in which ids are first seen. Within a
//!   generation an id keeps its ordinal until it is deleted.
//! - `assign` and `delete` return only when their work is on disk (one fsync per call, or one for
//!   each 2^20 ids). A call whose new ids take less than 4 MiB is atomic: after a crash, all of it
//!   is there or nothing.
//! - Many readers, one writer per app. A reader sees a pair complete and durable, or not at all.
//! - Apps are isolated: each has its own folder.
//! - The synchronous calls read and write files: asynchronous callers wrap them in
//!   `spawn_blocking`.
//!
//! # Files
//!
//! ```text
//! <app>/manifest.json                 which files make up which generation; replaced as a whole, and by that everything changes at once
//! <app>/generation-<n>/ids-<k>        a million ids in the order of their ordinals: 17 bytes for a UUID
//! <app>/generation-<n>/run-<k>        hashes with their ordinals, sorted: 9 bytes an id; a few runs, merged as they grow
//! <app>/generation-<n>/deleted-<k>    ordinals of deleted users
//! <app>/generation-<n>/tail-<k>       log of what was given and deleted since; its ids are in memory with a hash table
//! <app>/generation-<n>/tail-<k>.mark  how much of it was acknowledged
//! ```
//!
//! The ids are the ground truth, runs are made from them. All but the log and the manifest are
//! immutable and memory-mapped, with a checksum a block, checked when it is first touched. So
//! opening reads the log (a million ids at most) and little else, and memory that is not the
//! system's cache is bounded by the tail. A damaged file is an error that names it, and so is a log
//! that is shorter than what was acknowledged. A torn end behind that was never acknowledged, and
//! is cut off.
//!
//! After a failed write the files are reopened before the next one, so writes succeed again once a
//! full disk has room.
//!
//! # Generations
//!
//! Every app has a generation number, 1 from its first id on. Whatever stores ordinals (the index,
//! crowd versions) records their generation, and is never read with another one;
//! [`Dictionary::view`] reads a given generation. `produce` raises the number with
//! [`Dictionary::renew`] when the published data has other ordinals: the folder was lost, or is
//! older than the index. [`Dictionary::repack`] builds the next generation from the users that
//! stay, beside the current one.
//!
//! So the dictionary is derived data: losing it costs a production of all tags, and never gives an
//! ordinal another meaning.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod assign;
mod block_file;
mod builder;
mod deleted;
mod deletion_watch;
mod dictionary;
mod error;
mod generation;
mod ids_file;
mod log_file;
mod lookup;
mod manifest;
mod map;
mod merge;
mod options;
mod packed;
mod renumbering;
mod repack;
mod resolve;
mod run;
mod seal;
mod space;
mod state;
mod tail;
mod view;

pub use deletion_watch::DeletionWatch;
pub use dictionary::Dictionary;
pub use error::{Error, Result};
#[doc(hidden)]
pub use options::Options;
pub use renumbering::Renumbering;
pub use repack::{Carried, Repack};
pub use resolve::Resolved;
pub use view::View;
