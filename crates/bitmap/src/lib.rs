//! The only Roaring crate: sets of [`taghouse_model::Ordinal`]s in shards of 2^20, numbers as
//! bit slices, set algebra evaluated shard by shard on views that copy nothing, and the checksummed
//! form in which all of it is stored.
//!
//! * [`Bitmap`]: an owned set. [`Bundle`] and [`Stored`]: many sets in one byte buffer, read in
//!   place.
//! * [`BitSlices`]: one number per ordinal, compared and summed without unpacking.
//! * [`Formula`]: and, or, not over those; [`Query`]: a formula over the users that exist, counted
//!   on all cores.
//! * [`seal`], [`unseal`]: the file form. [`Region`]: a file whose blocks are checked, and fetched,
//!   as they are first read; [`map()`].
//!
//! Shards hold global ordinals (the high bits are not cut off), so the shards of a set are its
//! parts, and one portable 32-bit Roaring bitmap is just their union.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

#[cfg(target_endian = "big")]
compile_error!("portable Roaring is little-endian; views on it need a little-endian machine");

mod bitmap;
mod blob;
mod bundle;
mod edits;
mod encode;
mod error;
mod evaluate;
mod file;
mod formula;
mod kernel;
mod layout;
mod map;
mod overlap;
mod parallel;
mod plan;
mod pool;
mod popcount;
mod prefetch;
mod query;
mod region;
mod sealer;
mod shard_set;
mod slices;
mod vector;
mod view;

pub use bitmap::{Bitmap, PortablePieces};
pub use bundle::{Bundle, BundleBuilder, Stored};
pub use edits::Edits;
pub use encode::{ShardEncoder, encode_ascending, for_each_low};
pub use error::{Error, Result};
pub use file::{seal, unseal};
pub use formula::Formula;
pub use layout::BundleLayout;
pub use map::map;
pub use overlap::{UserSet, overlap};
pub use query::Query;
pub use region::{Fetch, Region};
pub use sealer::Sealer;
pub use slices::{BitSlices, SliceEncoder, Sum};

/// The ordinals of one shard are `number << SHARD_BITS ..= number << SHARD_BITS | SHARD_MASK`.
pub const SHARD_BITS: u32 = 20;

/// How many ordinals a shard spans.
pub const SHARD_SIZE: u32 = 1 << SHARD_BITS;
