//! Changes of tag values by hand.

use crate::reading::objects;
use crate::shape::NewValue;
use serde::{Deserialize, Serialize};

/// Changes, all of which are made, or none.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangesRequest {
    /// 1 to 100,000. Of two of one user and tag the later counts.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 100_000)]
    pub changes: Vec<ChangeBody>,
    /// `true`: an id that was never seen becomes a user. Otherwise such a call is refused, for the
    /// id is mostly a slip.
    #[serde(default)]
    pub create: bool,
}

/// One user's value of one tag. Just one of `set`, `unset`, `add` and `remove` is given.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// The user id. One that was never seen becomes a user with `create` only.
    #[schema(min_length = 1, max_length = 512)]
    pub user: String,
    /// Name of the tag.
    #[schema(pattern = "^[A-Za-z_][A-Za-z0-9_]*$", max_length = 64)]
    pub tag: String,
    /// The value from now on: `true`, a number, a text, a day such as "2026-07-01", an instant
    /// such as "2026-07-01T10:00"; for a set all its members. `null`, an empty text and a set
    /// without members: no value any more, as `unset`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<NewValue>)]
    pub set: Option<serde_json::Value>,
    /// `true`: no value any more.
    pub unset: Option<bool>,
    /// One more member of a set.
    pub add: Option<String>,
    /// One member less.
    pub remove: Option<String>,
}

/// A member that is there, be it null.
fn given<'de, D: serde::Deserializer<'de>>(
    member: D,
) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(member).map(Some)
}

/// What is on disk now, and in every answer a tenth of a second later.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChangesAnswer {
    /// How many changes.
    pub changes: usize,
    /// The position of the last one in the app's log of changes; it rises with every change.
    pub position: u64,
}
