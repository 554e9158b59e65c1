use super::BitSlices;
use crate::view::view;
use crate::{Bitmap, Result};
use croaring::Bitmap as Roaring;

impl BitSlices {
    /// The exact sum over all, or over those in `within`; `None` when none of them has a number.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn sum(&self, within: Option<&Bitmap>) -> Result<Option<i128>> {
        if within.is_some() {
            self.load()?;
        }
        let count = |bitmap: u32| -> u64 {
            let stored = self.bundle.get(bitmap);
            match within {
                None => stored.len(),
                Some(within) => {
                    stored.blobs().filter_map(|(shard, _, blob)| Some(within.shard(shard)?.set.and_cardinality(&view(blob)))).sum()
                }
            }
        };
        let users = count(0);
        if users == 0 {
            return Ok(None);
        }
        // 2^32 users times 2^64 stays below 2^127.
        let offsets: i128 = (0..self.slices).map(|bit| i128::from(count(bit + 1)) << bit).sum();
        Ok(Some(i128::from(users) * i128::from(self.min) + offsets))
    }

    /// The least and the greatest number of those in `within`; `None` when none of them has one.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn bounds_within(&self, within: &Bitmap) -> Result<Option<(i64, i64)>> {
        self.load()?;
        let mut bounds: Option<(u64, u64)> = None;
        for (shard, _, blob) in self.existence().blobs() {
            let Some(within) = within.shard(shard) else { continue };
            let candidates = within.set.and(&view(blob));
            if !candidates.is_empty() {
                let (low, high) = (self.extreme(shard, candidates.clone(), false), self.extreme(shard, candidates, true));
                bounds = Some(bounds.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
            }
        }
        Ok(bounds.map(|(low, high)| (self.min.wrapping_add(low as i64), self.min.wrapping_add(high as i64))))
    }

    /// The greatest or the least offset of `candidates`, which all have one: from the highest bit down, keeping those that can win.
    fn extreme(&self, shard: u32, mut candidates: Roaring, greatest: bool) -> u64 {
        let mut offset = 0;
        for bit in (0..self.slices).rev() {
            let slice = self.bundle.blob(bit + 1, shard).map(|(_, blob)| view(blob));
            let better = match (&slice, greatest) {
                (Some(slice), true) => candidates.and(slice),
                (Some(slice), false) => candidates.andnot(slice),
                (None, true) => Roaring::new(),
                (None, false) => candidates.clone(),
            };
            let found = !better.is_empty();
            if found {
                candidates = better;
            }
            if found == greatest {
                offset |= 1 << bit;
            }
        }
        offset
    }
}
