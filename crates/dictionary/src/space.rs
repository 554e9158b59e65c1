use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use taghouse_model::Ordinal;

/// One app's ordinals: how many are given, and the right to give more.
pub(crate) struct Space {
    /// Ordinals below this are given, whole and durable.
    len: AtomicU32,
    /// Its number in this process, by which the cache tells apps apart.
    pub(crate) number: u32,
    /// See the crate's documentation.
    generation: AtomicU64,
    /// Held while ordinals are given.
    pub(crate) writer: Mutex<()>,
}

/// The generation of an app whose first ordinals were given without another being asked for.
pub(crate) const FIRST_GENERATION: u64 = 1;

impl Space {
    pub(crate) fn new(number: u32, len: Ordinal, generation: u64) -> Self {
        Self { len: AtomicU32::new(len), number, generation: AtomicU64::new(generation), writer: Mutex::new(()) }
    }

    pub(crate) fn len(&self) -> Ordinal {
        self.len.load(Ordering::Acquire)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Called when it is on disk.
    pub(crate) fn renew(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// Shows readers the ordinals below `len`; called when they are on disk.
    pub(crate) fn publish(&self, len: Ordinal) {
        self.len.store(len, Ordering::Release);
    }
}
