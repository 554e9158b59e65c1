use super::{Finished, Order, Partial, Stamp};

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

impl<K: Ord + Clone> Partial<K> for Members<K> {
    fn step(&mut self, _: Stamp<'_>, key: K, _: &impl Order<K>) {
        // Values mostly repeat: a short look is cheaper than sorting them away.
        if self.keys.last() == Some(&key) || self.keys[..self.sorted].binary_search(&key).is_ok() {
            return;
        }
        self.keys.push(key);
        if self.keys.len() - self.sorted >= MIN_UNSORTED.max(self.sorted) {
            self.settle();
        }
    }

    fn merge(&mut self, other: &Self, _: &impl Order<K>) {
        self.keys.extend(other.keys.iter().cloned());
        self.settle();
    }

    fn finish(mut self, _: &impl Order<K>) -> Finished<K> {
        self.settle();
        if self.keys.is_empty() { Finished::Nothing } else { Finished::Keys(self.keys) }
    }
}
