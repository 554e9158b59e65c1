//! The cache of sets of members: least recently used, within a budget of bytes.

use crate::loaded_set::LoadedSet;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The place of a version's set in memory. Reading it takes no lock.
#[derive(Default)]
pub(crate) struct Slot {
    set: ArcSwapOption<LoadedSet>,
    /// Twice the number of loads when it was loaded, plus one if it was asked since.
    asked: AtomicU64,
    /// Held by whoever loads it, so that it is loaded once.
    pub(crate) loading: tokio::sync::Mutex<()>,
}

/// The sets in memory. When their bytes (as stored; unpacked they take about as much again) exceed
/// the budget, the least recently used are evicted. A single set may exceed the budget.
pub(crate) struct LoadedSets {
    budget_bytes: u64,
    /// Counts loads: the clock of "least recently".
    loads: AtomicU64,
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    slot: Weak<Slot>,
    bytes: u64,
}

impl LoadedSets {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self { budget_bytes, loads: AtomicU64::new(0), entries: Mutex::default() }
    }

    pub(crate) fn get(&self, slot: &Slot) -> Option<Arc<LoadedSet>> {
        let set = slot.set.load_full()?;
        let now = 2 * self.loads.load(Ordering::Relaxed) + 1;
        // Written once between two loads, so that readers on many cores do not fight for the line.
        if slot.asked.load(Ordering::Relaxed) != now {
            slot.asked.store(now, Ordering::Relaxed);
        }
        Some(set)
    }

    pub(crate) fn insert(&self, slot: &Arc<Slot>, set: Arc<LoadedSet>, bytes: u64) {
        let mut entries = self.entries.lock();
        let now = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
        slot.asked.store(2 * now, Ordering::Relaxed);
        slot.set.store(Some(set));
        let this = Arc::downgrade(slot);
        entries.retain(|entry| entry.slot.strong_count() > 0 && !entry.slot.ptr_eq(&this));
        entries.push(Entry { slot: this, bytes });
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        // There are thousands at most, and this runs once per load: a scan is fast enough.
        while total > self.budget_bytes && entries.len() > 1 {
            let asked = |entry: &Entry| {
                entry.slot.upgrade().map_or(0, |slot| slot.asked.load(Ordering::Relaxed))
            };
            let Some(oldest) = (0..entries.len() - 1).min_by_key(|at| asked(&entries[*at])) else {
                break;
            };
            let evicted = entries.remove(oldest);
            total -= evicted.bytes;
            if let Some(slot) = evicted.slot.upgrade() {
                slot.set.store(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loaded_set::tests::set;

    #[test]
    fn forgets_what_was_not_asked_for() {
        let sets = LoadedSets::new(100);
        let slots: Vec<Arc<Slot>> = (0..5).map(|_| Arc::default()).collect();
        let [a, b, c, d, huge] = &slots[..] else { panic!() };
        let there = |slot: &Slot| slot.set.load().is_some();
        sets.insert(a, set(&[1]), 40);
        sets.insert(b, set(&[1]), 40);
        assert!(sets.get(a).is_some());
        sets.insert(c, set(&[1]), 40);
        assert!(there(a) && !there(b) && there(c));
        assert!(sets.get(b).is_none());
        sets.insert(c, set(&[1]), 10);
        assert!(sets.get(a).is_some());
        sets.insert(d, set(&[1]), 50);
        assert!(there(a) && there(c) && there(d), "a replaced set counts once");
        sets.insert(huge, set(&[1]), 1000);
        assert!(there(huge) && !there(a) && !there(c) && !there(d));
    }
}
