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

    /// All that is kept of it.
    pub(crate) fn lead(&self) -> u128 {
        u128::from(self.0)
    }

    /// That of a lead; `None` for none of a count.
    pub(crate) fn of_lead(lead: u128) -> Option<Self> {
        u64::try_from(lead).ok().map(Self)
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
