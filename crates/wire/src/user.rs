//! Users who go.

use crate::shape::{Expression, TagValue, UserId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Names the users to delete.
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
    /// When, ISO 8601 with the app's offset.
    pub deleted_at: String,
    /// The ids that the dictionary held and holds no more.
    pub users: Vec<String>,
    /// Ids asked for that it did not hold. Their deletion is remembered: no production makes users
    /// of what came before it.
    pub unknown: Vec<String>,
    /// The values that were taken away.
    pub tags: Vec<ReceiptTagBody>,
    /// `hidden`: no version of a crowd answers with the users any more. The files of the versions,
    /// and the dictionary's, are free of them within about a minute, while a server runs.
    pub crowds: Cow<'static, str>,
    /// The position of the deletion in the app's log of changes. The index's files are free of the
    /// users when a flush has passed it, seconds later. `null`: the index had nothing of them.
    pub position: Option<u64>,
    /// `kept`: events and attributes in the lake are not touched. No production makes a user of
    /// them again: only what is newer than the deletion does.
    pub lake: Cow<'static, str>,
}

/// A value that was taken away.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceiptTagBody {
    /// Of which user.
    pub user: String,
    /// Of which tag.
    pub tag: String,
    /// What it was.
    #[schema(value_type = TagValue)]
    pub value: serde_json::Value,
}

/// Says which users expire.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactRequest {
    /// Users for whom it holds expire, such as `last_seen < "2025-10-01"`; text or JSON. Default:
    /// nobody.
    #[schema(value_type = Option<Expression>)]
    pub expire: Option<serde_json::Value>,
}
