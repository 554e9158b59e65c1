//! Users who are like those of a crowd.

use crate::ContrastBody;
use crate::shape::Expression;
use serde::{Deserialize, Serialize};

/// Whom others are to be like.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookalikeRequest {
    /// The crowd: text such as `crowd("big_spenders")`, or JSON.
    #[schema(value_type = Expression)]
    pub expression: serde_json::Value,
    /// Of whom others are looked for: text or JSON. Default: all users.
    #[schema(value_type = Option<Expression>)]
    pub among: Option<serde_json::Value>,
    /// The tags by whose values users are alike, 1 to 100. Numbers are cut at the deciles of all.
    #[schema(min_items = 1, max_items = 100)]
    pub tags: Vec<String>,
}

/// What the users of a crowd have in common, and how many others are like them.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LookalikeAnswer {
    /// The values that tell them from others, the most significant first; at most 200.
    pub affinities: Vec<AffinityBody>,
    /// How like they are, from the fewest users to the most; empty if no value tells them apart.
    pub curve: Vec<ReachBody>,
    /// How many users the crowd has.
    pub seed: u64,
    /// How many others there are.
    pub candidates: u64,
    /// The index's revision that answered.
    pub revision: u64,
}

/// A value that tells the users of a crowd from others.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AffinityBody {
    /// How it is spread over the crowd and all.
    pub contrast: ContrastBody,
    /// What it adds to the score of a user who has it: the natural logarithm of the ratio of the
    /// shares.
    pub weight: f64,
}

/// Some of the others: those with the highest scores, above 0.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReachBody {
    /// How many.
    pub users: u64,
    /// Their share of all others, 0 to 1.
    pub share: f64,
    /// The lowest score among them.
    pub least_score: f64,
    /// Their mean score divided by that of the crowd's own users: at 1 they are as alike.
    pub similarity: f64,
    /// The share of the crowd's own users who have such a score, 0 to 1.
    pub recall: f64,
}
