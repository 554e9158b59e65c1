/// Milliseconds since 1970-01-01T00:00:00 UTC.
pub type TimestampMs = i64;

/// The wall clock, injected so that tests own it.
pub trait Clock: Send + Sync {
    /// The instant now.
    fn now_ms(&self) -> TimestampMs;
}

/// Randomness, injected so that tests own it.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}
