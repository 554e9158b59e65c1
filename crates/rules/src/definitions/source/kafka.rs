//! The topic of a source of `format: kafka`.

use super::SourceReader;
use crate::kafka_topic::{allowed, is_allowed, is_secret};
use crate::raw::kafka::{RawKafka, RawKafkaSetting, RawKafkaStart};
use crate::raw::source::{RawFormat, RawTime, RawUserId};
use crate::{KafkaStart, KafkaTopic, SettingPart, did_you_mean};
use std::collections::BTreeMap;

/// The longest name of a topic, as Kafka has it.
const MAX_TOPIC_BYTES: usize = 249;

impl SourceReader<'_> {
    pub(super) fn topic(&mut self) -> Option<KafkaTopic> {
        if self.raw.format != RawFormat::Kafka {
            if self.raw.kafka.is_some() {
                self.error("/kafka", "`kafka` is for `format: kafka` only");
            }
            if let Some(RawUserId::Key(_)) = &self.raw.user_id {
                self.error("/user_id", "`key` is for `format: kafka` only: name a column");
            }
            return None;
        }
        self.refuse_for_topics();
        let Some(raw) = &self.raw.kafka else {
            self.error("", "a source of `format: kafka` needs `kafka`: `brokers` and `topic`");
            return None;
        };
        self.check_brokers(raw);
        self.check_names(raw);
        let settings = self.settings(&raw.settings);
        Some(KafkaTopic {
            brokers: raw.brokers.clone(),
            topic: raw.topic.clone(),
            group: raw.group.clone(),
            start: match raw.start {
                Some(RawKafkaStart::Latest) => KafkaStart::Latest,
                Some(RawKafkaStart::Earliest) | None => KafkaStart::Earliest,
            },
            settings,
        })
    }

    /// Keys that say something of files.
    fn refuse_for_topics(&mut self) {
        let raw = self.raw;
        for (key, _) in
            [("files", raw.files.is_some()), ("max_reject_share", raw.max_reject_share.is_some())]
                .into_iter()
                .filter(|(_, given)| *given)
        {
            self.error(&format!("/{key}"), format!("`{key}` is for files: leave it away"));
        }
        let of_file = match &raw.time {
            Some(RawTime::File(_)) => true,
            Some(RawTime::Column(column)) => column == super::FILE,
            Some(RawTime::Mapping(_)) | None => false,
        };
        if of_file {
            self.error("/time", "a record of a topic has no file: name a column, or leave `time` away for the record's timestamp");
        }
        if let Some(RawUserId::Key(key)) = &raw.user_id
            && !key.key
        {
            self.error("/user_id/key", "`key` is true, or a column is named");
        }
    }

    fn check_brokers(&mut self, raw: &RawKafka) {
        if raw.brokers.is_empty() {
            self.error("/kafka/brokers", "`brokers` is empty: name one at least, as host:port");
        }
        for (i, broker) in raw.brokers.iter().enumerate() {
            let pointer = format!("/kafka/brokers/{i}");
            if broker.trim().is_empty() || broker.contains([',', ' ']) {
                self.error(&pointer, "a broker is host:port; several are items of the list");
            } else if let Err(e) = SettingPart::of(broker) {
                self.error(&pointer, e.to_string());
            }
        }
    }

    fn check_names(&mut self, raw: &RawKafka) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let topic = raw.topic.as_str();
        if !(1..=MAX_TOPIC_BYTES).contains(&topic.len())
            || !topic.chars().all(plain)
            || matches!(topic, "." | "..")
        {
            self.error(
                "/kafka/topic",
                format!("a topic's name has 1 to {MAX_TOPIC_BYTES} letters, digits, ., _ or -"),
            );
        }
        if raw
            .group
            .as_deref()
            .is_some_and(|group| group.is_empty() || group.len() > MAX_TOPIC_BYTES)
        {
            self.error("/kafka/group", format!("a group's name has 1 to {MAX_TOPIC_BYTES} bytes"));
        }
    }

    fn settings(&mut self, raw: &BTreeMap<String, RawKafkaSetting>) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for (name, value) in raw {
            let pointer = format!("/kafka/settings/{name}");
            let value = match value {
                RawKafkaSetting::Flag(flag) => flag.to_string(),
                RawKafkaSetting::Number(number) => number.to_string(),
                RawKafkaSetting::Text(text) => text.clone(),
            };
            if !is_allowed(name) {
                self.error(&pointer, refused(name));
                continue;
            }
            match SettingPart::of(&value) {
                Err(e) => self.error(&pointer, e.to_string()),
                Ok(parts) if is_secret(name) && is_written_out(&parts) => self.error(
                    &pointer,
                    format!("`{name}` is a secret and is not written here: name an environment variable, as ${{KAFKA_NAME}}, or a file of the secrets' folder, as ${{file:NAME}}"),
                ),
                Ok(_) => _ = settings.insert(name.clone(), value),
            }
        }
        settings
    }
}

/// Whether the value stands there in part.
fn is_written_out(parts: &[SettingPart]) -> bool {
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
