use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::{Name, TimestampMs, ValueType};

/// One cut over all tags: an object of the store, to which the catalog's pointer ("index", app,
/// "current") leads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The dictionary's generation that the ordinals are of; 0 in cuts from before it was noted.
    #[serde(default)]
    pub(crate) generation: u64,
    pub(crate) users: UsersEntry,
    pub(crate) tags: BTreeMap<Name, TagEntry>,
    /// Objects that the revision before this one still read, its manifest among them. The next
    /// publication deletes them.
    pub(crate) retired: BTreeSet<String>,
}

/// The users that exist.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsersEntry {
    pub(crate) object: String,
    pub(crate) count: u64,
}

/// One tag's current segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagEntry {
    pub(crate) object: String,
    #[serde(rename = "type")]
    pub(crate) value_type: ValueType,
    pub(crate) as_of_ms: TimestampMs,
    pub(crate) users: u64,
    pub(crate) definition: Json,
    /// Live changes up to this position of their log are in the segment.
    #[serde(default, rename = "subsumes")]
    pub(crate) flushed_through: u64,
}

impl Manifest {
    /// All objects that a reader of this cut needs.
    pub(crate) fn objects(&self) -> BTreeSet<String> {
        let tags = self.tags.values().map(|tag| tag.object.clone());
        tags.chain(std::iter::once(self.users.object.clone()))
            .filter(|object| !object.is_empty())
            .collect()
    }
}
