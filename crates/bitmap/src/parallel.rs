//! Parts over threads: whoever is free takes the next.

use crate::pool;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One computation. It owns all that it needs: a thread of the pool that wakes after its end finds
/// nothing to do, and nobody waits for it.
struct ParallelRun<W, K, T> {
    work: Arc<W>,
    parts: usize,
    each: fn(&W, usize, &K) -> T,
    next: AtomicUsize,
    done: Mutex<Done<T>>,
    idle: Condvar,
}

struct Done<T> {
    results: Vec<(usize, T)>,
    /// Threads of the pool at work.
    active: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// Calls `each` for every part, on up to `threads` threads, the caller's among them, and gives the
/// results in the order of the parts. A thread keeps a `K` from part to part.
pub(crate) fn parts<W, K, T>(
    work: &Arc<W>,
    parts: usize,
    threads: usize,
    each: fn(&W, usize, &K) -> T,
) -> impl Iterator<Item = T>
where
    W: Send + Sync + 'static,
    K: Default + 'static,
    T: Send + 'static,
{
    let done = Mutex::new(Done { results: Vec::with_capacity(parts), active: 0, panic: None });
    let run = Arc::new(ParallelRun {
        work: work.clone(),
        parts,
        each,
        next: AtomicUsize::new(0),
        done,
        idle: Condvar::new(),
    });
    for _ in 1..threads.min(parts) {
        let run = run.clone();
        pool::spawn(move || run.help());
    }
    let own = run.take_parts();
    let mut done = run.lock();
    while done.active > 0 {
        run.idle.wait(&mut done);
    }
    if let Some(panic) = done.panic.take() {
        drop(done);
        resume_unwind(panic);
    }
    let mut results = std::mem::take(&mut done.results);
    drop(done);
    results.extend(own);
    results.sort_unstable_by_key(|(part, _)| *part);
    results.into_iter().map(|(_, result)| result)
}

impl<W, K: Default, T> ParallelRun<W, K, T> {
    fn take_parts(&self) -> Vec<(usize, T)> {
        let kept = K::default();
        let mut results = Vec::new();
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= self.parts {
                return results;
            }
            results.push((part, (self.each)(&self.work, part, &kept)));
        }
    }

    fn help(&self) {
        {
            let mut done = self.lock();
            if self.next.load(Ordering::Relaxed) >= self.parts {
                return;
            }
            done.active += 1;
        }
        let worked = catch_unwind(AssertUnwindSafe(|| self.take_parts()));
        let mut done = self.lock();
        match worked {
            Ok(results) => done.results.extend(results),
            Err(panic) => done.panic = Some(panic),
        }
        done.active -= 1;
        self.idle.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Done<T>> {
        self.done.lock()
    }
}
