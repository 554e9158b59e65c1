//! Publishing: objects are written first, once; then the pointer is moved to a manifest that names
//! them, merged with whatever else was published meanwhile. Only that small last step is tried
//! again when somebody else was faster.

mod merge;
mod prepared;
mod swap;

pub(crate) use merge::Behind;
pub(crate) use prepared::{Onto, Prepared, Scope, TagToWrite};
pub(crate) use swap::Turn;

use crate::error::Result;
use crate::index::Index;
use serde_json::Value as Json;
use std::path::PathBuf;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Change;
use taghouse_model::{AppId, Name, TimestampMs, ValueType};

/// Becomes visible as a whole. Other tags stay as they are, if they are of the same generation.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The dictionary's generation that the ordinals are of. Another one than before leaves
    /// nothing of what was published.
    pub generation: u64,
    /// All users that exist; the segments' users are among them. Users that existed before (in
    /// this generation) continue to exist.
    pub users: Bitmap,
    /// New versions of tags.
    pub tags: Vec<TagPublication>,
    /// Tags to drop.
    pub drop: Vec<Name>,
}

/// A new version of one tag.
#[derive(Debug, Clone)]
pub struct TagPublication {
    /// Name of the tag.
    pub name: Name,
    /// The segment's type.
    pub value_type: ValueType,
    /// The as-of time of its values.
    pub as_of_ms: TimestampMs,
    /// The definition it was produced by; handed back in [`crate::TagInfo`].
    pub definition: Json,
    /// Its segment.
    pub segment: SegmentSource,
    /// Live changes up to this position of their log are in the segment, or void; later ones stay
    /// on top, those that were flushed since among them (see [`Index::pin`]). `None`: whatever
    /// live changes have not been flushed stay on top.
    pub flushed_through: Option<u64>,
}

/// What a new segment is made of.
#[derive(Debug, Clone)]
pub enum SegmentSource {
    /// The bytes that [`crate::SegmentBuilder`] made.
    Bytes(Vec<u8>),
    /// A file that a [`crate::Loader`] wrote ([`crate::LoadedSegment::path`]), to which nobody
    /// writes from then on. It becomes the store's: where the store's objects are files of this
    /// machine (see [`Index::local`]) it is moved, which copies nothing within one file system, and
    /// else it is read and removed. After a failure it may be missing.
    File(PathBuf),
}

impl From<Vec<u8>> for SegmentSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Index {
    /// Publishes: writes the objects, then moves the catalog's pointer, together with `also`. What
    /// others publish meanwhile stays: nothing is written twice because of them. Objects that
    /// only the revision before the last one read are deleted afterwards, as far as that works.
    ///
    /// # Errors
    /// `Catalog` of kind `Conflict` when a condition of `also` does not hold; `Generation` for
    /// ordinals of an earlier generation than what is published; `Outdated` when live changes
    /// were flushed since `flushed_through` that the log holds no more; `Publication` for a segment
    /// of another type, or with users that are not among `users`; `Store` naming a file that cannot
    /// be read. Nothing is visible then.
    pub async fn publish(
        &self,
        app: &AppId,
        publication: Publication,
        also: Vec<Change>,
    ) -> Result<u64> {
        let prepared = self.prepare(app, publication).await?;
        self.publish_prepared(app, prepared, also, Turn::Waits).await
    }
}
