//! Writes numbers that come shard by shard.

use super::build::transpose;
use super::{head, slices_of};
use crate::encode::ShardEncoder;
use taghouse_model::Ordinal;

/// From this many ordinals of 64 on, turning a whole word costs less than setting bit by bit.
const TRANSPOSE_FROM: usize = 8;

/// Writes numbers of one shard after another as the bitmaps of [`crate::BitSlices`].
pub struct SliceEncoder {
    min: i64,
    /// Existence, then the slices.
    bitmaps: Vec<ShardEncoder>,
    buffer: Vec<u8>,
}

impl SliceEncoder {
    /// For numbers from `min` to `max`.
    pub fn new(min: i64, max: i64) -> Self {
        let bitmaps =
            (0..=slices_of(min.into(), max.into())).map(|_| ShardEncoder::new()).collect();
        Self { min, bitmaps, buffer: Vec::new() }
    }

    /// What comes before the bundle of the bit slices of numbers from `min` to `max`.
    pub fn head(min: i64, max: i64) -> Vec<u8> {
        head(min.into(), max.into())
    }

    /// How many bitmaps numbers from `min` to `max` take, existence included.
    pub fn bitmaps(min: i64, max: i64) -> u32 {
        slices_of(min.into(), max.into()) + 1
    }

    /// For other numbers from now on.
    pub fn reset(&mut self, min: i64, max: i64) {
        self.min = min;
        self.bitmaps.resize_with(slices_of(min.into(), max.into()) as usize + 1, ShardEncoder::new);
    }

    /// Gives `each` the number, cardinality and portable form of every bitmap that is not empty in
    /// shard number `shard`. `lows` are strictly ascending, counted from the shard's first
    /// ordinal; `numbers` has one for each.
    pub fn encode<E>(
        &mut self,
        shard: u32,
        lows: &[Ordinal],
        numbers: &[i64],
        mut each: impl FnMut(u32, u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        debug_assert!(lows.len() == numbers.len() && lows.is_sorted_by(|a, b| a < b));
        let mut done = 0;
        for word in lows.chunk_by(|a, b| a / 64 == b / 64) {
            self.push_word(word, &numbers[done..done + word.len()]);
            done += word.len();
        }
        for (number, bitmap) in self.bitmaps.iter_mut().enumerate() {
            self.buffer.clear();
            let cardinality = bitmap.take(shard, &mut self.buffer);
            if cardinality > 0 {
                each(number as u32, cardinality, &self.buffer)?;
            }
        }
        Ok(())
    }

    /// Up to 64 ordinals of one word.
    fn push_word(&mut self, lows: &[Ordinal], numbers: &[i64]) {
        if lows.len() < TRANSPOSE_FROM {
            for (low, number) in lows.iter().zip(numbers) {
                self.bitmaps[0].insert(*low);
                let mut offset = number.wrapping_sub(self.min) as u64;
                while offset != 0 {
                    self.bitmaps[offset.trailing_zeros() as usize + 1].insert(*low);
                    offset &= offset - 1;
                }
            }
            return;
        }
        let word = lows[0] as usize / 64;
        let mut rows = [0; 64];
        let mut existence = 0;
        for (low, number) in lows.iter().zip(numbers) {
            existence |= 1 << (low % 64);
            rows[(low % 64) as usize] = number.wrapping_sub(self.min) as u64;
        }
        let slices = self.bitmaps.len() - 1;
        transpose(&mut rows, slices);
        self.bitmaps[0].set_word(word, existence);
        self.bitmaps[1..].iter_mut().zip(rows).for_each(|(bitmap, row)| bitmap.set_word(word, row));
    }
}
