//! Files that no table names: of runs that were killed, of derived tables that were replaced, of
//! snapshots that expired before a restart.
//!
//! 1. What may be gone is fixed first: files last written to before a time at which nothing was
//!    being written that is not committed.
//! 2. Then it is read what all tables name, their old snapshots and what readers of this process
//!    hold included.
//! 3. What is in the app's folder, old enough and not named is removed, and so are folders with
//!    nothing in them.
//!
//! If anything of step 2 cannot be read, nothing is removed.

use crate::lake::Lake;
use crate::manifest::lives;
use crate::table::Table;
use crate::{Error, Result};
use iceberg::spec::{FormatVersion, SnapshotRef};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use taghouse_catalog::Change;
use taghouse_disk::blocking;
use taghouse_model::{AppId, ErrorKind, TimestampMs};

/// The catalog's pointer at the time of the last sweep of an app: value `{"at_ms": n}`.
const POINTER_KIND: &str = "lake";
const POINTER_NAME: &str = "swept";

impl Lake {
    /// Sweeps the app's folder if it is time to: gives how many files were removed.
    pub(crate) async fn sweep_in_turn(&self, app: &AppId) -> Result<u64> {
        let lake = self.warehouse();
        let now = lake.now_ms();
        let pointer = lake.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?;
        let last = pointer.as_ref().and_then(|p| p.value.get("at_ms")?.as_i64());
        // A time ahead is one of a clock that was wrong.
        if last.is_some_and(|at| (0..lake.upkeep.sweep_every_ms).contains(&(now - at))) {
            return Ok(0);
        }
        let Some(swept) = self.sweep(app).await? else { return Ok(0) };
        let value = serde_json::json!({ "at_ms": now });
        let name = POINTER_NAME.to_owned();
        let swept_at = Change::PutPointer {
            kind: POINTER_KIND.to_owned(),
            app: app.clone(),
            name,
            expected: pointer.map(|p| p.revision),
            value,
        };
        match lake.catalog.commit(vec![swept_at]).await {
            Err(e) if e.kind() != ErrorKind::Conflict => Err(e.into()),
            _ => Ok(swept),
        }
    }

    /// `None`: not now, for other engines may still read what was expired before this process
    /// began.
    async fn sweep(&self, app: &AppId) -> Result<Option<u64>> {
        let lake = self.warehouse();
        if lake.removal.is_kept() {
            return Ok(None);
        }
        // A snapshot that expires while it is looked at keeps its files until then.
        let kept = lake.removal.keep();
        let now = lake.now_ms();
        let oldest_writer = lake.pins.writing_since().unwrap_or(now);
        let before = (now - lake.upkeep.orphan_ms).min(oldest_writer);
        let mut tables = Vec::new();
        for name in self.tables(app).await? {
            tables.extend(self.table(app, &name).await?);
        }
        // What this process expires is on its list. A former one's is safe to remove when nothing
        // can have been expired of late.
        let long_here = now - lake.opened_ms >= lake.upkeep.grace_ms;
        let quiet =
            |table: &Table| now - table.metadata().last_updated_ms() >= lake.upkeep.grace_ms;
        if !long_here && !tables.iter().all(quiet) {
            return Ok(None);
        }
        let named = self.named(&tables).await?;
        drop(kept);
        let folder = PathBuf::from(format!("{}/{app}", lake.root));
        let unnamed = blocking(move || unnamed(&folder, &named, before)).await?;
        let count = unnamed.files.len() as u64;
        if count > 0 {
            tracing::info!(%app, files = count, "files of the lake that no table names are removed");
        }
        lake.objects.remove(unnamed.files).await;
        lake.objects.remove_empty(unnamed.empty).await;
        Ok(Some(count))
    }

    /// The files of all the app's tables, of their old snapshots too, in order.
    ///
    /// # Errors
    /// The catalog's, and [`Error::Corrupt`] if the metadata of a table cannot be read.
    pub async fn files(&self, app: &AppId) -> Result<Vec<PathBuf>> {
        let mut tables = Vec::new();
        for name in self.tables(app).await? {
            tables.extend(self.table(app, &name).await?);
        }
        let mut files: Vec<PathBuf> =
            self.named(&tables).await?.into_iter().map(PathBuf::from).collect();
        files.sort();
        Ok(files)
    }

    /// The paths of everything that the tables, the list of removals and readers name.
    async fn named(&self, tables: &[Table]) -> Result<HashSet<String>> {
        let lake = self.warehouse();
        let (waiting, metadata) = lake.removal.listed();
        let mut named: HashSet<String> = metadata.into_iter().collect();
        let mut snapshots: Vec<SnapshotRef> = waiting;
        snapshots.extend(lake.pins.held());
        for table in tables {
            let metadata = table.metadata();
            named.insert(table.metadata_location().to_owned());
            named.extend(metadata.metadata_log().iter().map(|log| log.metadata_file.clone()));
            named.extend(metadata.statistics_iter().map(|s| s.statistics_path.clone()));
            named.extend(metadata.partition_statistics_iter().map(|s| s.statistics_path.clone()));
            snapshots.extend(metadata.snapshots().cloned());
        }
        let mut read = HashSet::new();
        for snapshot in snapshots {
            if !named.insert(snapshot.manifest_list().to_owned()) {
                continue;
            }
            let mut manifests =
                lake.manifests.list(&lake.objects, &snapshot, FormatVersion::V2).await?;
            manifests.retain(|m| read.insert(m.manifest_path.clone()));
            named.extend(manifests.iter().map(|m| m.manifest_path.clone()));
            manifests.retain(lives);
            for (_, manifest) in lake.manifests.load(&lake.objects, manifests).await? {
                named.extend(
                    manifest
                        .entries()
                        .iter()
                        .filter(|e| e.is_alive())
                        .map(|e| e.file_path().to_owned()),
                );
            }
        }
        // Other engines write paths as URLs.
        Ok(named
            .into_iter()
            .map(|path| path.strip_prefix("file://").map(str::to_owned).unwrap_or(path))
            .collect())
    }
}

/// Files and folders below a folder that nothing refers to.
#[derive(Default)]
struct Unnamed {
    files: Vec<String>,
    /// Folders without anything in them.
    empty: HashSet<PathBuf>,
}

/// Files below the folder that were last written to before `before` and are not named, and folders
/// that are empty.
fn unnamed(folder: &Path, named: &HashSet<String>, before: TimestampMs) -> Result<Unnamed> {
    let mut found = Unnamed::default();
    let mut folders = vec![folder.to_owned()];
    let Ok(before) = u64::try_from(before) else { return Ok(found) };
    let before = UNIX_EPOCH + Duration::from_millis(before);
    while let Some(folder) = folders.pop() {
        let failed = |e: std::io::Error| {
            Error::Unavailable(format!("cannot look into {}: {e}", folder.display()))
        };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // The app has no table yet.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(failed(e)),
        };
        let mut is_empty = true;
        for entry in entries {
            is_empty = false;
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            // Removed meanwhile, by whoever wrote it.
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                folders.push(path);
            } else if data.is_file()
                && data.modified().map_err(failed)? < before
                && let Some(path) = path.to_str().filter(|path| !named.contains(*path))
            {
                found.files.push(path.to_owned());
            }
        }
        if is_empty {
            found.empty.insert(folder);
        }
    }
    Ok(found)
}
