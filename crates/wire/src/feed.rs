//! The records of the change feed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of change a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedKind {
    /// A user's value of a tag is another, or is said again.
    Tag,
    /// All users' values of a tag were computed again: read those that matter.
    TagPublished,
    /// A user entered or left a crowd.
    Crowd,
    /// Any user may have entered or left a crowd: read its members.
    CrowdPublished,
    /// A user was deleted or expired, with all values, and is in no crowd.
    UserDeleted,
}

/// What a user did with a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CrowdEvent {
    /// Is a member from then on.
    Enter,
    /// Is not a member any more.
    Exit,
}

/// A record of the change feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedRecord {
    /// Ascending, and never given twice.
    pub id: u64,
    /// What it is of.
    pub kind: FeedKind,
    /// Id of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Name of the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The user's value of the tag from then on; `null`: none any more. Only of the kind `tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub value: Option<Value>,
    /// Name of the crowd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crowd: Option<String>,
    /// What the user did with the crowd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<CrowdEvent>,
    /// Which version of the crowd's definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The instant that it is as of, in the app's time zone.
    pub as_of: String,
    /// The position of the log of calls up to which everything was seen then.
    pub position: u64,
}
