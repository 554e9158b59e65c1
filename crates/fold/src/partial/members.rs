use super::bytes::{Bytes, CellKind, put, take_len};
use super::{AnyPartial, Finished, Order, Partial, Stamp};
use crate::cell::Cell;

/// Different values: distinct counts and sets. Compact: a sorted vector, and behind it those that
/// came since it was last sorted.
#[derive(Debug, Clone)]
pub(crate) struct Members<K> {
    keys: Vec<K>,
    sorted: usize,
}

/// So many are taken in before they are sorted, or as many as there are.
const MIN_UNSORTED: usize = 12;

impl<K> Default for Members<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), sorted: 0 }
    }
}

impl<K: Ord + Clone> Members<K> {
    fn settle(&mut self) {
        if self.sorted < self.keys.len() {
            self.keys.sort_unstable();
            self.keys.dedup();
            self.sorted = self.keys.len();
        }
    }
}

impl<K: Ord + Clone> Members<K> {
    /// Takes in one value.
    pub(crate) fn insert(&mut self, key: K) {
        // Values mostly repeat: a short look is cheaper than sorting them away.
        if self.keys.last() == Some(&key) || self.keys[..self.sorted].binary_search(&key).is_ok() {
            return;
        }
        self.keys.push(key);
        if self.keys.len() - self.sorted >= MIN_UNSORTED.max(self.sorted) {
            self.settle();
        }
    }

    /// Takes in what another has.
    pub(crate) fn add(&mut self, other: &Self) {
        self.settle();
        if other.sorted < other.keys.len() {
            self.keys.extend(other.keys.iter().cloned());
            return self.settle();
        }
        // Both are in order: the tiles of a state, one after the other.
        let mut all = Vec::with_capacity(self.keys.len() + other.keys.len());
        let mut others = other.keys.iter().peekable();
        for key in std::mem::take(&mut self.keys) {
            while let Some(other) = others.next_if(|other| **other < key) {
                all.push(other.clone());
            }
            others.next_if(|other| **other == key);
            all.push(key);
        }
        all.extend(others.cloned());
        (self.sorted, self.keys) = (all.len(), all);
    }

    /// Whether there are more than so many.
    pub(crate) fn exceeds(&mut self, bound: usize) -> bool {
        if self.keys.len() > bound {
            self.settle();
        }
        self.keys.len() > bound
    }

    /// The values, in the order of keys once they are settled.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        self.keys.iter()
    }

    /// How many there are with those of another. Both are settled.
    pub(crate) fn len_with(&self, other: &Self) -> usize {
        let is_new = |key: &&K| self.keys.binary_search(key).is_err();
        self.keys.len() + other.keys.iter().filter(is_new).count()
    }

    /// How many there are, once they are settled.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The same over what its keys stand for, if there are any.
    pub(crate) fn cells(mut self, cell: impl Fn(K) -> Cell) -> Option<Members<Cell>> {
        self.settle();
        let mut cells = Members { keys: self.keys.into_iter().map(cell).collect(), sorted: 0 };
        // The order of cells is another than that of keys.
        cells.settle();
        (!cells.keys.is_empty()).then_some(cells)
    }
}

impl<K: Ord + Clone> Partial<K> for Members<K> {
    fn step(&mut self, _: Stamp<'_>, key: K, _: &impl Order<K>) {
        self.insert(key);
    }

    fn merge(&mut self, other: &Self, _: &impl Order<K>) {
        self.add(other);
    }

    fn finish(mut self, _: &impl Order<K>) -> Finished<K> {
        self.settle();
        if self.keys.is_empty() { Finished::Nothing } else { Finished::Keys(self.keys) }
    }

    fn into_cells(self, cell: impl Fn(K) -> Cell) -> Option<AnyPartial> {
        self.cells(cell).map(AnyPartial::Members)
    }
}

/// Sorted, as [`Partial::into_cells`] and merges leave it.
impl Bytes for Members<Cell> {
    fn write(&self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.sorted, self.keys.len());
        put(out, self.keys.len() as u128);
        self.keys.iter().for_each(|cell| cell.write(out));
    }

    fn read(kind: CellKind, from: &mut &[u8]) -> Option<Self> {
        let keys: Vec<Cell> =
            (0..take_len(from)?).map(|_| Cell::read(kind, from)).collect::<Option<_>>()?;
        keys.is_sorted().then_some(Self { sorted: keys.len(), keys })
    }
}
