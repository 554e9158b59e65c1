//! What the log holds of a record of a Kafka topic.

use crate::log_record::{LogRecord, RecordBody};
use crate::reject::{MAX_RAW_BYTES, Reason};
use serde::{Deserialize, Serialize};
use taghouse_log::MAX_RECORD_BYTES;
use taghouse_model::TimestampMs;

/// A record of a topic as it was read. Its source maps it when it is admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// The source that reads the topic.
    pub source: String,
    /// Name of the topic.
    pub topic: String,
    /// The partition, from 0.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// How often the topic was seen to be another one, deleted and made again: its offsets begin
    /// again then.
    #[serde(default)]
    pub incarnation: u32,
    /// The record's timestamp, if it has one.
    pub time_ms: Option<TimestampMs>,
    /// What it holds.
    pub content: TopicContent,
    /// When the row happened, by its mapping; known while it is decided and its source names
    /// message ids.
    #[serde(skip)]
    pub(crate) dated_ms: Option<TimestampMs>,
}

/// What a record of a topic holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicContent {
    /// Texts.
    Row {
        /// The key, if it has one.
        key: Option<String>,
        /// What is to be mapped.
        value: String,
    },
    /// No value.
    Tombstone,
    /// What cannot be mapped.
    Unreadable {
        /// A [`Reason`] as text.
        reason: String,
        /// What is wrong.
        detail: String,
        /// The head of the value.
        raw: String,
    },
}

/// Where a record of a topic stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlace {
    /// The source that reads the topic.
    pub source: String,
    /// Name of the topic.
    pub topic: String,
    /// The partition, from 0.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// See [`TopicRecord::incarnation`].
    pub incarnation: u32,
    /// The record's timestamp, if it has one.
    pub time_ms: Option<TimestampMs>,
}

impl LogRecord {
    /// A record of a topic, read at `now_ms`, as the log holds it. What the log cannot take or
    /// nobody can read becomes a record that will be rejected.
    ///
    /// # Errors
    /// None in practice: the record is plain text.
    pub fn of_topic(
        now_ms: TimestampMs,
        place: TopicPlace,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Vec<u8>, serde_json::Error> {
        let encoded = |content| {
            let TopicPlace { source, topic, partition, offset, incarnation, time_ms } =
                place.clone();
            let body = RecordBody::Topic(TopicRecord {
                source,
                topic,
                partition,
                offset,
                incarnation,
                time_ms,
                content,
                dated_ms: None,
            });
            Self::by_hand(now_ms, body).encode()
        };
        let Some(value) = value else { return encoded(TopicContent::Tombstone) };
        // Escaping makes nothing shorter, so what is too long as it stands is not copied.
        if value.len() < MAX_RECORD_BYTES {
            let record = encoded(content(key, value))?;
            if record.len() <= MAX_RECORD_BYTES {
                return Ok(record);
            }
        }
        let detail =
            format!("the record has {} bytes; 1 MiB is the most, as JSON text", value.len());
        encoded(unreadable(&Reason::BrokenLine, detail, value))
    }
}

fn content(key: Option<&[u8]>, value: &[u8]) -> TopicContent {
    let not_utf8 = |what: &str| {
        unreadable(&Reason::NotUtf8, format!("the record's {what} is not UTF-8"), value)
    };
    match (key.map(std::str::from_utf8).transpose(), std::str::from_utf8(value)) {
        (_, Err(_)) => not_utf8("value"),
        (Err(_), Ok(_)) => not_utf8("key"),
        (Ok(key), Ok(value)) => {
            TopicContent::Row { key: key.map(str::to_owned), value: value.to_owned() }
        }
    }
}

fn unreadable(reason: &Reason, detail: String, value: &[u8]) -> TopicContent {
    // Of what is escaped a character can take six bytes, far from the log's limit.
    let head = &value[..value.len().min(MAX_RAW_BYTES)];
    TopicContent::Unreadable {
        reason: reason.to_string(),
        detail,
        raw: String::from_utf8_lossy(head).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: Option<&[u8]>, value: Option<&[u8]>) -> TopicContent {
        let place = TopicPlace {
            source: "s".to_owned(),
            topic: "t".to_owned(),
            partition: 1,
            offset: 7,
            incarnation: 0,
            time_ms: Some(5),
        };
        let bytes = LogRecord::of_topic(9, place, key, value).unwrap();
        assert!(bytes.len() <= MAX_RECORD_BYTES);
        let record = LogRecord::decode(&bytes).unwrap();
        let RecordBody::Topic(topic) = record.body else { panic!("{record:?}") };
        assert_eq!((topic.partition, topic.offset, topic.time_ms), (1, 7, Some(5)));
        topic.content
    }

    #[test]
    fn what_cannot_be_mapped_is_kept_to_be_rejected() {
        let row = |key: Option<&str>| TopicContent::Row {
            key: key.map(str::to_owned),
            value: "{}".to_owned(),
        };
        assert_eq!(read(Some(b"k"), Some(b"{}")), row(Some("k")));
        assert_eq!(read(None, Some(b"{}")), row(None));
        assert_eq!(read(Some(b"k"), None), TopicContent::Tombstone);
        let reason = |content: &TopicContent| match content {
            TopicContent::Unreadable { reason, .. } => reason.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&read(None, Some(b"\xff"))), "not_utf8");
        assert_eq!(reason(&read(Some(b"\xff"), Some(b"{}"))), "not_utf8");
        let long = vec![b'a'; MAX_RECORD_BYTES];
        assert_eq!(reason(&read(None, Some(&long))), "broken_line");
        // Each character is escaped.
        let escaped = vec![b'"'; MAX_RECORD_BYTES - 1000];
        assert_eq!(reason(&read(None, Some(&escaped))), "broken_line");
    }
}
