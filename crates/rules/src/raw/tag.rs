use super::journey::{RawSequence, RawSession, RawState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named, typed description of users. Exactly one of `aggregate`, `session`, `state`, `sequence`,
/// `attribute`, `cohort`, `expression` and `sql` says how it is computed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    title = "a tag",
    extend("oneOf" = [
        {"required": ["aggregate"]}, {"required": ["session"]}, {"required": ["state"]}, {"required": ["sequence"]},
        {"required": ["attribute"]}, {"required": ["cohort"]}, {"required": ["expression"]}, {"required": ["sql"]}
    ])
)]
pub(crate) struct RawTag {
    /// What this document defines.
    pub(crate) kind: TagKindWord,
    /// The tag's name, unique among tags: a letter or _, then letters, digits or _; 64 bytes at
    /// most.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub(crate) name: String,
    /// Free text for people; nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The category by which keys may be granted it: a lower-case letter, then lower-case letters,
    /// digits, - or _; 63 bytes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,62}$"))]
    pub(crate) category: Option<String>,
    /// Labels of what it holds, such as personal, sensitive or no-export. They go on to all that is
    /// computed from it; the app's `access` says what they forbid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
    /// The type of its values.
    #[serde(rename = "type")]
    pub(crate) ty: RawTagType,
    /// For `decimal`: digits after the point, 0 to 12. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 12))]
    pub(crate) scale: Option<i64>,
    /// For `date`: whole days, or instants. Default: day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) precision: Option<RawPrecision>,
    /// What keeps its values current. Default: batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<RawMode>,
    /// A function over the user's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aggregate: Option<RawAggregate>,
    /// A function over the user's sessions: events that follow one another within a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<RawSession>,
    /// A state that events and elapsed time change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<RawState>,
    /// Events that follow one another, and such that do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<RawSequence>,
    /// The latest value of this user attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attribute: Option<String>,
    /// Ordered rules over other tags: the first that holds gives the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cohort: Option<RawCohort>,
    /// A value computed from other tags, such as `coalesce(refunds, 0) / orders`; for a bool tag
    /// also a condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expression: Option<String>,
    /// A read-only SELECT over the app's tables that gives the columns user_id and value; {as_of}
    /// stands for the as-of time. Events and attributes before that time are seen;
    /// `all_events` and `all_attributes` hold those of all times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sql: Option<String>,
}

/// What keeps a tag's values current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawMode {
    /// Productions: its values are those of the last one.
    Batch,
    /// The stream: an event changes its user's value within a second, and so does time alone.
    /// Productions leave it out.
    Stream,
    /// The stream; productions write its table of each day too.
    Both,
}

/// The kind of a tag's document.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TagKindWord {
    /// A named, typed description of users.
    Tag,
}

/// The type of a tag's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawTagType {
    /// True or false.
    Bool,
    /// One text out of many.
    Enum,
    /// Several texts at once.
    Set,
    /// A whole number.
    Int,
    /// A fixed-point number with `scale` digits after the point.
    Decimal,
    /// A day, or with `precision: millisecond` an instant.
    Date,
}

/// How exact a date is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawPrecision {
    /// A calendar day.
    Day,
    /// An instant, in milliseconds.
    Millisecond,
}

/// A function over a user's events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "an aggregate")]
pub(crate) struct RawAggregate {
    /// Events of these names only. Default: of every name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<String>,
    /// What is computed.
    pub(crate) function: RawFunction,
    /// What is aggregated: a property, `time`, `event`, or an expression such as `quantity *
    /// unit_price`. Needed by all but `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// Only events for which this condition over properties holds, such as `quantity > 0`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
    /// How far back: `30d` (1d to 3660d), `12h` (1h to 8784h), `90m` (1m to 1440m) or
    /// `lifetime`, the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(lifetime|[1-9][0-9]{0,3}[dhm])$"))]
    pub(crate) window: Option<String>,
    /// For `count_distinct`: with more different values than so many, 100 to 1000000, the number is
    /// an estimate (HyperLogLog, standard error 1.6%) and what is kept of a user is bounded.
    /// Default: always exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 1000000))]
    pub(crate) exact_up_to: Option<i64>,
}

/// The function of an aggregate. None has a value where there is no event (with a value).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawFunction {
    /// How many events (with a value, if one is named). An int.
    Count,
    /// The exact sum. An int or a decimal.
    Sum,
    /// The mean, rounded half away from zero. A decimal.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// How many different values. An int.
    CountDistinct,
    /// The value of the first event.
    First,
    /// The value of the last event.
    Last,
    /// The most frequent value; of several the smallest.
    MostFrequent,
    /// All values seen, 1000 at most. A set.
    Set,
}

/// Ordered rules: the first that holds gives the value.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a cohort")]
pub(crate) struct RawCohort {
    /// The rules, tried in order.
    pub(crate) rules: Vec<RawCohortRule>,
    /// The value when no rule holds. Default: no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) otherwise: Option<RawValue>,
}

/// One rule of a cohort.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a rule of a cohort")]
pub(crate) struct RawCohortRule {
    /// A condition over other tags, such as `spend_365d >= 5000`.
    pub(crate) when: String,
    /// The value given.
    pub(crate) value: RawValue,
}

/// A value, of the tag's type.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawValue {
    /// For a bool tag.
    Bool(bool),
    /// For an int or decimal tag.
    Int(i64),
    /// For a decimal tag.
    Number(f64),
    /// For an enum, set or date tag.
    Text(String),
    /// For a set tag.
    Texts(Vec<String>),
    /// For a decimal tag: a number of more digits than YAML or JSON numbers keep.
    Decimal(RawDecimal),
}

/// A decimal as text.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a decimal")]
pub(crate) struct RawDecimal {
    /// Its digits, such as "1.50".
    pub(crate) decimal: String,
}
