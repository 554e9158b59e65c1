//! Many bitmaps in one byte buffer, read in place.
//!
//! ```text
//! bitmaps 4 | entries 4 | start of the data 8 | of each bitmap: first entry 4, how many 4
//! entry of 16: shard << 20 | cardinality - 1: 4, length 4, offset in the data 8; sorted by (bitmap, shard)
//! data: one portable Roaring blob an entry
//! ```
//!
//! Bitmaps that are the same share their entries.
//!
//! Opening reads the tables. Each blob is checked when it is first loaded, so that opening takes no
//! longer for much data.

mod holders;

use crate::blob::Blob;
use crate::encode::ShardEncoder;
use crate::file::{u32_at, u64_at};
use crate::layout::{BundleLayout, ENTRY, HEAD, PLACE, data_start_of};
use crate::region::Region;
use crate::view::view;
use crate::{Bitmap, Error, Result, SHARD_BITS, SHARD_SIZE};
use croaring::{Bitmap as Roaring, Portable};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_model::Ordinal;

/// Writes a [`Bundle`]. Bitmaps are numbered from 0; their shards may come in any order, each once.
#[derive(Default)]
pub struct BundleBuilder {
    layout: BundleLayout,
    data: Vec<u8>,
    encoder: Option<ShardEncoder>,
    lows: Vec<u32>,
}

impl BundleBuilder {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the whole of bitmap `index`.
    pub fn push(&mut self, index: u32, bitmap: &Bitmap) {
        for shard in bitmap.shards() {
            self.push_shard(index, shard.number, &shard.set);
        }
    }

    /// Adds the whole of bitmap `index`, from strictly ascending ordinals.
    pub fn push_sorted(&mut self, index: u32, ordinals: &[Ordinal]) {
        let mut blob = Vec::new();
        let mut encoder = self.encoder.take().unwrap_or_default();
        let mut lows = std::mem::take(&mut self.lows);
        for of_shard in ordinals.chunk_by(|a, b| a >> SHARD_BITS == b >> SHARD_BITS) {
            let shard = of_shard[0] >> SHARD_BITS;
            lows.clear();
            lows.extend(of_shard.iter().map(|ordinal| ordinal & (SHARD_SIZE - 1)));
            blob.clear();
            let cardinality = encoder.encode(shard, &lows, None, &mut blob);
            self.plan(index, shard, cardinality, blob.len());
            self.data.extend_from_slice(&blob);
        }
        (self.encoder, self.lows) = (Some(encoder), lows);
    }

    /// Makes bitmap `index`, which must get nothing else, an alias of `of`, which must not be an
    /// alias.
    pub fn alias(&mut self, index: u32, of: u32) {
        self.layout.alias(index, of);
    }

    /// Adds one shard, in the containers that it has. An empty one is left out.
    pub(crate) fn push_shard(&mut self, bitmap: u32, shard: u32, set: &Roaring) {
        let cardinality = set.cardinality() as u32;
        if cardinality == 0 {
            return;
        }
        self.plan(bitmap, shard, cardinality, set.get_serialized_size_in_bytes::<Portable>());
        let _ = set.serialize_into_vec::<Portable>(&mut self.data);
    }

    fn plan(&mut self, bitmap: u32, shard: u32, cardinality: u32, len: usize) {
        let zeros = self.layout.push(bitmap, shard, cardinality, len as u32);
        self.data.resize(self.data.len() + zeros, 0);
    }

    /// The bytes of a bundle of `bitmaps` bitmaps; those that got nothing are empty.
    ///
    /// # Errors
    /// `TooLarge` for 2^32 shards or more.
    pub fn finish(mut self, bitmaps: u32) -> Result<Vec<u8>> {
        let mut bytes = self.layout.tables(bitmaps)?;
        bytes.append(&mut self.data);
        Ok(bytes)
    }
}

/// Many bitmaps, read out of one byte buffer without copying. Cloning it is cheap.
///
/// Load before reading, with [`Bundle::load`]: what is not loaded reads as empty.
#[derive(Clone)]
pub struct Bundle {
    region: Region,
    bitmaps: u32,
    data_start: usize,
    /// One bit an entry: its bytes are loaded and verified.
    checked: Arc<[AtomicU64]>,
}

impl Bundle {
    /// Checks the tables, which is quick.
    ///
    /// # Errors
    /// `Corrupt` when they cannot be those of a bundle; those of [`Region::load`].
    pub fn open(region: impl Into<Region>) -> Result<Self> {
        let region = region.into();
        let bad = |what: &str| region.corrupt(format!("bundle: {what}"));
        if region.len() < HEAD {
            return Err(bad("too short"));
        }
        region.load(0..HEAD)?;
        let (bitmaps, entries) = (u32_at(region.bytes(), 0), u32_at(region.bytes(), 4));
        let data_start = data_start_of(bitmaps, entries);
        if u64_at(region.bytes(), 8) != data_start as u64 || data_start > region.len() {
            return Err(bad("the tables do not fit"));
        }
        region.load(HEAD..data_start)?;
        let checked = (0..(entries as usize).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let bundle = Self { region: region.clone(), bitmaps, data_start, checked };
        for bitmap in 0..bitmaps {
            let of_bitmap = bundle.entries(bitmap);
            if of_bitmap.end > entries as usize {
                return Err(bad("the entries do not add up"));
            }
            let mut next_shard = 0;
            for index in of_bitmap {
                let shard = bundle.shard_of(index).0;
                if shard < next_shard {
                    return Err(bad("the shards are out of order"));
                }
                next_shard = shard + 1;
                if bundle.blob_bytes(index).is_none() {
                    return Err(bad("a shard lies outside"));
                }
            }
        }
        Ok(bundle)
    }

    /// The number of bitmaps.
    pub fn len(&self) -> u32 {
        self.bitmaps
    }

    /// Whether it has no bitmaps.
    pub fn is_empty(&self) -> bool {
        self.bitmaps == 0
    }

    /// Bitmap number `index`; an empty one if there is none of this number.
    pub fn get(&self, index: u32) -> Stored {
        Stored { bundle: self.clone(), index }
    }

    /// Loads these bitmaps and verifies them. Costs almost nothing for those loaded before.
    ///
    /// # Errors
    /// Those of [`Region::load`]; `Corrupt` for a shard that is not a Roaring bitmap.
    pub fn load(&self, bitmaps: Range<u32>) -> Result<()> {
        bitmaps
            .into_iter()
            .flat_map(|bitmap| self.entries(bitmap))
            .try_for_each(|entry| self.load_entry(entry))
    }

    /// As [`Bundle::load`], for one shard of all bitmaps.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub(crate) fn load_shard(&self, shard: u32) -> Result<()> {
        (0..self.bitmaps)
            .filter_map(|bitmap| self.find(bitmap, shard))
            .try_for_each(|entry| self.load_entry(entry))
    }

    /// Whether bitmap `index` contains `ordinal`: one table lookup, then one bit.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn contains(&self, index: u32, ordinal: Ordinal) -> Result<bool> {
        let Some(entry) = self.find(index, ordinal >> SHARD_BITS) else { return Ok(false) };
        self.load_entry(entry)?;
        Ok(self.blob_of(entry).is_some_and(|(_, blob)| blob.contains(ordinal)))
    }

    /// The cardinality of bitmap `index`, from the table.
    pub fn cardinality(&self, index: u32) -> u64 {
        self.entries(index).map(|entry| u64::from(self.shard_of(entry).1)).sum()
    }

    fn entries(&self, bitmap: u32) -> Range<usize> {
        if bitmap >= self.bitmaps {
            return 0..0;
        }
        let at = HEAD + PLACE * bitmap as usize;
        let first = u32_at(self.region.bytes(), at) as usize;
        first..first + u32_at(self.region.bytes(), at + 4) as usize
    }

    fn entry_at(&self, index: usize) -> usize {
        HEAD + PLACE * self.bitmaps as usize + ENTRY * index
    }

    /// Shard and cardinality.
    fn shard_of(&self, index: usize) -> (u32, u32) {
        let packed = u32_at(self.region.bytes(), self.entry_at(index));
        (packed >> SHARD_BITS, (packed & (SHARD_SIZE - 1)) + 1)
    }

    fn blob_range(&self, index: usize) -> Option<Range<usize>> {
        let at = self.entry_at(index);
        let len = u32_at(self.region.bytes(), at + 4) as usize;
        let start = usize::try_from(u64_at(self.region.bytes(), at + 8))
            .ok()?
            .checked_add(self.data_start)?;
        Some(start..start.checked_add(len)?)
    }

    fn blob_bytes(&self, index: usize) -> Option<&[u8]> {
        self.region.bytes().get(self.blob_range(index)?)
    }

    fn load_entry(&self, index: usize) -> Result<()> {
        if self.is_checked(index) {
            return Ok(());
        }
        let range = self
            .blob_range(index)
            .ok_or_else(|| self.region.corrupt("bundle: a shard lies outside"))?;
        self.region.load(range)?;
        let (shard, cardinality) = self.shard_of(index);
        Blob::check(self.blob_bytes(index).unwrap_or_default(), shard, cardinality).map_err(
            |error| match error {
                Error::Corrupt { detail, .. } => self.region.corrupt(detail),
                other => other,
            },
        )?;
        if let Some(word) = self.checked.get(index / 64) {
            word.fetch_or(1 << (index % 64), Ordering::Release);
        }
        Ok(())
    }

    fn is_checked(&self, index: usize) -> bool {
        self.checked
            .get(index / 64)
            .is_some_and(|word| word.load(Ordering::Acquire) >> (index % 64) & 1 == 1)
    }

    /// The index of the entry of `shard` in bitmap `index`; at once for a bitmap that has all
    /// shards, or all from its first to this one.
    fn find(&self, index: u32, shard: u32) -> Option<usize> {
        let entries = self.entries(index);
        let is_of_shard = |entry: usize| entry < entries.end && self.shard_of(entry).0 == shard;
        let likely = entries.start + shard as usize;
        if is_of_shard(likely) {
            return Some(likely);
        }
        if entries.is_empty() {
            return None;
        }
        let likely = entries.start + shard.checked_sub(self.shard_of(entries.start).0)? as usize;
        if is_of_shard(likely) {
            return Some(likely);
        }
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

    /// Cardinality and bytes of one shard of bitmap `index`, which was loaded; `None` where it is
    /// empty.
    pub(crate) fn blob(&self, index: u32, shard: u32) -> Option<(u32, Blob<'_>)> {
        self.blob_of(self.find(index, shard)?)
    }

    fn blob_of(&self, entry: usize) -> Option<(u32, Blob<'_>)> {
        // Views are only made of bytes that were checked, even if a caller forgot to load them.
        let checked = self.is_checked(entry);
        debug_assert!(checked, "a shard is read that was not loaded");
        if checked {
            Some((self.shard_of(entry).1, Blob::checked(self.blob_bytes(entry)?)))
        } else {
            None
        }
    }

    /// The cardinality of one shard of bitmap `index`, from the table; 0 where it is empty.
    pub(crate) fn shard_len(&self, index: u32, shard: u32) -> u32 {
        self.find(index, shard).map_or(0, |entry| self.shard_of(entry).1)
    }
}

/// One bitmap of a [`Bundle`]. Cloning it is cheap.
#[derive(Clone)]
pub struct Stored {
    bundle: Bundle,
    index: u32,
}

impl Stored {
    /// The number of ordinals, from the table.
    pub fn len(&self) -> u64 {
        self.bundle.cardinality(self.index)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bundle.entries(self.index).is_empty()
    }

    /// Number, cardinality and portable form of each shard, ascending: what [`BundleLayout::push`]
    /// takes, to copy shards as they are.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn portable_shards(&self) -> Result<impl Iterator<Item = (u32, u32, &[u8])>> {
        self.load()?;
        Ok(self.blobs().map(|(shard, cardinality, blob)| (shard, cardinality, blob.bytes())))
    }

    /// See [`Bundle::load`].
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn load(&self) -> Result<()> {
        self.bundle.load(self.index..self.index.saturating_add(1))
    }

    /// Whether it contains `ordinal`: one table lookup, then one bit.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn contains(&self, ordinal: Ordinal) -> Result<bool> {
        self.bundle.contains(self.index, ordinal)
    }

    /// The rank of `ordinal`: how many of its ordinals are smaller. `None` when it does not contain
    /// `ordinal`.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn position(&self, ordinal: Ordinal) -> Result<Option<u64>> {
        let mut before = 0;
        for entry in self.bundle.entries(self.index) {
            let (shard, cardinality) = self.bundle.shard_of(entry);
            if shard == ordinal >> SHARD_BITS {
                self.bundle.load_entry(entry)?;
                let blob = self.bundle.blob_of(entry);
                return Ok(blob
                    .and_then(|(_, blob)| view(blob).position(ordinal))
                    .map(|position| before + u64::from(position)));
            }
            before += u64::from(cardinality);
        }
        Ok(None)
    }

    /// An owned copy.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn to_bitmap(&self) -> Result<Bitmap> {
        self.load()?;
        Ok(Bitmap::from_shards(
            self.blobs().map(|(shard, _, blob)| (shard, view(blob).to_bitmap())),
        ))
    }

    /// Whether it is a subset of `other`.
    ///
    /// # Errors
    /// As [`Bundle::load`].
    pub fn is_subset(&self, other: &Bitmap) -> Result<bool> {
        self.load()?;
        Ok(self.blobs().all(|(shard, cardinality, blob)| {
            // All of a shard is the common case of the users that exist, and of croaring's
            // comparisons the slowest.
            other.shard(shard).is_some_and(|other| {
                other.len == SHARD_SIZE
                    || cardinality <= other.len && view(blob).is_subset(&other.set)
            })
        }))
    }

    /// Cardinality and bytes of one shard, which was loaded.
    pub(crate) fn blob(&self, shard: u32) -> Option<(u32, Blob<'_>)> {
        self.bundle.blob(self.index, shard)
    }

    /// The cardinality of one shard, from the table.
    pub(crate) fn shard_len(&self, shard: u32) -> u32 {
        self.bundle.shard_len(self.index, shard)
    }

    /// Shard and cardinality of all shards, from the table, ascending.
    pub(crate) fn shard_lens(&self) -> impl Iterator<Item = (u32, u32)> {
        self.bundle.entries(self.index).map(|entry| self.bundle.shard_of(entry))
    }

    /// Shard, cardinality and bytes of all shards, which were loaded, ascending.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (u32, u32, Blob<'_>)> {
        self.bundle.entries(self.index).filter_map(|entry| {
            let (shard, _) = self.bundle.shard_of(entry);
            let (cardinality, blob) = self.bundle.blob_of(entry)?;
            Some((shard, cardinality, blob))
        })
    }
}

impl Stored {
    /// The same for two only if they are the same bitmap of the same bundle. Valid while one of
    /// them lives.
    pub(crate) fn identity(&self) -> (usize, usize) {
        (
            Arc::as_ptr(&self.bundle.checked).cast::<AtomicU64>().addr(),
            self.bundle.entries(self.index).start,
        )
    }
}
