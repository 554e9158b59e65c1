//! Append-only logs of frames with checksums, whose end a crash may tear.
//!
//! - [`FrameFormat`] is what differs from log to log: the fields of a frame's head, and their
//!   encoding in 32 bytes.
//! - [`frame_bytes`] encodes a frame. [`FrameReader`] reads frames, and distinguishes a
//!   [`TornEnd`], which is cut off, from [`Damaged`], which names the file and the offset.
//! - [`AppendFile`] is the file: it knows up to where it is on disk, and is cut back to there after
//!   a failed write.
//!
//! ```
//! use taghouse_journal::{FrameFormat, FrameHead, FrameReader, HEAD_BYTES, TornEnd, frame_bytes};
//! use xxhash_rust::xxh3::xxh3_64;
//!
//! /// A log without fields of its own: length, checksum of the payload, checksum of both.
//! struct Plain;
//!
//! impl FrameFormat for Plain {
//!     type Fields = ();
//!
//!     fn head((): &(), payload: &[u8]) -> [u8; HEAD_BYTES] {
//!         let mut head = [0; HEAD_BYTES];
//!         head[..8].copy_from_slice(&(payload.len() as u64).to_le_bytes());
//!         head[8..16].copy_from_slice(&xxh3_64(payload).to_le_bytes());
//!         let checksum = xxh3_64(&head[..16]);
//!         head[16..24].copy_from_slice(&checksum.to_le_bytes());
//!         head
//!     }
//!
//!     fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<()>> {
//!         let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
//!         (number(16)? == xxh3_64(&bytes[..16])).then_some(FrameHead {
//!             fields: (),
//!             payload_bytes: number(0)? as usize,
//!             payload_checksum: number(8)?,
//!             payload_seed: 0,
//!         })
//!     }
//! }
//!
//! let mut file = frame_bytes::<Plain>(&(), b"one");
//! file.extend(frame_bytes::<Plain>(&(), b"two"));
//! file.truncate(file.len() - 1);
//!
//! let mut frames = FrameReader::new("log".as_ref(), &file, 0, TornEnd::Missing, Plain);
//! assert_eq!(frames.next()?.map(|frame| frame.payload), Some(&b"one"[..]));
//! assert_eq!(frames.next()?, None, "the second is torn");
//! assert_eq!(frames.end(), HEAD_BYTES as u64 + 3);
//! # Ok::<(), taghouse_journal::Damaged>(())
//! ```
//!
//! How a file begins, and when a mark of what was acknowledged moves, is up to the owner: see
//! [`taghouse_disk::Mark`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod append_file;
mod frame;
mod reader;

pub use append_file::AppendFile;
pub use frame::{FrameFormat, FrameHead, HEAD_BYTES, frame_bytes};
pub use reader::{Damaged, Frame, FrameReader, TornEnd};
