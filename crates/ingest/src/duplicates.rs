//! Rows of a run whose message ids have landed before, taken out of the files that the run has
//! written.
//!
//! What has landed is known only once all rows are read, and mostly nothing of it comes again. So
//! the files are written first, and those that hold such a row are written again.

use crate::Result;
use crate::ids::message_hash;
use crate::table_writers::{Files, Tables};
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use futures::StreamExt;
use std::collections::{BTreeMap, HashSet};
use taghouse_lake::{DataFile, Lake, Table, layout};

/// Rows that were taken out.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// Rows of the run's files, by file.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Events, by name.
    pub(crate) events: BTreeMap<String, u64>,
    /// Rows of the table `attributes`.
    pub(crate) attributes: u64,
}

/// Takes the rows with these ids out of the run's files.
pub(crate) async fn drop_known(
    lake: &Lake,
    tables: &Tables,
    files: &mut Files,
    known: &HashSet<u128>,
) -> Result<Dropped> {
    let mut dropped = Dropped::default();
    if known.is_empty() {
        return Ok(dropped);
    }
    // A row may have given an event and attributes.
    let mut counted = HashSet::new();
    for (table, written) in files.with_ids(tables) {
        let mut kept = Vec::with_capacity(written.len());
        let mut waiting = std::mem::take(written).into_iter();
        while let Some(file) = waiting.next() {
            match without(table, &file, known, &mut dropped, &mut counted).await {
                Ok(None) => kept.push(file),
                Ok(Some(files)) => {
                    kept.extend(files);
                    lake.discard(vec![file]).await;
                }
                Err(e) => {
                    kept.push(file);
                    kept.extend(waiting);
                    *written = kept;
                    return Err(e);
                }
            }
        }
        *written = kept;
    }
    Ok(dropped)
}

/// The file without rows of these ids; `None`: it has none of them.
async fn without(
    table: &Table,
    file: &DataFile,
    known: &HashSet<u128>,
    dropped: &mut Dropped,
    counted: &mut HashSet<u128>,
) -> Result<Option<Vec<DataFile>>> {
    let events = table.name() == layout::EVENTS;
    let name = if events { "event" } else { "name" };
    let mut batches = table.read_written(&["message_id", "source_file", name], file)?;
    let mut found = false;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let [ids, files, names] = [0, 1, 2].map(|column| batch.column(column).as_string::<i32>());
        for row in 0..batch.num_rows() {
            let id = message_hash(ids.value(row));
            if !known.contains(&id) {
                continue;
            }
            found = true;
            if counted.insert(id) {
                *dropped.rows.entry(files.value(row).to_owned()).or_default() += 1;
            }
            if events {
                *dropped.events.entry(names.value(row).to_owned()).or_default() += 1;
            } else {
                dropped.attributes += 1;
            }
        }
    }
    if found { kept(table, file, known).await.map(Some) } else { Ok(None) }
}

async fn kept(table: &Table, file: &DataFile, known: &HashSet<u128>) -> Result<Vec<DataFile>> {
    let all: Vec<&str> =
        table.arrow_schema().fields().iter().map(|field| field.name().as_str()).collect();
    let mut writer = table.writer();
    let mut batches = table.read_written(&all, file)?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let ids = batch.column(batch.schema_ref().index_of("message_id")?).as_string::<i32>();
        let stays: BooleanArray = (0..ids.len())
            .map(|row| Some(!known.contains(&message_hash(ids.value(row)))))
            .collect();
        writer.write(filter_record_batch(&batch, &stays)?).await?;
    }
    Ok(writer.close().await?)
}
