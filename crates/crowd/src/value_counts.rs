/// How many numbers are sorted at a time.
const BATCH: usize = 1 << 20;

/// How many users have which number, in the tag's units, from numbers in any order.
#[derive(Default)]
pub(crate) struct ValueCounts {
    batch: Vec<i128>,
    /// Each number and its users, ascending.
    counts: Vec<(i128, u64)>,
}

impl ValueCounts {
    pub(crate) fn add(&mut self, units: i128) {
        self.batch.push(units);
        if self.batch.len() == BATCH {
            self.merge();
        }
    }

    /// Each number and its users, ascending.
    pub(crate) fn finish(mut self) -> Vec<(i128, u64)> {
        self.merge();
        self.counts
    }

    fn merge(&mut self) {
        self.batch.sort_unstable();
        let new = self.batch.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64));
        let mut old = std::mem::take(&mut self.counts).into_iter().peekable();
        for (units, mut count) in new {
            while let Some(before) = old.next_if(|(number, _)| *number < units) {
                self.counts.push(before);
            }
            if let Some((_, more)) = old.next_if(|(number, _)| *number == units) {
                count += more;
            }
            self.counts.push((units, count));
        }
        self.counts.extend(old);
        self.batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_batches() {
        let mut counts = ValueCounts::default();
        for (place, number) in [5, -2, 5, 7, i128::MIN, 5, 7, i128::MAX].into_iter().enumerate() {
            counts.add(number);
            if place % 3 == 2 {
                counts.merge();
            }
        }
        assert_eq!(counts.finish(), [(i128::MIN, 1), (-2, 1), (5, 3), (7, 2), (i128::MAX, 1)]);
        assert_eq!(ValueCounts::default().finish(), []);
    }
}
