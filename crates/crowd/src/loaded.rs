use crate::{Error, Result};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use taghouse_bitmap::{Bitmap, Stored};
use taghouse_model::Ordinal;

/// The members of a version as they are stored, and unpacked once somebody needs more than to ask for users one by one.
pub(crate) struct LoadedSet {
    stored: Stored,
    bitmap: OnceLock<Arc<Bitmap>>,
}

impl LoadedSet {
    /// Verifies all of an object that must have `size` members: not for a thread that answers requests.
    pub(crate) fn read(object: &str, bytes: Bytes, size: u64) -> Result<Self> {
        let stored = Bitmap::open(bytes).map_err(|e| match e {
            taghouse_bitmap::Error::Corrupt { detail, .. } => Error::corrupt(object, detail),
            other => other.into(),
        })?;
        if stored.len() != size {
            return Err(Error::corrupt(object, format!("it has {} members, its version says {size}", stored.len())));
        }
        Ok(Self { stored, bitmap: OnceLock::new() })
    }

    /// Whether a user is a member.
    pub(crate) fn contains(&self, ordinal: Ordinal) -> Result<bool> {
        Ok(self.stored.contains(ordinal)?)
    }

    /// The members, unpacked at the first call: not on a thread that answers requests.
    pub(crate) fn bitmap(&self) -> Result<Arc<Bitmap>> {
        if let Some(bitmap) = self.bitmap.get() {
            return Ok(bitmap.clone());
        }
        let unpacked = Arc::new(self.stored.to_bitmap()?);
        Ok(self.bitmap.get_or_init(|| unpacked).clone())
    }
}

/// The sets of crowd versions in memory, by object path. Paths begin with the app, and objects never change, so nothing here is ever
/// stale or another app's. When their bytes (as stored; unpacked they take about as much again) exceed the budget, those not asked for the longest go; one alone may exceed it.
pub(crate) struct LoadedSets {
    budget_bytes: u64,
    sets: Mutex<Sets>,
}

#[derive(Default)]
struct Sets {
    by_object: HashMap<String, Entry>,
    bytes: u64,
    /// Counts questions: the clock of "the longest".
    tick: u64,
}

struct Entry {
    set: Arc<LoadedSet>,
    bytes: u64,
    asked: u64,
}

impl LoadedSets {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self { budget_bytes, sets: Mutex::default() }
    }

    pub(crate) fn get(&self, object: &str) -> Option<Arc<LoadedSet>> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.tick += 1;
        let tick = sets.tick;
        let entry = sets.by_object.get_mut(object)?;
        entry.asked = tick;
        Some(Arc::clone(&entry.set))
    }

    pub(crate) fn insert(&self, object: &str, set: Arc<LoadedSet>, bytes: u64) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.tick += 1;
        let entry = Entry { set, bytes, asked: sets.tick };
        sets.bytes += bytes;
        if let Some(replaced) = sets.by_object.insert(object.to_owned(), entry) {
            sets.bytes -= replaced.bytes;
        }
        // There are hundreds at most, and this runs once a load: a scan will do.
        while sets.bytes > self.budget_bytes && sets.by_object.len() > 1 {
            let Some(oldest) = sets.by_object.iter().min_by_key(|(_, e)| e.asked).map(|(object, _)| object.clone()) else { break };
            if let Some(gone) = sets.by_object.remove(&oldest) {
                sets.bytes -= gone.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_was_not_asked_for() {
        let sets = LoadedSets::new(100);
        let bytes = Bitmap::from_iter([1]).to_bytes().unwrap();
        let set = || Arc::new(LoadedSet::read("a", bytes.clone().into(), 1).unwrap());
        sets.insert("a", set(), 40);
        sets.insert("b", set(), 40);
        assert!(sets.get("a").is_some());
        sets.insert("c", set(), 40);
        assert!(sets.get("a").is_some() && sets.get("b").is_none() && sets.get("c").is_some());
        sets.insert("c", set(), 10);
        sets.insert("d", set(), 50);
        assert!(sets.get("a").is_some(), "a replaced set counts once");
        sets.insert("huge", set(), 1000);
        assert!(sets.get("huge").is_some() && sets.get("a").is_none());
    }
}
