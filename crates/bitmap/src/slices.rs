//! One number per ordinal as bit slices: bitmap 0 says who has a number, bitmap `i + 1` holds those whose `number - min` has bit `i`.

mod aggregate;
mod build;
mod candidates;
mod distribution;
mod range;
mod reader;
mod values;

pub use aggregate::Sum;
pub(crate) use build::transpose;

use crate::blob::{CONTAINER_BITS, Words};
use crate::bundle::{Bundle, Stored};
use crate::file::{ALIGN, u32_at, u64_at};
use crate::formula::{Formula, Node};
use crate::region::Region;
use crate::{Result, SHARD_BITS};
use taghouse_model::Ordinal;

/// `min 8 | max 8 | slices 4 | zeros`, then the bundle.
const HEAD: usize = ALIGN;

/// Numbers of 64 bits, at most one an ordinal, over one byte buffer. Cloning it is cheap.
#[derive(Clone)]
pub struct BitSlices {
    bundle: Bundle,
    min: i64,
    max: i64,
    slices: u32,
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
        let (min, max, slices) = (u64_at(bytes, 0) as i64, u64_at(bytes, 8) as i64, u32_at(bytes, 16));
        let bundle = Bundle::open(region.part(HEAD..region.len())?)?;
        if min > max || slices != slices_of(min, max) || bundle.len() != slices + 1 {
            return Err(region.corrupt(format!("bit slices: {slices} slices do not fit {min} to {max}")));
        }
        Ok(Self { bundle, min, max, slices })
    }

    /// From pairs in any order; of two of one ordinal the later counts.
    ///
    /// # Errors
    /// None that numbers can cause; `TooLarge` is passed on from the form.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (Ordinal, i64)>) -> Result<Self> {
        let sorted: std::collections::BTreeMap<Ordinal, i64> = pairs.into_iter().collect();
        let (ordinals, numbers): (Vec<_>, Vec<_>) = sorted.into_iter().unzip();
        Self::open(Self::encode(&ordinals, &numbers)?)
    }

    /// Makes sure that all slices are here and are what was written.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn load(&self) -> Result<()> {
        self.bundle.load(0..self.bundle.len())
    }

    /// Who has a number.
    pub fn existence(&self) -> Stored {
        self.bundle.get(0)
    }

    /// The bitmap of this number: who has a number, then the slices, of which there are as many as [`crate::SliceEncoder::bitmaps`] says.
    pub fn bitmap(&self, number: u32) -> Stored {
        self.bundle.get(number)
    }

    /// The least number and the greatest; `None` when nobody has one.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        (!self.existence().is_empty()).then_some((self.min, self.max))
    }

    /// The number of `ordinal`.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn value_of(&self, ordinal: Ordinal) -> Result<Option<i64>> {
        Ok(self.offset_of(ordinal)?.map(|offset| self.min.wrapping_add(offset as i64)))
    }

    /// Those whose number is `low` to `high`, both included. Bounds that no number of 64 bits reaches are fine.
    pub fn between(&self, low: i128, high: i128) -> Formula {
        let (low, high) = (low.max(i128::from(self.min)), high.min(i128::from(self.max)));
        if low > high {
            return Formula::empty();
        }
        let offset = |number: i128| (number - i128::from(self.min)) as u64;
        let (low, high) = (offset(low), offset(high));
        if low == 0 && high == self.span() {
            return Formula::stored(self.existence());
        }
        Formula::of_node(Node::Range { slices: self.clone(), low, high })
    }

    /// All pairs, by ordinal.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn iter(&self) -> Result<impl Iterator<Item = (Ordinal, i64)> + '_> {
        self.load()?;
        let existence = self.bundle.get(0);
        let shards: Vec<u32> = existence.shard_lens().map(|(shard, _)| shard).collect();
        Ok(shards.into_iter().flat_map(move |shard| self.pairs_of(shard)))
    }

    /// The greatest `number - min`.
    pub(crate) fn span(&self) -> u64 {
        self.max.wrapping_sub(self.min) as u64
    }

    pub(crate) fn offset_of(&self, ordinal: Ordinal) -> Result<Option<u64>> {
        if !self.bundle.contains(0, ordinal)? {
            return Ok(None);
        }
        let mut offset = 0;
        for bit in 0..self.slices {
            offset |= u64::from(self.bundle.contains(bit + 1, ordinal)?) << bit;
        }
        Ok(Some(offset))
    }

    fn pairs_of(&self, shard: u32) -> Vec<(Ordinal, i64)> {
        let Some((cardinality, blob)) = self.bundle.blob(0, shard) else {
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(cardinality as usize);
        let slices: Vec<_> = (0..self.slices).map(|bit| self.bundle.blob(bit + 1, shard)).collect();
        let mut offsets = vec![0; 1 << CONTAINER_BITS];
        for (key, _, existence) in blob.containers() {
            offsets.fill(0_u64);
            for (bit, slice) in slices.iter().enumerate() {
                if let Some(container) = slice.and_then(|(_, blob)| blob.container(key)) {
                    for_each_bit(&container.words(), |low| offsets[low] |= 1 << bit);
                }
            }
            let base = u32::from(key) << CONTAINER_BITS;
            for_each_bit(&existence.words(), |low| pairs.push((base | low as u32, self.min.wrapping_add(offsets[low] as i64))));
        }
        debug_assert!(pairs.iter().all(|(ordinal, _)| ordinal >> SHARD_BITS == shard));
        pairs
    }
}

/// What comes before the bundle.
pub(crate) fn head(min: i64, max: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD);
    bytes.extend_from_slice(&min.to_le_bytes());
    bytes.extend_from_slice(&max.to_le_bytes());
    bytes.extend_from_slice(&slices_of(min, max).to_le_bytes());
    bytes.resize(HEAD, 0);
    bytes
}

/// How many slices numbers from `min` to `max` need.
pub(crate) fn slices_of(min: i64, max: i64) -> u32 {
    u64::BITS - (max.wrapping_sub(min) as u64).leading_zeros()
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
