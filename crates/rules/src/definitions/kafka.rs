//! What sources and sinks say of a cluster of Kafka.

use crate::kafka_topic::{allowed, is_allowed, is_for_sinks, is_secret};
use crate::raw::kafka::RawKafkaSetting;
use crate::{SettingOf, SettingPart, did_you_mean};
use std::collections::BTreeMap;

/// The longest name of a topic, as Kafka has it.
pub(super) const MAX_TOPIC_BYTES: usize = 249;

/// What is wrong, and where in the document.
pub(super) struct Wrong {
    pub(super) pointer: String,
    pub(super) message: String,
}

impl Wrong {
    pub(super) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// What the settings are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Source,
    Sink,
}

pub(super) fn check_brokers(brokers: &[String], wrong: &mut Vec<Wrong>) {
    if brokers.is_empty() {
        wrong.push(Wrong::new(
            "/kafka/brokers",
            "`brokers` is empty: name one at least, as host:port",
        ));
    }
    for (i, broker) in brokers.iter().enumerate() {
        let pointer = format!("/kafka/brokers/{i}");
        if broker.trim().is_empty() || broker.contains([',', ' ']) {
            let message = "a broker is host:port; several are items of the list";
            wrong.push(Wrong::new(pointer, message));
        } else if let Err(e) = SettingPart::read(SettingOf::Kafka, broker) {
            wrong.push(Wrong::new(pointer, e.to_string()));
        }
    }
}

pub(super) fn check_topic(topic: &str, wrong: &mut Vec<Wrong>) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = (1..=MAX_TOPIC_BYTES).contains(&topic.len())
        && topic.chars().all(plain)
        && !matches!(topic, "." | "..");
    if !is_name {
        let message =
            format!("a topic's name has 1 to {MAX_TOPIC_BYTES} letters, digits, ., _ or -");
        wrong.push(Wrong::new("/kafka/topic", message));
    }
}

pub(super) fn settings(
    raw: &BTreeMap<String, RawKafkaSetting>,
    used: Use,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (name, value) in raw {
        let pointer = format!("/kafka/settings/{name}");
        let value = match value {
            RawKafkaSetting::Flag(flag) => flag.to_string(),
            RawKafkaSetting::Number(number) => number.to_string(),
            RawKafkaSetting::Text(text) => text.clone(),
        };
        let is_known = is_allowed(name) || used == Use::Sink && is_for_sinks(name);
        if !is_known {
            wrong.push(Wrong::new(pointer, refused(name)));
            continue;
        }
        match SettingPart::read(SettingOf::Kafka, &value) {
            Err(e) => wrong.push(Wrong::new(pointer, e.to_string())),
            Ok(parts) if is_secret(name) && is_written_out(&parts) => {
                let message = format!(
                    "`{name}` is a secret and is not written here: name an environment variable, as ${{KAFKA_NAME}}, or a file of the secrets' folder, as ${{file:NAME}}"
                );
                wrong.push(Wrong::new(pointer, message));
            }
            Ok(_) => _ = settings.insert(name.clone(), value),
        }
    }
    settings
}

/// Whether the value stands there in part.
pub(super) fn is_written_out(parts: &[SettingPart]) -> bool {
    parts.is_empty() || parts.iter().any(|part| matches!(part, SettingPart::Text(_)))
}

fn refused(name: &str) -> String {
    match name {
        "bootstrap.servers" | "metadata.broker.list" => {
            "the brokers stand under `brokers`".to_owned()
        }
        "group.id" => "the group stands under `group`".to_owned(),
        "auto.offset.reset" => "where reading begins stands under `start`".to_owned(),
        _ => format!(
            "no setting `{name}` can be given{}",
            did_you_mean(name, allowed().iter().copied())
        ),
    }
}
