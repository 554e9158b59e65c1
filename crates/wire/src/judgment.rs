//! Judgments, and what is known of a user.

use crate::shape::TagValue;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The answer to one judgment.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JudgmentBody {
    /// The user id.
    pub user: String,
    /// The crowd's name.
    pub crowd: String,
    /// Whether the user is in the crowd.
    pub in_crowd: bool,
    /// The crowd's version that was asked; 0 of a live crowd, which has none.
    pub version: u64,
    /// `unknown_user` where the user has never been seen.
    #[schema(required)]
    pub reason: Option<Cow<'static, str>>,
    /// How many ms ago the catalog last confirmed that this is the crowd's current version.
    /// Versions that this server publishes take effect at once; more than a few seconds mean
    /// that the catalog does not answer. Of a live crowd: how many ms ago the instant was that its
    /// tags' values are as of.
    pub age_ms: u64,
    /// Whether the crowd is live.
    #[serde(default)]
    pub live: bool,
    /// Of a member of a crowd that is split, the arm; not there if the user is in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// The position of the log that the answer holds, where `at_least` asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// The tag values of a user.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProfileBody {
    /// The user id.
    pub user: String,
    /// Tag values by name; tags without a value are absent.
    #[schema(value_type = BTreeMap<String, TagValue>)]
    pub tags: serde_json::Map<String, serde_json::Value>,
    /// The as-of time of each of these tags, ISO 8601 with the app's offset.
    pub as_of: BTreeMap<String, String>,
    /// Tags whose value the key may not see, with the label that masks it.
    #[serde(default)]
    #[schema(required)]
    pub masked: BTreeMap<String, String>,
}
