use super::bytes::{Bytes, CellKind, put, put_signed, take, take_len, take_signed};
use super::{AnyPartial, Finished, Order, Partial, Stamp};
use crate::cell::Cell;
use crate::quotient::Quotient;
use std::collections::BTreeMap;

/// The exact sum of fractions, and of how many: sums and means of quotients. Fractions of one
/// bottom are one; they are brought together only in the end, for a common bottom grows with each
/// new one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Quotients {
    /// Tops by bottom.
    sums: BTreeMap<i128, i128>,
    count: u64,
    overflowed: bool,
}

/// A key that is a fraction.
pub(crate) trait Fraction {
    fn quotient(&self) -> Quotient;
}

impl Fraction for Quotient {
    fn quotient(&self) -> Quotient {
        *self
    }
}

impl Fraction for Cell {
    /// Other cells are never summed here: the definition says which they are.
    fn quotient(&self) -> Quotient {
        if let Self::Quotient(quotient) = self { *quotient } else { Quotient { top: 0, bottom: 1 } }
    }
}

impl Quotients {
    fn add(&mut self, Quotient { top, bottom }: Quotient) {
        let sum = self.sums.entry(bottom).or_default();
        let (added, over) = sum.overflowing_add(top);
        *sum = added;
        self.overflowed |= over;
    }
}

impl<K: Fraction> Partial<K> for Quotients {
    fn step(&mut self, _: Stamp<'_>, key: K, _: &impl Order<K>) {
        self.add(key.quotient());
        self.count += 1;
    }

    fn merge(&mut self, other: &Self, _: &impl Order<K>) {
        other
            .sums
            .iter()
            .for_each(|(bottom, top)| self.add(Quotient { top: *top, bottom: *bottom }));
        self.count = self.count.saturating_add(other.count);
        self.overflowed |= other.overflowed;
    }

    fn finish(self, _: &impl Order<K>) -> Finished<K> {
        let sums = || {
            self.sums.iter().map(|(bottom, top)| Quotient { top: *top, bottom: *bottom }).collect()
        };
        match self.count {
            0 => Finished::Nothing,
            count => Finished::Quotients((!self.overflowed).then(sums), count),
        }
    }

    fn into_cells(self, _: impl Fn(K) -> Cell) -> Option<AnyPartial> {
        (self.count > 0).then_some(AnyPartial::Quotients(self))
    }
}

impl Bytes for Quotients {
    fn write(&self, out: &mut Vec<u8>) {
        put(out, u128::from(self.count) << 1 | u128::from(self.overflowed));
        put(out, self.sums.len() as u128);
        for (bottom, top) in &self.sums {
            put_signed(out, *bottom);
            put_signed(out, *top);
        }
    }

    fn read(_: CellKind, from: &mut &[u8]) -> Option<Self> {
        let count = take(from)?;
        let mut read = Self {
            overflowed: count & 1 == 1,
            count: u64::try_from(count >> 1).ok()?,
            sums: BTreeMap::new(),
        };
        for _ in 0..take_len(from)? {
            let bottom = take_signed(from).filter(|bottom| *bottom > 0)?;
            read.sums.insert(bottom, take_signed(from)?);
        }
        Some(read)
    }
}
