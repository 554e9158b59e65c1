use super::bytes::{Bytes, CellKind, put, take};
use super::{Finished, Members};
use crate::cell::Cell;
use hyperloglockless::HyperLogLog;
use std::hash::{BuildHasherDefault, DefaultHasher};
use xxhash_rust::xxh3::xxh3_64;

/// 4096 registers: the standard error is 1.6%.
const PRECISION: u8 = 12;
pub(crate) const REGISTERS: usize = 1 << PRECISION;

/// No register is higher: one more than the zeros at the end of a hash that is not 0.
const MAX_REGISTER: u8 = 64;

/// An estimate of how many different values there are: HyperLogLog (Flajolet et al., 2007). The
/// registers are maxima, so they are the same in whatever order values came.
#[derive(Debug, Clone)]
pub(crate) struct Sketch(HyperLogLog<BuildHasherDefault<DefaultHasher>>);

impl Default for Sketch {
    fn default() -> Self {
        Self(HyperLogLog::with_hasher(PRECISION, BuildHasherDefault::default()))
    }
}

impl Sketch {
    /// Takes in one value.
    pub(crate) fn step(&mut self, cell: &Cell) {
        let mut bytes = Vec::new();
        cell.write(&mut bytes);
        self.0.insert_hash(xxh3_64(&bytes).max(1));
    }

    fn merge(&mut self, other: &Self) {
        // Both have the same number of registers.
        let _ = self.0.union(&other.0);
    }

    /// About how many values there are.
    pub(crate) fn count(&self) -> u64 {
        // The sum that is kept along depends in its last digits on the order of values; this one
        // does not.
        let registers: Box<[u8]> = self.0.iter().collect();
        Self::of(registers).0.raw_count().round() as u64
    }

    fn of(registers: Box<[u8]>) -> Self {
        let zeros = registers.iter().filter(|register| **register == 0).count();
        let sum = registers.iter().map(|register| (-f64::from(*register)).exp2()).sum();
        Self(HyperLogLog::from_parts(registers, BuildHasherDefault::default(), zeros, sum))
    }
}

/// Different values: all of them up to a bound, and beyond it an estimate.
#[derive(Debug, Clone)]
pub(crate) enum Distinct {
    Exact(Members<Cell>),
    Estimated(Sketch),
}

impl Distinct {
    /// Those values, if they are not too many.
    pub(crate) fn bounded(members: Members<Cell>, bound: usize) -> Self {
        if members.len() <= bound {
            return Self::Exact(members);
        }
        let mut sketch = Sketch::default();
        members.iter().for_each(|cell| sketch.step(cell));
        Self::Estimated(sketch)
    }

    /// Takes in what another has. Once there were more values than the bound, it stays an estimate:
    /// that of the same values, whichever way they came together.
    pub(crate) fn merge(&mut self, other: &Self, bound: usize) {
        let estimated = match (&mut *self, other) {
            (Self::Exact(a), Self::Exact(b)) => {
                let mut both = std::mem::take(a);
                both.add(b);
                *self = Self::bounded(both, bound);
                return;
            }
            (Self::Estimated(a), Self::Estimated(b)) => return a.merge(b),
            (Self::Estimated(a), Self::Exact(b)) => return b.iter().for_each(|cell| a.step(cell)),
            (Self::Exact(a), Self::Estimated(b)) => {
                let mut sketch = b.clone();
                a.iter().for_each(|cell| sketch.step(cell));
                sketch
            }
        };
        *self = Self::Estimated(estimated);
    }

    /// How many there are with those of another, if that needs no estimate.
    pub(crate) fn exact_with(&self, other: &Self, bound: usize) -> Option<u64> {
        let (Self::Exact(a), Self::Exact(b)) = (self, other) else { return None };
        let both = a.len_with(b);
        (both <= bound).then_some(both as u64)
    }

    pub(crate) fn finish(self) -> Finished<Cell> {
        match self {
            Self::Exact(members) => Finished::Count(members.len() as u64),
            Self::Estimated(sketch) => Finished::Count(sketch.count()),
        }
    }

    /// The members, of which there is one at least; or a 0 and the registers.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Exact(members) => members.write(out),
            Self::Estimated(sketch) => {
                put(out, 0);
                out.extend(sketch.0.iter());
            }
        }
    }

    /// `None` for bytes that [`Distinct::write`] has not written.
    pub(crate) fn read(kind: CellKind, from: &mut &[u8]) -> Option<Self> {
        if from.first() != Some(&0) {
            return Some(Self::Exact(Bytes::read(kind, from)?));
        }
        take(from)?;
        let (registers, rest) = from.split_at_checked(REGISTERS)?;
        *from = rest;
        let possible = registers.iter().all(|register| *register <= MAX_REGISTER);
        possible.then(|| Self::Estimated(Sketch::of(registers.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the states that are stored have them: where this changes, `STATE_VERSION` is raised.
    #[test]
    fn registers_are_those_of_earlier_releases() {
        let mut sketch = Sketch::default();
        for number in 0..1_000 {
            sketch.step(&Cell::Number(number));
        }
        let mut bytes = Vec::new();
        Distinct::Estimated(sketch).write(&mut bytes);
        assert_eq!((bytes.len(), xxh3_64(&bytes)), (1 + REGISTERS, 3_237_461_909_264_912_806));
    }
}
