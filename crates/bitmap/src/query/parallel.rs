//! Shards over threads: whoever is free takes the next.

use super::Compiled;
use crate::evaluate::Worker;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What is computed of one shard.
type Each<T> = fn(&Compiled, u32, &Worker) -> T;

/// One evaluation. It owns all that it needs: a thread of the pool that wakes after its end finds nothing to do, and nobody waits for it.
struct Run<T> {
    compiled: Arc<Compiled>,
    each: Each<T>,
    next: AtomicUsize,
    done: Mutex<Done<T>>,
    idle: Condvar,
}

struct Done<T> {
    results: Vec<(u32, T)>,
    /// Threads of the pool at work.
    active: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// Calls `each` for every shard, on up to `threads` threads, and gives the results by shard number.
pub(super) fn shards<T: Send + 'static>(compiled: &Arc<Compiled>, threads: usize, each: Each<T>) -> Vec<(u32, T)> {
    let done = Mutex::new(Done { results: Vec::with_capacity(compiled.shards.len()), active: 0, panic: None });
    let run = Arc::new(Run { compiled: compiled.clone(), each, next: AtomicUsize::new(0), done, idle: Condvar::new() });
    for _ in 1..threads.min(compiled.shards.len()) {
        let run = run.clone();
        rayon::spawn(move || run.help());
    }
    let own = run.work();
    let mut done = run.lock();
    while done.active > 0 {
        done = run.idle.wait(done).unwrap_or_else(PoisonError::into_inner);
    }
    if let Some(panic) = done.panic.take() {
        drop(done);
        resume_unwind(panic);
    }
    let mut results = std::mem::take(&mut done.results);
    results.extend(own);
    results.sort_unstable_by_key(|(number, _)| *number);
    results
}

impl<T> Run<T> {
    fn work(&self) -> Vec<(u32, T)> {
        let worker = Worker::default();
        let mut results = Vec::new();
        while let Some(number) = self.compiled.shards.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            results.push((*number, (self.each)(&self.compiled, *number, &worker)));
        }
        results
    }

    fn help(&self) {
        {
            let mut done = self.lock();
            if self.next.load(Ordering::Relaxed) >= self.compiled.shards.len() {
                return;
            }
            done.active += 1;
        }
        let worked = catch_unwind(AssertUnwindSafe(|| self.work()));
        let mut done = self.lock();
        match worked {
            Ok(results) => done.results.extend(results),
            Err(panic) => done.panic = Some(panic),
        }
        done.active -= 1;
        self.idle.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Done<T>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
