use super::bytes::{put, put_signed, take, take_len, take_signed, take_u64};
use taghouse_model::TimestampMs;

/// Events that follow one another within the gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionSpan {
    pub(crate) first_ms: TimestampMs,
    pub(crate) last_ms: TimestampMs,
    pub(crate) events: u64,
}

/// A user's sessions: merging windows, as in the Dataflow model (Akidau et al., 2015). Whatever the
/// order in which events come, the same spans come of them: two spans are one if they lie no further
/// apart than the gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    /// Those of the sorted part lie further apart than the gap.
    spans: Vec<SessionSpan>,
    sorted: usize,
}

/// So many are taken in before they are sorted, or as many as there are.
const MIN_UNSORTED: usize = 16;

impl Sessions {
    /// Takes in one event.
    pub(crate) fn step(&mut self, time_ms: TimestampMs, gap_ms: i64) {
        let settled = self.sorted == self.spans.len();
        match self.spans.last_mut().filter(|_| settled) {
            // Events mostly come in order.
            Some(last)
                if last.first_ms <= time_ms && time_ms <= last.last_ms.saturating_add(gap_ms) =>
            {
                last.last_ms = last.last_ms.max(time_ms);
                last.events = last.events.saturating_add(1);
            }
            _ => {
                self.spans.push(SessionSpan { first_ms: time_ms, last_ms: time_ms, events: 1 });
                if self.spans.len() - self.sorted >= MIN_UNSORTED.max(self.sorted) {
                    self.settle(gap_ms);
                }
            }
        }
    }

    /// Takes in what another has.
    pub(crate) fn merge(&mut self, other: &Self, gap_ms: i64) {
        self.spans.extend_from_slice(&other.spans);
        self.settle(gap_ms);
    }

    /// The spans in order.
    pub(crate) fn finish(mut self, gap_ms: i64) -> Vec<SessionSpan> {
        self.settle(gap_ms);
        self.spans
    }

    /// The same, if it took anything in, as [`Sessions::write`] wants it.
    pub(crate) fn settled(mut self, gap_ms: i64) -> Option<Self> {
        self.settle(gap_ms);
        (!self.spans.is_empty()).then_some(self)
    }

    fn settle(&mut self, gap_ms: i64) {
        if self.sorted == self.spans.len() {
            return;
        }
        self.spans.sort_unstable();
        let mut joined: Vec<SessionSpan> = Vec::with_capacity(self.spans.len());
        for span in self.spans.drain(..) {
            match joined.last_mut() {
                Some(last) if span.first_ms <= last.last_ms.saturating_add(gap_ms) => {
                    last.last_ms = last.last_ms.max(span.last_ms);
                    last.events = last.events.saturating_add(span.events);
                }
                _ => joined.push(span),
            }
        }
        self.spans = joined;
        self.sorted = self.spans.len();
    }

    /// Each span by its distance from the one before, its length and its events.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.sorted, self.spans.len());
        put(out, self.spans.len() as u128);
        let mut before = 0;
        for SessionSpan { first_ms, last_ms, events } in &self.spans {
            put_signed(out, i128::from(*first_ms) - before);
            put(out, (i128::from(*last_ms) - i128::from(*first_ms)) as u128);
            put(out, u128::from(*events));
            before = i128::from(*last_ms);
        }
    }

    /// `None` for bytes that [`Sessions::write`] has not written.
    pub(crate) fn read(from: &mut &[u8]) -> Option<Self> {
        let mut spans = Vec::new();
        let mut before = 0_i128;
        for _ in 0..take_len(from)? {
            let first = before.checked_add(take_signed(from)?)?;
            let last = first.checked_add(i128::try_from(take(from)?).ok()?)?;
            let events = take_u64(from)?;
            let (first_ms, last_ms) = (i64::try_from(first).ok()?, i64::try_from(last).ok()?);
            spans.push(SessionSpan { first_ms, last_ms, events });
            before = last;
        }
        let in_order = spans.windows(2).all(|pair| pair[0].last_ms < pair[1].first_ms);
        in_order.then_some(Self { sorted: spans.len(), spans })
    }
}
