//! A crowd compared with its base.

use crate::GroupBody;
use crate::reading::whole;
use crate::shape::Expression;
use serde::{Deserialize, Serialize};

/// What to compare.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparisonRequest {
    /// The crowd: text such as `crowd("big_spenders")`, or JSON.
    #[schema(value_type = Expression)]
    pub expression: serde_json::Value,
    /// The base: text or JSON. It may contain the crowd, overlap it, or neither. Default: all
    /// users.
    #[schema(value_type = Option<Expression>)]
    pub base: Option<serde_json::Value>,
    /// Tags, 1 to 100. Numbers are cut at the deciles of the base.
    #[schema(min_items = 1, max_items = 100)]
    pub tags: Vec<String>,
    /// Values with fewer users in the base are left out; default 1.
    #[serde(default, deserialize_with = "whole")]
    pub min_users: Option<u64>,
    /// The order of the list.
    #[serde(default)]
    pub order: OrderRequest,
    /// How many values are listed, 0 to 10,000; default 50.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 10_000)]
    pub limit: Option<usize>,
}

/// The order of the list.
#[derive(Debug, Clone, Default, Copy, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderRequest {
    /// The most significant difference from the base first, above or below.
    #[default]
    Significance,
    /// The highest index first.
    Index,
}

/// A value in the crowd and in its base.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ContrastBody {
    /// The tag's name.
    pub tag: String,
    /// Its value, or a range of a number.
    pub group: GroupBody,
    /// How many of the crowd have it.
    pub crowd_users: u64,
    /// How many of the base have it.
    pub base_users: u64,
    /// Their share of the crowd, 0 to 1.
    pub crowd_share: f64,
    /// Their share of the base, 0 to 1.
    pub base_share: f64,
    /// The share of the crowd divided by that of the base, times 100 (TGI); `null`: nobody of the
    /// base has it, or the crowd is empty.
    #[schema(required)]
    pub index: Option<f64>,
    /// The lower end of the index's 95% interval; `null` where the crowd or the base is empty.
    #[schema(required)]
    pub low: Option<f64>,
    /// The upper end; `null` where there is none.
    #[schema(required)]
    pub high: Option<f64>,
    /// The distance of the index's logarithm from that of 100, in standard errors. Beyond ±1.96,
    /// the interval does not contain 100.
    pub score: f64,
}

/// A crowd compared with its base.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ComparisonAnswer {
    /// In the order asked for.
    pub values: Vec<ContrastBody>,
    /// How many values had enough users, listed or not.
    pub found: usize,
    /// How many users are in the crowd.
    pub crowd: u64,
    /// How many are in the base.
    pub base: u64,
    /// How many are in both.
    pub both: u64,
    /// The index's revision that answered.
    pub revision: u64,
}
