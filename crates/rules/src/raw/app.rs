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
    /// What labels forbid, and how small the groups are that numbers may show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<RawAccess>,
}

/// What labels forbid, and how small the groups are that numbers may show.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "access to an app's data")]
pub(crate) struct RawAccess {
    /// By label, what is forbidden with all that has it. Default: `no-export` forbids export and
    /// activate, `sensitive` masks; a label that stands here with an empty list forbids nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, Vec<RawUse>>,
    /// The smallest number of users, 2 to 1000000, that a number may tell from nobody: numbers of
    /// users are rounded down to multiples of it, and smaller crowds are not exported. Keys with the
    /// grant `exact` see exact numbers. Default: numbers are exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000000))]
    pub(crate) min_audience: Option<i64>,
}

/// A use of tags and crowds that a label forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawUse {
    /// Counts, sizes, distributions.
    View,
    /// Questions about single users who are named.
    Judge,
    /// Seeing who they are, many at once: lists, samples, exports, changes as they happen.
    Export,
    /// Sinks, which send changes to other systems.
    Activate,
    /// Values of single users, and whether a condition on them holds, except for keys with the grant
    /// `label:` of the label.
    Mask,
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
