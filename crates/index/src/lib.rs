//! The index: tag value → bitmaps. A [`Segment`] is one immutable version of one tag.
//! [`Index::publish`] makes a new cut over all tags visible with one compare-and-swap in the
//! catalog. A [`Snapshot`] is such a cut, and stays readable. [`Snapshot::evaluate`] turns a
//! condition into a [`Query`].
//!
//! Everything here is derived: the tag tables in the lake are the ground truth, and `produce`
//! rebuilds the index from them.
//!
//! ```
//! use taghouse_index::{Segment, SegmentBuilder};
//! use taghouse_model::{Value, ValueType};
//!
//! let mut builder = SegmentBuilder::new(ValueType::Text);
//! builder.add(1, &Value::Text("Oslo".into()))?;
//! builder.add(3, &Value::Text("Bergen".into()))?;
//! builder.add(4, &Value::Text("Oslo".into()))?;
//!
//! let segment = Segment::open("city.seg", builder.finish()?)?;
//! assert_eq!(segment.users(), 3);
//! assert_eq!(segment.value_of(3)?, Some(Value::Text("Bergen".into())));
//! let oslo = segment.users_of(&Value::Text("Oslo".into()))?.unwrap_or_default();
//! assert_eq!(oslo.iter().collect::<Vec<_>>(), [1, 4]);
//! # Ok::<(), taghouse_index::Error>(())
//! ```
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
    ChangeColumn, Changes, Deleted, Deletions, LiveOptions, Op, Pin, TagChange, TagChanges, TagView,
};
pub use load::{Feeder, LoadOptions, LoadedSegment, Loader, TagId, join};
pub use number::{units_of_value, value_of_units};
pub use publish::{Publication, SegmentSource, TagPublication};
pub use segment::Segment;
pub use snapshot::Snapshot;
pub use tag::TagInfo;
pub use taghouse_bitmap::{BitSlices, Bitmap, Query, SHARD_BITS, UserSet, overlap};

/// The most different values of one enum or set tag.
pub const MAX_VALUES: usize = 1_000_000;
