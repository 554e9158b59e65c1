//! The users who match an expression, page by page.

use crate::reading::whole;
use crate::shape::Expression;
use serde::{Deserialize, Serialize};

/// A question for a page of users.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PageRequest {
    /// Text such as `orders_30d >= 2`, or the same as JSON.
    #[schema(value_type = Expression)]
    pub expression: serde_json::Value,
    /// The `next` of the previous page; `null` or absent: the first page.
    pub after: Option<String>,
    /// How many users, 1 to 10,000; default 1,000.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub limit: Option<usize>,
}

/// A page of users.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PageAnswer {
    /// User ids, in the order in which the users were first seen. Publications between two pages
    /// do not change it.
    pub users: Vec<String>,
    /// What to send as `after` for the next page; `null`: there is none.
    #[schema(required)]
    pub next: Option<String>,
    /// How many users match, on all pages together.
    pub count: u64,
    /// The index's revision that answered. Pages of one revision are one cut.
    pub revision: u64,
}
