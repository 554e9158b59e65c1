//! Holders sought by more than one thread: whoever is free takes the next bitmaps.

use crate::bundle::Bundle;
use crate::{Error, Result};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use taghouse_model::Ordinal;

/// Bitmaps from which on waking another thread pays.
pub(super) const FROM: usize = 512;
/// Bitmaps that a thread takes at a time.
const PART: usize = 256;

/// One search. It owns all that it needs: a thread of the pool that wakes after its end finds nothing to do, and nobody waits for it.
struct Search {
    bundle: Bundle,
    bitmaps: Range<u32>,
    ordinal: Ordinal,
    /// Of `bitmaps`, the first that nobody took.
    next: AtomicUsize,
    done: Mutex<Done>,
    idle: Condvar,
}

#[derive(Default)]
struct Done {
    found: Vec<u32>,
    error: Option<Error>,
    /// The pool's thread is at work.
    active: bool,
}

/// The numbers of those of `bitmaps`, which the bundle has, that hold `ordinal`, ascending.
pub(super) fn holders(bundle: &Bundle, bitmaps: Range<u32>, ordinal: Ordinal) -> Result<Vec<u32>> {
    let next = AtomicUsize::new(0);
    let search = Arc::new(Search { bundle: bundle.clone(), bitmaps, ordinal, next, done: Mutex::default(), idle: Condvar::new() });
    let other = search.clone();
    // One is enough: what is sought in takes a tenth of a millisecond.
    rayon::spawn(move || other.help());
    search.work();
    let mut done = search.lock();
    while done.active {
        done = search.idle.wait(done).unwrap_or_else(PoisonError::into_inner);
    }
    if let Some(error) = done.error.take() {
        return Err(error);
    }
    let mut found = std::mem::take(&mut done.found);
    found.sort_unstable();
    Ok(found)
}

impl Search {
    fn work(&self) {
        loop {
            let from = self.next.fetch_add(PART, Ordering::Relaxed);
            if from >= self.bitmaps.len() {
                return;
            }
            let to = (from + PART).min(self.bitmaps.len());
            let part = self.bitmaps.start + from as u32..self.bitmaps.start + to as u32;
            let found = self.bundle.holders_here(part, self.ordinal, usize::MAX);
            let mut done = self.lock();
            match found {
                Ok(found) => done.found.extend(found),
                Err(error) => done.error = Some(error),
            }
        }
    }

    fn help(&self) {
        {
            let mut done = self.lock();
            if self.next.load(Ordering::Relaxed) >= self.bitmaps.len() {
                return;
            }
            done.active = true;
        }
        let _idle = Idle(self);
        self.work();
    }

    fn lock(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the pool's thread is done, also if it panics.
struct Idle<'s>(&'s Search);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.lock().active = false;
        self.0.idle.notify_one();
    }
}
