//! Removes the files of expired snapshots when their time has come.

use crate::Result;
use crate::manifest::lives;
use crate::retention::Superseded;
use crate::warehouse::Warehouse;
use iceberg::spec::{FormatVersion, ManifestContentType, ManifestStatus};
use std::collections::HashSet;

impl Warehouse {
    /// Removes a table's files whose time has come. What cannot be read or removed is left to the
    /// sweep.
    pub(crate) async fn remove_due(&self, location: &str) {
        if self.removal.is_kept() {
            return;
        }
        let now = self.now_ms();
        let (metadata, snapshots) =
            self.removal.due(location, now - self.upkeep.grace_ms, now, &self.pins);
        let mut paths = metadata;
        for superseded in &snapshots {
            match unnamed(self, superseded).await {
                Ok(found) => paths.extend(found),
                Err(e) => {
                    tracing::warn!(location, error = %e, "files of an expired snapshot are left to the sweep")
                }
            }
        }
        self.manifests.forget(paths.iter().map(String::as_str));
        self.objects.remove(paths).await;
    }
}

/// What the snapshot names and its successor does not: its manifest list, manifests, and the data
/// files that the successor deleted.
async fn unnamed(lake: &Warehouse, superseded: &Superseded) -> Result<Vec<String>> {
    let Superseded { snapshot, by } = superseded;
    let before = lake.manifests.list(&lake.objects, snapshot, FormatVersion::V2).await?;
    let after = lake.manifests.list(&lake.objects, by, FormatVersion::V2).await?;
    let named: HashSet<&str> = after.iter().map(|m| m.manifest_path.as_str()).collect();
    let mut paths = vec![snapshot.manifest_list().to_owned()];
    paths.extend(
        before.into_iter().map(|m| m.manifest_path).filter(|path| !named.contains(path.as_str())),
    );
    let deleting = |m: &&iceberg::spec::ManifestFile| {
        m.added_snapshot_id == by.snapshot_id()
            && m.has_deleted_files()
            && m.content == ManifestContentType::Data
    };
    let deleting: Vec<_> = after.iter().filter(deleting).cloned().collect();
    if deleting.is_empty() {
        return Ok(paths);
    }
    let mut deleted = HashSet::new();
    for (_, manifest) in lake.manifests.load(&lake.objects, deleting).await? {
        let is_deleted = |e: &&iceberg::spec::ManifestEntryRef| {
            e.status == ManifestStatus::Deleted && e.snapshot_id() == Some(by.snapshot_id())
        };
        deleted
            .extend(manifest.entries().iter().filter(is_deleted).map(|e| e.file_path().to_owned()));
    }
    // Another engine may have put a file that it deleted back in the same commit.
    let living: Vec<_> = after
        .iter()
        .filter(|m| lives(m) && m.added_snapshot_id == by.snapshot_id())
        .cloned()
        .collect();
    for (_, manifest) in lake.manifests.load(&lake.objects, living).await? {
        for entry in manifest.entries().iter().filter(|e| e.is_alive()) {
            deleted.remove(entry.file_path());
        }
    }
    paths.extend(deleted);
    Ok(paths)
}
