use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The app itself: exactly one in a set of definitions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "an app")]
pub(crate) struct RawApp {
    /// What this document defines.
    pub(crate) kind: AppKind,
    /// The app's id: a lower-case letter, then lower-case letters, digits, - or _; 63 bytes at
    /// most.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,62}$"))]
    pub(crate) id: String,
    /// The IANA time zone in which days begin and dates are read, such as Europe/London. Default:
    /// UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_zone: Option<String>,
    /// Free text for people; nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

/// The kind of an app's document.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AppKind {
    /// The app itself.
    App,
}
