//! Which numbers a crowd has, and how many have each: parted by one bit after another, from the
//! highest down, until all of a part have the same number.

use super::BitSlices;
use super::candidates::Candidates;
use super::reader::{Asked, Reader, Shard};
use crate::{Bitmap, Result};
use croaring::Bitmap as Roaring;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Offsets and how many have each, as long as those are few enough.
struct Counts<'a> {
    counts: BTreeMap<u128, u64>,
    most: usize,
    /// Whether there are too many, here or in another shard: nobody needs to go on.
    too_many: &'a AtomicBool,
}

impl BitSlices {
    /// Each different number of all, or of those in `within`, ascending, and how many have it;
    /// `None` when there are more than `most`. Costs a pass over the slices while numbers are
    /// few; a thousand different ones cost as much as going through all pairs.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn values(&self, within: Option<&Bitmap>, most: usize) -> Result<Option<Vec<(i128, u64)>>> {
        let too_many = AtomicBool::new(false);
        let new = || Counts { counts: BTreeMap::new(), most, too_many: &too_many };
        let shards =
            self.shards(within, |shard, within| self.count_values(shard, within, new()))?;
        let mut all = new();
        for shard in shards {
            shard.counts.into_iter().for_each(|(offset, users)| all.add(offset, users));
        }
        let few = !too_many.load(Ordering::Relaxed);
        Ok(few.then(|| {
            all.counts.into_iter().map(|(offset, users)| (self.number(offset), users)).collect()
        }))
    }

    fn count_values<'c>(
        &self,
        shard: &Shard<'_>,
        within: Option<&Roaring>,
        mut counts: Counts<'c>,
    ) -> Counts<'c> {
        let mut uppers = vec![Candidates::none(); self.slices as usize];
        shard.ask(within, true, |asked, slices| {
            for Asked { key, candidates, .. } in asked {
                part(candidates, &mut uppers, 0, (slices, *key), &mut counts);
            }
        });
        counts
    }
}

impl Counts<'_> {
    fn add(&mut self, offset: u128, users: u64) {
        *self.counts.entry(offset).or_default() += users;
        if self.counts.len() > self.most {
            self.too_many.store(true, Ordering::Relaxed);
        }
    }
}

/// Counts `candidates`, whose offsets are `from` to `from + 2^bits - 1`, by offset. There are
/// `bits` places in `uppers`.
fn part(
    candidates: &mut Candidates,
    uppers: &mut [Candidates],
    from: u128,
    (slices, key): (&mut Reader<'_, '_>, u16),
    counts: &mut Counts<'_>,
) {
    if candidates.is_empty() || counts.too_many.load(Ordering::Relaxed) {
        return;
    }
    let Some((ones, uppers)) = uppers.split_last_mut() else {
        counts.add(from, candidates.len());
        return;
    };
    let bit = uppers.len();
    candidates.split(slices.bits(bit as u32, key), ones);
    part(candidates, uppers, from, (&mut *slices, key), counts);
    part(ones, uppers, from | 1 << bit, (slices, key), counts);
}
