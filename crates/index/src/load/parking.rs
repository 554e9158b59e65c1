use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex whose data stays valid between any two statements, so that a panic of another thread is no reason to stop.
#[derive(Default)]
pub(super) struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
