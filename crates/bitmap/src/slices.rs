//! One number per ordinal as bit slices: bitmap 0 is the ordinals with a number, bitmap `i + 1`
//! those whose `number - min` has bit `i` set.
//!
//! This is the bit-sliced index of O'Neil and Quass, "Improved query performance with variant
//! indexes" (SIGMOD 1997, <https://doi.org/10.1145/253260.253268>). A comparison or a sum over
//! numbers of b bits reads b + 1 bitmaps, and no number is unpacked.

mod aggregate;
mod build;
mod candidates;
mod distribution;
mod encoder;
mod range;
mod reader;
mod values;

pub use aggregate::Sum;
pub use encoder::SliceEncoder;

use crate::blob::{CONTAINER_BITS, Words};
use crate::bundle::{Bundle, Stored};
use crate::file::{ALIGN, u32_at, u64_at};
use crate::region::Region;
use crate::{Result, SHARD_BITS};
use std::sync::{Arc, OnceLock};
use taghouse_model::Ordinal;

/// The header, `min 8 | max 8 | slices 4 | wide 4 | zeros`; the bundle follows. If `min` or `max`
/// does not fit in 64 bits, `wide` is 1 and both follow it: `min 16 | max 16`.
const HEAD: usize = ALIGN;
const MIN_AT: usize = 0;
const MAX_AT: usize = 8;
const SLICES_AT: usize = 16;
const WIDE_AT: usize = 20;
const WIDE_MIN_AT: usize = 24;
const WIDE_MAX_AT: usize = 40;

/// The most slices: numbers of 28 digits, above and below zero. 2^32 of them add up to less than
/// 2^127.
const MAX_SLICES: u32 = 95;

/// Numbers of up to 28 digits, at most one an ordinal, over one byte buffer. Numbers of 64 bits
/// take no more room than they need. Cloning it is cheap.
#[derive(Clone)]
pub struct BitSlices {
    bundle: Bundle,
    min: i128,
    max: i128,
    slices: u32,
    /// The sum of all numbers, computed when first needed.
    total: Arc<OnceLock<Option<Sum>>>,
}

impl BitSlices {
    /// Opens what [`BitSlices::encode`] wrote: reads the tables.
    ///
    /// # Errors
    /// `Corrupt` when the bytes cannot be bit slices; those of [`Region::load`].
    pub fn open(region: impl Into<Region>) -> Result<Self> {
        let region = region.into();
        if region.len() < HEAD {
            return Err(region.corrupt("bit slices: too short"));
        }
        region.load(0..HEAD)?;
        let bytes = region.bytes();
        let slices = u32_at(bytes, SLICES_AT);
        let wide = |at: usize| {
            i128::from(u64_at(bytes, at + 8) as i64) << 64 | i128::from(u64_at(bytes, at))
        };
        let (min, max) = match u32_at(bytes, WIDE_AT) {
            0 => {
                (i128::from(u64_at(bytes, MIN_AT) as i64), i128::from(u64_at(bytes, MAX_AT) as i64))
            }
            1 => (wide(WIDE_MIN_AT), wide(WIDE_MAX_AT)),
            other => {
                return Err(region.corrupt(format!(
                    "bit slices: their ends are written in an unknown way, {other}"
                )));
            }
        };
        let bundle = Bundle::open(region.part(HEAD..region.len())?)?;
        if min > max
            || slices > MAX_SLICES
            || slices != slices_of(min, max)
            || bundle.len() != slices + 1
        {
            return Err(
                region.corrupt(format!("bit slices: {slices} slices do not fit {min} to {max}"))
            );
        }
        Ok(Self { bundle, min, max, slices, total: Arc::default() })
    }

    /// From pairs in any order. If an ordinal occurs twice, the later pair wins.
    ///
    /// # Errors
    /// `TooLarge`, which no possible input of numbers causes.
    pub fn from_pairs<N: Copy + Into<i128>>(
        pairs: impl IntoIterator<Item = (Ordinal, N)>,
    ) -> Result<Self> {
        let sorted: std::collections::BTreeMap<Ordinal, N> = pairs.into_iter().collect();
        let (ordinals, numbers): (Vec<_>, Vec<_>) = sorted.into_iter().unzip();
        Self::open(Self::encode(&ordinals, &numbers)?)
    }

    /// Loads all slices and verifies them.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn load(&self) -> Result<()> {
        self.bundle.load(0..self.bundle.len())
    }

    /// The ordinals that have a number.
    pub fn existence(&self) -> Stored {
        self.bundle.get(0)
    }

    /// Bitmap `number`: 0 is the existence bitmap, the slices follow. There are
    /// [`crate::SliceEncoder::bitmaps`] of them.
    pub fn bitmap(&self, number: u32) -> Stored {
        self.bundle.get(number)
    }

    /// The least and the greatest number; `None` when nobody has one.
    pub fn bounds(&self) -> Option<(i128, i128)> {
        (!self.existence().is_empty()).then_some((self.min, self.max))
    }

    /// The number of `ordinal`.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn value_of(&self, ordinal: Ordinal) -> Result<Option<i128>> {
        Ok(self.offset_of(ordinal)?.map(|offset| self.number(offset)))
    }

    /// All pairs, by ordinal.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn iter(&self) -> Result<impl Iterator<Item = (Ordinal, i128)> + '_> {
        self.load()?;
        Ok(self.shard_numbers().into_iter().flat_map(move |shard| self.pairs_of(shard)))
    }

    /// The shards in which anybody has a number, ascending.
    pub fn shard_numbers(&self) -> Vec<u32> {
        self.existence().shard_lens().map(|(shard, _)| shard).collect()
    }

    /// All pairs of one shard, by ordinal.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn pairs(&self, shard: u32) -> Result<Vec<(Ordinal, i128)>> {
        self.bundle.load_shard(shard)?;
        Ok(self.pairs_of(shard))
    }

    /// The range `low` to `high` clipped to the numbers there are, as offsets from `min`; `None`
    /// when it is empty.
    pub(crate) fn offsets(&self, low: i128, high: i128) -> Option<(u128, u128)> {
        let (low, high) = (low.max(self.min), high.min(self.max));
        (low <= high).then(|| ((low - self.min) as u128, (high - self.min) as u128))
    }

    /// The greatest `number - min`.
    pub(crate) fn span(&self) -> u128 {
        self.max.wrapping_sub(self.min) as u128
    }

    fn number(&self, offset: u128) -> i128 {
        self.min.wrapping_add(offset as i128)
    }

    pub(crate) fn offset_of(&self, ordinal: Ordinal) -> Result<Option<u128>> {
        if !self.bundle.contains(0, ordinal)? {
            return Ok(None);
        }
        let mut offset = 0;
        for bit in 0..self.slices {
            offset |= u128::from(self.bundle.contains(bit + 1, ordinal)?) << bit;
        }
        Ok(Some(offset))
    }

    fn pairs_of(&self, shard: u32) -> Vec<(Ordinal, i128)> {
        let Some((cardinality, blob)) = self.bundle.blob(0, shard) else {
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(cardinality as usize);
        let slices: Vec<_> = (0..self.slices).map(|bit| self.bundle.blob(bit + 1, shard)).collect();
        // The lower 64 bits of each offset and, where there are more, the upper ones.
        let mut offsets = vec![vec![0_u64; 1 << CONTAINER_BITS]; slices.len().div_ceil(64).max(1)];
        for (key, _, existence) in blob.containers() {
            offsets.iter_mut().for_each(|offsets| offsets.fill(0));
            for (slices, offsets) in slices.chunks(64).zip(&mut offsets) {
                for (bit, slice) in slices.iter().enumerate() {
                    if let Some(container) = slice.and_then(|(_, blob)| blob.container(key)) {
                        for_each_bit(&container.words(), |low| offsets[low] |= 1 << bit);
                    }
                }
            }
            let base = u32::from(key) << CONTAINER_BITS;
            let offset = |low: usize| match &offsets[..] {
                [lower] => u128::from(lower[low]),
                [lower, upper, ..] => u128::from(upper[low]) << 64 | u128::from(lower[low]),
                [] => 0,
            };
            for_each_bit(&existence.words(), |low| {
                pairs.push((base | low as u32, self.number(offset(low))))
            });
        }
        debug_assert!(pairs.iter().all(|(ordinal, _)| ordinal >> SHARD_BITS == shard));
        pairs
    }
}

/// The header.
fn head(min: i128, max: i128) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    match (i64::try_from(min), i64::try_from(max)) {
        (Ok(min), Ok(max)) => {
            bytes[MIN_AT..MIN_AT + 8].copy_from_slice(&min.to_le_bytes());
            bytes[MAX_AT..MAX_AT + 8].copy_from_slice(&max.to_le_bytes());
        }
        _ => {
            bytes[WIDE_AT] = 1;
            bytes[WIDE_MIN_AT..WIDE_MIN_AT + 16].copy_from_slice(&min.to_le_bytes());
            bytes[WIDE_MAX_AT..WIDE_MAX_AT + 16].copy_from_slice(&max.to_le_bytes());
        }
    }
    bytes[SLICES_AT..WIDE_AT].copy_from_slice(&slices_of(min, max).to_le_bytes());
    bytes
}

/// The number of slices that numbers from `min` to `max` need.
fn slices_of(min: i128, max: i128) -> u32 {
    u128::BITS - (max.wrapping_sub(min) as u128).leading_zeros()
}

fn for_each_bit(words: &Words, mut each: impl FnMut(usize)) {
    for (index, word) in words.iter().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            each(index * 64 + rest.trailing_zeros() as usize);
            rest &= rest - 1;
        }
    }
}
