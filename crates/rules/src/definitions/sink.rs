//! The definition of a sink.

use super::kafka::{self, Wrong};
use super::{Errors, name_of, read};
use crate::raw::kafka::RawKafkaStart;
use crate::raw::sink::RawSink;
use crate::{Document, DocumentKind, KafkaStart, KafkaTopic, SinkDefinition, did_you_mean};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::Name;

/// Reads the sinks; `tags` and `crowds` are those that are defined.
pub(super) fn check(
    documents: &[Document],
    tags: &BTreeSet<&str>,
    crowds: &BTreeSet<&str>,
    errors: &mut Errors,
) -> BTreeMap<Name, SinkDefinition> {
    let mut sinks = BTreeMap::new();
    for (document, raw) in read::<RawSink>(documents, DocumentKind::Sink, errors) {
        let before = errors.len();
        let name = name_of(document, errors);
        let mut wrong = Vec::new();
        let settings = kafka::settings(&raw.kafka.settings, kafka::Use::Sink, &mut wrong);
        kafka::check_brokers(&raw.kafka.brokers, &mut wrong);
        kafka::check_topic(&raw.kafka.topic, &mut wrong);
        let tags = named("tag", &raw.tags, tags, &mut wrong);
        let crowds = named("crowd", &raw.crowds, crowds, &mut wrong);
        errors.extend(wrong.into_iter().map(|wrong| document.error(&wrong.pointer, wrong.message)));
        let start = match raw.start {
            Some(RawKafkaStart::Earliest) => KafkaStart::Earliest,
            Some(RawKafkaStart::Latest) | None => KafkaStart::Latest,
        };
        if let Some(name) = name
            && errors.len() == before
        {
            let (brokers, topic) = (raw.kafka.brokers, raw.kafka.topic);
            let topic = KafkaTopic { brokers, topic, group: None, start, settings };
            let description = raw.description;
            sinks.insert(name.clone(), SinkDefinition { name, description, topic, tags, crowds });
        }
    }
    sinks
}

/// Names of tags or crowds that there are.
fn named(
    what: &str,
    given: &[String],
    known: &BTreeSet<&str>,
    wrong: &mut Vec<Wrong>,
) -> BTreeSet<String> {
    for (i, name) in given.iter().enumerate().filter(|(_, name)| !known.contains(name.as_str())) {
        wrong.push(Wrong {
            pointer: format!("/{what}s/{i}"),
            message: format!(
                "there is no {what} `{name}`{}",
                did_you_mean(name, known.iter().copied())
            ),
        });
    }
    given.iter().cloned().collect()
}
