//! A bundle's tables without its data, for those who write the data themselves: more than memory holds.

use crate::bundle::{Entry, Stored, encode_tables, place_of};
use crate::{Error, Result, SHARD_SIZE};

/// Plans a [`crate::Bundle`]: the tables come first in it, so all lengths must be known before the data is written.
///
/// [`BundleLayout::push`] every blob in the order in which the data will hold them, write [`BundleLayout::tables`], and then each blob
/// after as many zeros as `push` said.
#[derive(Default)]
pub struct BundleLayout {
    entries: Vec<Entry>,
    /// A bitmap that is the same as another.
    aliases: Vec<(u32, u32)>,
    data_len: u64,
}

impl BundleLayout {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plans one shard of bitmap number `bitmap`, which has `cardinality` ordinals (not none) in a portable form of `len` bytes. Gives
    /// how many zeros are to be written before.
    pub fn push(&mut self, bitmap: u32, shard: u32, cardinality: u32, len: u32) -> usize {
        debug_assert!((1..=SHARD_SIZE).contains(&cardinality));
        let offset = place_of(self.data_len, len);
        let zeros = offset - self.data_len;
        self.entries.push(Entry { bitmap, shard, cardinality, len, offset });
        self.data_len = offset + u64::from(len);
        zeros as usize
    }

    /// Says that bitmap number `index`, which gets nothing else, is the same as number `of`, which is no alias.
    pub fn alias(&mut self, index: u32, of: u32) {
        self.aliases.push((index, of));
    }

    /// How many bytes the data takes, zeros between included.
    pub fn data_len(&self) -> u64 {
        self.data_len
    }

    /// The bytes that come before the data, of a bundle of `bitmaps` bitmaps; those that got nothing are empty.
    ///
    /// # Errors
    /// `TooLarge` for 2^32 shards or more.
    pub fn tables(self, bitmaps: u32) -> Result<Vec<u8>> {
        encode_tables(self.entries, &self.aliases, bitmaps)
    }
}

impl Stored {
    /// Number, cardinality and portable form of each shard, ascending: what [`BundleLayout::push`] takes, to copy shards as they are.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn portable_shards(&self) -> Result<impl Iterator<Item = (u32, u32, &[u8])>> {
        self.load()?;
        Ok(self.blobs().map(|(shard, cardinality, blob)| (shard, cardinality, blob.bytes())))
    }
}

pub(crate) fn too_many_shards() -> Error {
    Error::TooLarge { what: "the number of shards of all values".to_owned(), limit: u64::from(u32::MAX) }
}
