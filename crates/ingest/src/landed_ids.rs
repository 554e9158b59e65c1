//! Which message ids have landed before: asked of the lake, by the UTC days of the new rows.
//!
//! A row is known where a row of the same id has a time on any day that the new ones touch. So the
//! cost is bounded by the rows of those days. Live calls are looked up with each landing: what
//! their days' files hold is remembered by file, for those never change.

use crate::dedup::RunIds;
use crate::ids::message_hash;
use crate::{Error, Result};
use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use futures::StreamExt;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZero;
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_lake::{BatchStream, Lake, TableFile, layout};
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_rules::{Definitions, SourceFormat};

/// The tables whose rows have message ids.
const TABLES: [&str; 2] = [layout::EVENTS, layout::ATTRIBUTES];
const COLUMNS: [&str; 4] = ["message_id", "source", "source_file", "received_at"];

/// The memory for ids of files, in bytes. What does not fit is read again with each landing that
/// touches its days.
const REMEMBERED_BYTES: u64 = 128 << 20;
/// Live messages that came in within this time are left out: [`crate::MessageIds`] knows them, …
const RECENT_MS: i64 = 24 * 3_600_000;
/// … and does so for this long.
const KNOWN_MS: i64 = 25 * 3_600_000;

/// The UTC day of an instant.
pub(crate) fn day_of(time_ms: TimestampMs) -> i32 {
    i32::try_from(time_ms.div_euclid(86_400_000)).unwrap_or(i32::MAX)
}

/// Files of a source whose rows are about to be replaced: their ids are free.
#[derive(Debug, Clone)]
pub(crate) struct Replaced {
    pub(crate) source: Name,
    pub(crate) files: HashSet<String>,
}

impl Replaced {
    /// Whether the row goes.
    pub(crate) fn contains(&self, source: &str, file: Option<&str>) -> bool {
        source == self.source.as_str() && file.is_some_and(|file| self.files.contains(file))
    }
}

/// Those ids of a run that the lake holds on these days.
pub(crate) async fn of_run(
    lake: &Lake,
    app: &AppId,
    ids: &Arc<RunIds>,
    days: &BTreeSet<i32>,
    replaced: &Arc<Replaced>,
) -> Result<HashSet<u128>> {
    let parts = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut reading = tokio::task::JoinSet::new();
    for name in TABLES {
        let Some(table) = lake.table(app, name).await? else { continue };
        for batches in table.scan(&COLUMNS).on_days(days.clone())?.plan(parts).await?.partitions() {
            reading.spawn(found_in(batches, ids.clone(), replaced.clone()));
        }
    }
    let mut found = HashSet::new();
    while let Some(part) = reading.join_next().await {
        found.extend(part.map_err(|e| {
            crate::Error::Internal(format!("looking up message ids failed: {e}"))
        })??);
    }
    Ok(found)
}

async fn found_in(
    mut batches: BatchStream,
    ids: Arc<RunIds>,
    replaced: Arc<Replaced>,
) -> Result<Vec<u128>> {
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let rows = Rows::of(&batch);
        for row in 0..batch.num_rows() {
            let id = message_hash(rows.ids.value(row));
            if ids.contains(id) && !replaced.contains(rows.sources.value(row), rows.file(row)) {
                found.push(id);
            }
        }
    }
    Ok(found)
}

/// Batches of [`COLUMNS`].
struct Rows<'b> {
    ids: &'b StringArray,
    sources: &'b StringArray,
    files: &'b StringArray,
}

impl<'b> Rows<'b> {
    fn of(batch: &'b RecordBatch) -> Self {
        let text = |column: usize| batch.column(column).as_string::<i32>();
        Self { ids: text(0), sources: text(1), files: text(2) }
    }

    fn file(&self, row: usize) -> Option<&'b str> {
        self.files.is_valid(row).then(|| self.files.value(row))
    }

    /// Whether the id was made of the file's name and the row, not given by the source.
    fn is_made_up(&self, row: usize) -> bool {
        let place = self
            .file(row)
            .and_then(|file| self.ids.value(row).strip_prefix(file)?.strip_prefix(':'));
        place.is_some_and(|number| {
            number.len() >= 9 && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }
}

/// The ids of one data file, but for those that live calls brought of late.
struct OfFile {
    /// All of them, sorted.
    ids: Vec<u128>,
    /// When the first of the live messages came in that were left out.
    oldest_left_out_ms: Option<TimestampMs>,
}

#[derive(Clone)]
struct ByIds;

impl Weighter<String, Arc<OfFile>> for ByIds {
    fn weight(&self, path: &String, of_file: &Arc<OfFile>) -> u64 {
        (path.len() + of_file.ids.len() * size_of::<u128>()) as u64 + 100
    }
}

/// A message's id and when it says that it happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatedId {
    pub(crate) id: u128,
    pub(crate) time_ms: TimestampMs,
}

/// The sources whose rows go through the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveSources {
    /// All of them.
    names: HashSet<String>,
    /// Those whose ids are made of the record's place in its topic.
    made_up: HashSet<String>,
}

impl LiveSources {
    /// Those of the definitions, and the one of live calls.
    pub(crate) fn of(definitions: &Definitions, calls: &Name) -> Self {
        let topics =
            || definitions.sources.values().filter(|source| source.format == SourceFormat::Kafka);
        let named = topics().map(|source| source.name.to_string());
        let made_up = topics().filter(|source| source.message_id.is_none());
        Self {
            names: named.chain([calls.to_string()]).collect(),
            made_up: made_up.map(|source| source.name.to_string()).collect(),
        }
    }
}

/// What the lake's files hold, as landings of live calls ask for it.
pub(crate) struct LandedIds {
    files: Cache<String, Arc<OfFile>, ByIds>,
}

impl Default for LandedIds {
    fn default() -> Self {
        Self { files: Cache::with_weighter(1000, REMEMBERED_BYTES, ByIds) }
    }
}

impl LandedIds {
    /// Those of the ids that the lake holds on their day, but for live ones of the last
    /// day.
    pub(crate) async fn find(
        &self,
        lake: &Lake,
        app: &AppId,
        asked: &[DatedId],
        live: &LiveSources,
        now_ms: TimestampMs,
    ) -> Result<HashSet<u128>> {
        // Day by day, so that what is found of an id does not hang on what else is asked for: who
        // asks again, with others, gets the same answer.
        let mut by_day: BTreeMap<i32, Vec<u128>> = BTreeMap::new();
        for dated in asked {
            by_day.entry(day_of(dated.time_ms)).or_default().push(dated.id);
        }
        let mut found = HashSet::new();
        if by_day.is_empty() {
            return Ok(found);
        }
        for name in TABLES {
            let Some(table) = lake.table(app, name).await? else { continue };
            for (day, ids) in &by_day {
                let days = BTreeSet::from([*day]);
                for file in table.scan(&COLUMNS).on_days(days)?.by_file().await? {
                    let of_file = self.of_file(&file, live, now_ms).await?;
                    let known = ids.iter().filter(|id| of_file.ids.binary_search(id).is_ok());
                    found.extend(known);
                }
            }
        }
        Ok(found)
    }

    async fn of_file(
        &self,
        file: &TableFile,
        live: &LiveSources,
        now_ms: TimestampMs,
    ) -> Result<Arc<OfFile>> {
        let is_valid = |of_file: &Arc<OfFile>| {
            of_file.oldest_left_out_ms.is_none_or(|oldest| oldest > now_ms - KNOWN_MS)
        };
        if let Some(known) = self.files.get(file.path()).filter(is_valid) {
            return Ok(known);
        }
        let mut ids = Vec::new();
        let mut oldest_left_out_ms: Option<TimestampMs> = None;
        let mut batches = file.read();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let rows = Rows::of(&batch);
            let received = batch.column(3).as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                let received_ms = received.value(row).div_euclid(1000);
                if live.made_up.contains(rows.sources.value(row)) {
                    continue;
                }
                if live.names.contains(rows.sources.value(row)) && received_ms > now_ms - RECENT_MS
                {
                    oldest_left_out_ms = Some(
                        oldest_left_out_ms.map_or(received_ms, |oldest| oldest.min(received_ms)),
                    );
                } else if !rows.is_made_up(row) {
                    ids.push(message_hash(rows.ids.value(row)));
                }
            }
        }
        let sorted = blocking::<_, Error>(move || {
            ids.sort_unstable();
            ids.dedup();
            ids.shrink_to_fit();
            Ok(ids)
        });
        let of_file = Arc::new(OfFile { ids: sorted.await?, oldest_left_out_ms });
        self.files.insert(file.path().to_owned(), of_file.clone());
        Ok(of_file)
    }
}
