//! The cache of sets of members: least recently used, within a budget of bytes.

use crate::loaded_set::LoadedSet;
use crate::set_bytes::Mappings;
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
    pub(crate) mappings: Mappings,
    /// Those who keep sets in a row: they let go of them when a set is evicted.
    rows: Mutex<Vec<Weak<RowOfSets>>>,
}

/// The sets of many versions in a row, as far as they are in memory. Whoever asks all of them reads
/// no slot, and so waits for no other core and for memory once, not set by set.
#[derive(Default)]
pub(crate) struct RowOfSets(ArcSwapOption<Vec<Option<Arc<LoadedSet>>>>);

impl RowOfSets {
    /// The next question puts them together again.
    pub(crate) fn forget(&self) {
        self.0.store(None);
    }
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
        Self {
            budget_bytes,
            loads: AtomicU64::new(0),
            entries: Mutex::default(),
            mappings: Mappings::default(),
            rows: Mutex::default(),
        }
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

    /// The sets in these slots, in their order, for whoever asks all of them. That they were asked
    /// for is not noted. A set that is evicted while they are put together stays until the next one.
    pub(crate) fn in_row<'s>(
        &self,
        row: &Arc<RowOfSets>,
        slots: impl Iterator<Item = &'s Slot>,
    ) -> Arc<Vec<Option<Arc<LoadedSet>>>> {
        if let Some(sets) = row.0.load_full() {
            return sets;
        }
        let this = Arc::downgrade(row);
        let mut rows = self.rows.lock();
        rows.retain(|row| row.strong_count() > 0 && !row.ptr_eq(&this));
        rows.push(this);
        drop(rows);
        let sets: Arc<Vec<_>> = Arc::new(slots.map(|slot| slot.set.load_full()).collect());
        row.0.store(Some(sets.clone()));
        sets
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
            self.rows.lock().iter().filter_map(Weak::upgrade).for_each(|row| row.forget());
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
    fn sets_in_a_row_are_let_go_of_with_an_eviction() {
        let sets = LoadedSets::new(100);
        let slots: Vec<Arc<Slot>> = (0..3).map(|_| Arc::default()).collect();
        let row = Arc::new(RowOfSets::default());
        let there = || {
            let sets = sets.in_row(&row, slots.iter().map(AsRef::as_ref));
            sets.iter().map(Option::is_some).collect::<Vec<_>>()
        };
        sets.insert(&slots[0], set(&[1]), 60);
        assert_eq!(there(), [true, false, false]);
        let first = Arc::downgrade(&slots[0].set.load_full().unwrap());
        sets.insert(&slots[1], set(&[1]), 30);
        assert_eq!(there(), [true, false, false], "until somebody says so");
        row.forget();
        assert_eq!(there(), [true, true, false]);
        sets.insert(&slots[2], set(&[1]), 60);
        assert!(first.upgrade().is_none(), "nothing holds what is evicted");
        assert_eq!(there(), [false, true, true]);
    }

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
