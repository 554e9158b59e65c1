use super::bytes::{Bytes, CellKind, put_bytes, put_signed, take_signed, take_text};
use super::{AnyPartial, Finished, Order, Partial, Stamp};
use crate::cell::Cell;
use std::cmp::Ordering;
use taghouse_model::TimestampMs;

/// The value of the first event, or of the last, by (time, message id). Should one message be there
/// twice with two values, the lesser (or greater) one counts, so that the order of arrival never
/// does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge<K, const LAST: bool> {
    key: Option<K>,
    time_ms: TimestampMs,
    message_id: String,
}

impl<K, const LAST: bool> Edge<K, LAST> {
    /// The time of what is held.
    pub(crate) fn time_ms(&self) -> Option<TimestampMs> {
        self.key.as_ref().map(|_| self.time_ms)
    }
}

impl<K, const LAST: bool> Default for Edge<K, LAST> {
    fn default() -> Self {
        Self { key: None, time_ms: 0, message_id: String::new() }
    }
}

impl<K: Clone, const LAST: bool> Partial<K> for Edge<K, LAST> {
    const ORDERED: bool = true;

    fn step(&mut self, stamp: Stamp<'_>, key: K, order: &impl Order<K>) {
        let wins = match &self.key {
            None => true,
            Some(held) => {
                let at = Stamp { time_ms: self.time_ms, message_id: &self.message_id };
                let wanted = if LAST { Ordering::Greater } else { Ordering::Less };
                stamp.cmp(&at).then_with(|| order.compare(&key, held)) == wanted
            }
        };
        if wins {
            self.time_ms = stamp.time_ms;
            // Into the buffer that is there: events mostly come in order, and then each is the last
            // so far.
            self.message_id.clear();
            self.message_id.push_str(stamp.message_id);
            self.key = Some(key);
        }
    }

    fn merge(&mut self, other: &Self, order: &impl Order<K>) {
        if let Some(key) = &other.key {
            self.step(
                Stamp { time_ms: other.time_ms, message_id: &other.message_id },
                key.clone(),
                order,
            );
        }
    }

    fn finish(self, _: &impl Order<K>) -> Finished<K> {
        self.key.map_or(Finished::Nothing, Finished::Key)
    }

    fn into_cells(self, cell: impl Fn(K) -> Cell) -> Option<AnyPartial> {
        let Self { key, time_ms, message_id } = self;
        let key = Some(cell(key?));
        Some(if LAST {
            AnyPartial::Last(Edge { key, time_ms, message_id })
        } else {
            AnyPartial::First(Edge { key, time_ms, message_id })
        })
    }
}

impl<const LAST: bool> Bytes for Edge<Cell, LAST> {
    fn write(&self, out: &mut Vec<u8>) {
        put_signed(out, i128::from(self.time_ms));
        put_bytes(out, self.message_id.as_bytes());
        self.key.iter().for_each(|cell| cell.write(out));
    }

    fn read(kind: CellKind, from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            time_ms: i64::try_from(take_signed(from)?).ok()?,
            message_id: take_text(from)?.to_owned(),
            key: Some(Cell::read(kind, from)?),
        })
    }
}
