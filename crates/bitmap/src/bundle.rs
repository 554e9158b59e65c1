//! Many bitmaps in one byte buffer, read where they lie.
//!
//! ```text
//! bitmaps 4 | entries 4 | start of the data 8 | first entry of each bitmap, and the end: 4 each
//! entry of 16: shard << 20 | cardinality - 1: 4, length 4, offset in the data 8; sorted by (bitmap, shard)
//! data: one portable Roaring blob an entry
//! ```

use crate::blob::Blob;
use crate::file::{ALIGN, u32_at, u64_at};
use crate::view::view;
use crate::{Bitmap, Error, Result, SHARD_BITS, SHARD_SIZE};
use bytes::Bytes;
use croaring::{Bitmap as Roaring, Portable};
use taghouse_model::Ordinal;

const HEAD: usize = 16;
const ENTRY: usize = 16;
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

/// Writes a [`Bundle`]. Bitmaps are numbered from 0; their shards may come in any order, each once.
#[derive(Default)]
pub struct BundleBuilder {
    entries: Vec<Entry>,
    data: Vec<u8>,
}

impl BundleBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bitmap number `index` whole.
    pub fn push(&mut self, index: u32, bitmap: &Bitmap) {
        for shard in bitmap.shards() {
            self.push_shard(index, shard.number, &shard.set);
        }
    }

    /// Adds bitmap number `index` whole, from ascending ordinals, each once.
    pub fn push_sorted(&mut self, index: u32, ordinals: &[Ordinal]) {
        for shard in ordinals.chunk_by(|a, b| a >> SHARD_BITS == b >> SHARD_BITS) {
            let mut set = Roaring::of(shard);
            set.run_optimize();
            self.push_shard(index, shard[0] >> SHARD_BITS, &set);
        }
    }

    /// Adds one shard, in the containers that it has. An empty one is left out.
    pub(crate) fn push_shard(&mut self, bitmap: u32, shard: u32, set: &Roaring) {
        let cardinality = set.cardinality() as u32;
        if cardinality == 0 {
            return;
        }
        let len = set.get_serialized_size_in_bytes::<Portable>();
        let align = if len >= LARGE { ALIGN } else { 2 };
        let offset = self.data.len().next_multiple_of(align);
        self.data.resize(offset, 0);
        let _ = set.serialize_into_vec::<Portable>(&mut self.data);
        self.entries.push(Entry { bitmap, shard, cardinality, len: len as u32, offset: offset as u64 });
    }

    /// The bytes of a bundle of `bitmaps` bitmaps; those that got nothing are empty.
    ///
    /// # Errors
    /// `TooLarge` for 2^32 shards or more.
    pub fn finish(mut self, bitmaps: u32) -> Result<Vec<u8>> {
        let entries = u32::try_from(self.entries.len())
            .map_err(|_| Error::TooLarge { what: "the number of shards of all values".to_owned(), limit: u64::from(u32::MAX) })?;
        self.entries.sort_by_key(|entry| (entry.bitmap, entry.shard));
        let data_start = (HEAD + 4 * (bitmaps as usize + 1) + ENTRY * self.entries.len()).next_multiple_of(ALIGN);
        let mut bytes = Vec::with_capacity(data_start + self.data.len());
        bytes.extend_from_slice(&bitmaps.to_le_bytes());
        bytes.extend_from_slice(&entries.to_le_bytes());
        bytes.extend_from_slice(&(data_start as u64).to_le_bytes());
        let mut first = 0;
        for bitmap in 0..=bitmaps {
            while self.entries.get(first).is_some_and(|entry| entry.bitmap < bitmap) {
                first += 1;
            }
            bytes.extend_from_slice(&(first as u32).to_le_bytes());
        }
        for entry in &self.entries {
            bytes.extend_from_slice(&(entry.shard << SHARD_BITS | (entry.cardinality - 1)).to_le_bytes());
            bytes.extend_from_slice(&entry.len.to_le_bytes());
            bytes.extend_from_slice(&entry.offset.to_le_bytes());
        }
        bytes.resize(data_start, 0);
        bytes.extend_from_slice(&self.data);
        Ok(bytes)
    }
}

/// Many bitmaps, read out of one byte buffer without copying. Cloning it is cheap.
#[derive(Clone)]
pub struct Bundle {
    bytes: Bytes,
    bitmaps: u32,
    data_start: usize,
}

impl Bundle {
    /// Checks tables and heads, which is quick. That the bytes are those that were written is to be checked before (see [`crate::unseal`]).
    ///
    /// # Errors
    /// `Corrupt` when they cannot be a bundle.
    pub fn open(bytes: Bytes) -> Result<Self> {
        let bad = |what: &str| Error::corrupt(format!("bundle: {what}"));
        if bytes.len() < HEAD {
            return Err(bad("too short"));
        }
        let (bitmaps, entries) = (u32_at(&bytes, 0), u32_at(&bytes, 4));
        let data_start = (HEAD + 4 * (bitmaps as usize + 1) + ENTRY * entries as usize).next_multiple_of(ALIGN);
        if u64_at(&bytes, 8) != data_start as u64 || data_start > bytes.len() {
            return Err(bad("the tables do not fit"));
        }
        let bundle = Self { bytes, bitmaps, data_start };
        if bundle.first(0) != 0 || bundle.first(bitmaps) != entries as usize {
            return Err(bad("the entries do not add up"));
        }
        for bitmap in 0..bitmaps {
            let (first, end) = (bundle.first(bitmap), bundle.first(bitmap + 1));
            if first > end || end > entries as usize {
                return Err(bad("the entries are out of order"));
            }
            let mut next_shard = 0;
            for index in first..end {
                let (shard, cardinality) = bundle.shard_of(index);
                if shard < next_shard {
                    return Err(bad("the shards are out of order"));
                }
                next_shard = shard + 1;
                let blob = bundle.blob_bytes(index).ok_or_else(|| bad("a shard lies outside"))?;
                Blob::check(blob, shard, cardinality)?;
            }
        }
        Ok(bundle)
    }

    /// How many bitmaps it holds.
    pub fn len(&self) -> u32 {
        self.bitmaps
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.bitmaps == 0
    }

    /// Bitmap number `index`; an empty one if there is none of this number.
    pub fn get(&self, index: u32) -> Stored {
        Stored { bundle: self.clone(), index }
    }

    /// Whether bitmap `index` holds `ordinal`: one look at the table, then one bit.
    pub fn contains(&self, index: u32, ordinal: Ordinal) -> bool {
        self.blob(index, ordinal >> SHARD_BITS).is_some_and(|(_, blob)| blob.contains(ordinal))
    }

    /// The cardinality of bitmap `index`, from the table.
    pub fn cardinality(&self, index: u32) -> u64 {
        self.entries(index).map(|entry| u64::from(self.shard_of(entry).1)).sum()
    }

    fn first(&self, bitmap: u32) -> usize {
        u32_at(&self.bytes, HEAD + 4 * bitmap as usize) as usize
    }

    fn entries(&self, bitmap: u32) -> std::ops::Range<usize> {
        if bitmap < self.bitmaps { self.first(bitmap)..self.first(bitmap + 1) } else { 0..0 }
    }

    fn entry_at(&self, index: usize) -> usize {
        HEAD + 4 * (self.bitmaps as usize + 1) + ENTRY * index
    }

    /// Shard and cardinality.
    fn shard_of(&self, index: usize) -> (u32, u32) {
        let packed = u32_at(&self.bytes, self.entry_at(index));
        (packed >> SHARD_BITS, (packed & (SHARD_SIZE - 1)) + 1)
    }

    fn blob_bytes(&self, index: usize) -> Option<&[u8]> {
        let at = self.entry_at(index);
        let len = u32_at(&self.bytes, at + 4) as usize;
        let start = usize::try_from(u64_at(&self.bytes, at + 8)).ok()?.checked_add(self.data_start)?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    /// The index of the entry of `shard` in bitmap `index`.
    fn find(&self, index: u32, shard: u32) -> Option<usize> {
        let entries = self.entries(index);
        let (mut low, mut high) = (entries.start, entries.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.shard_of(middle).0;
            if found == shard {
                return Some(middle);
            }
            if found < shard { low = middle + 1 } else { high = middle }
        }
        None
    }

    /// Cardinality and bytes of one shard of bitmap `index`; `None` where it is empty.
    pub(crate) fn blob(&self, index: u32, shard: u32) -> Option<(u32, Blob<'_>)> {
        let entry = self.find(index, shard)?;
        // `open` has checked every blob of the table.
        Some((self.shard_of(entry).1, Blob::checked(self.blob_bytes(entry)?)))
    }
}

/// One bitmap of a [`Bundle`]. Cloning it is cheap.
#[derive(Clone)]
pub struct Stored {
    bundle: Bundle,
    index: u32,
}

impl Stored {
    /// How many ordinals, from the table.
    pub fn len(&self) -> u64 {
        self.bundle.cardinality(self.index)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bundle.entries(self.index).is_empty()
    }

    /// Whether `ordinal` is in it: one look at the table, then one bit.
    pub fn contains(&self, ordinal: Ordinal) -> bool {
        self.bundle.contains(self.index, ordinal)
    }

    /// How many ordinals of it come before `ordinal`; `None` when that is not in it.
    pub fn position(&self, ordinal: Ordinal) -> Option<u64> {
        let mut before = 0;
        for (shard, cardinality, blob) in self.blobs() {
            if shard == ordinal >> SHARD_BITS {
                return view(blob).position(ordinal).map(|position| before + u64::from(position));
            }
            before += u64::from(cardinality);
        }
        None
    }

    /// An owned copy.
    pub fn to_bitmap(&self) -> Bitmap {
        Bitmap::from_shards(self.blobs().map(|(shard, _, blob)| (shard, view(blob).to_bitmap())))
    }

    /// Whether all of it is in `other`.
    pub fn is_subset(&self, other: &Bitmap) -> bool {
        self.blobs().all(|(shard, cardinality, blob)| {
            other.shard(shard).is_some_and(|other| cardinality <= other.len && view(blob).is_subset(&other.set))
        })
    }

    /// Cardinality and bytes of one shard.
    pub(crate) fn blob(&self, shard: u32) -> Option<(u32, Blob<'_>)> {
        self.bundle.blob(self.index, shard)
    }

    /// Shard, cardinality and bytes of all shards, ascending.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (u32, u32, Blob<'_>)> {
        self.bundle.entries(self.index).filter_map(|entry| {
            let (shard, cardinality) = self.bundle.shard_of(entry);
            Some((shard, cardinality, Blob::checked(self.bundle.blob_bytes(entry)?)))
        })
    }
}
