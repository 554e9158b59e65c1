//! The end of a run over files: what has landed before is left out, what is replaced goes, and all
//! becomes visible by one commit.

use crate::dedup::RunIds;
use crate::duplicates::{Dropped, drop_known};
use crate::file_batches::{BATCH_POINTER, FileBatches};
use crate::landed_ids::{self, Replaced};
use crate::suppressed::{SuppressedIds, Suppressions};
use crate::table_writers::{Files, Tables};
use crate::turns::Turns;
use crate::{Error, IngestReport, Result};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use taghouse_catalog::{Catalog, Change, IngestedFile};
use taghouse_lake::{Commit, Comparison, Going, Lake, ScanBuilder, layout};
use taghouse_model::{AppId, Name, Value};

/// Whose rows a file brought is told by these.
const REPLACED_COLUMNS: [&str; 2] = ["source", "source_file"];
const REPLACED_REJECTS: [&str; 2] = ["source", "file"];

/// What a run has read and written.
pub(crate) struct Batch<'r> {
    pub(crate) app: &'r AppId,
    pub(crate) source: &'r Name,
    pub(crate) tables: &'r Tables,
    pub(crate) files: Files,
    pub(crate) landed: Vec<IngestedFile>,
    /// The files that landed before under the name of one that lands now.
    pub(crate) earlier: BTreeMap<String, IngestedFile>,
    /// The message ids that the source maps.
    pub(crate) ids: RunIds,
    /// The UTC days of the rows that have such.
    pub(crate) days: BTreeSet<i32>,
}

/// Where a run lands, and what must hold for it.
pub(crate) struct Places<'r> {
    pub(crate) catalog: &'r dyn Catalog,
    pub(crate) lake: &'r Lake,
    pub(crate) turns: &'r Turns,
    pub(crate) suppressions: &'r Suppressions,
    /// By which the rows were read.
    pub(crate) suppressed: &'r Arc<SuppressedIds>,
}

impl Batch<'_> {
    /// Lands it; the report is told what was left out. After an error nothing has landed, and the
    /// files are gone.
    pub(crate) async fn land(
        mut self,
        places: &Places<'_>,
        report: &mut IngestReport,
    ) -> Result<()> {
        let Places { catalog, lake, turns, .. } = places;
        // From the look-up to the commit, so that of two rows of one id only one lands. Those of live
        // calls that are admitted and have not landed are not looked up: they take a turn of their
        // own later, find these here, and drop theirs.
        let _turn = turns.take(self.app).await;
        if let Err(e) = self.holds(places).await {
            self.files.discard(lake).await;
            return Err(e);
        }
        let replaced = Arc::new(Replaced {
            source: self.source.clone(),
            files: self.earlier.keys().cloned().collect(),
        });
        match self.leave_out(lake, &replaced).await {
            Ok(dropped) => self.count(&dropped, report),
            Err(e) => {
                self.files.discard(lake).await;
                return Err(e);
            }
        }
        let pointer = catalog.pointer(BATCH_POINTER, self.app, self.source.as_str()).await;
        let pointer = match pointer {
            Ok(pointer) => pointer,
            Err(e) => {
                self.files.discard(lake).await;
                return Err(e.into());
            }
        };
        let before = FileBatches::of(pointer.as_ref());
        let batch = before.landed + 1;
        let replaced_by = if self.earlier.is_empty() { before.replaced } else { batch };
        let mut commit = lake.begin(self.app);
        self.files.append(&mut commit, self.tables);
        if let Err(e) = take_out(&mut commit, &replaced, &self.earlier).await {
            commit.abandon().await;
            return Err(e);
        }
        commit.summary("taghouse.batch", &format!("{}/{batch}", self.source));
        commit.also(Change::PutPointer {
            kind: BATCH_POINTER.to_owned(),
            app: self.app.clone(),
            name: self.source.to_string(),
            expected: pointer.map(|p| p.revision),
            value: FileBatches { landed: batch, replaced: replaced_by }.to_value(),
        });
        for file in self.landed {
            let (app, source, file) =
                (self.app.clone(), self.source.clone(), IngestedFile { batch, ..file });
            commit.also(match self.earlier.get(&file.name) {
                Some(earlier) => {
                    Change::ReplaceFile { app, source, expected_batch: earlier.batch, file }
                }
                None => Change::RecordFile { app, source, file },
            });
        }
        commit.commit().await?;
        Ok(())
    }

    /// Whose data is refused may have changed since the rows were read; from here on it does not, for
    /// that takes a turn too.
    async fn holds(&self, places: &Places<'_>) -> Result<()> {
        let now = places.suppressions.of(self.app).await?;
        if Arc::ptr_eq(&now, places.suppressed) {
            return Ok(());
        }
        Err(Error::SuppressedMeanwhile { app: self.app.to_string() })
    }

    /// Takes rows whose ids have landed before out of the files.
    async fn leave_out(&mut self, lake: &Lake, replaced: &Arc<Replaced>) -> Result<Dropped> {
        if self.days.is_empty() {
            return Ok(Dropped::default());
        }
        let ids = Arc::new(std::mem::take(&mut self.ids));
        let known: HashSet<u128> =
            landed_ids::of_run(lake, self.app, &ids, &self.days, replaced).await?;
        drop_known(lake, self.tables, &mut self.files, &known).await
    }

    fn count(&mut self, dropped: &Dropped, report: &mut IngestReport) {
        for file in &mut self.landed {
            let rows = dropped.rows.get(&file.name).copied().unwrap_or(0);
            file.accepted -= rows;
            file.duplicates += rows;
            report.duplicates += rows;
        }
        for (event, count) in &dropped.events {
            if let Some(accepted) = report.accepted.get_mut(event) {
                *accepted -= count;
            }
        }
        report.accepted.retain(|_, count| *count > 0);
        report.attributes -= dropped.attributes;
    }
}

/// Takes the rows that the replaced files brought out of the tables.
async fn take_out(
    commit: &mut Commit,
    replaced: &Replaced,
    earlier: &BTreeMap<String, IngestedFile>,
) -> Result<()> {
    if earlier.is_empty() {
        return Ok(());
    }
    // All rows of a file came in at one moment.
    let received: Vec<Value> = earlier
        .values()
        .map(|file| file.ingested_ms)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(Value::Time)
        .collect();
    let narrow = |scan: ScanBuilder| {
        scan.compare("source", Comparison::Equal, Value::text(replaced.source.as_str()))?
            .any_of("received_at", received.clone())
    };
    let goes = |batch: &RecordBatch| {
        let [sources, files] = [0, 1].map(|column| batch.column(column).as_string::<i32>());
        let is_replaced = |row: usize| {
            replaced.contains(sources.value(row), files.is_valid(row).then(|| files.value(row)))
        };
        (0..batch.num_rows()).map(|row| Some(is_replaced(row))).collect::<BooleanArray>()
    };
    for (table, columns) in [
        (layout::EVENTS, &REPLACED_COLUMNS),
        (layout::ATTRIBUTES, &REPLACED_COLUMNS),
        (layout::REJECTED_EVENTS, &REPLACED_REJECTS),
    ] {
        commit.take_out(table, &Going { columns, narrow: &narrow, goes: &goes }).await?;
    }
    Ok(())
}
