use super::bytes::{put_signed, take_signed};
use super::{AnyPartial, Finished, Order, Partial, Stamp};
use crate::cell::Cell;

/// An exact sum in units, and of how many numbers: sums and means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    units: i128,
    count: u64,
    overflowed: bool,
}

/// A key that is a number.
pub(crate) trait Number {
    fn units(&self) -> i128;
}

impl Number for i128 {
    fn units(&self) -> i128 {
        *self
    }
}

impl Number for Cell {
    /// Texts are never summed: the definition is refused.
    fn units(&self) -> i128 {
        if let Self::Number(units) = self { *units } else { 0 }
    }
}

impl Sum {
    fn add(&mut self, units: i128, count: u64, overflowed: bool) {
        let (sum, over) = self.units.overflowing_add(units);
        self.units = sum;
        self.overflowed |= over | overflowed;
        self.count = self.count.saturating_add(count);
    }

    /// How many numbers, and whether the sum is over 128 bits.
    pub(crate) fn lead(&self) -> u128 {
        u128::from(self.count) << 1 | u128::from(self.overflowed)
    }

    /// Writes what is not in the lead.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_signed(out, self.units);
    }

    /// Reads what [`Sum::write`] wrote; `None` for bytes or a lead that are not of a sum.
    pub(crate) fn read(lead: u128, from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            overflowed: lead & 1 == 1,
            count: u64::try_from(lead >> 1).ok()?,
            units: take_signed(from)?,
        })
    }
}

impl<K: Number> Partial<K> for Sum {
    fn step(&mut self, _: Stamp<'_>, key: K, _: &impl Order<K>) {
        self.add(key.units(), 1, false);
    }

    fn merge(&mut self, other: &Self, _: &impl Order<K>) {
        self.add(other.units, other.count, other.overflowed);
    }

    fn finish(self, _: &impl Order<K>) -> Finished<K> {
        match self.count {
            0 => Finished::Nothing,
            count => Finished::Sum((!self.overflowed).then_some(self.units), count),
        }
    }

    fn into_cells(self, _: impl Fn(K) -> Cell) -> Option<AnyPartial> {
        (self.count > 0).then_some(AnyPartial::Sum(self))
    }
}
