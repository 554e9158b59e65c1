//! How a reader stands, as people are shown it.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_model::{Clock, TimestampMs};

/// What a reader does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReaderState {
    /// It has not reached the cluster yet.
    #[default]
    Connecting,
    /// It is a member of its group, and reads the partitions that it was given.
    Reading,
    /// It pauses: the log takes nothing, or too many records wait to land.
    Waiting,
    /// It does not read: its definition or this program must change.
    Stopped,
}

impl ReaderState {
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

/// A partition that the reader was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition, from 0.
    pub partition: i32,
    /// The offset of the next record to be read.
    pub next: i64,
    /// The records that are not in the log yet; `None`: not known yet.
    pub lag: Option<u64>,
}

/// How a reader stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReaderStatus {
    /// What it does.
    pub state: ReaderState,
    /// The partitions that it was given, ascending.
    pub partitions: Vec<PartitionStatus>,
    /// What keeps it from reading now; `None`: nothing.
    pub problem: Option<Problem>,
    /// What went wrong last, be it over.
    pub last_error: Option<Problem>,
    /// Records appended to the log since it began.
    pub appended: u64,
}

/// What a problem is about: it is over when that works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    /// The definition, or this program.
    Settings,
    /// The log does not take records.
    Log,
    /// Records do not land.
    Landing,
    /// The cluster cannot be reached, or lets nobody in.
    Cluster,
    /// The topic.
    Topic,
    /// Something else, or what has passed when it is noticed.
    Other,
}

/// How often the same problem is logged at most.
const LOG_AGAIN: Duration = Duration::from_secs(300);

/// Where a reader writes how it stands.
pub(crate) struct Board {
    name: String,
    clock: Arc<dyn Clock>,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    status: ReaderStatus,
    problems: BTreeMap<About, Problem>,
    logged: BTreeMap<About, Instant>,
}

impl Board {
    /// `name`: of whom it speaks.
    pub(crate) fn new(name: String, clock: Arc<dyn Clock>) -> Self {
        Self { name, clock, written: Mutex::default() }
    }

    pub(crate) fn status(&self) -> ReaderStatus {
        let written = self.written.lock();
        let problem = written.problems.values().next().cloned();
        ReaderStatus { problem, ..written.status.clone() }
    }

    /// Notes a problem that lasts until [`Board::solved`]. It is logged, but not again and again.
    pub(crate) fn problem(&self, about: About, detail: &str) {
        let problem = Problem { at_ms: self.clock.now_ms(), detail: detail.to_owned() };
        let mut written = self.written.lock();
        written.status.last_error = Some(problem.clone());
        let is_new = written.problems.insert(about, problem).is_none();
        let logged = written.logged.get(&about);
        if is_new && logged.is_none_or(|at| at.elapsed() >= LOG_AGAIN / 10)
            || logged.is_none_or(|at| at.elapsed() >= LOG_AGAIN)
        {
            written.logged.insert(about, Instant::now());
            drop(written);
            tracing::warn!(
                source = self.name,
                detail,
                "a topic is not read as it should be; it is tried again"
            );
        }
    }

    /// Notes what went wrong once.
    pub(crate) fn remark(&self, detail: &str) {
        let problem = Problem { at_ms: self.clock.now_ms(), detail: detail.to_owned() };
        self.written.lock().status.last_error = Some(problem);
        tracing::warn!(source = self.name, detail, "reading of a topic");
    }

    /// Whether such a problem lasts.
    pub(crate) fn has(&self, about: About) -> bool {
        self.written.lock().problems.contains_key(&about)
    }

    pub(crate) fn solved(&self, about: About) {
        let mut written = self.written.lock();
        if written.problems.remove(&about).is_some() {
            drop(written);
            tracing::info!(source = self.name, "a problem with a topic is over");
        }
    }

    pub(crate) fn set_state(&self, state: ReaderState) {
        self.written.lock().status.state = state;
    }

    pub(crate) fn set_partitions(&self, partitions: Vec<PartitionStatus>) {
        self.written.lock().status.partitions = partitions;
    }

    pub(crate) fn appended(&self, records: usize) {
        self.written.lock().status.appended += records as u64;
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
    fn a_problem_lasts_until_it_is_over_and_the_last_error_stays() {
        let board = Board::new("s".to_owned(), Arc::new(Still));
        board.problem(About::Cluster, "no broker");
        board.problem(About::Log, "disk full");
        let detail = |problem: Option<Problem>| problem.map(|problem| problem.detail);
        assert_eq!(detail(board.status().problem).as_deref(), Some("disk full"), "the nearer one");
        board.solved(About::Log);
        assert_eq!(detail(board.status().problem).as_deref(), Some("no broker"));
        board.solved(About::Cluster);
        let status = board.status();
        assert_eq!(
            (status.problem, detail(status.last_error).as_deref()),
            (None, Some("disk full"))
        );
    }
}
