//! Message ids of live calls that landed within a day.

use crate::Result;
use crate::dedup::PassThrough;
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use futures::StreamExt;
use hashbrown::HashMap;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use taghouse_lake::{Comparison, Lake, layout};
use taghouse_model::{AppId, TimestampMs, Value};
use taghouse_rules::{Definitions, SourceFormat};
use xxhash_rust::xxh3::xxh3_128;

/// How long a message id is remembered, by the times at which calls came in.
const REMEMBERED_MS: i64 = 24 * 3_600_000;

/// Calls are dated before they enter the log, so their times are not quite in the log's order: by so much more is remembered.
const SLACK_MS: i64 = 3_600_000;

type Ids = HashMap<u128, TimestampMs, BuildHasherDefault<PassThrough>>;

/// The ids of an app, by hash, with when the message came in. Derived: rebuilt from the lake.
#[derive(Default)]
pub(crate) struct SeenIds {
    landed: Ids,
    /// Those of the landing under way: they count once it is committed.
    pending: Ids,
    newest_ms: TimestampMs,
}

impl SeenIds {
    /// Reads the ids of all live messages that landed and came in a day (and some) before `first_ms` or later.
    pub(crate) async fn load(lake: &Lake, app: &AppId, definitions: &Definitions, first_ms: TimestampMs) -> Result<Self> {
        let of_files = |format| format != SourceFormat::Segment;
        let file_sources: HashSet<&str> =
            definitions.sources.values().filter(|source| of_files(source.format)).map(|source| source.name.as_str()).collect();
        let from_ms = first_ms - REMEMBERED_MS - SLACK_MS;
        let mut seen = Self::default();
        for name in [layout::EVENTS, layout::ATTRIBUTES] {
            let Some(table) = lake.table(app, name).await? else { continue };
            let scan = table.scan(&["message_id", "received_at", "source"]);
            let scan = scan.compare("received_at", Comparison::GreaterOrEqual, Value::Time(from_ms))?;
            for mut batches in scan.plan(1).await?.partitions() {
                while let Some(batch) = batches.next().await {
                    let batch = batch?;
                    let (ids, sources) = (batch.column(0).as_string::<i32>(), batch.column(2).as_string::<i32>());
                    let received = batch.column(1).as_primitive::<TimestampMicrosecondType>();
                    for row in (0..batch.num_rows()).filter(|row| !file_sources.contains(sources.value(*row))) {
                        let received_ms = received.value(row).div_euclid(1000);
                        if received_ms >= from_ms {
                            seen.note(xxh3_128(ids.value(row).as_bytes()), received_ms);
                        }
                    }
                }
            }
        }
        Ok(seen)
    }

    fn note(&mut self, id: u128, received_ms: TimestampMs) {
        let last = self.landed.entry(id).or_insert(received_ms);
        *last = received_ms.max(*last);
        self.newest_ms = self.newest_ms.max(received_ms);
    }

    /// Whether a message of this id came in within the day before `received_ms`.
    pub(crate) fn knows(&self, message_id: &str, received_ms: TimestampMs) -> bool {
        let id = xxh3_128(message_id.as_bytes());
        [&self.pending, &self.landed].iter().filter_map(|ids| ids.get(&id)).any(|seen_ms| received_ms - seen_ms < REMEMBERED_MS)
    }

    /// Takes the id of a message that is being landed.
    pub(crate) fn claim(&mut self, message_id: &str, received_ms: TimestampMs) {
        self.pending.insert(xxh3_128(message_id.as_bytes()), received_ms);
    }

    /// The landing is committed: its ids count, those of more than a day ago are forgotten.
    pub(crate) fn settle(&mut self) {
        for (id, received_ms) in std::mem::take(&mut self.pending) {
            self.note(id, received_ms);
        }
        let from_ms = self.newest_ms - REMEMBERED_MS - SLACK_MS;
        self.landed.retain(|_, received_ms| *received_ms > from_ms);
    }
}
