//! The threads that share one computation: one pool for those who wait for an answer, another for
//! work that can wait.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::LazyLock;
use taghouse_model::{give_way, gives_way};

/// Behind threads that gave way. `None`: the system had no threads for it.
static BACKGROUND: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let builder = ThreadPoolBuilder::new().thread_name(|thread| format!("background-{thread}"));
    builder.start_handler(|_| give_way()).build().ok()
});

/// The pool that the calling thread's work belongs to; `None`: rayon's global one. A question never
/// waits behind a production's parts, and a production's parts never run at a question's priority.
fn background() -> Option<&'static ThreadPool> {
    if gives_way() { BACKGROUND.as_ref() } else { None }
}

/// Hands work to a thread of the pool.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) {
    match background() {
        Some(pool) => pool.spawn(work),
        None => rayon::spawn(work),
    }
}

/// Runs work that rayon spreads, within the pool.
pub(crate) fn within<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match background() {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::sync::mpsc::channel;

    /// Of the threads that did the parts: whether they gave way.
    fn spread() -> Vec<bool> {
        let (send, receive) = channel();
        spawn(move || send.send(gives_way()).unwrap());
        let mut seen = vec![receive.recv().unwrap()];
        seen.extend(within(|| (0..64).into_par_iter().map(|_| gives_way()).collect::<Vec<_>>()));
        seen
    }

    #[test]
    fn work_stays_at_the_priority_of_the_thread_that_asks_for_it() {
        let background = std::thread::spawn(|| {
            give_way();
            spread()
        });
        assert!(background.join().unwrap().into_iter().all(|gave_way| gave_way));
        assert!(spread().into_iter().all(|gave_way| !gave_way));
    }
}
