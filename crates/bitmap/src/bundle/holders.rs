//! Which of many bitmaps hold one ordinal: what a profile asks.

use super::Bundle;
use crate::blob::{CONTAINER_BITS, CONTAINERS, Container};
use crate::parallel;
use crate::prefetch::prefetch;
use crate::{Result, SHARD_BITS};
use std::ops::Range;
use std::sync::Arc;
use taghouse_model::Ordinal;

/// Bitmaps between two steps of one: the longer memory takes, the more.
const AHEAD: usize = 16;
/// Steps of a bitmap.
const STEPS: usize = 5;

/// Bitmaps from which on waking another thread pays.
const PARALLEL_FROM: usize = 512;
/// Bitmaps that a thread takes at a time.
const PART: usize = 256;
/// One more is enough: what is sought in takes a tenth of a millisecond.
const THREADS: usize = 2;

/// One of many bitmaps' searches.
struct Search {
    bundle: Bundle,
    bitmaps: Range<u32>,
    ordinal: Ordinal,
}

impl Search {
    fn part(&self, part: usize, (): &()) -> Result<Vec<u32>> {
        let from = self.bitmaps.start + (part * PART) as u32;
        self.bundle.holders_here(
            from..from.saturating_add(PART as u32).min(self.bitmaps.end),
            self.ordinal,
            usize::MAX,
        )
    }
}

impl Bundle {
    /// The numbers of those of `bitmaps` that hold `ordinal`, ascending, and no more than `most`
    /// and a few. On two cores where all of many are wanted.
    ///
    /// # Errors
    /// As [`Bundle::load`], of the blobs that it reads.
    pub fn holders(&self, bitmaps: Range<u32>, ordinal: Ordinal, most: usize) -> Result<Vec<u32>> {
        let bitmaps = bitmaps.start..bitmaps.end.min(self.bitmaps);
        if bitmaps.len() < PARALLEL_FROM || most < bitmaps.len() {
            return self.holders_here(bitmaps, ordinal, most);
        }
        let parts = bitmaps.len().div_ceil(PART);
        let search = Arc::new(Search { bundle: self.clone(), bitmaps, ordinal });
        let found: Result<Vec<Vec<u32>>> =
            parallel::parts(&search, parts, THREADS, Search::part).collect();
        Ok(found?.concat())
    }

    /// A bitmap after the other would wait for memory at every step: the table, the blob's first
    /// bytes, the rest of its head, the container. So each step asks for the memory that the
    /// next one reads, which comes when some more bitmaps have had theirs.
    fn holders_here(&self, bitmaps: Range<u32>, ordinal: Ordinal, most: usize) -> Result<Vec<u32>> {
        let (bytes, shard, key, low) = (
            self.region.bytes(),
            ordinal >> SHARD_BITS,
            (ordinal >> CONTAINER_BITS) as u16,
            ordinal as u16,
        );
        let likely = usize::from(key) % CONTAINERS;
        let mut found = Vec::new();
        // What each step leaves for the next one, which comes first in a turn and takes it.
        let (mut starts, mut heads) = ([None; AHEAD], [None; AHEAD]);
        let mut containers: [Option<Container<'_>>; AHEAD] = [None; AHEAD];
        for turn in 0..bitmaps.len() + (STEPS - 1) * AHEAD {
            let place = turn % AHEAD;
            let bitmap_at = |step: usize| {
                let bitmap = turn.checked_sub(step * AHEAD)?;
                (bitmap < bitmaps.len()).then_some(bitmaps.start + bitmap as u32)
            };
            if let (Some(container), Some(bitmap)) = (containers[place].take(), bitmap_at(4))
                && container.contains(low)
            {
                found.push(bitmap);
                if found.len() >= most {
                    break;
                }
            }
            containers[place] =
                heads[place].take().and_then(|(entry, _)| self.blob_of(entry)?.1.container(key));
            if let Some(container) = &containers[place] {
                container.prefetch(low);
            }
            heads[place] = starts[place].take();
            if let Some((_, start)) = heads[place] {
                // Descriptor and offset of a full shard's container.
                prefetch(bytes, start + 8 + 4 * likely);
                prefetch(bytes, start + 8 + 4 * CONTAINERS + 4 * likely);
            }
            if let Some(entry) = bitmap_at(1).and_then(|bitmap| self.find(bitmap, shard)) {
                self.load_entry(entry)?;
                starts[place] = self.blob_range(entry).map(|range| (entry, range.start));
                starts[place].iter().for_each(|(_, start)| prefetch(bytes, *start));
            }
            if let Some(bitmap) = bitmap_at(0) {
                prefetch(bytes, self.entry_at(self.entries(bitmap).start + shard as usize));
            }
        }
        Ok(found)
    }
}
