//! Counts, their bounds, and some of those who were counted.

use crate::reading::whole;
use crate::shape::Expression;
use serde::{Deserialize, Serialize};

/// A question over an expression.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountRequest {
    /// Text such as `country == "France" && orders_30d >= 2`, or the same as JSON.
    #[schema(value_type = Expression)]
    pub expression: serde_json::Value,
    /// Whether to refuse to count over tags that were not produced as of one time. Default: false.
    #[serde(default)]
    pub strict_as_of: bool,
}

/// A question for users.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRequest {
    /// Text or JSON.
    #[schema(value_type = Expression)]
    pub expression: serde_json::Value,
    /// How many users, 1 to 10,000; default 10.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub size: Option<u32>,
    /// The seed of the random choice: the same seed gives the same sample. Default: 0.
    #[serde(default, deserialize_with = "whole")]
    pub seed: Option<u64>,
}

/// The answer to a count.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CountAnswer {
    /// Users who match the expression.
    pub count: u64,
    /// Users that exist.
    pub users: u64,
    /// The expression in canonical form.
    pub expression: String,
    /// The same as JSON.
    #[schema(value_type = Object)]
    pub json: serde_json::Value,
    /// The index's revision that answered.
    pub revision: u64,
    /// The oldest as-of time of the tags asked, ISO 8601 with the app's offset; `null`: none was.
    #[schema(required)]
    pub as_of: Option<String>,
    /// The newest, if it differs: the count then mixes data of different times. `null`: it does
    /// not differ.
    #[schema(required)]
    pub newest_as_of: Option<String>,
}

/// The users who were found.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SampleAnswer {
    /// The ids of the users.
    pub users: Vec<String>,
    /// How many users match, in total.
    pub count: u64,
}

/// Bounds of a count, known before anything is counted.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EstimateAnswer {
    /// Lower bound of the users who match.
    pub at_least: u64,
    /// Upper bound of the users who match.
    pub at_most: u64,
    /// Users that exist.
    pub users: u64,
    /// The index's revision that answered.
    pub revision: u64,
    /// About how many bytes an exact count reads.
    pub reads_bytes: u64,
    /// Whether an exact count is expected to take longer than 100 ms.
    pub slow: bool,
}

/// A line of a streamed count. `E` is what an error is written or read as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CountLine<E> {
    /// The last line, with the exact count.
    Exact {
        /// `true`
        exact: bool,
        /// The answer to the count.
        #[serde(flatten)]
        count: CountAnswer,
    },
    /// A line before it, with bounds.
    Bounds {
        /// `false`
        exact: bool,
        /// The bounds of the count.
        #[serde(flatten)]
        estimate: EstimateAnswer,
    },
    /// The last line, where the count ended early.
    Error {
        /// What is wrong, as a phrase.
        error: E,
    },
}

/// The part of an error that readers of a stream are told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong and how to fix it.
    pub detail: String,
}
