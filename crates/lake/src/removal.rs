//! Files of expired snapshots, until they are removed: once the grace has passed and no reader of
//! this process holds the snapshot.
//!
//! The list is in memory. What is still on it when the process ends is found by the sweep of a
//! later one.

use crate::pin::Pins;
use crate::retention::Superseded;
use iceberg::spec::SnapshotRef;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use taghouse_model::TimestampMs;

/// Snapshots whose files one call removes at most: a commit of a table with a long past must not
/// take long.
const REMOVED_AT_ONCE: usize = 64;

/// What waits, by the location of its table.
#[derive(Default)]
pub(crate) struct Removal {
    waiting: Mutex<HashMap<String, Waiting>>,
    /// While this is held by others nothing is removed.
    kept: Arc<()>,
}

/// As long as it lives, no file that a table names is removed, nor one that a table named when it
/// was made.
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
    pub(crate) fn expect(
        &self,
        location: &str,
        snapshots: Vec<Superseded>,
        metadata: Vec<String>,
        now: TimestampMs,
    ) {
        let mut waiting = self.waiting();
        let of = waiting.entry(location.to_owned()).or_default();
        of.snapshots.extend(
            snapshots.into_iter().map(|superseded| (superseded.by.timestamp_ms(), superseded)),
        );
        of.metadata.extend(metadata.into_iter().map(|path| (now, path)));
    }

    /// Takes what was superseded before `before` off the list. A snapshot that is held keeps those
    /// after it waiting: they deleted files that it reads.
    pub(crate) fn due(
        &self,
        location: &str,
        before: TimestampMs,
        now: TimestampMs,
        pins: &Pins,
    ) -> (Vec<String>, Vec<Superseded>) {
        let mut waiting = self.waiting();
        let Some(of) = waiting.get_mut(location) else { return Default::default() };
        // A time ahead is one of a clock that was wrong: the grace begins now, not when that time
        // comes.
        of.metadata.iter_mut().for_each(|(at, _)| *at = now.min(*at));
        of.snapshots.iter_mut().for_each(|(at, _)| *at = now.min(*at));
        let metadata = of.metadata.iter().take_while(|(at, _)| *at <= before).count();
        let metadata = of.metadata.drain(..metadata).map(|(_, path)| path).collect();
        let free = |(at, s): &&(TimestampMs, Superseded)| {
            *at <= before && !pins.contains(location, s.snapshot.snapshot_id())
        };
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
        let snapshots = waiting
            .values()
            .flat_map(|of| &of.snapshots)
            .map(|(_, s)| s.snapshot.clone())
            .collect();
        let metadata =
            waiting.values().flat_map(|of| &of.metadata).map(|(_, path)| path.clone()).collect();
        (snapshots, metadata)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock()
    }
}
