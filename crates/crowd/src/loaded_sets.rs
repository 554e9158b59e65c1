//! The cache of sets of members: least recently used, within a budget of bytes.

use crate::loaded_set::LoadedSet;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::collections::HashSet;
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
    entries: Mutex<Entries>,
}

/// What was loaded. Among it may be what nobody has any more, or what was loaded again: it counts
/// until the budget is exceeded, so that a load does not look at all others.
#[derive(Default)]
struct Entries {
    loaded: Vec<Entry>,
    bytes: u64,
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

    /// The same without a sign that it was asked for: for whoever asks for all.
    pub(crate) fn peek(&self, slot: &Slot) -> Option<Arc<LoadedSet>> {
        slot.set.load_full()
    }

    pub(crate) fn insert(&self, slot: &Arc<Slot>, set: Arc<LoadedSet>, bytes: u64) {
        let mut entries = self.entries.lock();
        let now = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
        slot.asked.store(2 * now, Ordering::Relaxed);
        slot.set.store(Some(set));
        entries.loaded.push(Entry { slot: Arc::downgrade(slot), bytes });
        entries.bytes += bytes;
        if entries.bytes > self.budget_bytes {
            entries.shrink(self.budget_bytes);
        }
    }
}

impl Entries {
    /// Evicts what was not asked for the longest, but not what was loaded last.
    fn shrink(&mut self, budget_bytes: u64) {
        // Of what was loaded twice the later one counts.
        let mut seen = HashSet::new();
        let mut kept: Vec<(u64, Entry)> = Vec::with_capacity(self.loaded.len());
        for entry in self.loaded.drain(..).rev() {
            if let Some(slot) = entry.slot.upgrade()
                && seen.insert(Arc::as_ptr(&slot))
            {
                kept.push((slot.asked.load(Ordering::Relaxed), entry));
            }
        }
        self.bytes = kept.iter().map(|(_, entry)| entry.bytes).sum();
        // The last one is the first here, and stays so: a sort keeps the order of equals.
        if let Some((_, rest)) = kept.split_first_mut() {
            rest.sort_by_key(|(asked, _)| std::cmp::Reverse(*asked));
        }
        // Some more than needed, so that the next load need not look at all others again.
        let is_over = self.bytes > budget_bytes;
        let goal = budget_bytes - budget_bytes / 16;
        while is_over && self.bytes > goal && kept.len() > 1 {
            if let Some((_, evicted)) = kept.pop() {
                self.bytes -= evicted.bytes;
                if let Some(slot) = evicted.slot.upgrade() {
                    slot.set.store(None);
                }
            }
        }
        self.loaded = kept.into_iter().rev().map(|(_, entry)| entry).collect();
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
