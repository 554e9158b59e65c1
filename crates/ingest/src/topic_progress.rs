//! How far the topics of an app's sources were taken. It lands with the rows, in one commit, so
//! that a record which is delivered again is known for what it is, however long ago it came.

use crate::live_totals::{POINTER_KIND, POINTER_NAME};
use crate::topic_record::TopicRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use taghouse_catalog::{Catalog, Pointer};
use taghouse_model::{AppId, TimestampMs};

/// The key of the pointer's value.
pub(crate) const TOPICS: &str = "topics";

/// How far one source has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TopicProgress {
    /// What became of its records, ever.
    pub totals: TopicTotals,
    /// By topic and partition the last record that was taken.
    pub positions: BTreeMap<String, BTreeMap<i32, TopicPosition>>,
}

/// The last record of a partition that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPosition {
    /// Its offset.
    pub offset: i64,
    /// See [`TopicRecord::incarnation`].
    #[serde(default)]
    pub incarnation: u32,
    /// Its timestamp: by it another record at the same offset is told.
    pub time_ms: Option<TimestampMs>,
}

/// What became of a source's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TopicTotals {
    /// All of them, whatever became of them.
    pub records: u64,
    /// Those that gave events, attributes or a user.
    pub accepted: u64,
    /// Those that were rejected.
    pub rejected: u64,
    /// Those that a filter left out, or that had no value.
    pub filtered: u64,
    /// Those that were taken before, by their offset or their message id.
    pub duplicates: u64,
    /// When the last of them landed; `None`: never.
    pub landed_ms: Option<TimestampMs>,
    /// How many that landing brought.
    pub last_records: u64,
    /// Those of them that were rejected.
    pub last_rejected: u64,
}

/// Of each source, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TopicSources(BTreeMap<String, TopicProgress>);

impl TopicSources {
    pub(crate) fn of(pointer: Option<&Pointer>) -> Self {
        pointer
            .and_then(|p| serde_json::from_value(p.value.get(TOPICS)?.clone()).ok())
            .unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the record comes after all that were taken of its partition; then it is the last.
    pub(crate) fn take(&mut self, record: &TopicRecord) -> bool {
        let TopicRecord { source, topic, partition, offset, incarnation, time_ms, .. } = record;
        if !self.0.contains_key(source) {
            self.0.insert(source.clone(), TopicProgress::default());
        }
        let Some(progress) = self.0.get_mut(source) else { return true };
        if !progress.positions.contains_key(topic) {
            progress.positions.insert(topic.clone(), BTreeMap::new());
        }
        let Some(partitions) = progress.positions.get_mut(topic) else { return true };
        let taken = partitions
            .get(partition)
            .is_none_or(|last| (*incarnation, *offset) > (last.incarnation, last.offset));
        if taken {
            let (offset, incarnation, time_ms) = (*offset, *incarnation, *time_ms);
            partitions.insert(*partition, TopicPosition { offset, incarnation, time_ms });
        }
        taken
    }

    /// Adds what a landing at `now_ms` brought, by source.
    pub(crate) fn add(&mut self, landed: &BTreeMap<String, TopicTotals>, now_ms: TimestampMs) {
        for (source, more) in landed {
            let totals = &mut self.0.entry(source.clone()).or_default().totals;
            totals.add(more);
            totals.landed_ms = Some(now_ms);
            totals.last_records = more.records;
            totals.last_rejected = more.rejected;
        }
    }
}

impl TopicTotals {
    pub(crate) fn add(&mut self, more: &Self) {
        self.records += more.records;
        self.accepted += more.accepted;
        self.rejected += more.rejected;
        self.filtered += more.filtered;
        self.duplicates += more.duplicates;
    }
}

/// How far the topics of an app's sources were taken, by source. What is in the log and has not
/// landed is not in it.
///
/// # Errors
/// Errors of the catalog.
pub async fn topic_progress(
    catalog: &dyn Catalog,
    app: &AppId,
) -> taghouse_catalog::Result<BTreeMap<String, TopicProgress>> {
    let pointer = catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?;
    Ok(TopicSources::of(pointer.as_ref()).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic_record::TopicContent;

    #[test]
    fn a_record_counts_once_in_an_incarnation() {
        let mut sources = TopicSources::default();
        let mut take = |topic: &str, partition, incarnation, offset| {
            sources.take(&TopicRecord {
                source: "s".to_owned(),
                topic: topic.to_owned(),
                partition,
                offset,
                incarnation,
                time_ms: None,
                content: TopicContent::Tombstone,
                dated_ms: None,
            })
        };
        for (topic, partition, incarnation, offset, taken) in [
            ("t", 0, 0, 0, true),
            ("t", 0, 0, 0, false),
            ("t", 0, 0, 5, true),
            ("t", 0, 0, 4, false),
            ("t", 1, 0, 4, true),
            ("u", 0, 0, 4, true),
            ("t", 0, 1, 0, true),
            ("t", 0, 0, 6, false),
            ("t", 0, 1, 1, true),
        ] {
            let place = format!("{topic} {partition} {incarnation} {offset}");
            assert_eq!(take(topic, partition, incarnation, offset), taken, "{place}");
        }
        let kept = serde_json::to_value(&sources).unwrap();
        assert_eq!(serde_json::from_value::<TopicSources>(kept).unwrap(), sources);
    }
}
