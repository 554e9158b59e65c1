//! What an activation says: which crowd is sent where, and how.

use crate::{KafkaTopic, Webhook};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::Name;

/// `kind: activation`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationDefinition {
    /// The name, unique in the app.
    pub name: Name,
    /// Free text for people; nothing depends on it.
    pub description: Option<String>,
    /// The crowd that is sent.
    pub crowd: Name,
    /// Where it is sent.
    pub to: Destination,
    /// Which users are sent.
    pub send: SendMode,
    /// The name of the column with the user ids.
    pub id: String,
    /// The tags that are sent along, by the name of their column.
    pub fields: BTreeMap<String, Name>,
    /// Crowds whose users are never sent.
    pub unless: BTreeSet<Name>,
    /// A tag that must be true of users who are sent.
    pub consent: Option<Name>,
    /// Whether another version of the crowd is sent once it answers.
    pub on_version: bool,
    /// How often it is sent besides, in ms.
    pub every_ms: Option<i64>,
    /// Of several that wait, the highest is sent first.
    pub priority: u32,
    /// How long a destination that does not work is tried, in ms.
    pub retry_for_ms: i64,
}

/// Which users are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendMode {
    /// All of them, each time.
    Full,
    /// Who entered and who left since the last delivery.
    Delta,
}

impl SendMode {
    /// As the YAML says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
        }
    }
}

/// Where a crowd is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file in the operator's folder.
    File(FileDestination),
    /// An HTTP server. Its `retry_for_ms` is the activation's.
    Webhook(Webhook),
    /// Redis.
    Redis(RedisDestination),
    /// A table of PostgreSQL.
    Postgresql(PostgresqlDestination),
    /// A topic. It has no group.
    Kafka(KafkaTopic),
}

impl Destination {
    /// As the YAML says it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Webhook(_) => "webhook",
            Self::Redis(_) => "redis",
            Self::Postgresql(_) => "postgresql",
            Self::Kafka(_) => "kafka",
        }
    }

    /// Where that is, for people: with the names of secrets, not with what they stand for.
    pub fn place(&self) -> String {
        match self {
            Self::File(file) => file.path.clone(),
            Self::Webhook(webhook) => webhook.url.clone(),
            Self::Redis(redis) => redis.url.clone(),
            Self::Postgresql(postgresql) => format!("{} {}", postgresql.url, postgresql.table),
            Self::Kafka(topic) => topic.topic.clone(),
        }
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDestination {
    /// Below the app's folder, with `{version}` and `{delivery}` as they were written.
    pub path: String,
    /// `csv`, `jsonl`, `parquet`, `roaring` or `roaring64`.
    pub format: &'static str,
}

/// Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisDestination {
    /// A reference, as [`crate::SettingPart`] reads it.
    pub url: String,
    /// What keys begin with; `None`: the app's and the crowd's name.
    pub key: Option<String>,
}

/// A table of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresqlDestination {
    /// A reference, as [`crate::SettingPart`] reads it.
    pub url: String,
    /// The schema, where one is named.
    pub schema: Option<String>,
    /// The table's name.
    pub table: String,
}
