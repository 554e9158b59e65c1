//! Keys.

use crate::reading::whole;
use crate::shape::KeyRole;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A key to create.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// `admin`, `editor`, `viewer`, `write` or `judge`.
    #[schema(value_type = KeyRole)]
    pub role: String,
    /// The app that it is for; absent: all apps.
    #[schema(pattern = "^[a-z][a-z0-9_-]*$", min_length = 1, max_length = 63)]
    pub app: Option<String>,
    /// Free text for people; nothing depends on it.
    #[serde(default)]
    pub note: String,
    /// What it may do beyond or instead of what its role may: `crowd:NAME=RIGHTS`, `tag:NAME=RIGHTS`
    /// and `category:NAME=RIGHTS`, with patterns such as `vip_*` for names and rights out of `view`,
    /// `edit`, `activate` and `judge`: with one of these the key is limited to what they name.
    /// `label:NAME` shows values that the label masks, `exact` numbers as they are. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000)]
    pub grants: Vec<String>,
    /// When it stops to work: an instant such as `2027-01-01T00:00:00Z`, or after how long, such as
    /// `90d`. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How many requests it may make in a second, 1 to 1,000,000. Absent: as many as the server says.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub requests_per_second: Option<u32>,
    /// How many it may make at once after a pause, 1 to 1,000,000. Absent: as many as in a second.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub burst: Option<u32>,
}

/// How a key gets another secret.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// How long the secret that it has still works, such as `1h`, at most `30d`; `0s`: not at all.
    /// Default: `1d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
    /// When the key stops to work from now on: an instant or after how long, as when it was made;
    /// `never`. Absent: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// A key, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyBody {
    /// The key's id.
    pub id: String,
    /// `admin`, `editor`, `viewer`, `write` or `judge`.
    #[schema(value_type = KeyRole)]
    pub role: Cow<'static, str>,
    /// The app that it is for; `null`: all apps.
    #[schema(required)]
    pub app: Option<String>,
    /// Free text for people; nothing depends on it.
    pub note: String,
    /// Milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// When it was revoked, in milliseconds since 1970 UTC; `null`: it is valid.
    #[schema(required)]
    pub revoked_ms: Option<i64>,
    /// What it may do beyond or instead of what its role may.
    #[serde(default)]
    #[schema(required)]
    pub grants: Vec<String>,
    /// When it stops to work, or did, in milliseconds since 1970 UTC; `null`: never.
    #[serde(default)]
    #[schema(required)]
    pub expires_ms: Option<i64>,
    /// Until when the secret before the last rotation works; `null`: it was never rotated.
    #[serde(default)]
    #[schema(required)]
    pub former_until_ms: Option<i64>,
    /// When it was last used; `null`: never.
    #[serde(default)]
    #[schema(required)]
    pub used_ms: Option<i64>,
    /// How many requests it may make in a second; `null`: as many as the server says.
    #[serde(default)]
    #[schema(required)]
    pub requests_per_second: Option<u32>,
    /// How many it may make at once; `null`: as many as the server says.
    #[serde(default)]
    #[schema(required)]
    pub burst: Option<u32>,
}

/// All keys of the data folder.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyList {
    /// In the order in which they were made.
    pub keys: Vec<KeyBody>,
}

/// A new key, with its secret: shown this once, stored nowhere.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedKey {
    #[serde(flatten)]
    #[allow(
        missing_docs,
        reason = "its fields stand beside the secret, and the description has no place for it"
    )]
    pub key: KeyBody,
    /// The secret that callers send.
    pub secret: String,
}
