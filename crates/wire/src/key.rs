//! Keys.

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
