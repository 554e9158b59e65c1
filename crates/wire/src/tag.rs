//! Tags as they were produced.

use crate::shape::TagValue;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A tag, as the list shows it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TagBody {
    /// The name, unique within the app.
    pub name: String,
    /// `bool`, `enum`, `set`, `int`, `decimal(n)`, `date` or `date(millisecond)`.
    #[serde(rename = "type")]
    pub value_type: String,
    /// `attribute`, `aggregate`, `session`, `state`, `sequence`, `cohort`, `expression` or `sql`.
    pub kind: Cow<'static, str>,
    /// What keeps it current: `batch`, `stream` or `both`.
    pub mode: Cow<'static, str>,
    /// Of a tag over events: how far back, such as `30d`, or `lifetime`.
    #[schema(required)]
    pub window: Option<String>,
    /// By what its window moves, `day`, `hour` or `minute`: it ends at the as-of time, and begins
    /// with the beginning of one of these. `null`: the tag has no window.
    #[schema(required)]
    pub resolution: Option<Cow<'static, str>>,
    /// Of a distinct count: with more values than so many it is an estimate (HyperLogLog, standard
    /// error 1.6%). `null`: it is exact.
    #[schema(required)]
    pub exact_up_to: Option<u32>,
    /// The definition, as it was applied.
    #[schema(required)]
    pub description: Option<String>,
    /// The category by which keys are granted it; `null`: none.
    #[serde(default)]
    #[schema(required)]
    pub category: Option<String>,
    /// Its labels, those that it inherits among them.
    #[serde(default)]
    #[schema(required)]
    pub labels: Vec<String>,
    /// How many users have a value; `null`: never produced.
    #[schema(required)]
    pub users: Option<u64>,
    /// Of `int` and `decimal`: the exact sum over all users, as text.
    #[schema(required)]
    pub sum: Option<String>,
    /// ISO 8601 with the app's offset; `null`: never produced.
    #[schema(required)]
    pub as_of: Option<String>,
    /// Whether the definition changed since these values were produced.
    pub changed: bool,
    /// Values that its last production left out, by reason. Empty if there were none, or if that
    /// run is not among the last 50.
    pub left_out: BTreeMap<String, u64>,
}

/// The tags of an app.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TagList {
    /// In order of name.
    pub tags: Vec<TagBody>,
    /// How many users exist.
    pub users: u64,
    /// The index's revision, which grows with every publication; 0: nothing produced yet.
    pub revision: u64,
}

/// A value and who has it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValueCount {
    /// The value; of a set tag one of its members.
    #[schema(value_type = TagValue)]
    pub value: serde_json::Value,
    /// How many users have it.
    pub users: u64,
}

/// The most frequent values of a tag.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TagValues {
    /// The tag's name.
    pub name: String,
    /// Most users first.
    pub values: Vec<ValueCount>,
    /// How many different values there are.
    pub distinct: usize,
}
