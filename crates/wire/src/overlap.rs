//! How many users expressions share.

use crate::shape::Expression;
use serde::{Deserialize, Serialize};

/// What to lay over what.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverlapRequest {
    /// Up to 1,000 expressions, text or JSON: `crowd("big_spenders")`, `country == "DE"`, or any
    /// other.
    #[schema(value_type = Vec<Expression>, max_items = 1000)]
    pub rows: Vec<serde_json::Value>,
    /// As the rows, up to 1,000; default: the rows.
    #[schema(value_type = Option<Vec<Expression>>, max_items = 1000)]
    pub columns: Option<Vec<serde_json::Value>>,
    /// Whether `jaccard` is wanted too.
    #[serde(default)]
    pub jaccard: bool,
}

/// A row or a column.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OverlapItem {
    /// In canonical form.
    pub expression: String,
    /// How many users match.
    pub users: u64,
}

/// A matrix of overlaps.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OverlapAnswer {
    /// In the order asked.
    pub rows: Vec<OverlapItem>,
    /// In the order asked.
    pub columns: Vec<OverlapItem>,
    /// How many users are in both, exact: a list for each row.
    pub counts: Vec<Vec<u64>>,
    /// Users in both by users in either, 0 to 1, likewise; `null` in it: nobody is in either.
    /// Absent unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaccard: Option<Vec<Vec<Option<f64>>>>,
    /// Users that exist.
    pub users: u64,
    /// The index's revision that answered.
    pub revision: u64,
}
