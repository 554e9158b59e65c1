//! The definition of a sink.

use super::kafka::{self, Wrong};
use super::{Errors, name_of, read, webhook};
use crate::raw::kafka::RawStartAt;
use crate::raw::sink::{RawSink, RawSinkTopic};
use crate::{
    Definitions, Document, DocumentKind, Forbidden, KafkaTopic, Labelled, SinkDefinition,
    SinkTarget, StartAt, Use, did_you_mean,
};
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
        let start = match raw.start {
            Some(RawStartAt::Earliest) => StartAt::Earliest,
            Some(RawStartAt::Latest) | None => StartAt::Latest,
        };
        let target = match (&raw.kafka, &raw.webhook) {
            (Some(topic), None) => Some(SinkTarget::Kafka(self::topic(topic, start, &mut wrong))),
            (None, Some(raw)) => webhook::check(raw, &mut wrong).map(SinkTarget::Webhook),
            _ => {
                let message = "a sink needs `kafka` or `webhook`, and one of them alone";
                wrong.push(Wrong::new("", message));
                None
            }
        };
        let tags = named("tag", &raw.tags, tags, &mut wrong);
        let crowds = named("crowd", &raw.crowds, crowds, &mut wrong);
        errors.extend(wrong.into_iter().map(|wrong| document.error(&wrong.pointer, wrong.message)));
        if let Some(name) = name
            && let Some(target) = target
            && errors.len() == before
        {
            let description = raw.description;
            let sink =
                SinkDefinition { name: name.clone(), description, target, start, tags, crowds };
            sinks.insert(name, sink);
        }
    }
    sinks
}

/// What sinks would send although a label forbids it.
pub(super) fn forbidden(documents: &[Document], definitions: &Definitions) -> Errors {
    let mut errors = Errors::new();
    let live_tags = || {
        let live =
            definitions.tags.values().filter(|tag| tag.mode.is_live() && !tag.is_anonymous());
        live.map(|tag| Labelled::Tag(tag.name.as_str()))
    };
    let live_crowds = || {
        let live = definitions.crowds.values().filter(|crowd| crowd.is_live);
        live.map(|crowd| Labelled::Crowd(crowd.name.as_str()))
    };
    for document in documents.iter().filter(|document| document.kind == DocumentKind::Sink) {
        let Some(sink) = definitions.sinks.get(document.name.as_str()) else { continue };
        let named = || {
            let tags = sink.tags.iter().map(|tag| Labelled::Tag(tag));
            tags.chain(sink.crowds.iter().map(|crowd| Labelled::Crowd(crowd)))
        };
        let sent: Vec<Labelled<'_>> = match sink.tags.is_empty() && sink.crowds.is_empty() {
            true => live_tags().chain(live_crowds()).collect(),
            false => named().collect(),
        };
        let found = sent.into_iter().find_map(|sent| definitions.forbidden(sent, Use::Activate));
        if let Some(Forbidden { label, path }) = found {
            let message = format!(
                "{path}: the app's `access` forbids to activate what is labelled {label}; name other tags and crowds in the sink"
            );
            errors.push(document.error("", message));
        }
    }
    errors
}

pub(super) fn topic(raw: &RawSinkTopic, start: StartAt, wrong: &mut Vec<Wrong>) -> KafkaTopic {
    let settings = kafka::settings(&raw.settings, kafka::Use::Sink, wrong);
    kafka::check_brokers(&raw.brokers, wrong);
    kafka::check_topic(&raw.topic, wrong);
    let (brokers, topic) = (raw.brokers.clone(), raw.topic.clone());
    KafkaTopic { brokers, topic, group: None, start, settings }
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
