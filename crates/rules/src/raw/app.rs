use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Which ids belong to one user. Without this section no call merges ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identities: Option<RawIdentities>,
}

/// How calls link ids to users: `identify` with an `anonymousId` or `externalIds`, and `alias`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "identities of an app")]
pub(crate) struct RawIdentities {
    /// Types of ids by name, beside `user`, `anonymous`, `email`, `phone` and `device`, whose limits
    /// can be set here too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) types: BTreeMap<String, RawIdType>,
    /// Values that are nobody's id, beside the usual ones such as `null`, `undefined`, `0` and
    /// `anonymous`. Case and blanks around make no difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blocked: Vec<String>,
    /// Whether an `alias` or a link by hand may merge two users who are both known by their own id.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) merge_known_users: Option<bool>,
}

/// A type of ids.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a type of ids")]
pub(crate) struct RawIdType {
    /// How many ids of the type one user has at most, 1 to 10000. Default: 100 of `anonymous`, 50
    /// of `device`, 10 of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub(crate) limit: Option<i64>,
    /// Of several ids in one call those of the lowest number are linked first. Default: 1 for
    /// `user`, 2 `email`, 3 `phone`, 4 `device`, 5 `anonymous`, 9 for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) priority: Option<i64>,
}

/// The kind of an app's document.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AppKind {
    /// The app itself.
    App,
}
