//! Sums and extremes over a crowd, from slices: shard by shard, on all cores.

use super::BitSlices;
use super::candidates::Candidates;
use super::reader::{Asked, Reader, Shard};
use crate::{Bitmap, Result, pool};
use croaring::Bitmap as Roaring;
use rayon::prelude::*;

/// How many have a number, and what their numbers come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// How many, at least one.
    pub count: u64,
    /// The exact sum, in units of the scale.
    pub sum: i128,
}

/// How many have a number, and how many of them have each bit of the offset.
struct Ones {
    count: u64,
    bits: [u64; 128],
}

impl BitSlices {
    /// The exact sum over all, which the tables tell and which is kept, or over those in `within`,
    /// for which the slices of their shards are read; `None` when none of them has a number.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn sum(&self, within: Option<&Bitmap>) -> Result<Option<Sum>> {
        let Some(within) = within else {
            return Ok(*self.total.get_or_init(|| self.sum_of(&self.ones())));
        };
        let shards = self.shards(Some(within), |shard, within| self.ones_within(shard, within))?;
        let ones = shards.into_iter().fold(Ones { count: 0, bits: [0; 128] }, |mut all, shard| {
            all.count += shard.count;
            all.bits.iter_mut().zip(shard.bits).for_each(|(all, shard)| *all += shard);
            all
        });
        Ok(self.sum_of(&ones))
    }

    fn sum_of(&self, ones: &Ones) -> Option<Sum> {
        // 2^32 users times 2^95 is 2^127; the numbers themselves have 28 digits, so their sum stays
        // below it.
        let offsets = ones
            .bits
            .iter()
            .enumerate()
            .fold(0_i128, |sum, (bit, count)| sum.wrapping_add(i128::from(*count) << bit));
        let sum = i128::from(ones.count).wrapping_mul(self.min).wrapping_add(offsets);
        (ones.count > 0).then_some(Sum { count: ones.count, sum })
    }

    /// The least and the greatest number of those in `within`; `None` when none of them has one.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn bounds_within(&self, within: &Bitmap) -> Result<Option<(i128, i128)>> {
        let shards = self.shards(Some(within), |shard, within| self.extremes(shard, within))?;
        let bounds =
            shards.into_iter().flatten().reduce(|(low, high), (a, b)| (low.min(a), high.max(b)));
        Ok(bounds.map(|(low, high)| (self.number(low), self.number(high))))
    }

    /// What `each` makes of every shard in which somebody in `within` may have a number, by shard,
    /// worked out on all cores.
    pub(super) fn shards<T: Send>(
        &self,
        within: Option<&Bitmap>,
        each: impl Fn(&Shard<'_>, Option<&Roaring>) -> T + Sync,
    ) -> Result<Vec<T>> {
        match within {
            None => self.load()?,
            Some(within) => {
                within.shards().iter().try_for_each(|shard| self.bundle.load_shard(shard.number))?
            }
        }
        let shards: Vec<(u32, Option<&Roaring>)> = match within {
            None => self.existence().shard_lens().map(|(number, _)| (number, None)).collect(),
            Some(within) => {
                within.shards().iter().map(|shard| (shard.number, Some(&shard.set))).collect()
            }
        };
        let work =
            |(number, within): (u32, Option<&Roaring>)| Some(each(&self.shard(number)?, within));
        if let [one] = shards[..] {
            return Ok(work(one).into_iter().collect());
        }
        Ok(pool::within(|| shards.into_par_iter().flat_map_iter(work).collect()))
    }

    /// Of all, from the tables.
    fn ones(&self) -> Ones {
        let mut bits = [0; 128];
        bits.iter_mut()
            .zip(0..self.slices)
            .for_each(|(count, bit)| *count = self.bundle.cardinality(bit + 1));
        Ones { count: self.bundle.cardinality(0), bits }
    }

    fn ones_within(&self, shard: &Shard<'_>, within: Option<&Roaring>) -> Ones {
        let mut ones = Ones { count: 0, bits: [0; 128] };
        shard.ask(within, true, |asked, slices| {
            ones.count = asked.iter().map(|asked| asked.candidates.len()).sum();
            for (count, bit) in ones.bits.iter_mut().zip(0..self.slices) {
                *count = asked
                    .iter()
                    .map(|asked| asked.candidates.count(slices.bits(bit, asked.key)))
                    .sum();
            }
        });
        ones
    }

    /// The least and the greatest offset.
    fn extremes(&self, shard: &Shard<'_>, within: Option<&Roaring>) -> Option<(u128, u128)> {
        let mut extremes: Option<(u128, u128)> = None;
        let mut better = Candidates::none();
        shard.ask(within, true, |asked, slices| {
            for Asked { key, candidates, apart } in asked {
                let (low, high) = extremes.unwrap_or((u128::MAX, 0));
                apart.clone_from(candidates);
                let mut greatest = |candidates, flip, at_least| {
                    greatest(
                        candidates,
                        &mut better,
                        (&mut *slices, *key),
                        (self.slices, flip),
                        at_least,
                    )
                };
                // The least offset is the complement of the greatest complement.
                let mask = u128::MAX.checked_shr(128 - self.slices).unwrap_or(0);
                let least = greatest(apart, true, !low & mask) ^ mask;
                extremes = Some((low.min(least), high.max(greatest(candidates, false, high))));
            }
        });
        extremes
    }
}

/// The greatest offset of `candidates`, who are somebody and all have one, or of the complements if
/// `flip`: from the highest bit down, keeping those that can still win. `at_least` is known
/// already: what cannot reach it is not looked at further.
fn greatest(
    candidates: &mut Candidates,
    better: &mut Candidates,
    (slices, key): (&mut Reader<'_, '_>, u16),
    (bits, flip): (u32, bool),
    at_least: u128,
) -> u128 {
    let mut offset = 0;
    for bit in (0..bits).rev() {
        candidates.choose(slices.bits(bit, key), flip, better);
        if !better.is_empty() {
            std::mem::swap(candidates, better);
            offset |= 1 << bit;
        }
        if offset | ((1 << bit) - 1) <= at_least {
            return at_least;
        }
    }
    offset
}
