use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named set of users, given by a condition over tags and other crowds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a crowd")]
pub(crate) struct RawCrowd {
    /// What this document defines.
    pub(crate) kind: CrowdKind,
    /// The crowd's name, unique among crowds: a letter or _, then letters, digits or _; 64 bytes
    /// at most.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub(crate) name: String,
    /// Free text for people; nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Who is in it, such as `spend_365d >= 5000 && !(refunds_90d >= 1)`. Operators: && || ! == !=
    /// < <= > >=, in (…), between … and …, like 'a%', is set, crowd("other").
    pub(crate) expression: String,
    /// Whether the crowd is of the values that its tags have now, and not of those of the last
    /// production. Each tag in the expression must be live, too: `mode: stream` or `mode: both`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) live: bool,
}

/// The kind of a crowd's document.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CrowdKind {
    /// A named set of users.
    Crowd,
}
