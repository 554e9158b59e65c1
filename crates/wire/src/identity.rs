//! Which ids belong to one user.

use crate::shape::UserId;
use serde::{Deserialize, Serialize};

/// A user with all ids.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IdentityBody {
    /// The id that was asked for.
    pub id: String,
    /// The user whose id it is. The same, if it is its own user's.
    pub user: String,
    /// The ids that belong to the user beside that one, by id.
    pub ids: Vec<LinkedIdBody>,
    /// The links of these ids and the ends of links that have landed, the latest first; 1,000 at
    /// most.
    pub log: Vec<LinkLine>,
}

/// An id that belongs to a user.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LinkedIdBody {
    /// The id.
    pub id: String,
    /// Name of its type, such as `anonymous`.
    pub id_type: String,
}

/// A link, or the end of one.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LinkLine {
    /// When, ISO 8601 with the app's offset.
    pub at: String,
    /// `link` or `unlink`.
    pub event: String,
    /// The id.
    pub id: String,
    /// Name of its type.
    pub id_type: String,
    /// The user whose it became, or was.
    pub user: String,
    /// Id of the call that said so. `null`: somebody did by hand, or the user was deleted.
    pub message_id: Option<String>,
}

/// An id to make a user's.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// The id.
    #[schema(value_type = UserId)]
    pub id: String,
    /// Name of its type: `user`, `anonymous`, `email`, `phone`, `device`, or one of the app's own.
    pub id_type: String,
    /// One of the user's ids.
    #[schema(value_type = UserId)]
    pub user: String,
}

/// An id to make its own user's again.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnlinkRequest {
    /// The id.
    #[schema(value_type = UserId)]
    pub id: String,
}
