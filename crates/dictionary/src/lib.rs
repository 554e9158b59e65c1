//! User id ⇄ ordinal: each app's outside string ids and the dense numbers that bitmaps hold in their place.
//!
//! - Ordinals of an app are dense from 0 and are given in the order in which ids come. An id keeps its ordinal for ever.
//! - `assign` returns only when its pairs are on disk (one fsync a call). Both directions of a pair are written in one batch of the
//!   store, so a crash leaves whole pairs and no gap.
//! - Apps are apart: every key begins with the app's length and name, so no id of one app is a prefix of another's.
//! - Many readers, one writer an app. A reader sees a pair whole and durable, or not at all: it looks only below the number of
//!   ordinals that the last finished `assign` published.
//! - The synchronous calls read and write files: asynchronous callers wrap them in `spawn_blocking`.
//!
//! Every app has a generation number, 1 from its first id on. What holds ordinals (the index, crowd versions) notes the generation that
//! they are of and is not read with another. `produce` raises it with [`Dictionary::renew`] when what is published is not of these
//! ordinals: the folder was lost, or is an older one than the index was made with. Re-packing the ordinals after users expired will be
//! another reason.
//!
//! So the dictionary is derived: a lost one costs a production of all tags, and never gives a number another meaning.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod cache;
mod create;
mod dictionary;
mod error;
mod key;
mod resolve;
mod space;

pub use dictionary::Dictionary;
pub use error::{Error, Result};
pub use resolve::Resolved;
