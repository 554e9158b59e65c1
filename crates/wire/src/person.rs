//! All that is kept of one user, as JSON lines.

use crate::{LinkLine, LinkedIdBody};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A line of what is kept of a user. `kind` says which.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UserLine {
    /// The first line: who it is.
    User(UserHead),
    /// An id that became the user's, or its own again.
    Link(LinkLine),
    /// A value of an attribute as it came.
    Attribute(AttributeLine),
    /// An event as it came.
    Event(EventLine),
    /// A value that was changed by hand.
    Change(HandChangeLine),
    /// The present value of a tag.
    Tag(TagLine),
    /// A crowd that the user is in now.
    Crowd(CrowdLine),
    /// That the user entered or left a crowd.
    Membership(MembershipLine),
    /// The last line: without it the export is cut off.
    End(EndLine),
}

/// Who an export is of.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserHead {
    /// The user.
    pub user: String,
    /// The ids that belong to the user beside that one, by id.
    pub ids: Vec<LinkedIdBody>,
    /// When it was exported, ISO 8601 with the app's offset.
    pub exported_at: String,
}

/// A value of an attribute.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttributeLine {
    /// The id under which it came.
    pub user_id: String,
    /// Name of the attribute.
    pub name: String,
    /// The value as it came; `null`: it was taken away.
    pub value: Option<String>,
    /// Since when it holds, ISO 8601 with the app's offset.
    pub time: String,
    /// When it came in.
    pub received_at: String,
    /// Of the message or row that brought it.
    pub message_id: String,
    /// Name of the source.
    pub source: String,
}

/// An event.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventLine {
    /// The id under which it came.
    pub user_id: String,
    /// Name of the event.
    pub event: String,
    /// When it happened, ISO 8601 with the app's offset.
    pub time: String,
    /// When it came in.
    pub received_at: String,
    /// Of the message or row that brought it.
    pub message_id: String,
    /// Name of the source.
    pub source: String,
    /// The properties that the app defines, of those that the event has, by name.
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
    /// What else it brought; `null`: nothing.
    pub other: Option<Value>,
}

/// A value changed by hand.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HandChangeLine {
    /// The id under which it was changed.
    pub user_id: String,
    /// Name of the tag.
    pub tag: String,
    /// `set`, `unset`, `add` or `remove`.
    pub op: String,
    /// The value as text.
    pub value: Option<String>,
    /// When, ISO 8601 with the app's offset.
    pub time: String,
}

/// The present value of a tag.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TagLine {
    /// Name of the tag.
    pub tag: String,
    /// The value, as profiles have it.
    pub value: Value,
    /// The instant that it is as of, ISO 8601 with the app's offset.
    pub as_of: String,
}

/// A crowd that the user is in.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CrowdLine {
    /// Name of the crowd.
    pub crowd: String,
}

/// That the user entered or left a crowd.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MembershipLine {
    /// The id under which it was noted.
    pub user_id: String,
    /// Name of the crowd.
    pub crowd: String,
    /// `enter` or `exit`.
    pub event: String,
    /// When, ISO 8601 with the app's offset.
    pub time: String,
}

/// The end of an export.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndLine {
    /// Lines before this one.
    pub lines: u64,
}
