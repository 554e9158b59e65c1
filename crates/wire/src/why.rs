//! Why a user is in a crowd, or is not.

use crate::shape::TagValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

/// A judgment and its reasons.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyBody {
    /// The user id.
    pub user: String,
    /// The crowd's name.
    pub crowd: String,
    /// Whether the user is in the crowd, as a judgment says.
    pub in_crowd: bool,
    /// `unknown_user` where the user has never been seen.
    #[schema(required)]
    pub reason: Option<Cow<'static, str>>,
    /// Whether the crowd is live. Then the rule as it holds now is the judgment.
    pub live: bool,
    /// The version that the judgment is of; `null` of a live crowd, which has none.
    #[schema(required)]
    pub version: Option<WhyVersion>,
    /// How old the judgment is, in ms, as the judgment's `age_ms`.
    pub age_ms: u64,
    /// What the definition says of this user, whatever the rule says: `always` and `never` name the
    /// user, and `holdout` keeps them out for comparison. `null`: nothing.
    #[serde(default)]
    #[schema(required)]
    pub exception: Option<WhyException>,
    /// The rule as it is defined, evaluated on the values of now; `null` for a user never seen, and of
    /// a crowd that is not made by a rule.
    #[schema(required)]
    pub rule: Option<WhyPart>,
    /// Whether the definition, evaluated now, says otherwise than the version: values or the rule have
    /// changed since the version was computed. The judgment is the version's until the next one.
    pub differs: bool,
    /// Why the rule is left out: it asks a value that the key may not see, and its parts would tell it.
    /// `null`: it is not left out for that.
    #[serde(default)]
    #[schema(required)]
    pub masked: Option<String>,
    /// The position of the log that the answer holds, where `at_least` asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// What a definition says of a user, whatever the rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhyException {
    /// The user is in the crowd.
    Always,
    /// The user is not in it.
    Never,
    /// The user is not in it, for comparison.
    Holdout,
}

/// The version that a judgment is of.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyVersion {
    /// Its number.
    pub version: u64,
    /// When it was published, ISO 8601 with the app's offset.
    pub created_at: String,
    /// The oldest as-of time of the tags that it was computed from, ISO 8601 with the app's offset;
    /// `null`: it used none.
    #[schema(required)]
    pub as_of: Option<String>,
    /// The newest, if it differs.
    #[schema(required)]
    pub newest_as_of: Option<String>,
    /// The rule that it was computed by, if that is another than the one defined now.
    #[schema(required)]
    pub former_rule: Option<String>,
}

/// A part of a rule, and whether it holds for the user.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyPart {
    /// What it says, in the crowd language. A text of more than 1,000 characters is cut off and ends
    /// in `…`.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// How its parts go together, or that it has none.
    pub kind: WhyKind,
    /// Its parts; of `not` one, of a condition none.
    #[schema(no_recursion)]
    pub parts: Vec<WhyPart>,
    /// Of a condition: the tags that it asks.
    pub tags: Vec<WhyTag>,
    /// Of a condition: the crowds that it asks.
    pub crowds: Vec<WhyCrowd>,
}

/// How the parts of a rule go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhyKind {
    /// All parts must hold.
    And,
    /// One part must hold.
    Or,
    /// The part must not hold.
    Not,
    /// There are no parts: a condition on tags or crowds.
    Condition,
}

/// A tag that a condition asks.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyTag {
    /// The tag's name; `null` for what `did(…)` and `sequence(…)` count, which has no name.
    #[schema(required)]
    pub tag: Option<String>,
    /// The user's value; `null`: the user has none, and a condition on it does not hold.
    #[schema(required, value_type = Option<TagValue>)]
    pub value: Option<Value>,
    /// The instant that the value is as of, ISO 8601 with the app's offset.
    pub as_of: String,
    /// Whether the tag is live.
    pub live: bool,
}

/// A crowd that a condition asks.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyCrowd {
    /// The crowd's name.
    pub crowd: String,
    /// Whether the user is in it.
    pub in_crowd: bool,
    /// The version that says so; 0 of a live crowd, which has none.
    pub version: u64,
    /// Whether the crowd is live.
    pub live: bool,
}
