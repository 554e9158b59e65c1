//! How a writer stands, as people are shown it.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_model::{Clock, TimestampMs};

/// What a writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriterState {
    /// It has not found its place in the feed yet.
    #[default]
    Connecting,
    /// It follows the feed.
    Reading,
    /// It sends again what the receiver did not take.
    Waiting,
    /// It sends nothing any more.
    Stopped,
}

impl WriterState {
    /// As listings show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Reading => "reading",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
        }
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// When it was noticed.
    pub at_ms: TimestampMs,
    /// What, for people.
    pub detail: String,
}

/// What became of events since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that the receiver has taken.
    pub delivered: u64,
    /// Requests that failed and were, or are to be, repeated.
    pub retried: u64,
    /// Events that went to the dead letters.
    pub dead_lettered: u64,
    /// Dead letters that were removed because they were too old or too many.
    pub removed: u64,
    /// Records that the feed did not keep until they were sent.
    pub lost: u64,
}

/// How a writer stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriterStatus {
    /// What it does.
    pub state: WriterState,
    /// What keeps it from sending now; `None`: nothing.
    pub problem: Option<Problem>,
    /// What went wrong last, be it over.
    pub last_error: Option<Problem>,
    /// Since the process began.
    pub counts: Counts,
    /// The id of the last record that needs not be sent any more; `None`: not known yet.
    pub position: Option<u64>,
    /// When what the oldest event says that waits to be sent came about; `None`: none waits.
    pub oldest_ms: Option<TimestampMs>,
}

/// What a problem is about: it is over when that works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    /// The feed or the catalog.
    Feed,
    /// The dead letters' files.
    Files,
    /// What a lane sends.
    Lane(usize),
}

/// How often problems of a sink are logged at most.
const LOG_AGAIN: Duration = Duration::from_secs(300);

/// Where a writer writes how it stands.
pub(crate) struct Board {
    name: String,
    clock: Arc<dyn Clock>,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    status: WriterStatus,
    problems: BTreeMap<About, Problem>,
    logged: Option<Instant>,
}

impl Board {
    /// `name`: of whom it speaks.
    pub(crate) fn new(name: String, clock: Arc<dyn Clock>) -> Self {
        Self { name, clock, written: Mutex::default() }
    }

    pub(crate) fn status(&self) -> WriterStatus {
        let written = self.written.lock();
        let status = written.status.clone();
        let in_lane = written.problems.keys().any(|about| matches!(about, About::Lane(_)));
        let state = match status.state {
            WriterState::Reading if in_lane => WriterState::Waiting,
            state => state,
        };
        WriterStatus { state, problem: written.problems.values().next().cloned(), ..status }
    }

    /// Notes a problem that lasts until [`Board::solved`]. It is logged, but not again and again.
    pub(crate) fn problem(&self, about: About, detail: &str) {
        let problem = Problem { at_ms: self.clock.now_ms(), detail: detail.to_owned() };
        let mut written = self.written.lock();
        written.status.last_error = Some(problem.clone());
        written.problems.insert(about, problem);
        if written.logged.is_none_or(|at| at.elapsed() >= LOG_AGAIN) {
            written.logged = Some(Instant::now());
            drop(written);
            tracing::warn!(sink = self.name, detail, "a webhook is not served; it is tried again");
        }
    }

    pub(crate) fn solved(&self, about: About) {
        let mut written = self.written.lock();
        if written.problems.remove(&about).is_some() && written.problems.is_empty() {
            written.logged = None;
            drop(written);
            tracing::info!(sink = self.name, "a webhook is served again");
        }
    }

    /// Notes what went wrong once.
    pub(crate) fn remark(&self, detail: &str) {
        let problem = Problem { at_ms: self.clock.now_ms(), detail: detail.to_owned() };
        self.written.lock().status.last_error = Some(problem);
        tracing::warn!(sink = self.name, detail, "a webhook");
    }

    /// Begins again, with a writer that has no problems yet.
    pub(crate) fn begin(&self) {
        let mut written = self.written.lock();
        written.problems.clear();
        written.status.state = WriterState::Connecting;
    }

    pub(crate) fn set_state(&self, state: WriterState) {
        self.written.lock().status.state = state;
    }

    pub(crate) fn set_position(&self, position: u64, oldest_ms: Option<TimestampMs>) {
        let mut written = self.written.lock();
        written.status.position = Some(position);
        written.status.oldest_ms = oldest_ms;
    }

    pub(crate) fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.written.lock().status.counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    impl Clock for Still {
        fn now_ms(&self) -> TimestampMs {
            7
        }
    }

    #[test]
    fn a_lane_that_fails_is_a_problem_until_it_works() {
        let board = Board::new("s".to_owned(), Arc::new(Still));
        board.set_state(WriterState::Reading);
        board.problem(About::Lane(1), "500");
        board.problem(About::Lane(2), "503");
        let status = board.status();
        assert_eq!(status.state, WriterState::Waiting);
        assert_eq!(status.problem.map(|problem| problem.detail).as_deref(), Some("500"));
        board.solved(About::Lane(1));
        board.solved(About::Lane(2));
        let status = board.status();
        assert_eq!((status.state, status.problem), (WriterState::Reading, None));
        assert_eq!(status.last_error.map(|problem| problem.detail).as_deref(), Some("503"));
    }
}
