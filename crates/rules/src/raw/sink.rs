use super::kafka::{RawKafkaSetting, RawStartAt};
use super::webhook::RawWebhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where changes of values and crowds go, as they happen.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a sink")]
pub(crate) struct RawSink {
    /// What this document defines.
    pub(crate) kind: SinkKind,
    /// The sink's name, unique among sinks: a letter or _, then letters, digits or _; 64 bytes at
    /// most.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub(crate) name: String,
    /// Free text for people; nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The topic of Kafka that is written, and how its cluster is reached. A sink has this or
    /// `webhook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kafka: Option<RawSinkTopic>,
    /// The HTTP server that changes are sent to, signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<RawWebhook>,
    /// The tags whose changes are written. Without tags and crowds: all changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// The crowds whose changes are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) crowds: Vec<String>,
    /// Where a new sink begins: with the oldest change that is kept, or with what comes from then
    /// on. Default: latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<RawStartAt>,
}

/// The kind of a sink's document.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SinkKind {
    /// Where changes go.
    Sink,
}

/// A topic that is written, and how its cluster is reached.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a sink's topic")]
pub(crate) struct RawSinkTopic {
    /// Where the cluster is found, as host:port each; one that answers tells the others.
    pub(crate) brokers: Vec<String>,
    /// The topic that is written. It must be there.
    pub(crate) topic: String,
    /// Settings of librdkafka by name, as a source's; and compression.type, linger.ms and
    /// batch.size.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, RawKafkaSetting>,
}
