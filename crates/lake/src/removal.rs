//! Files of expired snapshots, until they are removed: once the grace has passed and no reader of this process holds the snapshot.
//!
//! The list is in memory. What is still on it when the process ends is found by the sweep of a later one.

use crate::Result;
use crate::lake::Shared;
use crate::manifest::lives;
use crate::retention::Superseded;
use iceberg::spec::{FormatVersion, ManifestContentType, ManifestStatus, SnapshotRef};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use taghouse_model::TimestampMs;

/// Snapshots whose files one call removes at most: a commit of a table with a long past must not take long.
const REMOVED_AT_ONCE: usize = 64;

/// What waits, by the location of its table.
#[derive(Default)]
pub(crate) struct Removal {
    waiting: Mutex<HashMap<String, Waiting>>,
    /// While this is held by others nothing is removed.
    kept: Arc<()>,
}

/// As long as it lives, no file that a table names is removed, nor one that a table named when it was made.
#[derive(Debug)]
pub struct KeptFiles(#[expect(dead_code, reason = "held for its end")] Arc<()>);

#[derive(Default)]
struct Waiting {
    /// In the order in which they were superseded, with when.
    snapshots: VecDeque<(TimestampMs, Superseded)>,
    /// Metadata files, with when they were superseded.
    metadata: VecDeque<(TimestampMs, String)>,
}

impl Removal {
    /// Keeps all files until the result is dropped.
    pub(crate) fn keep(&self) -> KeptFiles {
        KeptFiles(self.kept.clone())
    }

    /// Whether files are to stay.
    pub(crate) fn is_kept(&self) -> bool {
        Arc::strong_count(&self.kept) > 1
    }

    /// Takes what a commit dropped from a table's metadata.
    pub(crate) fn expect(&self, location: &str, snapshots: Vec<Superseded>, metadata: Vec<String>, now: TimestampMs) {
        let mut waiting = self.waiting();
        let of = waiting.entry(location.to_owned()).or_default();
        of.snapshots.extend(snapshots.into_iter().map(|superseded| (superseded.by.timestamp_ms(), superseded)));
        of.metadata.extend(metadata.into_iter().map(|path| (now, path)));
    }

    /// Removes a table's files whose time has come. What cannot be read or removed is left to the sweep.
    pub(crate) async fn remove_due(&self, lake: &Arc<Shared>, location: &str) {
        if self.is_kept() {
            return;
        }
        let (metadata, snapshots) = self.due(lake, location, lake.now_ms());
        let mut paths = metadata;
        for superseded in &snapshots {
            match unnamed(lake, superseded).await {
                Ok(found) => paths.extend(found),
                Err(e) => tracing::warn!(location, error = %e, "files of an expired snapshot are left to the sweep"),
            }
        }
        lake.manifests.forget(paths.iter().map(String::as_str));
        lake.objects.remove(paths).await;
    }

    /// Takes what is due off the list. A snapshot that is held keeps those after it waiting: they deleted files that it reads.
    fn due(&self, lake: &Shared, location: &str, now: TimestampMs) -> (Vec<String>, Vec<Superseded>) {
        let mut waiting = self.waiting();
        let Some(of) = waiting.get_mut(location) else { return Default::default() };
        // A time ahead is one of a clock that was wrong: the grace begins now, not when that time comes.
        of.metadata.iter_mut().for_each(|(at, _)| *at = now.min(*at));
        of.snapshots.iter_mut().for_each(|(at, _)| *at = now.min(*at));
        let before = now - lake.upkeep.grace_ms;
        let metadata = of.metadata.iter().take_while(|(at, _)| *at <= before).count();
        let metadata = of.metadata.drain(..metadata).map(|(_, path)| path).collect();
        let free = |(at, s): &&(TimestampMs, Superseded)| *at <= before && !lake.pins.holds(location, s.snapshot.snapshot_id());
        let snapshots = of.snapshots.iter().take(REMOVED_AT_ONCE).take_while(free).count();
        let snapshots = of.snapshots.drain(..snapshots).map(|(_, superseded)| superseded).collect();
        if of.metadata.is_empty() && of.snapshots.is_empty() {
            waiting.remove(location);
        }
        (metadata, snapshots)
    }

    /// What is on the list: the sweep leaves it alone.
    pub(crate) fn listed(&self) -> (Vec<SnapshotRef>, Vec<String>) {
        let waiting = self.waiting();
        let snapshots = waiting.values().flat_map(|of| &of.snapshots).map(|(_, s)| s.snapshot.clone()).collect();
        let metadata = waiting.values().flat_map(|of| &of.metadata).map(|(_, path)| path.clone()).collect();
        (snapshots, metadata)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock()
    }
}

/// What the snapshot names and its successor does not: its manifest list, manifests, and the data files that the successor deleted.
async fn unnamed(lake: &Arc<Shared>, superseded: &Superseded) -> Result<Vec<String>> {
    let Superseded { snapshot, by } = superseded;
    let before = lake.manifests.list(&lake.objects, snapshot, FormatVersion::V2).await?;
    let after = lake.manifests.list(&lake.objects, by, FormatVersion::V2).await?;
    let named: HashSet<&str> = after.iter().map(|m| m.manifest_path.as_str()).collect();
    let mut paths = vec![snapshot.manifest_list().to_owned()];
    paths.extend(before.into_iter().map(|m| m.manifest_path).filter(|path| !named.contains(path.as_str())));
    let deleting = |m: &&iceberg::spec::ManifestFile| {
        m.added_snapshot_id == by.snapshot_id() && m.has_deleted_files() && m.content == ManifestContentType::Data
    };
    let deleting: Vec<_> = after.iter().filter(deleting).cloned().collect();
    if deleting.is_empty() {
        return Ok(paths);
    }
    let mut deleted = HashSet::new();
    for (_, manifest) in lake.manifests.load(&lake.objects, deleting).await? {
        let gone = |e: &&iceberg::spec::ManifestEntryRef| e.status == ManifestStatus::Deleted && e.snapshot_id() == Some(by.snapshot_id());
        deleted.extend(manifest.entries().iter().filter(gone).map(|e| e.file_path().to_owned()));
    }
    // Another engine may have put a file that it deleted back in the same commit.
    let living: Vec<_> = after.iter().filter(|m| lives(m) && m.added_snapshot_id == by.snapshot_id()).cloned().collect();
    for (_, manifest) in lake.manifests.load(&lake.objects, living).await? {
        for entry in manifest.entries().iter().filter(|e| e.is_alive()) {
            deleted.remove(entry.file_path());
        }
    }
    paths.extend(deleted);
    Ok(paths)
}
