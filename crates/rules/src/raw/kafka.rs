use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A topic of Apache Kafka, and how its cluster is reached.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a topic of Kafka")]
pub(crate) struct RawKafka {
    /// Where the cluster is found, as host:port each; one that answers tells the others.
    pub(crate) brokers: Vec<String>,
    /// The topic that is read.
    pub(crate) topic: String,
    /// The consumer group. Members of a group share the topic's partitions. Default:
    /// taghouse-APP-SOURCE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// Where reading begins in a partition of which neither this source nor its group has read
    /// anything. Default: earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<RawStartAt>,
    /// Settings of librdkafka by name, such as security.protocol or sasl.mechanism. A value may
    /// refer to an environment variable whose name begins with KAFKA_, as ${KAFKA_PASSWORD}, or to
    /// a file of the secrets' folder, as ${file:kafka-password}; passwords and keys must.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, RawKafkaSetting>,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawStartAt {
    /// With the oldest record that the topic holds.
    Earliest,
    /// With what comes from then on.
    Latest,
}

/// A setting's value.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawKafkaSetting {
    /// true or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}
