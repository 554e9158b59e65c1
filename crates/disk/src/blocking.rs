/// A background task ended without a result: it panicked, or the runtime is shutting down.
#[derive(Debug, thiserror::Error)]
#[error("background task failed: {0}")]
pub struct TaskFailed(#[from] tokio::task::JoinError);

/// Runs work that computes or waits for a disk for more than microseconds, away from the threads
/// that answer requests. Work that was started goes on to its end, even if the caller is dropped.
///
/// # Errors
/// The work's; [`TaskFailed`] if it panics.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<TaskFailed> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(TaskFailed)?
}
