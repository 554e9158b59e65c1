//! Which crowds hold a user.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The crowds that a user is in, of those that are defined.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserCrowdsBody {
    /// The id, as it was given.
    pub user: String,
    /// The crowds, in order of their names.
    pub crowds: Vec<UserCrowdBody>,
    /// `unknown_user` where the user has never been seen.
    #[schema(required)]
    pub reason: Option<Cow<'static, str>>,
    /// Crowds that cannot say whether the user is in them, such as those that were never computed:
    /// 100 at most.
    pub unanswered: Vec<UnansweredBody>,
    /// How many they are.
    pub unanswered_count: u64,
    /// How many ms ago the catalog last confirmed that these are the current versions, or the
    /// instant was that live crowds are as of, as for one judgment: the longest of these times.
    pub age_ms: u64,
}

/// A crowd that a user is in.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserCrowdBody {
    /// The crowd's name.
    pub crowd: String,
    /// The version that says so; 0 of a live crowd, which has none.
    pub version: u64,
    /// Whether the crowd is live.
    pub live: bool,
}

/// A crowd that cannot answer.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UnansweredBody {
    /// The crowd's name.
    pub crowd: String,
    /// The reason, and the fix.
    pub why: String,
}
