use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work` for each number below `count` on `threads` threads, each with its own state, and
/// gives the results in order.
pub(super) fn each<T: Send, W>(
    threads: usize,
    count: usize,
    begin: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, T)>> = Mutex::default();
    std::thread::scope(|scope| {
        let run = || -> Result<()> {
            let mut state = begin();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                match work(&mut state, number) {
                    Ok(result) => results.lock().push((number, result)),
                    Err(error) => {
                        // The others need not go on.
                        next.store(count, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        };
        let others: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(run)).collect();
        let mut all = vec![run()];
        all.extend(others.into_iter().map(|other| {
            other
                .join()
                .unwrap_or_else(|_| Err(Error::Internal("a loader's thread died".to_owned())))
        }));
        all.into_iter().collect::<Result<()>>()
    })?;
    let mut results = std::mem::take(&mut *results.lock());
    results.sort_by_key(|(number, _)| *number);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
