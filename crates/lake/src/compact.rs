//! Small files of a partition joined into larger ones: a snapshot that replaces files and no rows.
//!
//! Rows are rewritten once, beside all other writers; only the commit is tried again when others
//! were faster. A file that is gone by then (its partition was overwritten) makes the commit a
//! conflict, and what was written is removed.

use crate::lake::Lake;
use crate::manifest::{lives, refuse_deletes};
use crate::plan::Scan;
use crate::table::Table;
use crate::upkeep::Upkeep;
use crate::{Error, Result};
use futures::StreamExt;
use iceberg::spec::{DataFile, DataFileFormat};
use std::collections::HashMap;

/// A file joins smaller ones only if it has at most so many times their bytes: so a row is
/// rewritten a few times (the logarithm of the partition's size), and not with each handful of new
/// files.
const GROWTH: u64 = 2;
/// Files that are joined at once: each costs a request to open.
const MAX_FILES: usize = 1000;

/// What was joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) files: u64,
    pub(crate) into_files: u64,
}

/// A file with when it came into the table.
struct Small {
    file: DataFile,
    sequence: i64,
}

impl Lake {
    /// Joins the small files of the partition that has most of them. `None`: no partition has
    /// enough.
    pub(crate) async fn compact(&self, table: &Table) -> Result<Option<Joined>> {
        let known = self.known();
        if known.is_compact(table) {
            return Ok(None);
        }
        // Whoever takes rows out writes the table's files again as well: joining them waits for
        // another time.
        let Ok(_turn) = known.turn_of(table.location()).try_lock_owned() else { return Ok(None) };
        let Some(files) = smallest(table, &self.warehouse().upkeep).await? else {
            known.set_compact(table);
            return Ok(None);
        };
        let names =
            table.arrow_schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        let rows: u64 = files.iter().map(DataFile::record_count).sum();
        let mut writer = table.writer();
        let mut written = 0;
        for mut batches in Scan::of_files(table, &names, &files, 1, true)?.partitions() {
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                written += batch.num_rows() as u64;
                writer.write(batch).await?;
                // Others first.
                tokio::task::yield_now().await;
            }
        }
        if written != rows {
            let object = files.first().map_or_else(String::new, |f| f.file_path().to_owned());
            return Err(Error::corrupt(
                &object,
                format!("it and {} others hold {written} rows instead of {rows}", files.len() - 1),
            ));
        }
        let new = writer.close().await?;
        let joined = Joined { files: files.len() as u64, into_files: new.len() as u64 };
        let mut commit = self.begin(table.app());
        commit.replace(table, files, new);
        commit.commit().await?;
        Ok(Some(joined))
    }
}

/// The files to be joined next.
async fn smallest(table: &Table, upkeep: &Upkeep) -> Result<Option<Vec<DataFile>>> {
    let metadata = table.metadata();
    let Some(snapshot) = metadata.current_snapshot() else { return Ok(None) };
    let lake = table.warehouse();
    let mut manifests =
        lake.manifests.list(&lake.objects, snapshot, metadata.format_version()).await?;
    refuse_deletes(table.name(), &manifests)?;
    manifests.retain(|m| lives(m) && m.partition_spec_id == metadata.default_partition_spec_id());
    let mut partitions: HashMap<_, Vec<Small>> = HashMap::new();
    for (_, manifest) in lake.manifests.load(&lake.objects, manifests).await? {
        for entry in manifest.entries().iter().filter(|e| e.is_alive()) {
            let file = entry.data_file();
            if file.file_size_in_bytes() < upkeep.target_bytes / 4 * 3
                && file.file_format() == DataFileFormat::Parquet
            {
                let sequence = entry.sequence_number().unwrap_or(0);
                partitions
                    .entry(file.partition().clone())
                    .or_default()
                    .push(Small { file: file.clone(), sequence });
            }
        }
    }
    // A partition that none of the kept snapshots touched gets what is left of it into one file.
    let oldest = metadata.snapshots().map(|s| s.sequence_number()).min().unwrap_or(0);
    let chosen = partitions.into_values().filter_map(|files| {
        let quiet = files.iter().all(|f| f.sequence < oldest);
        choose(files, if quiet { 2 } else { upkeep.min_files }, upkeep.target_bytes)
    });
    Ok(chosen.max_by_key(Vec::len))
}

/// As many of the smallest files as make one of the target's size, without any that is much larger
/// than the others together; in the order in which they came. `None`: fewer than `min_files`.
fn choose(mut files: Vec<Small>, min_files: usize, target_bytes: u64) -> Option<Vec<DataFile>> {
    files.sort_by_key(|f| (f.file.file_size_in_bytes(), f.sequence));
    let mut count = 0;
    let mut total = 0;
    for (index, small) in files.iter().take(MAX_FILES).enumerate() {
        let bytes = small.file.file_size_in_bytes();
        if total + bytes > target_bytes {
            break;
        }
        if index > 0 && bytes <= GROWTH * total {
            count = index + 1;
        }
        total += bytes;
    }
    if count < min_files.max(2) {
        return None;
    }
    files.truncate(count);
    files.sort_by_key(|f| f.sequence);
    Some(files.into_iter().map(|f| f.file).collect())
}
