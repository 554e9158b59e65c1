use crate::Result;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::{BitSlices, TagView};

/// The numbers of some users, in the tag's units, read from bit slices: a question costs passes
/// over slices, not users.
pub(crate) struct Numbers {
    /// No user is in two of them.
    parts: Vec<NumberPart>,
}

/// The numbers of stored users, or those of live changes.
struct NumberPart {
    slices: BitSlices,
    within: Arc<Bitmap>,
    /// All users in the slices are asked for: then they need not be compared with `within`.
    whole: bool,
}

/// A range of numbers in a tag's units, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnitRange {
    pub(crate) low: i128,
    pub(crate) high: i128,
}

/// How many users have a number, and the sum of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NumberTotal {
    pub(crate) users: u64,
    pub(crate) sum: i128,
}

/// How many users have a number, and how many of them one below each of some bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CountsBelow {
    pub(crate) users: u64,
    pub(crate) below: Vec<u64>,
}

impl NumberPart {
    fn within(&self) -> Option<&Bitmap> {
        (!self.whole).then_some(&*self.within)
    }
}

impl Numbers {
    /// The numbers that a tag has for those in `within`.
    pub(crate) fn of(values: &TagView, within: &Arc<Bitmap>) -> Result<Self> {
        Self::in_parts(values.numbers()?, within)
    }

    /// The numbers of the users in `within`. Each part comes with users to leave out.
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
            Ok(NumberPart { slices, within, whole })
        });
        Ok(Self { parts: parts.collect::<Result<_>>()? })
    }

    /// How many users have a number, and the exact sum: 2^32 users times 28 digits stay below
    /// 2^127.
    pub(crate) fn total(&self) -> Result<NumberTotal> {
        let mut total = NumberTotal::default();
        for part in &self.parts {
            if let Some(sum) = part.slices.sum(part.within())? {
                total.users += sum.count;
                total.sum += sum.sum;
            }
        }
        Ok(total)
    }

    /// From the smallest number to the largest; `None` when nobody has one.
    pub(crate) fn bounds(&self) -> Result<Option<UnitRange>> {
        let mut bounds: Option<UnitRange> = None;
        for part in &self.parts {
            let here = if part.whole {
                part.slices.bounds()
            } else {
                part.slices.bounds_within(&part.within)?
            };
            let here = here.map(|(low, high)| UnitRange { low, high });
            bounds = match (bounds, here) {
                (Some(one), Some(other)) => {
                    Some(UnitRange { low: one.low.min(other.low), high: one.high.max(other.high) })
                }
                (one, None) | (None, one) => one,
            };
        }
        Ok(bounds)
    }

    /// How many users have a number, and how many have one below each of `bounds`.
    pub(crate) fn below(&self, bounds: &[i128]) -> Result<CountsBelow> {
        let mut all = CountsBelow { users: 0, below: vec![0; bounds.len()] };
        for part in &self.parts {
            let (users, below) = part.slices.counts_below(part.within(), bounds)?;
            all.users += users;
            all.below.iter_mut().zip(below).for_each(|(all, below)| *all += below);
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

/// The rank, from 1, of a quantile by the nearest-rank method: of the smallest number such that a
/// share `part` (0 to 1) of `users` have it or a smaller one.
pub(crate) fn nearest_rank(part: Decimal, users: u64) -> u64 {
    // In decimals: there 0.07 times 100 is exactly 7.
    (part * Decimal::from(users)).ceil().to_u64().unwrap_or(users).clamp(1, users.max(1))
}

/// Divides a range into at most `parts` ranges of equal width; some are a unit wider.
pub(crate) fn equal_widths(range: UnitRange, parts: usize) -> Vec<UnitRange> {
    let UnitRange { low, high } = range;
    let span = high - low + 1;
    let parts = (parts as i128).clamp(1, span);
    let start = |part: i128| low + span * part / parts;
    (0..parts).map(|part| UnitRange { low: start(part), high: start(part + 1) - 1 }).collect()
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
        let total = NumberTotal { users: 7, sum: 5 - 2 + 7 + 5 + 7 - 1 };
        assert_eq!(numbers.total().unwrap(), total);
        assert_eq!(numbers.bounds().unwrap(), Some(UnitRange { low: LEAST, high: MOST }));
        let bounds = [
            i128::MIN,
            i128::from(i64::MIN),
            -2,
            -1,
            6,
            i128::from(i64::MAX),
            i128::from(i64::MAX) + 1,
        ];
        let below = CountsBelow { users: 7, below: vec![0, 0, 1, 2, 4, 6, 7] };
        assert_eq!(numbers.below(&bounds).unwrap(), below);
        assert_eq!(
            numbers.at_ranks(&[0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap(),
            [LEAST, LEAST, -2, 5, 5, 7, 7, MOST, MOST]
        );
        let counts = [(LEAST, 1), (-2, 1), (5, 2), (7, 2), (MOST, 1)];
        assert_eq!(numbers.counts(5).unwrap().unwrap(), counts);
        assert_eq!(numbers.counts(4).unwrap(), None);
    }

    #[test]
    fn nobody_has_a_number() {
        for nobody in [numbers(&[], &[], 100), numbers(&[1, 2], &[3], 9), numbers(&[1, 2], &[], 9)]
        {
            assert_eq!(nobody.total().unwrap(), NumberTotal::default());
            assert_eq!(nobody.bounds().unwrap(), None);
            assert_eq!(nobody.below(&[0]).unwrap(), CountsBelow { users: 0, below: vec![0] });
            assert_eq!(nobody.at_ranks(&[1]).unwrap(), []);
            assert_eq!(nobody.counts(0).unwrap(), Some(vec![]));
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
            let ranges = equal_widths(UnitRange { low, high }, parts);
            assert_eq!(ranges.len(), count);
            assert_eq!((ranges[0].low, ranges[count - 1].high), (low, high));
            assert!(
                ranges.windows(2).all(|pair| pair[0].high.checked_add(1) == Some(pair[1].low)),
                "{ranges:?}"
            );
            let widths = ranges.iter().map(|range| range.high - range.low);
            assert!(widths.clone().max().unwrap() - widths.min().unwrap() <= 1, "{ranges:?}");
        }
    }
}
