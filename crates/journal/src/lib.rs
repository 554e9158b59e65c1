//! Append-only logs of frames with checksums, whose end a crash may tear.
//!
//! - [`FrameFormat`] is what differs from log to log: what a frame's head says, and how it stands
//!   in 32 bytes.
//! - [`frame_bytes`] makes the bytes of a frame, [`FrameReader`] goes through them again and tells
//!   a [`TornEnd`], which is cut off, from [`Damaged`], which names the file and the place.
//! - [`AppendFile`] is the file: it knows how far it is on disk, and is cut back to there after a
//!   failed write.
//!
//! How a file begins, and when a mark of what was acknowledged moves, is the owner's: see
//! [`taghouse_disk::Mark`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod append_file;
mod frame;
mod reader;

pub use append_file::AppendFile;
pub use frame::{FrameFormat, FrameHead, HEAD_BYTES, frame_bytes};
pub use reader::{Damaged, Frame, FrameReader, TornEnd};
