use crate::Result;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::{BitSlices, TagView};

/// The numbers of some users, in the tag's units, asked of bit slices: a question costs passes over
/// slices, not users.
pub(crate) struct Numbers {
    /// Nobody is in two.
    parts: Vec<Part>,
}

/// Those of stored users, or those of live changes.
struct Part {
    slices: BitSlices,
    within: Arc<Bitmap>,
    /// Everybody in the slices is asked for: that needs no comparing.
    whole: bool,
}

impl Part {
    fn within(&self) -> Option<&Bitmap> {
        (!self.whole).then_some(&*self.within)
    }
}

impl Numbers {
    /// The numbers that a tag has for those in `within`.
    pub(crate) fn of(values: &TagView, within: &Arc<Bitmap>) -> Result<Self> {
        Self::in_parts(values.numbers()?, within)
    }

    /// The numbers of those in `within`, of each part without the users to leave out.
    pub(crate) fn in_parts(
        parts: Vec<(BitSlices, Option<Arc<Bitmap>>)>,
        within: &Arc<Bitmap>,
    ) -> Result<Self> {
        let parts = parts.into_iter().map(|(slices, hidden)| {
            let within = match hidden {
                Some(hidden) if !hidden.is_empty() => Arc::new(within.and_not(&hidden)),
                _ => Arc::clone(within),
            };
            let existence = slices.existence();
            let whole = existence.len() <= within.len() && existence.is_subset(&within)?;
            Ok(Part { slices, within, whole })
        });
        Ok(Self { parts: parts.collect::<Result<_>>()? })
    }

    /// How many users have a number, and the exact sum: 2^32 users times 28 digits stay below
    /// 2^127.
    pub(crate) fn total(&self) -> Result<(u64, i128)> {
        let mut total = (0, 0);
        for part in &self.parts {
            if let Some(sum) = part.slices.sum(part.within())? {
                total = (total.0 + sum.count, total.1 + sum.sum);
            }
        }
        Ok(total)
    }

    /// The least number and the greatest.
    pub(crate) fn bounds(&self) -> Result<Option<(i128, i128)>> {
        let mut bounds: Option<(i128, i128)> = None;
        for part in &self.parts {
            let here = if part.whole {
                part.slices.bounds()
            } else {
                part.slices.bounds_within(&part.within)?
            };
            bounds = match (bounds, here) {
                (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                (one, None) | (None, one) => one,
            };
        }
        Ok(bounds)
    }

    /// How many users have a number, and how many have one below each of `bounds`.
    pub(crate) fn below(&self, bounds: &[i128]) -> Result<(u64, Vec<u64>)> {
        let mut all = (0, vec![0; bounds.len()]);
        for part in &self.parts {
            let (users, below) = part.slices.counts_below(part.within(), bounds)?;
            all.0 += users;
            all.1.iter_mut().zip(below).for_each(|(all, below)| *all += below);
        }
        Ok(all)
    }

    /// The numbers of these ranks, from 1, among all in order; ranks beyond the last are the last.
    /// Empty when nobody has one.
    pub(crate) fn at_ranks(&self, ranks: &[u64]) -> Result<Vec<i128>> {
        let parts: Vec<(&BitSlices, Option<&Bitmap>)> =
            self.parts.iter().map(|part| (&part.slices, part.within())).collect();
        let from_0: Vec<u64> = ranks.iter().map(|rank| rank.saturating_sub(1)).collect();
        Ok(BitSlices::select(&parts, &from_0)?)
    }

    /// Each different number, ascending, and its users, if they are at most `most`.
    pub(crate) fn counts(&self, most: usize) -> Result<Option<Vec<(i128, u64)>>> {
        let mut counts = BTreeMap::new();
        for part in &self.parts {
            let Some(here) = part.slices.values(part.within(), most)? else { return Ok(None) };
            here.into_iter().for_each(|(units, users)| *counts.entry(units).or_default() += users);
        }
        Ok((counts.len() <= most).then(|| counts.into_iter().collect()))
    }
}

/// The rank, from 1, of the quantile by nearest rank: the least number that a share of `part` (0 to
/// 1) of `users` has, or a lesser one.
pub(crate) fn nearest_rank(part: Decimal, users: u64) -> u64 {
    // In decimals, for 0.07 times 100 is no more than 7 there.
    (part * Decimal::from(users)).ceil().to_u64().unwrap_or(users).clamp(1, users.max(1))
}

/// `low` to `high` in at most `parts` ranges as wide as one another, or a unit wider; both ends of
/// each included.
pub(crate) fn equal_widths(low: i128, high: i128, parts: usize) -> Vec<(i128, i128)> {
    let span = high - low + 1;
    let parts = (parts as i128).clamp(1, span);
    let start = |part: i128| low + span * part / parts;
    (0..parts).map(|part| (start(part), start(part + 1) - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: i128 = i64::MIN as i128;
    const MOST: i128 = i64::MAX as i128;

    /// Users 10, 20 and so on have these numbers, live changes give these others to 15, 25 and so
    /// on; 20 is left out, and 9 has none.
    fn numbers(stored: &[i64], live: &[i64], last: u32) -> Numbers {
        let slices = |first: u32, numbers: &[i64]| {
            BitSlices::from_pairs((first..).step_by(10).zip(numbers.iter().copied())).unwrap()
        };
        let hidden = Some(Arc::new(Bitmap::from_range(20..=20)));
        let within = Arc::new(Bitmap::from_range(9..=last));
        Numbers::in_parts(vec![(slices(10, stored), hidden), (slices(15, live), None)], &within)
            .unwrap()
    }

    #[test]
    fn parts_add_up() {
        let numbers = numbers(&[5, 100, -2, 7, 1000], &[5, i64::MIN, i64::MAX, 7, 1000], 45);
        assert_eq!(
            (numbers.total().unwrap(), numbers.bounds().unwrap()),
            ((7, 5 - 2 + 7 + 5 + 7 - 1), Some((LEAST, MOST)))
        );
        let bounds = [
            i128::MIN,
            i128::from(i64::MIN),
            -2,
            -1,
            6,
            i128::from(i64::MAX),
            i128::from(i64::MAX) + 1,
        ];
        assert_eq!(numbers.below(&bounds).unwrap(), (7, vec![0, 0, 1, 2, 4, 6, 7]));
        assert_eq!(
            numbers.at_ranks(&[0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap(),
            [LEAST, LEAST, -2, 5, 5, 7, 7, MOST, MOST]
        );
        let counts = [(LEAST, 1), (-2, 1), (5, 2), (7, 2), (MOST, 1)];
        assert_eq!(
            (numbers.counts(5).unwrap().unwrap(), numbers.counts(4).unwrap()),
            (counts.to_vec(), None)
        );
    }

    #[test]
    fn nobody_has_a_number() {
        for nobody in [numbers(&[], &[], 100), numbers(&[1, 2], &[3], 9), numbers(&[1, 2], &[], 9)]
        {
            assert_eq!(
                (nobody.total().unwrap(), nobody.bounds().unwrap(), nobody.below(&[0]).unwrap()),
                ((0, 0), None, (0, vec![0]))
            );
            assert_eq!(
                (nobody.at_ranks(&[1]).unwrap(), nobody.counts(0).unwrap()),
                (vec![], Some(vec![]))
            );
        }
    }

    #[test]
    fn ranks_are_the_nearest() {
        let cases = [
            ("0", 1),
            ("0.001", 1),
            ("0.07", 7),
            ("0.071", 8),
            ("0.5", 50),
            ("0.95", 95),
            ("0.99", 99),
            ("1", 100),
        ];
        for (part, expected) in cases {
            assert_eq!(nearest_rank(part.parse().unwrap(), 100), expected, "{part}");
        }
        for (users, expected) in [(0, 1), (1, 1), (3, 2), (4, 2)] {
            assert_eq!(nearest_rank("0.5".parse().unwrap(), users), expected, "{users}");
        }
    }

    #[test]
    fn equal_widths_tile_the_range() {
        for (low, high, parts, count) in
            [(0, 9, 3, 3), (5, 5, 4, 1), (-3, 3, 100, 7), (LEAST, MOST, 7, 7), (LEAST, MOST, 1, 1)]
        {
            let ranges = equal_widths(low, high, parts);
            assert_eq!((ranges.len(), ranges[0].0, ranges[count - 1].1), (count, low, high));
            assert!(
                ranges.windows(2).all(|pair| pair[0].1.checked_add(1) == Some(pair[1].0)),
                "{ranges:?}"
            );
            let widths = ranges.iter().map(|(from, to)| to - from);
            assert!(widths.clone().max().unwrap() - widths.min().unwrap() <= 1, "{ranges:?}");
        }
    }
}
