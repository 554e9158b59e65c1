//! The activity of one connection. It decides which connections are closed.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The timeouts of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first byte of a request's head to its last.
    pub(crate) head: Duration,
    /// Between two pieces of a request's body.
    pub(crate) body: Duration,
    /// Without a request.
    pub(crate) idle: Duration,
    /// While an answer waits and its reader takes nothing.
    pub(crate) write: Duration,
}

/// What is to become of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Stays,
    /// It had no request for too long.
    Idle,
    /// A request's head does not end.
    SlowHead,
    /// Nobody takes its answers.
    Unread,
}

/// One connection. Its requests write here without a lock; the timer beside it and the door read.
pub(super) struct Activity {
    began: Instant,
    /// Requests whose answers are not yet handed over whole.
    running: AtomicUsize,
    /// Since when there is none, in milliseconds after `began`.
    quiet_since: AtomicU64,
    /// Since when a head is on its way; 0: none is.
    head_since: AtomicU64,
    /// HTTP/2: bytes without a request are not head there, but frames.
    multiplexed: AtomicBool,
    /// The socket takes no more bytes.
    blocked: AtomicBool,
    /// Answers of which a part was handed over and the next not asked for yet.
    stalled: AtomicUsize,
    /// When last something of an answer went on.
    moved: AtomicU64,
    evicted: Notify,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            running: AtomicUsize::new(0),
            quiet_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            multiplexed: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            stalled: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            evicted: Notify::new(),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn request_begins(&self) {
        self.running.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.quiet_since.store(self.now_ms(), Relaxed);
        self.running.fetch_sub(1, Relaxed);
    }

    /// Bytes came; `first` are the connection's first ones.
    pub(super) fn received(&self, bytes: &[u8], first: bool) {
        if first && bytes.starts_with(b"PRI") {
            self.multiplexed.store(true, Relaxed);
        }
        if self.running.load(Relaxed) == 0
            && !self.multiplexed.load(Relaxed)
            && self.head_since.load(Relaxed) == 0
        {
            self.head_since.store(self.now_ms().max(1), Relaxed);
        }
    }

    /// Whether the socket took bytes, or would take none.
    pub(super) fn wrote(&self, took: bool) {
        if took || !self.blocked.load(Relaxed) {
            self.moved.store(self.now_ms(), Relaxed);
        }
        self.blocked.store(!took, Relaxed);
    }

    /// A part of an answer was handed over.
    pub(super) fn answer_handed(&self) {
        self.moved.store(self.now_ms(), Relaxed);
        self.stalled.fetch_add(1, Relaxed);
    }

    /// The next part of that answer was asked for, or the answer was given up.
    pub(super) fn answer_wanted(&self) {
        self.moved.store(self.now_ms(), Relaxed);
        self.stalled.fetch_sub(1, Relaxed);
    }

    /// Whether closing it takes no answer from anybody.
    pub(super) fn is_quiet(&self) -> bool {
        self.running.load(Relaxed) == 0 && !self.blocked.load(Relaxed)
    }

    /// For how long it has been quiet, in milliseconds; `None`: it is not.
    pub(super) fn quiet_ms(&self) -> Option<u64> {
        self.is_quiet().then(|| self.now_ms().saturating_sub(self.quiet_since.load(Relaxed)))
    }

    pub(super) fn verdict(&self, now_ms: u64, patience: &Patience) -> Verdict {
        let over = |since: u64, limit: Duration| {
            u128::from(now_ms.saturating_sub(since)) >= limit.as_millis()
        };
        if self.blocked.load(Relaxed) || self.stalled.load(Relaxed) > 0 {
            return if over(self.moved.load(Relaxed), patience.write) {
                Verdict::Unread
            } else {
                Verdict::Stays
            };
        }
        if self.running.load(Relaxed) > 0 {
            return Verdict::Stays;
        }
        match self.head_since.load(Relaxed) {
            0 if over(self.quiet_since.load(Relaxed), patience.idle) => Verdict::Idle,
            0 => Verdict::Stays,
            since if over(since, patience.head) => Verdict::SlowHead,
            _ => Verdict::Stays,
        }
    }

    /// Makes the connection leave, for another one's sake.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_millis(10),
        body: Duration::from_millis(10),
        idle: Duration::from_millis(100),
        write: Duration::from_millis(50),
    };

    fn check(what: impl Fn(&Activity), after_ms: u64, expected: Verdict) {
        let activity = Activity::new();
        what(&activity);
        // Whatever the steps themselves took is added, so that a slow machine changes nothing.
        let base = activity.now_ms();
        let verdict = activity.verdict(base + after_ms, &PATIENCE);
        assert_eq!(verdict, expected, "after {after_ms} ms");
    }

    #[test]
    fn a_connection_is_cut_for_what_it_does_not_do() {
        check(|_| {}, 0, Verdict::Stays);
        check(|_| {}, 101, Verdict::Idle);
        check(|of| of.received(b"GET / HT", true), 11, Verdict::SlowHead);
        check(|of| of.received(b"PRI * HTTP/2.0", true), 50, Verdict::Stays);
        check(|of| of.received(b"PRI * HTTP/2.0", true), 101, Verdict::Idle);
        check(
            |of| {
                of.received(b"GET", true);
                of.request_begins();
            },
            1_000_000,
            Verdict::Stays,
        );
        check(
            |of| {
                of.request_begins();
                of.answer_handed();
            },
            51,
            Verdict::Unread,
        );
        check(
            |of| {
                of.request_begins();
                of.answer_handed();
                of.answer_wanted();
            },
            51,
            Verdict::Stays,
        );
        check(|of| of.wrote(false), 51, Verdict::Unread);
        check(
            |of| {
                of.wrote(false);
                of.wrote(true);
                of.request_begins();
                of.request_ended();
            },
            101,
            Verdict::Idle,
        );
    }

    #[test]
    fn only_what_is_quiet_makes_room() {
        let activity = Activity::new();
        assert!(activity.is_quiet());
        activity.request_begins();
        assert!(!activity.is_quiet() && activity.quiet_ms().is_none());
        activity.request_ended();
        activity.wrote(false);
        assert!(!activity.is_quiet(), "an answer is on its way");
    }
}
