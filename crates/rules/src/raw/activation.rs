use super::sink::RawSinkTopic;
use super::webhook::RawWebhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A crowd that is sent somewhere: to a file, to an HTTP server, to Redis, to PostgreSQL or to Kafka.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "an activation")]
pub(crate) struct RawActivation {
    /// What this document defines.
    pub(crate) kind: ActivationKind,
    /// The activation's name, unique among activations: a letter or _, then letters, digits or _; 64
    /// bytes at most.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub(crate) name: String,
    /// Free text for people; nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The crowd that is sent.
    pub(crate) crowd: String,
    /// Where it is sent.
    pub(crate) to: RawDestination,
    /// `full`: all users each time. `delta`: who entered and who left since the last delivery; the
    /// first one is of all users. Default: full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) send: Option<RawSend>,
    /// What the column with the user ids is called. Default: user_id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"))]
    pub(crate) id: Option<String>,
    /// Tags that are sent along: the name of each column, and its tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) fields: BTreeMap<String, String>,
    /// Crowds whose users are never sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unless: Vec<String>,
    /// A tag of type bool: only users of whom it is true are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) consent: Option<String>,
    /// `by_hand`: when somebody asks for it. `version`: also when another version of the crowd answers.
    /// Default: by_hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RawRun>,
    /// How often it is sent besides, such as 6h or 1d; at least 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) every: Option<String>,
    /// Of several that wait, the one with the highest number is sent first: 0 to 100. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub(crate) priority: Option<u32>,
    /// How long a destination that does not work is tried before a run fails, as 90s, 30m or 12h, up to
    /// 7d. Default: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_for: Option<String>,
}

/// The kind of an activation's document.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ActivationKind {
    /// A crowd that is sent somewhere.
    Activation,
}

/// Which users are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSend {
    /// All users.
    Full,
    /// Who entered and who left.
    Delta,
}

/// When it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawRun {
    /// When somebody asks for it.
    ByHand,
    /// When another version of the crowd answers.
    Version,
}

/// Where a crowd is sent: one of these alone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a destination")]
pub(crate) struct RawDestination {
    /// A file in the folder that the operator has chosen for activations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<RawFile>,
    /// An HTTP server, which gets users in signed requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<RawWebhook>,
    /// Redis, where applications ask whether a user is in the crowd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<RawRedis>,
    /// A table of PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postgresql: Option<RawPostgresql>,
    /// A topic of Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kafka: Option<RawSinkTopic>,
}

/// A file. It is written beside its place and moved there once it is whole.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a file")]
pub(crate) struct RawFile {
    /// Where it lies below the folder of the app, such as vip/{version}.csv. {version} stands for the
    /// version of the crowd, {delivery} for the number of the delivery; without them each delivery
    /// takes the place of the one before.
    pub(crate) path: String,
    /// How it is written. `roaring` and `roaring64` are the users' ordinals as a portable Roaring
    /// bitmap. Default: csv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<RawFileFormat>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawFileFormat {
    /// RFC 4180 with a header line.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Parquet.
    Parquet,
    /// Ordinals, 32 bits.
    Roaring,
    /// Ordinals, 64 bits.
    Roaring64,
}

/// Redis.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a destination in Redis")]
pub(crate) struct RawRedis {
    /// Its address, by reference: ${ACTIVATE_REDIS_URL} with redis://user:password@host:6379/0 or
    /// rediss://… in it, or ${file:redis-url}.
    pub(crate) url: String,
    /// What its keys begin with. Default: taghouse:APP:CROWD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub(crate) key: Option<String>,
}

/// A table of PostgreSQL.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a table of PostgreSQL")]
pub(crate) struct RawPostgresql {
    /// Its address, by reference: ${ACTIVATE_PG_URL} with postgresql://user:password@host:5432/database
    /// in it, or ${file:pg-url}.
    pub(crate) url: String,
    /// The table, such as vip_members or marketing.vip_members. It is made if it is not there.
    pub(crate) table: String,
}
