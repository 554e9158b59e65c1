//! Who reads a feed for somebody outside, and how far each has come.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use taghouse_model::TimestampMs;

/// Nothing is known of when the next record was appended.
const UNKNOWN: TimestampMs = TimestampMs::MAX;

/// The subscribers of one feed.
#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Vec<Weak<Progress>>>);

/// How far a subscriber has come. A record counts as taken once what follows it is asked for.
pub(crate) struct Progress {
    taken: AtomicU64,
    /// When the first record was appended that is not taken.
    since_ms: AtomicI64,
}

/// The subscribers of a feed at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// How many there are.
    pub subscribers: u64,
    /// Records on disk that the slowest has not taken.
    pub records: u64,
    /// How long ago the oldest of them was appended, in ms; 0 if there is none.
    pub age_ms: u64,
}

/// The slowest of some subscribers.
pub(crate) struct Slowest {
    pub(crate) subscribers: u64,
    pub(crate) taken: u64,
    /// `None`: it is not known.
    pub(crate) since_ms: Option<TimestampMs>,
}

impl Subscribers {
    /// One more, behind the record of this id.
    pub(crate) fn add(&self, taken: u64) -> Arc<Progress> {
        let (taken, since_ms) = (AtomicU64::new(taken), AtomicI64::new(UNKNOWN));
        let progress = Arc::new(Progress { taken, since_ms });
        let mut all = self.0.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&progress));
        progress
    }

    /// `None`: there are none.
    pub(crate) fn slowest(&self) -> Option<Slowest> {
        let all: Vec<Arc<Progress>> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        let taken = |one: &Arc<Progress>| one.taken.load(Ordering::Relaxed);
        let slowest = all.iter().min_by_key(|one| taken(one))?;
        let since_ms = slowest.since_ms.load(Ordering::Relaxed);
        Some(Slowest {
            subscribers: all.len() as u64,
            taken: taken(slowest),
            since_ms: Some(since_ms).filter(|since_ms| *since_ms != UNKNOWN),
        })
    }
}

impl Progress {
    /// All records up to this id are taken.
    pub(crate) fn took(&self, id: u64) {
        self.taken.store(id, Ordering::Relaxed);
        self.since_ms.store(UNKNOWN, Ordering::Relaxed);
    }

    /// The next record was appended then, and is being handed over.
    pub(crate) fn hands_over(&self, appended_ms: TimestampMs) {
        self.since_ms.store(appended_ms, Ordering::Relaxed);
    }
}
