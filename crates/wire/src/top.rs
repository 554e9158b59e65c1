//! The most frequent values of a tag.

use crate::reading::whole;
use crate::shape::{Expression, TagValue};
use serde::{Deserialize, Serialize};

/// Which tag, and among whom.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopRequest {
    /// The tag's name.
    pub tag: String,
    /// Only count users who match this expression: text or JSON. Default: all users.
    #[schema(value_type = Option<Expression>)]
    pub expression: Option<serde_json::Value>,
    /// How many values, 0 to 10,000; default 20.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 10_000)]
    pub limit: Option<usize>,
}

/// A value and who has it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopValue {
    /// The value; of a set tag one of its members. Decimals, dates and instants as text.
    #[schema(value_type = TagValue)]
    pub value: serde_json::Value,
    /// How many of the users asked about have it.
    pub users: u64,
    /// Their share of the users asked about, 0 to 1.
    pub share: f64,
}

/// The most frequent values of a tag.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopAnswer {
    /// The tag's name.
    pub tag: String,
    /// Most users first.
    pub values: Vec<TopValue>,
    /// How many different values the users asked about have.
    pub distinct: usize,
    /// The users asked about.
    pub users: u64,
    /// How many of them have a value.
    pub with_value: u64,
    /// The index's revision that answered.
    pub revision: u64,
}
