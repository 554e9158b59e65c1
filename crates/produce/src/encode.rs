//! The columns of a production as rows of tables and as segments of the index.

use crate::columns::Column;
use crate::pass::goes_on;
use crate::producer::{ProducedTag, elapsed_ms};
use crate::roster::Roster;
use crate::scratch::ScratchFolder;
use crate::segments::{ColumnFeeder, Fed, FedColumn, LoadedFiles, NewSegment, Segments};
use crate::tables::TableRows;
use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use taghouse_fold::ColumnReader;
use taghouse_index::SegmentSource;
use taghouse_lake::{TableLayout, layout, layout_schema};
use taghouse_model::{Name, Ordinal, TimestampMs, ValueType};
use taghouse_rules::TagDefinition;
use tokio_util::sync::CancellationToken;

/// What is to be encoded.
pub(crate) struct ToEncode {
    /// The published tags, in order of dependency.
    pub(crate) tags: Vec<TagDefinition>,
    /// The values of these and others.
    pub(crate) columns: BTreeMap<Name, Column>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) as_of_ms: TimestampMs,
    /// Whether these are all tags of the app: then the wide table is written too.
    pub(crate) complete: bool,
}

/// What is written of a production.
pub(crate) struct Encoded {
    pub(crate) tags: Vec<ProducedTag>,
    pub(crate) tables: Vec<TableRows>,
    /// Of the tags that the stream does not keep current.
    pub(crate) segments: Vec<NewSegment>,
    /// Holds the segments' files.
    pub(crate) folder: ScratchFolder,
}

/// One tag while others are still being encoded.
struct EncodedTag {
    /// Its place among the tags.
    place: usize,
    produced: ProducedTag,
    /// `None`: it has no table.
    rows: Option<TableRows>,
    /// `None` for a tag that gets no segment.
    fed: Option<Fed>,
}

impl ToEncode {
    /// Encodes on all cores; `folder` takes the segments.
    pub(crate) fn encode(
        mut self,
        folder: ScratchFolder,
        stop: &CancellationToken,
    ) -> Result<Encoded> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let last = self.roster.ordinals.last().copied().unwrap_or(0);
        let segments = Segments::new(folder, last, threads)?;
        let encoded = self.tags_on(threads, &segments, stop)?;
        goes_on(stop)?;
        let LoadedFiles { mut by_name, folder } = segments.finish()?;
        let mut all = Encoded {
            tags: Vec::with_capacity(encoded.len()),
            tables: Vec::with_capacity(encoded.len() + 1),
            segments: Vec::with_capacity(encoded.len()),
            folder,
        };
        for EncodedTag { place, produced, rows, fed } in encoded {
            let TagDefinition { name, value_type, .. } = &self.tags[place];
            let source = match fed {
                None => None,
                Some(Fed::Built(bytes)) => Some(SegmentSource::Bytes(bytes)),
                Some(Fed::Loaded) => by_name.remove(name.as_str()).map(SegmentSource::File),
            };
            all.segments.extend(source.map(|source| NewSegment {
                name: name.clone(),
                value_type: *value_type,
                source,
            }));
            all.tags.push(produced);
            all.tables.extend(rows);
        }
        if self.complete {
            all.tables.push(self.wide_rows()?);
        }
        Ok(all)
    }

    /// Encodes all tags, in their order: each thread takes the next one.
    fn tags_on(
        &self,
        threads: usize,
        segments: &Segments,
        stop: &CancellationToken,
    ) -> Result<Vec<EncodedTag>> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<EncodedTag>> {
            let mut feeder = segments.feeder(stop);
            let mut done = Vec::new();
            loop {
                goes_on(stop)?;
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(tag) = self.tags.get(place) else { break };
                if let Some(column) = self.columns.get(&tag.name) {
                    done.push(self.tag(place, tag, column, &mut feeder)?);
                }
            }
            feeder.finish()?;
            Ok(done)
        };
        let ended: Vec<Result<Vec<EncodedTag>>> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..threads.min(self.tags.len())).map(|_| scope.spawn(work)).collect();
            let ended = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| Err(Error::Worker("it panicked".to_owned())))
            });
            ended.collect()
        });
        let mut encoded = Vec::with_capacity(self.tags.len());
        for of_worker in ended {
            encoded.extend(of_worker?);
        }
        encoded.sort_unstable_by_key(|tag| tag.place);
        Ok(encoded)
    }

    fn tag(
        &self,
        place: usize,
        tag: &TagDefinition,
        column: &Column,
        feeder: &mut ColumnFeeder<'_>,
    ) -> Result<EncodedTag> {
        let began = Instant::now();
        let values = Present::of(tag, &column.values, &self.roster)?;
        let mut fed = None;
        // What the stream keeps current it publishes itself.
        if !tag.mode.is_live() {
            let shown = column.shown.as_ref();
            let shown = shown.map(|shown| Present::of(tag, shown, &self.roster)).transpose()?;
            fed = Some(shown.as_ref().unwrap_or(&values).feed(tag, feeder)?);
        }
        let produced = ProducedTag {
            name: tag.name.clone(),
            users: values.ordinals.len() as u64,
            elapsed_ms: column.elapsed_ms + elapsed_ms(began),
            skipped: column.skipped.clone(),
        };
        let mut written = None;
        if !tag.is_anonymous() {
            let table = layout::tag(&tag.name, tag.value_type);
            let as_of = as_of(values.ids.len(), self.as_of_ms);
            written = Some(rows(table, vec![as_of, values.ids, values.values])?);
        }
        Ok(EncodedTag { place, produced, rows: written, fed })
    }

    /// The rows of the wide table: one a user, one column a tag. Takes the columns.
    fn wide_rows(&mut self) -> Result<TableRows> {
        let types: BTreeMap<Name, ValueType> = self
            .tags
            .iter()
            .filter(|tag| !tag.is_anonymous())
            .map(|tag| (tag.name.clone(), tag.value_type))
            .collect();
        let ids: ArrayRef = self.roster.ids.clone();
        let mut columns = vec![as_of(self.roster.len(), self.as_of_ms), ids];
        let values = types.keys().filter_map(|name| self.columns.remove(name));
        columns.extend(values.map(|column| column.values));
        rows(layout::users_wide(&types), columns)
    }
}

/// The users who have a value, with their values.
struct Present<'a> {
    ids: ArrayRef,
    ordinals: Cow<'a, [Ordinal]>,
    values: ArrayRef,
}

impl<'a> Present<'a> {
    fn of(tag: &TagDefinition, values: &ArrayRef, roster: &'a Roster) -> Result<Self> {
        let reader = ColumnReader::new(tag.name.as_str(), values, tag.value_type)?;
        let has_value = |row| match tag.value_type {
            // Some units are beyond what a decimal holds.
            ValueType::Decimal { .. } => reader.value(row).is_some(),
            _ => reader.is_set(row),
        };
        let present: Vec<u32> =
            (0..values.len()).filter(|row| has_value(*row)).map(|row| row as u32).collect();
        if present.len() == roster.len() {
            return Ok(Self {
                ids: roster.ids.clone(),
                ordinals: Cow::Borrowed(&roster.ordinals),
                values: values.clone(),
            });
        }
        let failed = |error: arrow::error::ArrowError| Error::Rows {
            table: layout::tag_table(&tag.name),
            detail: error.to_string(),
        };
        let ordinals = present.iter().map(|row| roster.ordinals[*row as usize]).collect();
        let present = UInt32Array::from(present);
        Ok(Self {
            ids: arrow::compute::take(roster.ids.as_ref(), &present, None).map_err(failed)?,
            ordinals,
            values: arrow::compute::take(values, &present, None).map_err(failed)?,
        })
    }

    fn feed(&self, tag: &TagDefinition, feeder: &mut ColumnFeeder<'_>) -> Result<Fed> {
        feeder.feed(&FedColumn {
            name: &tag.name,
            value_type: tag.value_type,
            values: &self.values,
            ordinals: &self.ordinals,
        })
    }
}

fn as_of(rows: usize, as_of_ms: TimestampMs) -> ArrayRef {
    Arc::new(
        TimestampMicrosecondArray::from_value(as_of_ms.saturating_mul(1000), rows)
            .with_timezone("+00:00"),
    )
}

fn rows(table: TableLayout, columns: Vec<ArrayRef>) -> Result<TableRows> {
    let schema = layout_schema(&table)?;
    let rows = RecordBatch::try_new(schema, columns)
        .map_err(|error| Error::Rows { table: table.name.clone(), detail: error.to_string() })?;
    Ok(TableRows { table, rows })
}
