//! The real clock and the real randomness: the only place that asks the system for either.

use rand::TryRng;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use taghouse_model::{Clock, Entropy, TimestampMs};

/// The system's wall clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now_ms(&self) -> TimestampMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn steady_ms(&self) -> i64 {
        static FIRST_ASKED: LazyLock<Instant> = LazyLock::new(Instant::now);
        i64::try_from(FIRST_ASKED.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// The system's random source.
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    #[allow(
        clippy::expect_used,
        reason = "without randomness no secret can be made, and going on would make weak ones"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rngs::SysRng.try_fill_bytes(bytes).expect("the system gives random bytes");
    }
}
