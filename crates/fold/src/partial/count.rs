use super::bytes::{Bytes, CellKind, put, take_u64};
use super::{AnyPartial, Finished, Order, Partial, Stamp};
use crate::cell::Cell;

/// The number of elements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count(u64);

impl Count {
    /// Counts one more.
    pub(crate) fn add(&mut self) {
        self.0 += 1;
    }
}

impl<K> Partial<K> for Count {
    fn step(&mut self, _: Stamp<'_>, _: K, _: &impl Order<K>) {
        self.add();
    }

    fn merge(&mut self, other: &Self, _: &impl Order<K>) {
        self.0 = self.0.saturating_add(other.0);
    }

    fn finish(self, _: &impl Order<K>) -> Finished<K> {
        if self.0 == 0 { Finished::Nothing } else { Finished::Count(self.0) }
    }

    fn into_cells(self, _: impl Fn(K) -> Cell) -> Option<AnyPartial> {
        (self.0 > 0).then_some(AnyPartial::Count(self))
    }
}

impl Bytes for Count {
    fn write(&self, out: &mut Vec<u8>) {
        put(out, u128::from(self.0));
    }

    fn read(_: CellKind, from: &mut &[u8]) -> Option<Self> {
        Some(Self(take_u64(from)?))
    }
}
