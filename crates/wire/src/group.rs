//! Users by two tags at once.

use crate::reading::{object, whole};
use crate::shape::{Expression, TagValue};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A tag to group by.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AxisRequest {
    /// The tag's name.
    pub tag: String,
    /// Number of groups, 1 to 1,000: the most frequent values, or buckets of a number. Default 10.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// How a number is divided into buckets.
    #[serde(default)]
    pub buckets: BucketsRequest,
}

/// How a number is divided into buckets.
#[derive(Debug, Clone, Default, Copy, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BucketsRequest {
    /// Buckets with about equally many users.
    #[default]
    Quantiles,
    /// Buckets of equal width.
    EqualWidths,
}

/// Which tags, and among whom.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupRequest {
    /// The tag of the rows.
    #[serde(deserialize_with = "object")]
    pub rows: AxisRequest,
    /// The tag of the columns.
    #[serde(deserialize_with = "object")]
    pub columns: AxisRequest,
    /// Only count users who match this expression: text or JSON. Default: all users.
    #[schema(value_type = Option<Expression>)]
    pub expression: Option<serde_json::Value>,
}

/// What the users of a group have in common.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GroupBody {
    /// `value`; `range` of a number, `from` and `to` both included; `others`: a value without a
    /// group of its own; `none`: no value.
    pub kind: Cow<'static, str>,
    /// Of kind `value`. Of a set tag one of its members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TagValue>)]
    pub value: Option<serde_json::Value>,
    /// Of kind `range`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TagValue>)]
    pub from: Option<serde_json::Value>,
    /// Of kind `range`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TagValue>)]
    pub to: Option<serde_json::Value>,
}

/// A row or a column.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeadingBody {
    /// The group of users.
    pub group: GroupBody,
    /// How many of the users asked about are in it.
    pub users: u64,
}

/// Users by two tags at once.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GroupAnswer {
    /// The groups of the first tag. The last two are always `others` and `none`, even without
    /// users.
    pub rows: Vec<HeadingBody>,
    /// The groups of the second tag, likewise.
    pub columns: Vec<HeadingBody>,
    /// How many users are in both: a list for each row. Where neither tag is a set, each user is
    /// counted once.
    pub counts: Vec<Vec<u64>>,
    /// The users asked about.
    pub users: u64,
    /// The index's revision that answered.
    pub revision: u64,
}
