//! A bundle's tables without its data, for those who write the data themselves: more than memory
//! holds.

use crate::file::ALIGN;
use crate::{Error, Result, SHARD_BITS, SHARD_SIZE};

pub(crate) const HEAD: usize = 16;
pub(crate) const ENTRY: usize = 16;
/// A bitmap's place in the table of bitmaps.
pub(crate) const PLACE: usize = 8;
/// Blobs from this size on hold bitset containers worth a cache line's alignment.
const LARGE: usize = 4096;

/// Where one shard of one bitmap lies.
#[derive(Clone, Copy)]
struct Entry {
    bitmap: u32,
    shard: u32,
    cardinality: u32,
    len: u32,
    offset: u64,
}

/// Plans a [`crate::Bundle`]: the tables come first in it, so all lengths must be known before the
/// data is written.
///
/// [`BundleLayout::push`] every blob in the order in which the data will hold them, write
/// [`BundleLayout::tables`], and then each blob after as many zeros as `push` said.
#[derive(Default)]
pub struct BundleLayout {
    entries: Vec<Entry>,
    /// A bitmap that is the same as another.
    aliases: Vec<(u32, u32)>,
    data_len: u64,
}

impl BundleLayout {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plans one shard of bitmap number `bitmap`, which has `cardinality` ordinals (not none) in a
    /// portable form of `len` bytes. Gives how many zeros are to be written before.
    pub fn push(&mut self, bitmap: u32, shard: u32, cardinality: u32, len: u32) -> usize {
        debug_assert!((1..=SHARD_SIZE).contains(&cardinality));
        let offset = place_of(self.data_len, len);
        let zeros = offset - self.data_len;
        self.entries.push(Entry { bitmap, shard, cardinality, len, offset });
        self.data_len = offset + u64::from(len);
        zeros as usize
    }

    /// Says that bitmap number `index`, which gets nothing else, is the same as number `of`, which
    /// is not an alias.
    pub fn alias(&mut self, index: u32, of: u32) {
        self.aliases.push((index, of));
    }

    /// How many bytes the data takes, zeros between included.
    pub fn data_len(&self) -> u64 {
        self.data_len
    }

    /// The bytes that come before the data, of a bundle of `bitmaps` bitmaps; those that got
    /// nothing are empty.
    ///
    /// # Errors
    /// `TooLarge` for 2^32 shards or more.
    pub fn tables(self, bitmaps: u32) -> Result<Vec<u8>> {
        encode_tables(self.entries, &self.aliases, bitmaps)
    }
}

pub(crate) fn data_start_of(bitmaps: u32, entries: u32) -> usize {
    (HEAD + PLACE * bitmaps as usize + ENTRY * entries as usize).next_multiple_of(ALIGN)
}

/// Where a blob of `len` bytes is put in the data that has `end` bytes.
fn place_of(end: u64, len: u32) -> u64 {
    end.next_multiple_of(if len as usize >= LARGE { ALIGN as u64 } else { 2 })
}

/// Everything of a bundle that comes before its data.
fn encode_tables(mut entries: Vec<Entry>, aliases: &[(u32, u32)], bitmaps: u32) -> Result<Vec<u8>> {
    let count = u32::try_from(entries.len()).map_err(|_| too_many_shards())?;
    entries.sort_unstable_by_key(|entry| (entry.bitmap, entry.shard));
    let data_start = data_start_of(bitmaps, count);
    let mut bytes = Vec::with_capacity(data_start);
    bytes.extend_from_slice(&bitmaps.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&(data_start as u64).to_le_bytes());
    let mut places = vec![(0_u32, 0_u32); bitmaps as usize];
    for (number, entry) in entries.iter().enumerate() {
        if let Some(place) = places.get_mut(entry.bitmap as usize) {
            *place = if place.1 == 0 { (number as u32, 1) } else { (place.0, place.1 + 1) };
        }
    }
    for (index, of) in aliases {
        if let (true, Some(same)) =
            ((*index as usize) < places.len(), places.get(*of as usize).copied())
        {
            places[*index as usize] = same;
        }
    }
    for (first, count) in places {
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
    }
    for entry in &entries {
        bytes.extend_from_slice(
            &(entry.shard << SHARD_BITS | (entry.cardinality - 1)).to_le_bytes(),
        );
        bytes.extend_from_slice(&entry.len.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
    }
    bytes.resize(data_start, 0);
    Ok(bytes)
}

fn too_many_shards() -> Error {
    Error::TooLarge {
        what: "the number of shards of all values".to_owned(),
        limit: u64::from(u32::MAX),
    }
}
