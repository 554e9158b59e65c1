//! Merges of the closed tiles of large states, kept in memory beside them; see
//! [`taghouse_fold::ClosedTiles`].

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use std::ops::Range;
use taghouse_fold::ClosedTiles;
use taghouse_model::Ordinal;

/// The states that are worth it, in bytes. Smaller ones are merged faster than looked up; of larger
/// ones only a few would fit.
const LARGE: Range<usize> = 1 << 10..4 << 20;

/// What they may take of memory.
const MEMORY_BYTES: u64 = 64 << 20;
const EXPECTED: usize = 1 << 12;

/// A tag's hash, and a user.
type Of = (u64, Ordinal);

pub(crate) struct ClosedMerges(Cache<Of, ClosedTiles, ByMemory>);

#[derive(Clone)]
struct ByMemory;

impl Weighter<Of, ClosedTiles> for ByMemory {
    fn weight(&self, _: &Of, closed: &ClosedTiles) -> u64 {
        closed.memory_bytes()
    }
}

impl ClosedMerges {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(EXPECTED, MEMORY_BYTES, ByMemory))
    }

    /// Whether a merge of this state is kept.
    pub(crate) fn is_for(state: &[u8]) -> bool {
        LARGE.contains(&state.len())
    }

    /// The one of a user's state, which is to be put back.
    pub(crate) fn take(&mut self, tag: u64, user: Ordinal) -> Option<ClosedTiles> {
        self.0.remove(&(tag, user)).map(|(_, closed)| closed)
    }

    pub(crate) fn put(&mut self, tag: u64, user: Ordinal, closed: Option<ClosedTiles>) {
        if let Some(closed) = closed {
            self.0.insert((tag, user), closed);
        }
    }
}
