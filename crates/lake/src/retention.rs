//! Which snapshots a table's metadata goes on naming.

use crate::upkeep::Upkeep;
use iceberg::spec::{MAIN_BRANCH, SnapshotRef, TableMetadata};
use std::collections::HashSet;
use taghouse_model::TimestampMs;

/// A snapshot that the metadata does not name any more, and the one that came after it.
#[derive(Debug, Clone)]
pub(crate) struct Superseded {
    pub(crate) snapshot: SnapshotRef,
    pub(crate) by: SnapshotRef,
}

/// What a commit drops from the metadata.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    /// All snapshots dropped.
    pub(crate) ids: Vec<i64>,
    /// Those whose files can be told from their successor's: of the main branch, while there is no
    /// other. Oldest first. The files of the others are found by the sweep.
    pub(crate) chain: Vec<Superseded>,
}

/// What goes from `metadata` when `next` becomes its current snapshot at `now`. What other branches
/// and tags name stays.
pub(crate) fn expired(
    metadata: &TableMetadata,
    next: &SnapshotRef,
    upkeep: &Upkeep,
    now: TimestampMs,
) -> Expired {
    let line = metadata
        .current_snapshot()
        .map(|current| line(metadata, current.clone()))
        .unwrap_or_default();
    let line: Vec<SnapshotRef> = std::iter::once(next.clone()).chain(line).collect();
    let mut chain = Vec::new();
    for (kept, pair) in line.windows(2).enumerate() {
        let (by, snapshot) = (&pair[0], &pair[1]);
        if kept >= upkeep.kept_snapshots || now - by.timestamp_ms() >= upkeep.kept_ms {
            chain.push(Superseded { snapshot: snapshot.clone(), by: by.clone() });
        }
    }
    chain.reverse();
    let in_line: HashSet<i64> = line.iter().map(|s| s.snapshot_id()).collect();
    // Rolled back, or staged by another engine.
    let aside = metadata.snapshots().filter(|s| {
        !in_line.contains(&s.snapshot_id()) && now - s.timestamp_ms() >= upkeep.kept_ms
    });
    let mut ids: Vec<i64> = chain
        .iter()
        .map(|s| s.snapshot.snapshot_id())
        .chain(aside.map(|s| s.snapshot_id()))
        .collect();
    if ids.is_empty() {
        return Expired::default();
    }
    let Some(named) = named_elsewhere(metadata) else { return Expired::default() };
    ids.retain(|id| !named.contains(id));
    if !named.is_empty() || !metadata.table_properties().is_ok_and(|p| p.gc_enabled) {
        chain.clear();
    }
    Expired { ids, chain }
}

/// The snapshot and those before it, newest first.
fn line(metadata: &TableMetadata, from: SnapshotRef) -> Vec<SnapshotRef> {
    let parent = |s: &SnapshotRef| metadata.snapshot_by_id(s.parent_snapshot_id()?).cloned();
    std::iter::successors(Some(from), parent).take(metadata.snapshots().len()).collect()
}

/// Snapshots that branches and tags other than `main` lead to: other engines made those, and mean
/// to keep them. `None`: it cannot be told.
fn named_elsewhere(metadata: &TableMetadata) -> Option<HashSet<i64>> {
    // Upstream shows the names in the JSON only.
    let json = serde_json::to_value(metadata).ok()?;
    let names = json["refs"]
        .as_object()
        .into_iter()
        .flat_map(|refs| refs.keys())
        .filter(|name| *name != MAIN_BRANCH);
    let heads = names.filter_map(|name| metadata.snapshot_for_ref(name));
    Some(heads.flat_map(|head| line(metadata, head.clone())).map(|s| s.snapshot_id()).collect())
}
