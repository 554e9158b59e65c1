//! Changes of tag values by hand.

use crate::reading::objects;
use crate::shape::NewValue;
use serde::{Deserialize, Serialize};

/// Changes to make: all of them, or none.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangesRequest {
    /// 1 to 100,000. Of two changes of one user and tag, the later one counts.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 100_000)]
    pub changes: Vec<ChangeBody>,
    /// `true`: an unknown id becomes a user. Otherwise such a call is refused, because unknown ids
    /// are mostly typing errors.
    #[serde(default)]
    pub create: bool,
}

/// One user's value of one tag. Exactly one of `set`, `unset`, `add` and `remove` is given.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// The user id. An unknown id becomes a user only with `create`.
    #[schema(min_length = 1, max_length = 512)]
    pub user: String,
    /// Name of the tag.
    #[schema(pattern = "^[A-Za-z_][A-Za-z0-9_]*$", max_length = 64)]
    pub tag: String,
    /// The value from now on: `true`, a number, a text, a day such as "2026-07-01", an instant
    /// such as "2026-07-01T10:00"; for a set all its members. `null`, an empty text and a set
    /// without members remove the value, as `unset`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<NewValue>)]
    pub set: Option<serde_json::Value>,
    /// `true`: the value is removed.
    pub unset: Option<bool>,
    /// A member to add to a set.
    pub add: Option<String>,
    /// A member to remove from a set.
    pub remove: Option<String>,
}

/// A field that is present, even if it is null.
fn given<'de, D: serde::Deserializer<'de>>(
    member: D,
) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(member).map(Some)
}

/// The changes are on disk now, and in every answer a tenth of a second later.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChangesAnswer {
    /// How many changes.
    pub changes: usize,
    /// The position of the last one in the app's log of changes; it rises with every change.
    pub position: u64,
    /// The position of the last one in the app's log of calls: a judgment with this as `at_least`
    /// holds the changes.
    #[schema(required)]
    pub log_position: Option<u64>,
}
