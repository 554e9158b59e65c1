//! The topic of a source of `format: kafka`.

use super::SourceReader;
use crate::definitions::kafka::{self, MAX_TOPIC_BYTES, Wrong};
use crate::raw::kafka::RawStartAt;
use crate::raw::source::{RawFormat, RawTime, RawUserId};
use crate::{KafkaTopic, StartAt};

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
        let mut wrong = Vec::new();
        kafka::check_brokers(&raw.brokers, &mut wrong);
        kafka::check_topic(&raw.topic, &mut wrong);
        let settings = kafka::settings(&raw.settings, kafka::Use::Source, &mut wrong);
        for Wrong { pointer, message } in wrong {
            self.error(&pointer, message);
        }
        let is_named = |group: &str| (1..=MAX_TOPIC_BYTES).contains(&group.len());
        if !raw.group.as_deref().is_none_or(is_named) {
            self.error("/kafka/group", format!("a group's name has 1 to {MAX_TOPIC_BYTES} bytes"));
        }
        Some(KafkaTopic {
            brokers: raw.brokers.clone(),
            topic: raw.topic.clone(),
            group: raw.group.clone(),
            start: match raw.start {
                Some(RawStartAt::Latest) => StartAt::Latest,
                Some(RawStartAt::Earliest) | None => StartAt::Earliest,
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
}
