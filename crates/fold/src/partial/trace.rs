use super::bytes::{put, put_signed, take, take_len, take_signed};
use taghouse_model::TimestampMs;
use xxhash_rust::xxh3::xxh3_64;

/// The newest so many marks of a user are kept under one tag.
pub(crate) const MAX_MARKS: usize = 4096;

/// That an event is one of those that a tag looks at in order. One event may leave several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) time_ms: TimestampMs,
    /// A hash of the message id: the order of events of one instant.
    pub(crate) id: u32,
    /// Which of the tag's conditions it meets.
    pub(crate) symbol: u8,
    /// A hash of the value that has to be the same, where one has.
    pub(crate) key: u64,
}

/// What stands for a message id.
pub(crate) fn id_hash(message_id: &str) -> u32 {
    xxh3_64(message_id.as_bytes()) as u32
}

/// A user's events in order: for state machines and sequences. It is a set, so that it does not
/// matter in which order, and how often, events come; of more than [`MAX_MARKS`] the newest count,
/// which are the same in any order too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    marks: Vec<Mark>,
    sorted: usize,
}

/// So many are taken in before they are sorted, or as many as there are.
const MIN_UNSORTED: usize = 16;

impl Trace {
    /// Takes in one mark.
    pub(crate) fn step(&mut self, mark: Mark) {
        self.marks.push(mark);
        if self.marks.len() - self.sorted >= MIN_UNSORTED.max(self.sorted) {
            self.settle();
        }
    }

    /// Takes in what another has.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.marks.extend_from_slice(&other.marks);
        self.settle();
    }

    /// The marks in order.
    pub(crate) fn finish(mut self) -> Vec<Mark> {
        self.settle();
        self.marks
    }

    /// The same, if it took anything in, as [`Trace::write`] wants it.
    pub(crate) fn settled(mut self) -> Option<Self> {
        self.settle();
        (!self.marks.is_empty()).then_some(self)
    }

    fn settle(&mut self) {
        if self.sorted == self.marks.len() {
            return;
        }
        // Sorted runs that lie behind one another cost one pass.
        self.marks.sort();
        self.marks.dedup();
        let surplus = self.marks.len().saturating_sub(MAX_MARKS);
        self.marks.drain(..surplus);
        self.sorted = self.marks.len();
    }

    /// Each mark by its distance in time from the one before; the key only where marks have one.
    pub(crate) fn write(&self, keyed: bool, out: &mut Vec<u8>) {
        debug_assert_eq!(self.sorted, self.marks.len());
        put(out, self.marks.len() as u128);
        let mut before = None;
        for Mark { time_ms, id, symbol, key } in &self.marks {
            match before {
                None => put_signed(out, i128::from(*time_ms)),
                Some(before) => put(out, (i128::from(*time_ms) - before) as u128),
            }
            before = Some(i128::from(*time_ms));
            out.extend_from_slice(&id.to_le_bytes());
            out.push(*symbol);
            if keyed {
                out.extend_from_slice(&key.to_le_bytes());
            }
        }
    }

    /// `None` for bytes that [`Trace::write`] has not written.
    pub(crate) fn read(keyed: bool, from: &mut &[u8]) -> Option<Self> {
        let mut marks = Vec::new();
        let mut before: Option<i128> = None;
        for _ in 0..take_len(from)? {
            let time = match before {
                None => take_signed(from)?,
                Some(before) => before.checked_add(i128::try_from(take(from)?).ok()?)?,
            };
            before = Some(time);
            let (id, rest) = from.split_first_chunk::<4>()?;
            let (symbol, rest) = rest.split_first()?;
            *from = rest;
            let key = if keyed {
                let (key, rest) = from.split_first_chunk::<8>()?;
                *from = rest;
                u64::from_le_bytes(*key)
            } else {
                0
            };
            marks.push(Mark {
                time_ms: i64::try_from(time).ok()?,
                id: u32::from_le_bytes(*id),
                symbol: *symbol,
                key,
            });
        }
        let in_order = marks.windows(2).all(|pair| pair[0] < pair[1]);
        (in_order && marks.len() <= MAX_MARKS).then_some(Self { sorted: marks.len(), marks })
    }
}
