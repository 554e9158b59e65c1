//! Which of many bitmaps hold one ordinal: what a profile asks.

use super::Bundle;
use crate::blob::{CONTAINER_BITS, Container};
use crate::prefetch::prefetch;
use crate::{Result, SHARD_BITS};
use std::ops::Range;
use taghouse_model::Ordinal;

/// Bytes that memory gives at a time.
const LINE: usize = 64;
/// Bitmaps that are taken step by step together.
const TOGETHER: u32 = 512;

impl Bundle {
    /// The numbers of those of `bitmaps` that hold `ordinal`, ascending, and no more than `most` and a few.
    ///
    /// A bitmap after the other would wait for memory at every step: the table, the blob's head, the container. So each step is made for some
    /// hundred bitmaps before the next, and asks for the memory that the next one reads.
    ///
    /// # Errors
    /// As [`Bundle::load`], of the blobs that it reads.
    pub fn holders(&self, bitmaps: Range<u32>, ordinal: Ordinal, most: usize) -> Result<Vec<u32>> {
        let (mut found, mut entries, mut containers) = (Vec::new(), Vec::new(), Vec::new());
        let mut from = bitmaps.start;
        while from < bitmaps.end.min(self.bitmaps) && found.len() < most {
            let to = from.saturating_add(TOGETHER).min(bitmaps.end).min(self.bitmaps);
            let shard = (ordinal >> SHARD_BITS) as usize;
            (from..to).for_each(|bitmap| prefetch(self.region.bytes(), self.entry_at(self.entries(bitmap).start + shard)));
            entries.clear();
            entries.extend((from..to).filter_map(|bitmap| Some((bitmap, self.find_likely(bitmap, ordinal >> SHARD_BITS)?))));
            for (_, entry) in &entries {
                self.load_entry(*entry)?;
                if let Some(range) = self.blob_range(*entry) {
                    prefetch(self.region.bytes(), range.start);
                    // The offsets of a full shard's containers.
                    prefetch(self.region.bytes(), range.start + LINE);
                }
            }
            containers.clear();
            containers.extend(entries.iter().filter_map(|(bitmap, entry)| {
                let (_, blob) = self.blob_of(*entry)?;
                Some((*bitmap, blob.container((ordinal >> CONTAINER_BITS) as u16)?))
            }));
            containers.iter().for_each(|(_, container)| container.prefetch(ordinal as u16));
            let holds = |(bitmap, container): &(u32, Container<'_>)| container.contains(ordinal as u16).then_some(*bitmap);
            found.extend(containers.iter().filter_map(holds));
            from = to;
        }
        Ok(found)
    }

    /// As [`Bundle::find`], at once for a bitmap that has all shards from its first to the one asked for.
    fn find_likely(&self, bitmap: u32, shard: u32) -> Option<usize> {
        let entries = self.entries(bitmap);
        if entries.is_empty() {
            return None;
        }
        let likely = entries.start + shard.checked_sub(self.shard_of(entries.start).0)? as usize;
        if likely < entries.end && self.shard_of(likely).0 == shard { Some(likely) } else { self.find(bitmap, shard) }
    }
}
