use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A function over a user's sessions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a session tag")]
pub(crate) struct RawSession {
    /// Sessions of events of these names only. Default: of every name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<String>,
    /// Only events for which this condition over properties holds.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
    /// An event that comes later than this after the one before begins a session: `30m`, `2h`,
    /// `45s`, `1d`. Default: 30m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,6}[smhd]$"))]
    pub(crate) gap: Option<String>,
    /// What is computed.
    pub(crate) function: RawSessionFunction,
    /// How far back, as for an aggregate. Default: lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(lifetime|[1-9][0-9]{0,3}[dhm])$"))]
    pub(crate) window: Option<String>,
}

/// The function of a session tag.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSessionFunction {
    /// How many sessions. An int.
    Count,
    /// How many sessions of one event. An int.
    Bounces,
    /// How many events they have. An int.
    Events,
    /// How long they are, first to last event, added up, in whole seconds. An int.
    Seconds,
    /// How long the longest is, in whole seconds. An int.
    LongestSeconds,
    /// The mean number of events. A decimal.
    AvgEvents,
    /// The mean length in seconds. A decimal.
    AvgSeconds,
    /// The share of sessions of one event, 0 to 1. A decimal.
    BounceRate,
    /// When the last one began. A date.
    LastStart,
}

/// A state that events and elapsed time change.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a state tag")]
pub(crate) struct RawState {
    /// The state before any transition, of users with an event that a transition names. Default:
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) initial: Option<String>,
    /// Tried in order.
    pub(crate) transitions: Vec<RawTransition>,
    /// What of it is the value. Default: state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<RawStateValue>,
}

/// A change of state, by an event (`events`, `where`) or by elapsed time (`after`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a transition")]
pub(crate) struct RawTransition {
    /// From these states only. Default: from any, and where there is none yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) from: Vec<String>,
    /// The state from then on. To enter the state that it is in begins it again.
    pub(crate) to: String,
    /// At an event of one of these names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<String>,
    /// Only events for which this condition over properties holds.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
    /// When the state has lasted so long: `30d`, `12h`, `45m`, `90s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,6}[smhd]$"))]
    pub(crate) after: Option<String>,
}

/// What of a state is the value.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawStateValue {
    /// The state. An enum.
    State,
    /// When it was entered. A date.
    Since,
    /// How long it has lasted, in whole hours. An int.
    Hours,
    /// How long it has lasted, in whole days of 24 hours. An int.
    Days,
}

/// Events that follow one another.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a sequence tag")]
pub(crate) struct RawSequence {
    /// One after the other.
    pub(crate) steps: Vec<RawStep>,
    /// The last event comes within this time after the first: `7d`, `2h`, `45m`, `90s`. Default:
    /// whenever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,6}[smhd]$"))]
    pub(crate) within: Option<String>,
    /// What of it is the value. Default: completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<RawSequenceValue>,
    /// How far back, as for an aggregate. Default: lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(lifetime|[1-9][0-9]{0,3}[dhm])$"))]
    pub(crate) window: Option<String>,
}

/// One step of a sequence.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a step of a sequence")]
pub(crate) struct RawStep {
    /// Events of these names.
    pub(crate) events: Vec<String>,
    /// Only events for which this condition over properties holds.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
    /// A property whose value is the same in all steps that name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) same: Option<String>,
    /// So many such events, 1 to 20. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub(crate) times: Option<i64>,
    /// There is no such event between the steps before and after; as the last step, none `within`
    /// the time given there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) absent: Option<bool>,
    /// Of a last step that is `absent`: for so long after the step before there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,6}[smhd]$"))]
    pub(crate) within: Option<String>,
}

/// What of a sequence is the value.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSequenceValue {
    /// Whether it was completed. A bool.
    Completed,
    /// How often it was. After a completion it begins again with the events behind it. An int.
    Completions,
    /// How many steps the furthest attempt has come. An int.
    Furthest,
    /// When it was completed the last time. A date.
    CompletedAt,
}
