//! A stretch of the log, decoded, and what becomes of its records.

use crate::admitted::{GoneUser, HandChange};
use crate::ids::{MessageIds, NotedId, message_hash};
use crate::landed_ids::DatedId;
use crate::linking::Linker;
use crate::live_rows::{Built, LiveRows};
use crate::log_record::{LogRecord, RecordBody};
use crate::topic_progress::TopicSources;
use crate::{Error, Result};
use std::collections::HashSet;
use taghouse_identities::LinkEvent;
use taghouse_model::{AppId, TimestampMs};

/// A stretch of the log, decoded.
pub(crate) struct Stretch {
    records: Vec<(u64, LogRecord)>,
    /// Of the records as the log holds them.
    pub(crate) bytes: usize,
    /// When the first of its calls came in.
    pub(crate) first_ms: TimestampMs,
    /// There are records of topics among them.
    pub(crate) has_topics: bool,
}

/// What a stretch becomes.
pub(crate) struct Taken {
    pub(crate) built: Built,
    /// Records of all kinds.
    pub(crate) records: usize,
    /// Messages of calls.
    pub(crate) messages: u64,
    /// The ids that are new.
    pub(crate) noted: Vec<NotedId>,
    /// Those among them that the lake may hold.
    pub(crate) dated: Vec<DatedId>,
    pub(crate) gone: Vec<GoneUser>,
    pub(crate) changed: Vec<HandChange>,
    /// Ids that became a user's, or their own again.
    pub(crate) links: Vec<LinkEvent>,
    /// The positions of users who went behind something else.
    pub(crate) cuts: Vec<u64>,
    /// Its last position.
    pub(crate) last: u64,
}

/// What takes records in.
pub(crate) struct TakenInto<'a> {
    /// Ids of messages that will land.
    pub(crate) ids: &'a mut HashSet<u128>,
    /// How far topics were taken.
    pub(crate) topics: &'a mut TopicSources,
    pub(crate) rows: &'a mut LiveRows,
    pub(crate) linker: &'a mut Linker,
}

impl Stretch {
    pub(crate) fn decode(app: &AppId, records: &[(u64, Vec<u8>)]) -> Result<Self> {
        let mut stretch = Self {
            records: Vec::with_capacity(records.len()),
            bytes: 0,
            first_ms: i64::MAX,
            has_topics: false,
        };
        for (position, bytes) in records {
            let wrong = |e: serde_json::Error| Error::Record {
                app: app.to_string(),
                position: *position,
                detail: e.to_string(),
            };
            let record = LogRecord::decode(bytes).map_err(wrong)?;
            stretch.first_ms = stretch.first_ms.min(record.received_at_ms);
            stretch.bytes += bytes.len();
            stretch.has_topics |= matches!(record.body, RecordBody::Topic(_));
            stretch.records.push((*position, record));
        }
        Ok(stretch)
    }

    /// Finds the message ids of records of topics.
    pub(crate) fn identify(&mut self, rows: &mut LiveRows) {
        rows.identify(&mut self.records);
    }

    /// Whether a record says of ids whose they are.
    pub(crate) fn claims(&self) -> bool {
        self.records.iter().any(|(_, record)| {
            !record.other_ids.is_empty() || matches!(record.body, RecordBody::Linked { .. })
        })
    }

    /// The ids of messages that give rows of events or attributes.
    pub(crate) fn dated(&self) -> Vec<DatedId> {
        let dated =
            |(_, record): &(u64, LogRecord)| dated(record, message_hash(&record.message_id));
        self.records.iter().filter_map(dated).collect()
    }

    /// Every id counts once, whatever became of its message: landed, rejected, or left out by a
    /// filter. `elsewhere`: ids that the lake holds beside those remembered.
    pub(crate) fn take(
        self,
        app: &AppId,
        ids: &MessageIds,
        elsewhere: &HashSet<u128>,
        into: TakenInto<'_>,
    ) -> Result<Taken> {
        let TakenInto { ids: pending, topics, rows, linker } = into;
        let hashes: Vec<u128> =
            self.records.iter().map(|(_, record)| message_hash(&record.message_id)).collect();
        let known = ids.known(app, &hashes)?;
        let records = self.records.len();
        let (mut noted, mut asked) = (Vec::with_capacity(records), Vec::with_capacity(records));
        let (mut gone, mut changed, mut cuts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut messages, mut last) = (0, 0);
        let mut was_gone = true;
        for ((id, known), (position, record)) in hashes.into_iter().zip(known).zip(self.records) {
            let (is_message, has_id) = (record.is_message(), record.has_id());
            let in_order = match &record.body {
                RecordBody::Topic(topic) => topics.take(topic),
                _ => true,
            };
            let is_new =
                in_order && (!has_id || (!known && !elsewhere.contains(&id) && pending.insert(id)));
            messages += u64::from(is_message);
            if is_new && has_id {
                noted.push(NotedId { id, position });
                asked.extend(dated(&record, id));
            }
            let pushed = rows.push(position, &record, is_new);
            linker.follow(position, &record, pushed, rows);
            let is_gone = matches!(record.body, RecordBody::Gone { .. });
            if is_gone && !was_gone {
                cuts.push(position);
            }
            was_gone = is_gone;
            let at_ms = record.received_at_ms;
            match record.body {
                RecordBody::Gone { user_id, expired } => {
                    // With whoever goes, all that belongs to them.
                    for id in linker.dissolve(position, &user_id, at_ms) {
                        let other = LogRecord::deletion(at_ms, id.clone(), expired);
                        rows.push(position, &other, true);
                        gone.push(GoneUser { position, user_id: id, at_ms });
                    }
                    gone.push(GoneUser { position, user_id, at_ms });
                }
                RecordBody::Changed { user_id, tag, op, value } => {
                    changed.push(HandChange { position, user_id, tag, op, value, at_ms });
                }
                _ => {}
            }
            last = position;
        }
        let (built, links) = (rows.finish()?, linker.finish());
        let dated = asked;
        Ok(Taken { built, records, messages, noted, dated, gone, changed, links, cuts, last })
    }
}

fn dated(record: &LogRecord, id: u128) -> Option<DatedId> {
    match &record.body {
        RecordBody::Topic(topic) => topic.dated_ms.map(|time_ms| DatedId { id, time_ms }),
        RecordBody::Event { time_ms, .. } | RecordBody::Traits { time_ms, .. } => {
            Some(DatedId { id, time_ms: *time_ms })
        }
        _ => None,
    }
}
