//! Tag value → bitmaps. A [`Segment`] holds one version of one tag, immutable; [`Index::publish`]
//! makes a new cut over all tags visible by one compare-and-swap in the catalog; a [`Snapshot`] is
//! such a cut, and stays readable; [`Snapshot::evaluate`] turns a condition into a [`Query`].
//!
//! Everything here is derived: the tag tables in the lake are the truth, and `produce` makes the
//! index again from them.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod apps;
mod builder;
mod cache;
mod catch_up;
mod changes;
mod compile;
mod error;
mod flush;
mod index;
mod live;
mod load;
mod local;
mod manifest;
mod number;
mod pointer;
mod publish;
mod room;
mod segment;
mod shown;
mod snapshot;
mod store;
mod sweep;
mod tag;

pub use builder::SegmentBuilder;
pub use error::{Error, Result};
pub use flush::{DeletedUsers, HeldIndex, Renaming};
pub use index::{Index, Numbering, Published};
pub use live::{
    Changes, Column, Deleted, Deletions, LiveOptions, Op, Pin, TagChange, TagChanges, TagView,
};
pub use load::{Feeder, LoadOptions, LoadedSegment, Loader, TagId, join};
pub use number::value_of_units;
pub use publish::{LoadedTag, Publication, TagPublication};
pub use segment::Segment;
pub use snapshot::Snapshot;
pub use tag::TagInfo;
pub use taghouse_bitmap::{BitSlices, Bitmap, Members, Query, overlap};

/// The most different values of one enum or set tag.
pub const MAX_VALUES: usize = 1_000_000;
