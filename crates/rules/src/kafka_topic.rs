//! A topic of Apache Kafka, and the settings of its client that a definition may give.

use std::collections::BTreeMap;

/// Stands for the name of a column where the record's key is the user id.
pub const RECORD_KEY: &str = "(record key)";

/// Settings that a definition may give. Those that load libraries or run programs are not among
/// them, nor those that decide what has been read.
const ALLOWED: [&str; 50] = [
    "api.version.request.timeout.ms",
    "broker.address.family",
    "broker.address.ttl",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "metadata.max.age.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "topic.metadata.refresh.interval.ms",
];

/// Those among them whose values are secrets.
const SECRET: [&str; 3] = ["sasl.password", "ssl.key.password", "ssl.key.pem"];

/// Settings that a sink may give besides.
const OF_SINKS: [&str; 4] = ["batch.size", "compression.type", "linger.ms", "message.max.bytes"];

/// A topic, and how its cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaTopic {
    /// Where the cluster is found, as `host:port` each.
    pub brokers: Vec<String>,
    /// The topic's name.
    pub topic: String,
    /// The consumer group; `None`: one of the app's and the source's name.
    pub group: Option<String>,
    /// Where reading begins where nothing was read yet.
    pub start: StartAt,
    /// Settings of librdkafka, as [`SettingPart`] reads their values.
    pub settings: BTreeMap<String, String>,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest record that there is.
    Earliest,
    /// With what comes from then on.
    Latest,
}

/// Whether a definition may give this setting.
pub(crate) fn is_allowed(setting: &str) -> bool {
    ALLOWED.contains(&setting)
}

/// Whether a sink may give this setting.
pub(crate) fn is_for_sinks(setting: &str) -> bool {
    OF_SINKS.contains(&setting)
}

/// Whether the setting's value is a secret, which no definition holds.
pub(crate) fn is_secret(setting: &str) -> bool {
    SECRET.contains(&setting)
}

/// All settings that a definition may give.
pub(crate) fn allowed() -> &'static [&'static str] {
    &ALLOWED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_settings() {
        assert!(SECRET.iter().all(|name| is_allowed(name)) && ALLOWED.is_sorted());
    }
}
