//! Which snapshots readers of this process hold: their files are not removed. And since when data
//! files are written that no table names yet.

use iceberg::spec::SnapshotRef;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_model::TimestampMs;

/// The pins of one lake.
#[derive(Default)]
pub(crate) struct Pins {
    snapshots: Mutex<HashMap<(String, i64), Held>>,
    writing: Mutex<HashMap<u64, TimestampMs>>,
    next_writing: AtomicU64,
}

struct Held {
    snapshot: SnapshotRef,
    holders: usize,
}

/// A snapshot stays readable until this is dropped.
pub(crate) struct Pin {
    pins: Arc<Pins>,
    key: (String, i64),
}

/// Files written since its begin are not swept until this is dropped.
#[derive(Clone)]
pub(crate) struct Writing(#[expect(dead_code, reason = "held for its end")] Arc<WritingSince>);

struct WritingSince {
    pins: Arc<Pins>,
    number: u64,
}

impl Pins {
    /// Holds a snapshot of the table at `location`.
    pub(crate) fn pin(self: &Arc<Self>, location: &str, snapshot: &SnapshotRef) -> Arc<Pin> {
        let key = (location.to_owned(), snapshot.snapshot_id());
        let mut held = self.snapshots.lock();
        held.entry(key.clone())
            .or_insert_with(|| Held { snapshot: snapshot.clone(), holders: 0 })
            .holders += 1;
        Arc::new(Pin { pins: self.clone(), key })
    }

    pub(crate) fn contains(&self, location: &str, snapshot_id: i64) -> bool {
        self.snapshots.lock().contains_key(&(location.to_owned(), snapshot_id))
    }

    /// All snapshots held.
    pub(crate) fn held(&self) -> Vec<SnapshotRef> {
        self.snapshots.lock().values().map(|held| held.snapshot.clone()).collect()
    }

    /// Says that files are written from now on.
    pub(crate) fn writing(self: &Arc<Self>, now: TimestampMs) -> Writing {
        let number = self.next_writing.fetch_add(1, Ordering::Relaxed);
        self.writing.lock().insert(number, now);
        Writing(Arc::new(WritingSince { pins: self.clone(), number }))
    }

    /// Since when there may be files that are not committed yet.
    pub(crate) fn writing_since(&self) -> Option<TimestampMs> {
        self.writing.lock().values().min().copied()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut held = self.pins.snapshots.lock();
        if let Some(of) = held.get_mut(&self.key) {
            of.holders -= 1;
            if of.holders == 0 {
                held.remove(&self.key);
            }
        }
    }
}

impl Drop for WritingSince {
    fn drop(&mut self) {
        self.pins.writing.lock().remove(&self.number);
    }
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writing")
    }
}
