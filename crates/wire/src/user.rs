//! Deletion and expiry of users.

use crate::shape::{Expression, TagValue, UserId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The users to delete.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// User ids, 10,000 at most.
    #[schema(min_items = 1, max_items = 10_000, value_type = Vec<UserId>)]
    pub users: Vec<String>,
}

/// What a deletion touched.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceiptBody {
    /// The id under which a receipt without ids and values is kept.
    pub receipt: String,
    /// When, ISO 8601 with the app's offset.
    pub deleted_at: String,
    /// The ids that were deleted from the dictionary.
    pub users: Vec<String>,
    /// Ids asked for that were unknown. Their deletion is remembered: no production creates users
    /// from data older than the deletion.
    pub unknown: Vec<String>,
    /// The values that were removed.
    pub tags: Vec<ReceiptTagBody>,
    /// `hidden`: no version of a crowd contains the users any more. They are removed from the
    /// files of the versions and of the dictionary within about a minute, while a server runs.
    pub crowds: Cow<'static, str>,
    /// The position of the deletion in the app's log of changes. The users are removed from the
    /// files of the index when a flush has passed it, seconds later. `null`: the index did not
    /// contain them.
    pub position: Option<u64>,
    /// The position of the deletion in the app's log of calls: a judgment with this as `at_least`
    /// holds it.
    #[schema(required)]
    pub log_position: Option<u64>,
    /// `kept`: events and attributes in the lake are not touched. Productions create the user
    /// again only from data newer than the deletion.
    pub lake: Cow<'static, str>,
}

/// A value that was removed.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceiptTagBody {
    /// The user id.
    pub user: String,
    /// The tag.
    pub tag: String,
    /// The value.
    #[schema(value_type = TagValue)]
    pub value: serde_json::Value,
}

/// Which users expire.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactRequest {
    /// Expire the users who match this, such as `last_seen < "2025-10-01"`; text or JSON. Default:
    /// nobody.
    #[schema(value_type = Option<Expression>)]
    pub expire: Option<serde_json::Value>,
}
