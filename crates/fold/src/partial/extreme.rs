use super::bytes::{Bytes, CellKind};
use super::{AnyPartial, Finished, Order, Partial, Stamp};
use crate::cell::Cell;

/// The least value, or the greatest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extreme<K, const GREATEST: bool>(Option<K>);

impl<K, const GREATEST: bool> Default for Extreme<K, GREATEST> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Clone, const GREATEST: bool> Partial<K> for Extreme<K, GREATEST> {
    fn step(&mut self, _: Stamp<'_>, key: K, order: &impl Order<K>) {
        let wins = self.0.as_ref().is_none_or(|best| {
            let order = order.compare(&key, best);
            if GREATEST { order.is_gt() } else { order.is_lt() }
        });
        if wins {
            self.0 = Some(key);
        }
    }

    fn merge(&mut self, other: &Self, order: &impl Order<K>) {
        if let Some(key) = &other.0 {
            self.step(Stamp { time_ms: 0, message_id: "" }, key.clone(), order);
        }
    }

    fn finish(self, _: &impl Order<K>) -> Finished<K> {
        self.0.map_or(Finished::Nothing, Finished::Key)
    }

    fn into_cells(self, cell: impl Fn(K) -> Cell) -> Option<AnyPartial> {
        let cell = Some(cell(self.0?));
        Some(if GREATEST {
            AnyPartial::Greatest(Extreme(cell))
        } else {
            AnyPartial::Least(Extreme(cell))
        })
    }
}

impl<const GREATEST: bool> Bytes for Extreme<Cell, GREATEST> {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|cell| cell.write(out));
    }

    fn read(kind: CellKind, from: &mut &[u8]) -> Option<Self> {
        Some(Self(Some(Cell::read(kind, from)?)))
    }
}
