//! How often a key may call: so many requests a second, and some more at once after a pause.

use crate::Problem;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;
use taghouse_catalog::KeyRate;

/// What is allowed, as `"key";q=20;w=1`: 20 requests in a second.
pub(crate) const POLICY_HEADER: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left, as `"key";r=12;t=1`: 12 requests at once; after a second there are more.
pub(crate) const LEFT_HEADER: HeaderName = HeaderName::from_static("ratelimit");

/// The bucket of a key.
pub(crate) struct Rate {
    terms: KeyRate,
    bucket: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
}

/// What a key has left after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) terms: KeyRate,
    /// Requests that it may make at once.
    pub(crate) requests: u32,
}

impl Rate {
    pub(crate) fn new(terms: KeyRate) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(terms.per_second))
            .allow_burst(at_least_one(terms.burst));
        Self { terms, bucket: RateLimiter::direct(quota).with_middleware() }
    }

    pub(crate) fn terms(rate: &Option<Self>) -> Option<KeyRate> {
        rate.as_ref().map(|rate| rate.terms)
    }

    /// Counts a call.
    ///
    /// # Errors
    /// It is one too many (429), with when there is room again.
    pub(crate) fn take(&self, key: &str) -> Result<Left, Problem> {
        match self.bucket.check() {
            Ok(state) => Ok(Left { terms: self.terms, requests: state.remaining_burst_capacity() }),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                Err(self.refusal(key, wait))
            }
        }
    }

    fn refusal(&self, key: &str, wait: Duration) -> Problem {
        let KeyRate { per_second, burst } = self.terms;
        let detail = format!(
            "the key {key} may make {per_second} requests a second and {burst} at once: wait as long as Retry-After says; an admin makes keys for more with `taghouse keys create --requests-per-second`"
        );
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let problem = Problem::of_status(StatusCode::TOO_MANY_REQUESTS, detail);
        Problem { retry_after_seconds: Some(seconds.max(1)), ..problem }
    }
}

impl Left {
    /// Requests of the burst that are used up.
    pub(crate) fn used(self) -> u64 {
        self.terms.burst.saturating_sub(self.requests).into()
    }

    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        let Self { terms, requests } = self;
        let policy = format!("\"key\";q={};w=1", terms.per_second);
        let left = format!("\"key\";r={requests};t=1");
        for (name, text) in [(POLICY_HEADER, policy), (LEFT_HEADER, left)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_burst_and_is_told_when_to_come_again() {
        // So slow that nothing comes back while the test runs.
        let rate = Rate::new(KeyRate { per_second: 1, burst: 3 });
        let left: Vec<u32> = (0..3).map(|_| rate.take("k").unwrap().requests).collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = rate.take("k").unwrap_err();
        assert_eq!((refused.status, refused.retry_after_seconds), (429, Some(1)));
        assert!(refused.detail.contains("1 requests a second and 3 at once"), "{}", refused.detail);
        let mut headers = HeaderMap::new();
        Left { terms: rate.terms, requests: 2 }.tell(&mut headers);
        assert_eq!(headers[POLICY_HEADER], "\"key\";q=1;w=1");
        assert_eq!(headers[LEFT_HEADER], "\"key\";r=2;t=1");
    }
}
