/// Milliseconds since 1970-01-01T00:00:00 UTC.
pub type TimestampMs = i64;

/// The wall clock, injected so that tests own it.
pub trait Clock: Send + Sync {
    /// The instant now.
    fn now_ms(&self) -> TimestampMs;

    /// Milliseconds since some moment, by a clock that is never set: it never goes back, and
    /// differences are durations. One that tests move by hand may give its time.
    fn steady_ms(&self) -> i64 {
        self.now_ms()
    }
}

/// Randomness, injected so that tests own it.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}
