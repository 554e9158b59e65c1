use super::bytes::{Bytes, CellKind, put, take, take_len};
use super::{AnyPartial, Finished, Order, Partial, Stamp};
use crate::cell::Cell;

/// How often each value came: the most frequent one, of several the smallest. Kept as
/// [`super::Members`] are.
#[derive(Debug, Clone)]
pub(crate) struct Frequency<K> {
    counts: Vec<(K, u32)>,
    sorted: usize,
}

const MIN_UNSORTED: usize = 12;

impl<K> Default for Frequency<K> {
    fn default() -> Self {
        Self { counts: Vec::new(), sorted: 0 }
    }
}

impl<K: Ord + Clone> Frequency<K> {
    fn add(&mut self, key: K, count: u32) {
        let known = match self.counts[..self.sorted].binary_search_by(|(held, _)| held.cmp(&key)) {
            Ok(at) => Some(at),
            Err(_) => self
                .counts
                .last()
                .is_some_and(|(held, _)| *held == key)
                .then(|| self.counts.len() - 1),
        };
        match known {
            Some(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
            None => self.counts.push((key, count)),
        }
        if self.counts.len() - self.sorted >= MIN_UNSORTED.max(self.sorted) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        if self.sorted < self.counts.len() {
            self.counts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            self.counts.dedup_by(|(key, count), (kept, total)| {
                let same = key == kept;
                if same {
                    *total = total.saturating_add(*count);
                }
                same
            });
            self.sorted = self.counts.len();
        }
    }
}

impl<K: Ord + Clone> Partial<K> for Frequency<K> {
    fn step(&mut self, _: Stamp<'_>, key: K, _: &impl Order<K>) {
        self.add(key, 1);
    }

    fn merge(&mut self, other: &Self, _: &impl Order<K>) {
        for (key, count) in &other.counts {
            self.add(key.clone(), *count);
        }
        self.settle();
    }

    fn finish(mut self, order: &impl Order<K>) -> Finished<K> {
        self.settle();
        let best = self.counts.into_iter().reduce(|best, next| {
            let wins = next.1.cmp(&best.1).then_with(|| order.compare(&best.0, &next.0)).is_gt();
            if wins { next } else { best }
        });
        best.map_or(Finished::Nothing, |(key, _)| Finished::Key(key))
    }

    fn into_cells(self, cell: impl Fn(K) -> Cell) -> Option<AnyPartial> {
        let counts = self.counts.into_iter().map(|(key, count)| (cell(key), count)).collect();
        let mut cells = Frequency { counts, sorted: 0 };
        cells.settle();
        (!cells.counts.is_empty()).then_some(AnyPartial::Frequency(cells))
    }
}

/// Sorted, as [`Partial::into_cells`] and merges leave it.
impl Bytes for Frequency<Cell> {
    fn write(&self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.sorted, self.counts.len());
        put(out, self.counts.len() as u128);
        for (cell, count) in &self.counts {
            cell.write(out);
            put(out, u128::from(*count));
        }
    }

    fn read(kind: CellKind, from: &mut &[u8]) -> Option<Self> {
        let len = take_len(from)?;
        let mut counts = Vec::with_capacity(len);
        for _ in 0..len {
            counts.push((Cell::read(kind, from)?, u32::try_from(take(from)?).ok()?));
        }
        counts.is_sorted_by(|(a, _), (b, _)| a < b).then_some(Self { sorted: counts.len(), counts })
    }
}
