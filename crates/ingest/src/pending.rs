//! Rows of live calls that are decided, and wait in memory until they land.

use crate::Result;
use crate::admitted::Told;
use crate::ids::{MessageIds, NotedId};
use crate::landed_ids::DatedId;
use crate::linking::Linker;
use crate::live_rows::{Built, Landed, LiveRows};
use crate::live_totals::{LANDED_AT_ONCE, position};
use crate::stretch::{Stretch, Taken, TakenInto};
use crate::suppressed::SuppressedIds;
use crate::table_columns::Schemas;
use crate::topic_progress::{TopicSources, TopicTotals};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use taghouse_catalog::Pointer;
use taghouse_disk::blocking;
use taghouse_identities::{AppIdentities, LinkEvent};
use taghouse_model::AppId;
use taghouse_rules::Definitions;

/// As many bytes of records wait at most, and one read of the log.
const PENDING_BYTES: usize = 64 << 20;
/// Batches of fewer rows than this are joined.
const JOINED_ROWS: usize = 8192;

/// The decided records behind the position that landed.
pub(crate) struct Pending {
    /// Under these the rows are built.
    pub(crate) definitions: Arc<Definitions>,
    /// The catalog's, before the first of them.
    pub(crate) pointer: Option<Pointer>,
    pub(crate) through: u64,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) messages: u64,
    /// Messages that were rejected whole.
    pub(crate) refused: u64,
    /// What came of calls and of topics.
    pub(crate) landed: Landed,
    /// How far topics were taken with these.
    pub(crate) topics: TopicSources,
    /// What came of topics, by source.
    pub(crate) topic_totals: BTreeMap<String, TopicTotals>,
    /// Their ids, to be remembered when they land.
    pub(crate) noted: Vec<NotedId>,
    /// The ids that somebody else may land meanwhile.
    pub(crate) dated: Vec<DatedId>,
    pub(crate) events: Batches,
    pub(crate) attributes: Batches,
    pub(crate) rejected: Batches,
    pub(crate) changes: Batches,
    pub(crate) links: Vec<LinkEvent>,
    ids: HashSet<u128>,
    pub(crate) rows: LiveRows,
    pub(crate) linker: Linker,
}

impl Pending {
    /// Nothing yet, behind the pointer's position.
    pub(crate) fn new(
        definitions: &Arc<Definitions>,
        pointer: Option<Pointer>,
        schemas: Schemas,
        identities: Arc<AppIdentities>,
        suppressed: Arc<SuppressedIds>,
    ) -> Result<Self> {
        // What was decided and did not land is decided by this, as it was before.
        identities.roll_back(position(pointer.as_ref()));
        Ok(Self {
            definitions: Arc::clone(definitions),
            through: position(pointer.as_ref()),
            topics: TopicSources::of(pointer.as_ref()),
            topic_totals: BTreeMap::new(),
            pointer,
            records: 0,
            bytes: 0,
            messages: 0,
            refused: 0,
            landed: Landed::default(),
            noted: Vec::new(),
            dated: Vec::new(),
            events: Batches::default(),
            attributes: Batches::default(),
            rejected: Batches::default(),
            changes: Batches::default(),
            links: Vec::new(),
            linker: Linker::new(definitions, identities),
            ids: HashSet::new(),
            rows: LiveRows::new(definitions, schemas, suppressed)?,
        })
    }

    /// How many records more may wait.
    pub(crate) fn room(&self) -> usize {
        if self.bytes >= PENDING_BYTES { 0 } else { LANDED_AT_ONCE.saturating_sub(self.records) }
    }

    /// What came of calls alone.
    pub(crate) fn landed_calls(&self) -> Landed {
        let mut calls = self.landed;
        for totals in self.topic_totals.values() {
            let left_out = calls.filtered + calls.suppressed;
            calls.filtered = left_out.saturating_sub(totals.filtered);
            calls.suppressed = 0;
            calls.duplicates = calls.duplicates.saturating_sub(totals.duplicates);
            calls.rejected = calls.rejected.saturating_sub(totals.rejected);
        }
        calls
    }

    /// Decides the records of the stretch, which follow those before. `elsewhere`: ids that the
    /// lake holds beside those remembered. Blocks; after an error this is of no use any more.
    pub(crate) fn take(
        &mut self,
        app: &AppId,
        stretch: Stretch,
        ids: &MessageIds,
        elsewhere: &HashSet<u128>,
    ) -> Result<Told> {
        let (after, bytes) = (self.through, stretch.bytes);
        let into = TakenInto {
            ids: &mut self.ids,
            topics: &mut self.topics,
            rows: &mut self.rows,
            linker: &mut self.linker,
        };
        let taken = stretch.take(app, ids, elsewhere, into)?;
        let Taken { built, records, messages, noted, dated, gone, changed, links, cuts, last } =
            taken;
        let Built { accepted, rejected, changes, landed, refused, topics, .. } = built;
        self.through = last;
        self.records += records;
        self.bytes += bytes;
        self.messages += messages;
        self.refused += refused;
        self.landed.add(&landed);
        for (source, totals) in &topics {
            self.topic_totals.entry(source.clone()).or_default().add(totals);
        }
        self.noted.extend(noted);
        self.dated.extend(dated);
        self.events.push(accepted.events.clone())?;
        self.attributes.push(accepted.attributes.clone())?;
        for rejected in rejected {
            self.rejected.push(rejected)?;
        }
        self.changes.push(changes)?;
        self.links.extend_from_slice(&links);
        Ok(Told {
            definitions: Arc::clone(&self.definitions),
            after,
            through: last,
            cuts,
            gone,
            changed,
            links,
            events: accepted.events,
            event_positions: built.event_positions,
            attributes: accepted.attributes,
            attribute_positions: built.attribute_positions,
        })
    }
}

/// Rows of a table in order. A landing may be hours away and what is admitted at once a single row,
/// so that small batches are joined: their number grows with the logarithm of the rows only.
#[derive(Default)]
pub(crate) struct Batches(Vec<RecordBatch>);

impl Batches {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.0.push(batch);
        while let [.., before, last] = self.0.as_slice() {
            let (rows, more) = (before.num_rows(), last.num_rows());
            if rows > 2 * more || rows + more > JOINED_ROWS {
                break;
            }
            let joined = concat_batches(&last.schema(), [before, last])?;
            self.0.truncate(self.0.len() - 2);
            self.0.push(joined);
        }
        Ok(())
    }

    pub(crate) fn into_inner(self) -> Vec<RecordBatch> {
        self.0
    }
}

/// The stretch with the message ids of its records of topics, which the definitions say.
pub(crate) async fn identified(pending: Pending, stretch: Stretch) -> Result<(Pending, Stretch)> {
    if !stretch.has_topics {
        return Ok((pending, stretch));
    }
    let (mut pending, mut stretch) = (pending, stretch);
    blocking(move || {
        stretch.identify(&mut pending.rows);
        Ok((pending, stretch))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    #[test]
    fn small_batches_are_joined_in_order() {
        let batch = |from: i64, to: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
            RecordBatch::try_from_iter([("n", column)]).unwrap()
        };
        let mut batches = Batches::default();
        for n in 0..30_000 {
            batches.push(batch(n, n + 1)).unwrap();
        }
        batches.push(batch(0, 0)).unwrap();
        batches.push(batch(30_000, 50_000)).unwrap();
        let all = batches.into_inner();
        assert!(all.len() < 30, "{} batches", all.len());
        let values: Vec<i64> = all
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        assert!(values.into_iter().eq(0..50_000));
    }
}
