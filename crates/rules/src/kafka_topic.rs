//! A topic of Apache Kafka, and settings of its client in which secrets are named, not written.

use std::collections::BTreeMap;

/// Stands for the name of a column where the record's key is the user id.
pub const RECORD_KEY: &str = "(record key)";

/// Variables of the environment that a setting may name begin so: whoever writes definitions is not
/// to read the others.
const VARIABLE_PREFIX: &str = "KAFKA_";

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
    pub start: KafkaStart,
    /// Settings of librdkafka, as [`SettingPart`] reads their values.
    pub settings: BTreeMap<String, String>,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaStart {
    /// With the oldest record that there is.
    Earliest,
    /// With what comes from then on.
    Latest,
}

/// A part of a setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingPart {
    /// It stands there.
    Text(String),
    /// `${NAME}`: a variable of the environment.
    Variable(String),
    /// `${file:NAME}`: what a file in the secrets' folder holds.
    File(String),
}

/// Why a setting's value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadSetting {
    /// `${` without an end.
    #[error("a reference begins with ${{ and has no }}: write ${{KAFKA_NAME}} or ${{file:NAME}}")]
    Unclosed,
    /// A variable that is not for Kafka.
    #[error(
        "`${{{0}}}` names no variable for Kafka: its name begins with KAFKA_, then letters, digits or _"
    )]
    Variable(String),
    /// A file elsewhere.
    #[error(
        "`${{file:{0}}}` is not a file of the secrets' folder: give its name alone, of letters, digits, ., _ or -"
    )]
    File(String),
}

impl SettingPart {
    /// The parts of a value.
    ///
    /// # Errors
    /// A reference that is not one.
    pub fn of(value: &str) -> Result<Vec<Self>, UnreadSetting> {
        let (mut parts, mut rest) = (Vec::new(), value);
        while let Some((before, from)) = rest.split_once("${") {
            if !before.is_empty() {
                parts.push(Self::Text(before.to_owned()));
            }
            let (reference, after) = from.split_once('}').ok_or(UnreadSetting::Unclosed)?;
            parts.push(Self::reference(reference)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Self::Text(rest.to_owned()));
        }
        Ok(parts)
    }

    fn reference(text: &str) -> Result<Self, UnreadSetting> {
        if let Some(name) = text.strip_prefix("file:") {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let is_name = !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
            return match is_name {
                true => Ok(Self::File(name.to_owned())),
                false => Err(UnreadSetting::File(name.to_owned())),
            };
        }
        let rest = text.strip_prefix(VARIABLE_PREFIX);
        let is_name = rest.is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        match is_name {
            true => Ok(Self::Variable(text.to_owned())),
            false => Err(UnreadSetting::Variable(text.to_owned())),
        }
    }
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
    fn references_in_values() {
        let (text, variable, file) = (
            |t: &str| SettingPart::Text(t.to_owned()),
            |t: &str| SettingPart::Variable(t.to_owned()),
            |t: &str| SettingPart::File(t.to_owned()),
        );
        let unread = |t: &str| UnreadSetting::Variable(t.to_owned());
        for (value, parts) in [
            ("", Ok(vec![])),
            ("sasl_ssl", Ok(vec![text("sasl_ssl")])),
            ("$x {y}", Ok(vec![text("$x {y}")])),
            ("${KAFKA_A}", Ok(vec![variable("KAFKA_A")])),
            (
                "a${KAFKA_A}b${file:c.d}",
                Ok(vec![text("a"), variable("KAFKA_A"), text("b"), file("c.d")]),
            ),
            ("${KAFKA_A", Err(UnreadSetting::Unclosed)),
            ("${KAFKA_}", Err(unread("KAFKA_"))),
            ("${HOME}", Err(unread("HOME"))),
            ("${KAFKA_A-b}", Err(unread("KAFKA_A-b"))),
            ("${file:../a}", Err(UnreadSetting::File("../a".to_owned()))),
            ("${file:.}", Err(UnreadSetting::File(".".to_owned()))),
            ("${file:}", Err(UnreadSetting::File(String::new()))),
        ] {
            assert_eq!(SettingPart::of(value), parts, "{value}");
        }
    }

    #[test]
    fn secrets_are_settings() {
        assert!(SECRET.iter().all(|name| is_allowed(name)) && ALLOWED.is_sorted());
    }
}
