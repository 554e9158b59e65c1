use super::{BitSlices, MAX_SLICES, head, slices_of};
use crate::blob::{Blob, BlobWriter, CONTAINER_BITS, WORDS, Words};
use crate::bundle::BundleBuilder;
use crate::view::view;
use crate::{Error, Result, SHARD_BITS};
use taghouse_model::Ordinal;

impl BitSlices {
    /// The bytes of the bit slices of `ordinals`, ascending and each once, and their `numbers`, one
    /// each.
    ///
    /// # Errors
    /// `TooLarge` for numbers of more than 28 digits, and passed on from the form.
    pub fn encode<N: Copy + Into<i128>>(ordinals: &[Ordinal], numbers: &[N]) -> Result<Vec<u8>> {
        debug_assert!(ordinals.len() == numbers.len() && ordinals.is_sorted_by(|a, b| a < b));
        let all = || numbers.iter().map(|number| (*number).into());
        let min: i128 = all().min().unwrap_or(0);
        let max: i128 = all().max().unwrap_or(0);
        let slices = slices_of(min, max);
        if slices > MAX_SLICES {
            return Err(Error::TooLarge {
                what: format!("the bits of numbers from {min} to {max}"),
                limit: MAX_SLICES.into(),
            });
        }
        let mut shards = Shards::new(min, slices);
        let mut done = 0;
        for shard in ordinals.chunk_by(|a, b| a >> SHARD_BITS == b >> SHARD_BITS) {
            shards.push(shard, &numbers[done..done + shard.len()]);
            done += shard.len();
        }
        let mut bytes = head(min, max);
        bytes.append(&mut shards.bundle.finish(slices + 1)?);
        Ok(bytes)
    }
}

/// From this many ordinals of 64 on, turning the whole word costs less than setting bit by bit.
const TRANSPOSE_FROM: usize = 8;

/// Turns one shard after another into slices. Whole shards are written next to one another, for
/// that is how they are read.
struct Shards {
    min: i128,
    bundle: BundleBuilder,
    /// Of the current container: existence, then the slices.
    words: Vec<Words>,
    buffers: Vec<Vec<u8>>,
}

impl Shards {
    fn new(min: i128, slices: u32) -> Self {
        let bitmaps = slices as usize + 1;
        Self {
            min,
            bundle: BundleBuilder::new(),
            words: vec![[0; WORDS]; bitmaps],
            buffers: vec![Vec::new(); bitmaps],
        }
    }

    fn push<N: Copy + Into<i128>>(&mut self, ordinals: &[Ordinal], numbers: &[N]) {
        let shard = ordinals[0] >> SHARD_BITS;
        let mut writers: Vec<_> = self.buffers.iter_mut().map(BlobWriter::new).collect();
        let mut done = 0;
        for container in ordinals.chunk_by(|a, b| a >> CONTAINER_BITS == b >> CONTAINER_BITS) {
            self.words.fill([0; WORDS]);
            let numbers = &numbers[done..];
            let mut taken = 0;
            for word in container.chunk_by(|a, b| a / 64 == b / 64) {
                push_word(&mut self.words, self.min, word, &numbers[taken..taken + word.len()]);
                taken += word.len();
            }
            done += container.len();
            let key = (container[0] >> CONTAINER_BITS) as u16;
            writers.iter_mut().zip(&self.words).for_each(|(writer, words)| writer.push(key, words));
        }
        let counts: Vec<u32> = writers.into_iter().map(BlobWriter::finish).collect();
        for (bitmap, (buffer, count)) in self.buffers.iter().zip(counts).enumerate() {
            if count > 0 {
                let mut set = view(Blob::checked(buffer)).to_bitmap();
                set.run_optimize();
                self.bundle.push_shard(bitmap as u32, shard, &set);
            }
        }
    }
}

/// Up to 64 ordinals of one word.
fn push_word<N: Copy + Into<i128>>(
    bitmaps: &mut [Words],
    min: i128,
    ordinals: &[Ordinal],
    numbers: &[N],
) {
    let word = usize::from(ordinals[0] as u16) / 64;
    let slices = bitmaps.len() - 1;
    let offset = |number: &N| (*number).into().wrapping_sub(min) as u128;
    if ordinals.len() < TRANSPOSE_FROM {
        for (ordinal, number) in ordinals.iter().zip(numbers) {
            let bit = 1 << (ordinal % 64);
            bitmaps[0][word] |= bit;
            let mut offset = offset(number);
            while offset != 0 {
                bitmaps[offset.trailing_zeros() as usize + 1][word] |= bit;
                offset &= offset - 1;
            }
        }
        return;
    }
    bitmaps[0][word] =
        ordinals.iter().fold(0, |existence, ordinal| existence | 1 << (ordinal % 64));
    for first in (0..slices).step_by(64) {
        let part = (slices - first).min(64);
        let mut rows = [0; 64];
        for (ordinal, number) in ordinals.iter().zip(numbers) {
            rows[(ordinal % 64) as usize] = (offset(number) >> first) as u64;
        }
        // Of offsets with upper bits all 64 rows must change places.
        transpose(&mut rows, if part < slices { 64 } else { part });
        bitmaps[first + 1..=first + part]
            .iter_mut()
            .zip(rows)
            .for_each(|(words, row)| words[word] = row);
    }
}

/// Bit `b` of row `r` becomes bit `r` of row `b`, for the first `slices` rows; the rows have no
/// higher bits. Squares change places, halved from step to step (Hacker's Delight, 7-3), but for
/// those in rows that are not asked for.
pub(super) fn transpose(rows: &mut [u64; 64], slices: usize) {
    let (mut live, mut side, mut mask) = (64, 32, u64::MAX >> 32);
    while side > 0 {
        for base in (0..live).step_by(2 * side) {
            for row in base..base + side {
                let swap = ((rows[row] >> side) ^ rows[row + side]) & mask;
                rows[row] ^= swap << side;
                rows[row + side] ^= swap;
            }
        }
        if slices <= side {
            live = side;
        }
        side /= 2;
        mask ^= mask << side;
    }
}
