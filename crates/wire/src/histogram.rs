//! How a number is distributed among users.

use crate::reading::whole;
use crate::shape::{Edge, Expression, TagValue};
use serde::{Deserialize, Serialize};

/// Which number, and among whom.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HistogramRequest {
    /// The name of an int, decimal or date tag.
    pub tag: String,
    /// Only count users who match this expression: text or JSON. Default: all users.
    #[schema(value_type = Option<Expression>)]
    pub expression: Option<serde_json::Value>,
    /// Number of bins of equal width, from the smallest number to the largest, 1 to 1,000; default
    /// 20.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1000)]
    pub bins: Option<usize>,
    /// Instead of `bins`: their edges, ascending, as numbers or text, such as `0`, `"12.50"`,
    /// `"2026-07-01"`; 2 to 1,001. A bin includes its lower edge, the last one also its upper
    /// edge.
    #[schema(value_type = Option<Vec<Edge>>, min_items = 2, max_items = 1001)]
    pub edges: Option<Vec<serde_json::Value>>,
    /// Quantiles, 0 to 1, at most 100; default p1, p5, p25, p50, p75, p95, p99.
    #[schema(max_items = 100)]
    pub quantiles: Option<Vec<f64>>,
}

/// A bin of a histogram.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BinBody {
    /// The smallest value.
    #[schema(value_type = TagValue)]
    pub from: serde_json::Value,
    /// The largest value.
    #[schema(value_type = TagValue)]
    pub to: serde_json::Value,
    /// How many users have such a number.
    pub users: u64,
}

/// A quantile that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuantileBody {
    /// 0 to 1, as asked.
    pub quantile: f64,
    /// The number at that rank (nearest rank): a number that somebody has.
    #[schema(value_type = TagValue)]
    pub value: serde_json::Value,
}

/// A distribution. Decimals, dates and instants are text, so that no digit is lost.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HistogramAnswer {
    /// The tag's name.
    pub tag: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub value_type: String,
    /// The users asked about.
    pub users: u64,
    /// How many of them have a number.
    pub count: u64,
    /// The exact sum, as text; `null` for dates.
    #[schema(required)]
    pub sum: Option<String>,
    /// The exact sum divided by `count`, as text, rounded once (half away from zero) to four
    /// digits more than the tag has; `null` for dates, and if nobody has a number.
    #[schema(required)]
    pub average: Option<String>,
    /// The smallest number; `null` if nobody has one.
    #[schema(value_type = Option<TagValue>, required)]
    pub min: serde_json::Value,
    /// The largest number; `null` if nobody has one.
    #[schema(value_type = Option<TagValue>, required)]
    pub max: serde_json::Value,
    /// In the order asked; empty if nobody has a number.
    pub quantiles: Vec<QuantileBody>,
    /// All of them, in ascending order.
    pub bins: Vec<BinBody>,
    /// Users with a number below the first bin.
    pub below: u64,
    /// Users with a number above the last bin.
    pub above: u64,
    /// The index's revision that answered.
    pub revision: u64,
}
