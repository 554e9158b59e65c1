//! Live tags held against the batch.

use crate::reading::whole;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to compare.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParityRequest {
    /// Only this live tag. Default: all.
    pub tag: Option<String>,
    /// About how many users are compared, at most 100,000. Default: 1,000.
    #[serde(default, deserialize_with = "whole")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100_000)]
    pub sample: Option<u32>,
}

/// What a comparison of live tags with the batch found.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ParityReport {
    /// The instant that the values are as of, ISO 8601 with the app's offset; `null`: nothing was
    /// compared, for the states are being computed from the lake.
    #[schema(required)]
    pub compared_as_of: Option<String>,
    /// The position of the log of calls up to which everything is in the values.
    pub compared_position: u64,
    /// How many users were compared.
    pub compared_users: u64,
    /// How many users the stream knows.
    pub known_users: u64,
    /// How many events the batch read.
    pub events_read: u64,
    /// How often it was looked: more than once if something differed.
    pub looks: u32,
    /// Differences that nothing explains.
    pub defects: u64,
    /// By tag, in order of name. A name that begins with `__` is a condition of live crowds.
    pub compared_tags: Vec<ParityTag>,
    /// Differences, at most 20 of each tag and class, and 1,000 in all.
    pub examples: Vec<ParityExample>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// What was compared of a tag.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ParityTag {
    /// The name, unique within the app.
    pub name: String,
    /// Users of the sample with a value.
    pub values: u64,
    /// How many values differ, by class: `in_flight`, `by_hand`, `computing`, `defect`.
    pub differences: BTreeMap<String, u64>,
}

/// A value that differs.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ParityExample {
    /// Id of the user.
    pub user: String,
    /// Name of the tag.
    pub tag: String,
    /// The value that questions see, as text; `null`: none.
    #[schema(required)]
    pub shown: Option<String>,
    /// The value that the stream's state gives, as text; `null`: none.
    #[schema(required)]
    pub state: Option<String>,
    /// The value that the batch gives, as text; `null`: none.
    #[schema(required)]
    pub batch: Option<String>,
    /// The instant of the comparison, ISO 8601 with the app's offset.
    pub as_of: String,
    /// `in_flight`: it was gone at the second look, or is known to be on its way. `by_hand`: a value
    /// changed by hand is shown. `computing`: the states began to be computed from the lake.
    /// `defect`: nothing explains it.
    pub class: String,
    /// The class in words.
    pub why: String,
}

/// What the last comparison of an app found.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ParityStanding {
    /// Id of the run.
    pub run: String,
    /// When it ended, ISO 8601, UTC.
    pub ended: String,
    /// How many users were compared.
    pub users: u64,
    /// How many values differed, by class.
    pub differences: BTreeMap<String, u64>,
    /// Differences that nothing explains.
    pub defects: u64,
}
