//! When live calls land: by size or by age, so that few large files come of them, not many small
//! ones.

use crate::live_totals::LANDED_AT_ONCE;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use taghouse_model::{AppId, TimestampMs};

/// What makes an app's live calls land.
#[derive(Debug, Clone, Copy)]
pub struct LandingTrigger {
    /// The oldest call has waited so long, …
    pub age_ms: i64,
    /// … or so many wait, …
    pub records: u64,
    /// … or this many bytes, estimated from the calls that landed last.
    pub bytes: u64,
}

impl LandingTrigger {
    /// After `age_ms` at the latest; before it, when as much waits as lands by one commit.
    pub fn after(age_ms: i64) -> Self {
        Self { age_ms, records: LANDED_AT_ONCE as u64, bytes: 64 << 20 }
    }
}

/// What waits, by app. In memory: an app that is not known is due, for its log may hold anything.
#[derive(Default)]
pub(crate) struct Waiting {
    apps: Mutex<HashMap<AppId, Wait>>,
}

#[derive(Default)]
struct Wait {
    /// The position up to which calls landed.
    landed: u64,
    record_bytes: u64,
    /// When a call was first seen to wait.
    since_ms: Option<TimestampMs>,
}

impl Waiting {
    /// Whether the app's calls, which end at `end`, are to land now.
    pub(crate) fn is_due(
        &self,
        app: &AppId,
        end: u64,
        now_ms: TimestampMs,
        trigger: &LandingTrigger,
    ) -> bool {
        let mut apps = self.apps();
        let Some(wait) = apps.get_mut(app) else { return true };
        let waiting = end.saturating_sub(wait.landed);
        if waiting == 0 {
            wait.since_ms = None;
            // A log that ends before what landed is another one: landing says so.
            return end < wait.landed;
        }
        // A clock that was set back must not make them wait longer.
        let since_ms = wait.since_ms.unwrap_or(now_ms).min(now_ms);
        wait.since_ms = Some(since_ms);
        now_ms - since_ms >= trigger.age_ms
            || waiting >= trigger.records
            || waiting.saturating_mul(wait.record_bytes) >= trigger.bytes
    }

    /// Calls up to `position` have landed.
    pub(crate) fn landed(&self, app: &AppId, position: u64) {
        let mut apps = self.apps();
        let wait = apps.entry(app.clone()).or_default();
        wait.landed = position;
        wait.since_ms = None;
    }

    /// So many land now, of so many bytes: a sample of how large calls are.
    pub(crate) fn sample(&self, app: &AppId, records: usize, bytes: usize) {
        let mean = bytes / records.max(1);
        self.apps().entry(app.clone()).or_default().record_bytes = mean as u64;
    }

    /// A landing failed at `now_ms`: what waits is tried again as if it had come now.
    pub(crate) fn failed(&self, app: &AppId, now_ms: TimestampMs) {
        self.apps().entry(app.clone()).or_default().since_ms = Some(now_ms);
    }

    fn apps(&self) -> MutexGuard<'_, HashMap<AppId, Wait>> {
        self.apps.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_land_by_age_or_by_size() {
        let app = AppId::new("shop").unwrap();
        let trigger = LandingTrigger { age_ms: 10_000, records: 100, bytes: 1000 };
        let waiting = Waiting::default();
        let due = |end, now| waiting.is_due(&app, end, now, &trigger);
        assert!(due(0, 0), "what a former process left is not known");
        waiting.sample(&app, 2, 40);
        waiting.landed(&app, 7);
        assert!(!due(7, 50_000), "nothing waits");
        assert!(!due(8, 60_000), "one call waits");
        assert!(!due(9, 69_999), "the oldest counts, whatever came after it");
        assert!(due(9, 70_000));
        waiting.landed(&app, 9);
        assert!(!due(9 + 49, 80_000));
        assert!(due(9 + 50, 80_000), "50 of 20 bytes");
        waiting.sample(&app, 1, 1);
        assert!(!due(9 + 99, 80_000));
        assert!(due(9 + 100, 80_000), "a hundred of a byte");
        waiting.landed(&app, 109);
        assert!(!due(110, 90_000));
        assert!(!due(110, 20_000), "the clock is set back");
        assert!(due(110, 30_000));
        waiting.failed(&app, 30_000);
        assert!(!due(110, 39_000), "not again and again");
        assert!(due(110, 40_000));
        assert!(due(3, 40_000), "a log that is another one");
    }
}
