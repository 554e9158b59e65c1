//! The client's settings, with the secrets that a definition names.

use crate::Result;
use std::collections::BTreeMap;
use taghouse_model::{AppId, Name};
use taghouse_rules::KafkaTopic;
use taghouse_sink::Secrets;

/// Settings that a definition may replace.
const DEFAULTS: [(&str, &str); 7] = [
    ("client.id", "taghouse"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    // How soon others have the partitions of a server that does not come back.
    ("session.timeout.ms", "10000"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("reconnect.backoff.max.ms", "3000"),
    ("fetch.wait.max.ms", "100"),
    ("queued.max.messages.kbytes", "16384"),
];

/// Settings on which reading each record once depends.
const FIXED: [(&str, &str); 6] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
    ("statistics.interval.ms", "1000"),
    ("log.connection.close", "false"),
];

/// Settings of a sink that a definition may replace.
const SINK_DEFAULTS: [(&str, &str); 4] = [
    ("client.id", "taghouse"),
    ("compression.type", "zstd"),
    ("linger.ms", "5"),
    ("reconnect.backoff.max.ms", "3000"),
];

/// Settings of a sink on which order and delivery depend: what cannot be delivered now waits.
const SINK_FIXED: [(&str, &str); 5] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("message.timeout.ms", "0"),
    ("statistics.interval.ms", "1000"),
    ("log.connection.close", "false"),
];

/// The settings among them that another group protocol does not have.
const OF_CLASSIC: [&str; 2] = ["partition.assignment.strategy", "session.timeout.ms"];

/// The consumer group of a source.
pub(crate) fn group(app: &AppId, source: &Name, topic: &KafkaTopic) -> String {
    topic.group.clone().unwrap_or_else(|| format!("taghouse-{app}-{source}"))
}

/// All settings of a source's client, secrets among them: not to be shown. `member`: by this name a
/// server that comes back has its partitions again at once.
///
/// # Errors
/// A secret that is not there.
pub(crate) fn settings(
    secrets: &Secrets<'_>,
    group: String,
    member: String,
    topic: &KafkaTopic,
) -> Result<BTreeMap<String, String>> {
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut settings: BTreeMap<String, String> = DEFAULTS.into_iter().map(pair).collect();
    settings.insert("group.instance.id".to_owned(), member);
    for (name, value) in &topic.settings {
        settings.insert(name.clone(), secrets.resolved(name, value)?);
    }
    if settings.get("group.protocol").is_some_and(|protocol| protocol == "consumer") {
        settings.retain(|name, _| {
            topic.settings.contains_key(name) || !OF_CLASSIC.contains(&name.as_str())
        });
    }
    settings.extend(FIXED.into_iter().map(pair));
    let brokers: taghouse_sink::Result<Vec<String>> =
        topic.brokers.iter().map(|broker| secrets.resolved("brokers", broker)).collect();
    settings.insert("bootstrap.servers".to_owned(), brokers?.join(","));
    settings.insert("group.id".to_owned(), group);
    Ok(settings)
}

/// All settings of a sink's client, secrets among them: not to be shown.
///
/// # Errors
/// A secret that is not there.
pub(crate) fn sink_settings(
    secrets: &Secrets<'_>,
    topic: &KafkaTopic,
) -> Result<BTreeMap<String, String>> {
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut settings: BTreeMap<String, String> = SINK_DEFAULTS.into_iter().map(pair).collect();
    for (name, value) in &topic.settings {
        settings.insert(name.clone(), secrets.resolved(name, value)?);
    }
    settings.extend(SINK_FIXED.into_iter().map(pair));
    let brokers: taghouse_sink::Result<Vec<String>> =
        topic.brokers.iter().map(|broker| secrets.resolved("brokers", broker)).collect();
    settings.insert("bootstrap.servers".to_owned(), brokers?.join(","));
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_rules::{SettingOf, StartAt};

    fn resolved(given: &[(&str, &str)]) -> Result<BTreeMap<String, String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pass"), "s3cret\n").unwrap();
        let variable = |name: &str| (name == "KAFKA_USER").then(|| "ann".to_owned());
        let with = Some(folder.path().to_owned());
        let secrets = Secrets::new(SettingOf::Kafka, &variable, with);
        let settings = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let topic = KafkaTopic {
            brokers: vec!["a:1".to_owned(), "${KAFKA_USER}:2".to_owned()],
            topic: "t".to_owned(),
            group: None,
            start: StartAt::Earliest,
            settings,
        };
        super::settings(&secrets, "g".to_owned(), "m".to_owned(), &topic)
    }

    #[test]
    fn secrets_are_put_in() {
        let all = resolved(&[
            ("sasl.username", "${KAFKA_USER}"),
            ("sasl.password", "${file:pass}"),
            ("client.id", "x-${KAFKA_USER}-y"),
        ])
        .unwrap();
        for (name, value) in [
            ("sasl.username", "ann"),
            ("sasl.password", "s3cret"),
            ("client.id", "x-ann-y"),
            ("bootstrap.servers", "a:1,ann:2"),
            ("group.id", "g"),
            ("group.instance.id", "m"),
            ("enable.auto.commit", "false"),
        ] {
            assert_eq!(all[name], value, "{name}");
        }
        let missing = resolved(&[("sasl.password", "${KAFKA_NONE}")]).unwrap_err().to_string();
        assert!(missing.contains("sasl.password") && missing.contains("KAFKA_NONE"), "{missing}");
        let missing = resolved(&[("sasl.password", "${file:none}")]).unwrap_err().to_string();
        assert!(missing.contains("none") && missing.contains("sasl.password"), "{missing}");
    }

    #[test]
    fn the_newer_protocol_has_no_settings_of_the_older() {
        let all = resolved(&[("group.protocol", "consumer")]).unwrap();
        assert!(OF_CLASSIC.iter().all(|name| !all.contains_key(*name)), "{all:?}");
    }

    #[test]
    fn what_a_definition_gives_does_not_touch_what_counts_records_once() {
        let all = resolved(&[("enable.auto.commit", "true")]).unwrap();
        assert_eq!(all["enable.auto.commit"], "false");
    }
}
