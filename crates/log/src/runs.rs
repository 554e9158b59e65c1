//! Where the records of one app are.

use crate::frame::LENGTH_BYTES;
use crate::group::Placed;
use crate::mark::Mark;
use crate::segment::Segment;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// A run takes in frames that begin within so many bytes of it: a read takes a whole run from the
/// disk, and memory holds one for all of them.
const RUN_BYTES: u64 = 64 << 10;
/// Fewer places of the queue are never given back.
const KEPT_PLACES: usize = 64;

/// Records of one app at consecutive positions, in frames of one segment that lie close together.
/// Frames of other apps may lie between them.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The position of the first record.
    pub(crate) first: u64,
    /// The position of the last record.
    pub(crate) last: u64,
    pub(crate) segment: Arc<Segment>,
    /// Where the first frame begins. It may have records before `first`.
    pub(crate) offset: u64,
    /// Where the last frame ends. It may have records behind `last`.
    pub(crate) end: u64,
    /// The bytes of the records alone.
    pub(crate) record_bytes: u64,
}

impl Run {
    /// Of one frame of a group that begins at `begin` of a segment.
    pub(crate) fn of(placed: &Placed, segment: &Arc<Segment>, begin: u64) -> Self {
        Self {
            first: placed.first,
            last: placed.last,
            segment: segment.clone(),
            offset: begin + placed.offset,
            end: begin + placed.end,
            record_bytes: placed.record_bytes,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.last + 1 - self.first
    }

    /// What it weighs in its segment.
    pub(crate) fn weight(&self) -> u64 {
        self.record_bytes + self.count() * LENGTH_BYTES
    }

    /// Whether a frame can be part of it.
    fn takes(&self, next: &Self) -> bool {
        Arc::ptr_eq(&self.segment, &next.segment)
            && self.last + 1 == next.first
            && next.offset >= self.end
            && next.offset - self.offset < RUN_BYTES
    }

    /// The part of it from one position to another, both its own.
    fn part(&self, first: u64, last: u64) -> Self {
        let count = last + 1 - first;
        // In proportion: it steers how much is read at once, and what is worth carrying.
        let share = u128::from(self.record_bytes) * u128::from(count) / u128::from(self.count());
        Self { first, last, record_bytes: share as u64, ..self.clone() }
    }
}

/// The mark of an app, and the runs of its records.
#[derive(Debug, Clone, Default)]
pub(crate) struct AppRuns {
    pub(crate) mark: Mark,
    /// By position, without overlaps.
    runs: VecDeque<Run>,
}

impl AppRuns {
    /// Adds a run. Where there are records at its positions already, the new place counts.
    pub(crate) fn put(&mut self, run: Run) {
        let mut at = self.runs.partition_point(|other| other.last < run.first);
        let overlapped = at..self.runs.partition_point(|other| other.first <= run.last).max(at);
        if !overlapped.is_empty() {
            at = self.make_room(overlapped, &run);
        }
        run.segment.add(0, run.weight());
        if let Some(before) = at.checked_sub(1).and_then(|before| self.runs.get_mut(before))
            && before.takes(&run)
        {
            (before.last, before.end) = (run.last, run.end);
            before.record_bytes += run.record_bytes;
            return;
        }
        run.segment.add(1, 0);
        self.runs.insert(at, run);
    }

    /// Takes the positions of `run` away from those it overlaps with; where it belongs then.
    fn make_room(&mut self, overlapped: Range<usize>, run: &Run) -> usize {
        let old: Vec<Run> = self.runs.drain(overlapped.clone()).collect();
        let mut at = overlapped.start;
        for old in old {
            old.segment.subtract(1, old.weight());
            let before = (old.first < run.first).then(|| old.part(old.first, run.first - 1));
            let behind = (old.last > run.last).then(|| old.part(run.last + 1, old.last));
            for (number, part) in [before, behind].into_iter().enumerate() {
                let Some(part) = part else { continue };
                part.segment.add(1, part.weight());
                self.runs.insert(at, part);
                at += usize::from(number == 0);
            }
        }
        at
    }

    /// Drops everything up to and with position `through`.
    pub(crate) fn trim(&mut self, through: u64) {
        self.mark.trimmed = self.mark.trimmed.max(through);
        while let Some(run) = self.runs.pop_front_if(|run| run.last <= through) {
            run.segment.subtract(1, run.weight());
        }
        if self.runs.capacity() > KEPT_PLACES.max(4 * self.runs.len()) {
            self.runs.shrink_to(2 * self.runs.len());
        }
    }

    /// The runs from the one with position `from` on, in order.
    pub(crate) fn behind(&self, from: u64) -> impl Iterator<Item = &Run> {
        self.runs.range(self.runs.partition_point(|run| run.last < from)..)
    }

    /// The first position behind the trimmed ones that no run has.
    pub(crate) fn hole(&self) -> Option<u64> {
        let mut next = self.mark.trimmed + 1;
        for run in &self.runs {
            if run.first > next {
                break;
            }
            next = next.max(run.last + 1);
        }
        (next <= self.mark.end).then_some(next)
    }
}
