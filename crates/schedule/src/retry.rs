use std::time::Duration;

/// How often and after which pauses a task is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Further attempts after the first.
    pub retries: u32,
    /// The pause before the first retry; each further one is twice as long.
    pub backoff: Duration,
}

impl Retry {
    /// The pause before retry number `n`, from 0.
    pub(crate) fn pause(&self, n: u32) -> Duration {
        self.backoff.saturating_mul(1 << n.min(16))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { retries: 3, backoff: Duration::from_millis(200) }
    }
}
