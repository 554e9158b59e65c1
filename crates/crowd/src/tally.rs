use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Numbers sorted at once while a tally is made.
const BATCH: usize = 1 << 20;

/// How many users have which number, in the tag's units.
pub(crate) struct Tally {
    /// Each number and how many users have it or a lesser one, ascending in both.
    through: Vec<(i64, u64)>,
}

/// Makes a [`Tally`] from numbers in any order.
#[derive(Default)]
pub(crate) struct TallyBuilder {
    batch: Vec<i64>,
    /// Each number and its users, ascending.
    counts: Vec<(i64, u64)>,
}

impl TallyBuilder {
    pub(crate) fn add(&mut self, units: i64) {
        self.batch.push(units);
        if self.batch.len() == BATCH {
            self.merge();
        }
    }

    pub(crate) fn finish(mut self) -> Tally {
        self.merge();
        let mut users = 0;
        for (_, count) in &mut self.counts {
            users += *count;
            *count = users;
        }
        Tally { through: self.counts }
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

impl Tally {
    /// Users who have a number.
    pub(crate) fn users(&self) -> u64 {
        self.through.last().map_or(0, |(_, users)| *users)
    }

    /// The least number and the greatest.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        Some((self.through.first()?.0, self.through.last()?.0))
    }

    /// The exact sum: 2^32 users times 2^63 stays far below 2^127.
    pub(crate) fn sum(&self) -> i128 {
        self.counts().map(|(units, users)| i128::from(units) * i128::from(users)).sum()
    }

    /// Each number and its users, ascending.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (i64, u64)> {
        let before = std::iter::once(0).chain(self.through.iter().map(|(_, users)| *users));
        self.through.iter().zip(before).map(|((units, users), before)| (*units, users - before))
    }

    /// Users whose number is `low` to `high`, both included.
    pub(crate) fn between(&self, low: i64, high: i64) -> u64 {
        if low > high {
            return 0;
        }
        let through = |end: usize| end.checked_sub(1).and_then(|last| self.through.get(last)).map_or(0, |(_, users)| *users);
        let end = self.through.partition_point(|(units, _)| *units <= high);
        through(end) - through(self.through.partition_point(|(units, _)| *units < low))
    }

    /// The quantile by nearest rank: the least number that a share of `part` (0 to 1) of those with a number has, or a lesser one.
    pub(crate) fn quantile(&self, part: Decimal) -> Option<i64> {
        let users = self.users();
        // In decimals, for 0.07 times 100 is no more than 7 there.
        let rank = (part * Decimal::from(users)).ceil().to_u64()?.clamp(1, users.max(1));
        self.through.get(self.through.partition_point(|(_, through)| *through < rank)).map(|(units, _)| *units)
    }
}

/// `low` to `high` in at most `parts` ranges as wide as one another, or a unit wider; both ends of each included.
pub(crate) fn equal_widths(low: i64, high: i64, parts: usize) -> Vec<(i64, i64)> {
    let span = i128::from(high) - i128::from(low) + 1;
    let parts = (parts as i128).clamp(1, span);
    let start = |part: i128| i128::from(low) + span * part / parts;
    // Between `low` and `high`, so that nothing is cut off.
    (0..parts).map(|part| (start(part) as i64, (start(part + 1) - 1) as i64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: &[i64]) -> Tally {
        let mut builder = TallyBuilder::default();
        for (place, number) in numbers.iter().enumerate() {
            builder.add(*number);
            if place % 3 == 2 {
                builder.merge();
            }
        }
        builder.finish()
    }

    #[test]
    fn counts_sums_and_ranges() {
        let numbers = tally(&[5, -2, 5, 7, i64::MIN, 5, 7, i64::MAX]);
        assert_eq!(numbers.counts().collect::<Vec<_>>(), [(i64::MIN, 1), (-2, 1), (5, 3), (7, 2), (i64::MAX, 1)]);
        assert_eq!((numbers.users(), numbers.bounds()), (8, Some((i64::MIN, i64::MAX))));
        assert_eq!(numbers.sum(), 27 - 1);
        for (low, high, users) in
            [(-2, 5, 4), (6, 6, 0), (6, 7, 2), (i64::MIN, i64::MAX, 8), (i64::MIN, i64::MIN, 1), (7, 5, 0), (8, i64::MAX, 1)]
        {
            assert_eq!(numbers.between(low, high), users, "{low} to {high}");
        }
        let nobody = tally(&[]);
        assert_eq!((nobody.users(), nobody.bounds(), nobody.sum(), nobody.quantile(Decimal::ONE)), (0, None, 0, None));
    }

    #[test]
    fn quantiles_are_the_nearest_rank() {
        let hundred: Vec<i64> = (1..=100).collect();
        let numbers = tally(&hundred);
        for (part, expected) in [("0", 1), ("0.001", 1), ("0.07", 7), ("0.071", 8), ("0.5", 50), ("0.95", 95), ("0.99", 99), ("1", 100)] {
            assert_eq!(numbers.quantile(part.parse().unwrap()), Some(expected), "{part}");
        }
        assert_eq!(tally(&[1, 2, 3]).quantile("0.5".parse().unwrap()), Some(2));
        assert_eq!(tally(&[1, 2, 3, 4]).quantile("0.5".parse().unwrap()), Some(2));
    }

    #[test]
    fn equal_widths_tile_the_range() {
        for (low, high, parts, count) in
            [(0, 9, 3, 3), (5, 5, 4, 1), (-3, 3, 100, 7), (i64::MIN, i64::MAX, 7, 7), (i64::MIN, i64::MAX, 1, 1)]
        {
            let ranges = equal_widths(low, high, parts);
            assert_eq!((ranges.len(), ranges[0].0, ranges[count - 1].1), (count, low, high));
            assert!(ranges.windows(2).all(|pair| pair[0].1.checked_add(1) == Some(pair[1].0)), "{ranges:?}");
            let widths = ranges.iter().map(|(from, to)| i128::from(*to) - i128::from(*from));
            assert!(widths.clone().max().unwrap() - widths.min().unwrap() <= 1, "{ranges:?}");
        }
    }
}
