//! The forms that every Roaring library reads: <https://github.com/RoaringBitmap/RoaringFormatSpec>.

use super::Bitmap;
use crate::file::{u32_at, u64_at};
use crate::{Error, Result, SHARD_BITS, SHARD_SIZE};
use croaring::{Bitmap as Roaring, Portable};

/// Of the 64-bit form: how many parts there are, and the high half that the values of the first part share.
const HEAD_64: usize = 8 + 4;

impl Bitmap {
    /// One portable 32-bit Roaring bitmap, as every Roaring library reads it.
    pub fn serialize_portable(&self) -> Vec<u8> {
        self.whole().serialize::<Portable>()
    }

    /// One portable 64-bit Roaring bitmap (Java's Roaring64NavigableMap, CRoaring's Roaring64Map, `groupBitmap` of 64 bits): the number of
    /// parts, and of each part the high half and a 32-bit bitmap. Ordinals have 32 bits, so there is one part at most.
    pub fn serialize_portable64(&self) -> Vec<u8> {
        let mut bytes = u64::from(!self.is_empty()).to_le_bytes().to_vec();
        if !self.is_empty() {
            bytes.extend_from_slice(&0_u32.to_le_bytes());
            let _ = self.whole().serialize_into_vec::<Portable>(&mut bytes);
        }
        bytes
    }

    /// Reads one portable 32-bit Roaring bitmap, from whatever library.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are none.
    pub fn from_portable(bytes: &[u8]) -> Result<Self> {
        let whole = Roaring::try_deserialize::<Portable>(bytes).ok_or_else(|| Error::corrupt("no portable Roaring bitmap"))?;
        whole.internal_validate().map_err(Error::corrupt)?;
        let (Some(low), Some(high)) = (whole.minimum(), whole.maximum()) else {
            return Ok(Self::new());
        };
        Ok(Self::from_shards((low >> SHARD_BITS..=high >> SHARD_BITS).map(|number| {
            let first = number << SHARD_BITS;
            (number, whole.and(&Roaring::from_range(first..=first | (SHARD_SIZE - 1))))
        })))
    }

    /// Reads one portable 64-bit Roaring bitmap.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are none; `TooLarge` when there is a value of more than 32 bits, which no ordinal has.
    pub fn from_portable64(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < 8 {
            return Err(Error::corrupt("no portable 64-bit Roaring bitmap"));
        }
        let parts = u64_at(bytes, 0);
        if parts == 0 {
            return Ok(Self::new());
        }
        let first = bytes.get(HEAD_64..).ok_or_else(|| Error::corrupt("a portable 64-bit Roaring bitmap is cut short"))?;
        if parts > 1 || u32_at(bytes, 8) != 0 {
            return Err(Error::TooLarge { what: "a value of a 64-bit bitmap".to_owned(), limit: u64::from(u32::MAX) });
        }
        Self::from_portable(first)
    }

    fn whole(&self) -> Roaring {
        let mut whole = Roaring::new();
        for shard in &self.shards {
            whole.or_inplace(&shard.set);
        }
        whole.run_optimize();
        whole
    }
}
