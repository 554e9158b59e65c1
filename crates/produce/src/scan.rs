//! Reads tables with a partition a core and hands every row to the worker that owns its user.

use crate::chosen::Chosen;
use crate::users::{hash, owner};
use crate::{Error, Result};
use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_identities::Mapping;
use taghouse_lake::Scan;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

/// Batches that may wait for a worker; more would only hold memory.
pub(crate) const QUEUE: usize = 8;

/// What the rows of a batch are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What was changed by hand, and who went. It comes before all else.
    Changes,
    /// Events for the aggregate folds.
    Events,
    /// Attribute rows for the attribute folds.
    Attributes,
    /// Only to learn of the users.
    Users,
}

/// Some rows of a batch, all of one worker's users.
pub(crate) struct Portion {
    pub(crate) purpose: Purpose,
    /// With the users whose rows they are.
    pub(crate) batch: Arc<RecordBatch>,
    /// The ids under which the rows of the batch came; `None`: those of the users.
    pub(crate) came_under: Option<Arc<StringArray>>,
    pub(crate) rows: Vec<u32>,
    /// Of the user id of each of these rows.
    pub(crate) hashes: Vec<u64>,
}

/// Whose rows they are, and of whom they are wanted.
#[derive(Clone)]
pub(crate) struct Whose {
    pub(crate) mapping: Arc<Mapping>,
    /// `None`: of everybody.
    pub(crate) chosen: Option<Arc<Chosen>>,
}

/// Progress over all scans of a production.
pub(crate) struct RowsRead<'a> {
    pub(crate) read: AtomicU64,
    pub(crate) total: u64,
    pub(crate) report: &'a (dyn Fn(u64, u64) + Sync),
}

impl RowsRead<'_> {
    fn add(&self, rows: u64) {
        let read = self.read.fetch_add(rows, Ordering::Relaxed) + rows;
        (self.report)(read, self.total);
    }
}

impl Portion {
    /// The ids under which the rows of the batch came.
    pub(crate) fn came_under(&self) -> Result<&StringArray> {
        self.came_under.as_deref().map_or_else(|| user_ids(&self.batch), Ok)
    }
}

/// The user ids of a batch.
pub(crate) fn user_ids(batch: &RecordBatch) -> Result<&StringArray> {
    let column = batch.column_by_name("user_id").and_then(|column| column.as_string_opt());
    column.ok_or_else(|| Error::Worker("a batch has no column user_id of text".to_owned()))
}

/// Reads all of a scan. Partitions are decoded on tasks of their own, so that decoding and folding
/// overlap.
pub(crate) async fn read(
    scan: Scan,
    purpose: Purpose,
    whose: &Whose,
    workers: &[Sender<Portion>],
    rows: &RowsRead<'_>,
) -> Result<()> {
    let (count, mut counted) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for mut batches in scan.partitions() {
        let workers = workers.to_vec();
        let (count, whose) = (count.clone(), whose.clone());
        tasks.spawn(async move {
            let chosen = whose.chosen.as_deref();
            while let Some(batch) = batches.next().await {
                let (batch, came_under) = resolved(batch?, &whose.mapping)?;
                count.send(batch.num_rows() as u64).ok();
                for (worker, (rows, hashes)) in
                    workers.iter().zip(split(&batch, chosen, workers.len())?)
                {
                    if rows.is_empty() {
                        continue;
                    }
                    let portion = Portion {
                        purpose,
                        batch: batch.clone(),
                        came_under: came_under.clone(),
                        rows,
                        hashes,
                    };
                    worker
                        .send(portion)
                        .await
                        .map_err(|_| Error::Worker("it takes no more rows".to_owned()))?;
                }
            }
            Ok::<(), Error>(())
        });
    }
    drop(count);
    while let Some(batch) = counted.recv().await {
        rows.add(batch);
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Error::Worker(error.to_string()))??;
    }
    Ok(())
}

/// The batch with the users whose rows they are, and the ids under which they came where those are
/// others.
fn resolved(
    batch: RecordBatch,
    mapping: &Mapping,
) -> Result<(Arc<RecordBatch>, Option<Arc<StringArray>>)> {
    let came_under = user_ids(&batch)?;
    let Some(users) = mapping.resolved(came_under) else { return Ok((Arc::new(batch), None)) };
    let came_under = Arc::new(came_under.clone());
    let wrong = |error: arrow::error::ArrowError| Error::Worker(error.to_string());
    let place = batch.schema().index_of("user_id").map_err(wrong)?;
    let mut columns = batch.columns().to_vec();
    columns[place] = Arc::new(users);
    let batch = RecordBatch::try_new(batch.schema(), columns).map_err(wrong)?;
    Ok((Arc::new(batch), Some(came_under)))
}

type Share = (Vec<u32>, Vec<u64>);

fn split(batch: &RecordBatch, chosen: Option<&Chosen>, workers: usize) -> Result<Vec<Share>> {
    let ids = user_ids(batch)?;
    let room = match chosen {
        None => batch.num_rows() / workers + batch.num_rows() / 8,
        Some(_) => 0,
    };
    let mut shares: Vec<Share> =
        (0..workers).map(|_| (Vec::with_capacity(room), Vec::with_capacity(room))).collect();
    let wanted = |row: &usize| chosen.is_none_or(|chosen| chosen.takes(ids.value(*row)));
    for row in (0..ids.len()).filter(wanted) {
        let hash = hash(ids.value(row));
        let (rows, hashes) = &mut shares[owner(hash, workers)];
        rows.push(row as u32);
        hashes.push(hash);
    }
    Ok(shares)
}
