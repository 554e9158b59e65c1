use crate::compile::Compiler;
use crate::error::Result;
use crate::segment::Segment;
use crate::tag::Tag;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, Query};
use taghouse_model::{Name, TimestampMs, Value, ValueType};
use taghouse_rules::Predicate;

/// One cut over all tags of an app: it stays readable whatever is published afterwards, and its objects stay as long as it lives.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) revision: u64,
    pub(crate) generation: u64,
    pub(crate) users: Users,
    pub(crate) tags: BTreeMap<Name, Arc<Tag>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Users {
    pub(crate) object: String,
    pub(crate) bitmap: Arc<Bitmap>,
}

/// What is known of a tag in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct TagInfo {
    /// The tag.
    pub name: Name,
    /// The type of its values.
    pub value_type: ValueType,
    /// The instant its values speak of.
    pub as_of_ms: TimestampMs,
    /// How many users have a value.
    pub users: u64,
    /// The definition it was produced by, as given to `publish`.
    pub definition: Json,
    /// The segment's path in the object store.
    pub object: String,
}

impl Snapshot {
    /// The revision of the index; rises with every publication.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The dictionary's generation that the ordinals are of: with another they mean nothing.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The users that exist.
    pub fn users(&self) -> &Arc<Bitmap> {
        &self.users.bitmap
    }

    /// All tags, by name.
    pub fn tags(&self) -> impl Iterator<Item = &TagInfo> {
        self.tags.values().map(|tag| &tag.info)
    }

    /// What is known of one tag.
    pub fn info(&self, tag: &str) -> Option<&TagInfo> {
        self.tags.get(tag).map(|tag| &tag.info)
    }

    /// One tag's values; `None` for a tag that was never published. The segment is opened when it is first asked for.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be opened.
    pub fn tag(&self, tag: &str) -> Result<Option<Segment>> {
        self.tags.get(tag).map(|tag| tag.segment()).transpose()
    }

    /// All tags with their values: what a profile goes through.
    pub fn segments(&self) -> impl Iterator<Item = (&TagInfo, Result<Segment>)> {
        self.tags.values().map(|tag| (&tag.info, tag.segment()))
    }

    /// The objects that reading it takes.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &String> {
        self.tags.values().map(|tag| &tag.info.object).chain(std::iter::once(&self.users.object))
    }

    /// The tags' types, as the check of an expression wants them.
    pub fn types(&self) -> BTreeMap<Name, ValueType> {
        self.tags.iter().map(|(name, tag)| (name.clone(), tag.info.value_type)).collect()
    }

    /// A condition, ready to be counted, listed or asked of one user. `crowds` gives the members of another crowd.
    ///
    /// # Errors
    /// `UnknownTag` and `UnknownCrowd` for what was never published, `Mismatch` for a literal that the tag's values in the index cannot be
    /// compared with.
    pub fn evaluate(&self, predicate: &Predicate<Value>, crowds: &dyn Fn(&str) -> Option<Arc<Bitmap>>) -> Result<Query> {
        let formula = Compiler { snapshot: self, crowds }.formula(predicate)?;
        Ok(Query::new(self.users.bitmap.clone(), formula))
    }
}
