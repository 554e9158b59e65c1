//! Records of topics into rows of the tables, each by its source's mapping: the one of files.

use crate::input_row::Row;
use crate::jsonl::{JsonLine, JsonRow, JsonSlots};
use crate::live_rows::Landed;
use crate::log_record::{LogRecord, RecordBody};
use crate::mapping::Mapping;
use crate::reject::{Fault, Reason, RejectBuilder, RowPlace};
use crate::row_checks::check_time;
use crate::row_reader::RowReader;
use crate::suppressed::SuppressedIds;
use crate::table_columns::{Accepted, Schemas};
use crate::topic_progress::TopicTotals;
use crate::topic_record::{TopicContent, TopicRecord};
use crate::{Error, Result};
use arrow::array::RecordBatch;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use taghouse_model::TimestampMs;
use taghouse_rules::reader::Cell;
use taghouse_rules::{Definitions, RECORD_KEY, SourceFormat};

/// Reads the records of all topics of an app.
pub(crate) struct TopicRows {
    sources: BTreeMap<String, SourceRows>,
    /// Records whose source is gone.
    lost: RejectBuilder,
    totals: BTreeMap<String, TopicTotals>,
    landed: Landed,
    /// Topic and partition of the record that is read.
    partition: String,
    schemas: Schemas,
    suppressed: Arc<SuppressedIds>,
}

/// Reads the records of one source.
struct SourceRows {
    reader: RowReader,
    slots: JsonSlots,
    /// The slot that the record's key fills.
    key: Option<usize>,
    /// For each event since the last batch the position in the log.
    event_positions: Vec<u64>,
    /// For each row of `attributes`.
    attribute_positions: Vec<u64>,
}

/// Rows of one source, with the position in the log of each.
pub(crate) struct TopicBatch {
    pub(crate) accepted: Accepted,
    pub(crate) event_positions: Vec<u64>,
    pub(crate) attribute_positions: Vec<u64>,
}

/// What came of the records of a stretch.
pub(crate) struct TopicBuilt {
    pub(crate) batches: Vec<TopicBatch>,
    pub(crate) rejected: Vec<RecordBatch>,
    /// What became of them, by source.
    pub(crate) totals: BTreeMap<String, TopicTotals>,
    pub(crate) landed: Landed,
}

impl TopicRows {
    pub(crate) fn new(
        definitions: &Definitions,
        schemas: &Schemas,
        suppressed: Arc<SuppressedIds>,
    ) -> Result<Self> {
        let mut sources = BTreeMap::new();
        for source in definitions.sources.values() {
            if source.format != SourceFormat::Kafka {
                continue;
            }
            let mapping = Mapping::compile(source, &definitions.app.time_zone);
            let key = mapping.slots.iter().position(|slot| slot.column == RECORD_KEY);
            let rows = SourceRows {
                slots: JsonSlots::new(&mapping),
                reader: RowReader::new(&mapping, schemas, 0)?.suppressing(suppressed.clone()),
                key,
                event_positions: Vec::new(),
                attribute_positions: Vec::new(),
            };
            sources.insert(source.name.to_string(), rows);
        }
        Ok(Self {
            sources,
            lost: RejectBuilder::default(),
            totals: BTreeMap::new(),
            landed: Landed::default(),
            partition: String::new(),
            schemas: schemas.clone(),
            suppressed,
        })
    }

    /// Finds the message ids of those records whose source maps them.
    pub(crate) fn identify(&mut self, records: &mut [(u64, LogRecord)]) {
        for (_, record) in records {
            let LogRecord { message_id, received_at_ms, body, .. } = record;
            let RecordBody::Topic(topic) = body else { continue };
            let Some(rows) = self.sources.get_mut(&topic.source) else { continue };
            if !rows.reader.maps_message_id() {
                continue;
            }
            if let Some(head) = rows.head(topic, *received_at_ms) {
                (*message_id, topic.dated_ms) = (head.message_id, Some(head.time_ms));
            }
        }
    }

    /// Takes the record at `position` of the log, unless it was there before.
    pub(crate) fn push(
        &mut self,
        position: u64,
        received_ms: TimestampMs,
        record: &TopicRecord,
        is_new: bool,
    ) {
        if !self.totals.contains_key(&record.source) {
            self.totals.insert(record.source.clone(), TopicTotals::default());
        }
        let Some(totals) = self.totals.get_mut(&record.source) else { return };
        totals.records += 1;
        if !is_new {
            totals.duplicates += 1;
            self.landed.duplicates += 1;
            return;
        }
        self.partition.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.partition, "{}/{}", record.topic, record.partition);
        if record.incarnation > 0 {
            let _ = write!(self.partition, "~{}", record.incarnation);
        }
        match self.sources.get_mut(&record.source) {
            Some(rows) => rows.push(position, received_ms, &self.partition, record),
            None => self.lose(received_ms, record),
        }
    }

    /// A record whose source was removed after it was read.
    fn lose(&mut self, received_ms: TimestampMs, record: &TopicRecord) {
        let raw = match &record.content {
            TopicContent::Row { value, .. } => value,
            TopicContent::Unreadable { raw, .. } => raw,
            TopicContent::Tombstone => "",
        };
        if self.suppressed.may_be_named_in(raw.as_bytes()) {
            self.landed.suppressed += 1;
            if let Some(totals) = self.totals.get_mut(&record.source) {
                totals.filtered += 1;
            }
            return;
        }
        let place = RowPlace {
            source: &record.source,
            file: Some(&self.partition),
            row: u64::try_from(record.offset).ok(),
            received_at: received_ms,
        };
        let detail = format!("no source \"{}\" reads a topic any more", record.source);
        self.lost.push(place, Reason::UnknownSource, &detail, raw.as_bytes());
        self.landed.rejected += 1;
        if let Some(totals) = self.totals.get_mut(&record.source) {
            totals.rejected += 1;
        }
    }

    /// The rows since this was last called; `None`: no record came.
    pub(crate) fn finish(&mut self) -> Result<Option<TopicBuilt>> {
        if self.totals.is_empty() {
            return Ok(None);
        }
        let (mut batches, mut totals) = (Vec::new(), std::mem::take(&mut self.totals));
        let mut rejected = vec![self.lost.finish(&self.schemas.rejected)?];
        let mut landed = std::mem::take(&mut self.landed);
        for (source, rows) in &mut self.sources {
            let Some(totals) = totals.get_mut(source) else { continue };
            let chunk = rows.reader.finish()?;
            let tally = &chunk.tally;
            totals.rejected += tally.rejected;
            let left_out = tally.filtered + tally.suppressed;
            totals.filtered += left_out;
            totals.accepted += tally.rows.saturating_sub(tally.rejected + left_out);
            landed.events += chunk.accepted.events.num_rows() as u64;
            landed.attributes += chunk.accepted.attributes.num_rows() as u64;
            landed.rejected += tally.rejected;
            landed.filtered += tally.filtered;
            landed.suppressed += tally.suppressed;
            landed.replaced += tally.replaced;
            rejected.push(chunk.rejected);
            batches.push(TopicBatch {
                accepted: chunk.accepted,
                event_positions: std::mem::take(&mut rows.event_positions),
                attribute_positions: std::mem::take(&mut rows.attribute_positions),
            });
        }
        Ok(Some(TopicBuilt { batches, rejected, totals, landed }))
    }
}

/// The message id and the time of a row.
struct TopicHead {
    message_id: String,
    time_ms: TimestampMs,
}

impl SourceRows {
    /// `None`: the row gives none, and will be rejected.
    fn head(&mut self, record: &TopicRecord, received_ms: TimestampMs) -> Option<TopicHead> {
        let TopicContent::Row { key, value } = &record.content else { return None };
        let line = JsonLine::of(value);
        self.slots.scan(line.text()).ok()?;
        let row = JsonRow { line: &line, slots: &self.slots };
        let row = KeyedRow { row, slot: self.key, key: key.as_deref() };
        self.reader.begin_record("", record.time_ms.unwrap_or(received_ms), received_ms);
        let (message_id, time_ms) = self.reader.read_head(&row)?;
        Some(TopicHead { message_id, time_ms })
    }

    fn push(
        &mut self,
        position: u64,
        received_ms: TimestampMs,
        partition: &str,
        record: &TopicRecord,
    ) {
        let time_ms = record.time_ms.unwrap_or(received_ms);
        let offset = u64::try_from(record.offset).unwrap_or_default();
        self.reader.begin_record(partition, time_ms, received_ms);
        let (key, value) = match &record.content {
            TopicContent::Row { key, value } => (key.as_deref(), value),
            TopicContent::Tombstone => return self.reader.pass_over(),
            TopicContent::Unreadable { reason, detail, raw } => {
                return self.reader.push_refused(offset, reason, detail, raw.as_bytes());
            }
        };
        // The key may be all that tells whose the record is.
        if key.is_some_and(|key| self.reader.refuses(key)) {
            return self.reader.pass_over_suppressed();
        }
        let line = JsonLine::of(value);
        let max_future_ms = self.reader.mapping().max_future_ms;
        let checked = check_time(time_ms, received_ms, max_future_ms).map(drop);
        let checked = checked.map_err(|problem| {
            Fault::new(Reason::BadTime, format!("the record's timestamp {problem}"))
        });
        let checked = if self.reader.mapping().time.is_some() { Ok(()) } else { checked };
        match checked.and_then(|()| self.slots.scan(line.text())) {
            Ok(()) => {
                let row = JsonRow { line: &line, slots: &self.slots };
                self.reader.push(offset, &KeyedRow { row, slot: self.key, key });
            }
            Err(fault) => self.reader.push_broken(offset, &fault, value.as_bytes()),
        }
        self.event_positions.resize(self.reader.event_rows(), position);
        self.attribute_positions.resize(self.reader.attribute_rows(), position);
    }
}

/// A row beside which stands the record's key.
struct KeyedRow<'r, R> {
    row: R,
    slot: Option<usize>,
    key: Option<&'r str>,
}

impl<R: Row> Row for KeyedRow<'_, R> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        match (self.slot == Some(slot), self.key) {
            (false, _) => self.row.cell(slot),
            (true, Some(key)) => Cell::Text(key),
            (true, None) => Cell::Absent,
        }
    }

    fn extra(&self) -> Option<String> {
        self.row.extra()
    }

    fn raw(&self) -> Cow<'_, [u8]> {
        self.row.raw()
    }

    fn replaced(&self) -> u32 {
        self.row.replaced()
    }

    fn size(&self) -> usize {
        self.row.size()
    }
}

/// Batches in the order of the log: `parts` are each in that order.
pub(crate) fn in_order(parts: Vec<(RecordBatch, Vec<u64>)>) -> Result<(RecordBatch, Vec<u64>)> {
    let mut parts: Vec<_> = parts.into_iter().collect();
    let filled = parts.iter().filter(|(batch, _)| batch.num_rows() > 0).count();
    if filled <= 1 {
        let at = parts.iter().position(|(batch, _)| batch.num_rows() > 0).unwrap_or(0);
        if at >= parts.len() {
            return Err(Error::Internal("no batch to be put in order".to_owned()));
        }
        return Ok(parts.swap_remove(at));
    }
    let mut places: Vec<(u64, usize, usize)> = Vec::new();
    for (part, (_, positions)) in parts.iter().enumerate() {
        places.extend(positions.iter().enumerate().map(|(row, position)| (*position, part, row)));
    }
    places.sort_unstable();
    let batches: Vec<&RecordBatch> = parts.iter().map(|(batch, _)| batch).collect();
    let rows: Vec<(usize, usize)> = places.iter().map(|(_, part, row)| (*part, *row)).collect();
    let batch = arrow::compute::interleave_record_batch(&batches, &rows)?;
    Ok((batch, places.into_iter().map(|(position, _, _)| position).collect()))
}
