use crate::bundle::{Bundle, BundleBuilder, Stored};
use crate::file::{seal, unseal};
use crate::{Error, Result, SHARD_BITS, SHARD_SIZE};
use bytes::Bytes;
use croaring::Bitmap as Roaring;
use std::ops::RangeInclusive;
use taghouse_model::Ordinal;

mod algebra;
mod portable;

pub use portable::PortablePieces;

const MAGIC: &[u8; 8] = b"TAGHBMAP";

/// An owned set of ordinals, cut in shards.
#[derive(Clone, Default, PartialEq)]
pub struct Bitmap {
    /// Ascending by number; none of them empty.
    shards: Vec<Shard>,
}

/// The part of a set whose ordinals have `number` as their high bits.
#[derive(Clone, PartialEq)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    /// The cardinality, kept for ordering operands.
    pub(crate) len: u32,
    pub(crate) set: Roaring,
}

impl Bitmap {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// From ascending ordinals; an ordinal out of order is taken all the same, only more slowly.
    pub fn from_sorted_iter(ordinals: impl IntoIterator<Item = Ordinal>) -> Self {
        ordinals.into_iter().collect()
    }

    /// From ascending ordinals, each once.
    pub fn from_sorted(ordinals: &[Ordinal]) -> Self {
        if !ordinals.is_sorted_by(|a, b| a < b) {
            return ordinals.iter().copied().collect();
        }
        let shards = ordinals.chunk_by(|a, b| a >> SHARD_BITS == b >> SHARD_BITS);
        Self::from_shards(shards.map(|shard| (shard[0] >> SHARD_BITS, Roaring::of(shard))))
    }

    /// All ordinals of a range, such as `0..=9`.
    pub fn from_range(range: RangeInclusive<Ordinal>) -> Self {
        if range.is_empty() {
            return Self::new();
        }
        let (low, high) = (*range.start(), *range.end());
        Self::from_shards((low >> SHARD_BITS..=high >> SHARD_BITS).map(|number| {
            let first = number << SHARD_BITS;
            (number, Roaring::from_range(low.max(first)..=high.min(first | (SHARD_SIZE - 1))))
        }))
    }

    /// Adds one; whether it is new.
    pub fn insert(&mut self, ordinal: Ordinal) -> bool {
        let number = ordinal >> SHARD_BITS;
        match self.shards.binary_search_by_key(&number, |shard| shard.number) {
            Ok(at) => {
                let new = self.shards[at].set.add_checked(ordinal);
                self.shards[at].len += u32::from(new);
                new
            }
            Err(at) => {
                self.shards.insert(at, Shard { number, len: 1, set: Roaring::of(&[ordinal]) });
                true
            }
        }
    }

    /// Takes one out; whether it was in the set.
    pub fn remove(&mut self, ordinal: Ordinal) -> bool {
        let number = ordinal >> SHARD_BITS;
        let Ok(at) = self.shards.binary_search_by_key(&number, |shard| shard.number) else {
            return false;
        };
        let removed = self.shards[at].set.remove_checked(ordinal);
        self.shards[at].len -= u32::from(removed);
        if self.shards[at].len == 0 {
            self.shards.remove(at);
        }
        removed
    }

    /// Whether `ordinal` is in the set.
    pub fn contains(&self, ordinal: Ordinal) -> bool {
        self.shard(ordinal >> SHARD_BITS).is_some_and(|shard| shard.set.contains(ordinal))
    }

    /// How many ordinals.
    pub fn len(&self) -> u64 {
        self.shards.iter().map(|shard| u64::from(shard.len)).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// The smallest value.
    pub fn min(&self) -> Option<Ordinal> {
        self.shards.first()?.set.minimum()
    }

    /// The largest value.
    pub fn max(&self) -> Option<Ordinal> {
        self.shards.last()?.set.maximum()
    }

    /// All of them, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Ordinal> + '_ {
        self.shards.iter().flat_map(|shard| shard.set.iter())
    }

    /// The next `limit` ordinals that are `from` or more, ascending: a page of an export that holds
    /// no borrow.
    pub fn page(&self, from: Ordinal, limit: usize) -> Vec<Ordinal> {
        let mut page = Vec::with_capacity(limit.min(usize::try_from(self.len()).unwrap_or(limit)));
        let start = self.shards.partition_point(|shard| shard.number < from >> SHARD_BITS);
        for shard in &self.shards[start..] {
            let mut ordinals = shard.set.iter();
            ordinals.reset_at_or_after(from);
            page.extend(ordinals.take(limit - page.len()));
            if page.len() == limit {
                break;
            }
        }
        page
    }

    /// The ordinal at `position`, counted from 0 in ascending order.
    pub fn select(&self, mut position: u64) -> Option<Ordinal> {
        for shard in &self.shards {
            match u32::try_from(position) {
                Ok(position) if position < shard.len => return shard.set.select(position),
                _ => position -= u64::from(shard.len),
            }
        }
        None
    }

    /// The checksummed form of this crate.
    ///
    /// # Errors
    /// None that a bitmap can cause; `TooLarge` is passed on from the form.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bundle = BundleBuilder::new();
        for shard in &self.shards {
            let mut set = shard.set.clone();
            set.run_optimize();
            bundle.push_shard(0, shard.number, &set);
        }
        Ok(seal(MAGIC, &bundle.finish(1)?))
    }

    /// Reads what [`Bitmap::to_bytes`] wrote.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are anything else.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::open(bytes)?.to_bitmap()
    }

    /// What [`Bitmap::to_bytes`] wrote, verified, to be read where it lies: nothing is unpacked,
    /// and one user is found sooner than in a bitmap that can be changed.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are anything else.
    pub fn open(bytes: impl Into<Bytes>) -> Result<Stored> {
        let bundle = Bundle::open(unseal(MAGIC, &bytes.into())?)?;
        if bundle.len() != 1 {
            return Err(Error::corrupt(format!("{} bitmaps instead of one", bundle.len())));
        }
        let stored = bundle.get(0);
        stored.load()?;
        Ok(stored)
    }

    /// Ascending by number; empty ones are left out.
    pub(crate) fn from_shards(shards: impl Iterator<Item = (u32, Roaring)>) -> Self {
        let shards = shards.filter_map(|(number, set)| {
            let len = set.cardinality() as u32;
            (len > 0).then_some(Shard { number, len, set })
        });
        Self { shards: shards.collect() }
    }

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    pub(crate) fn shard(&self, number: u32) -> Option<&Shard> {
        // Most sets have all shards, and a search would touch a cache line at each step.
        match self.shards.get(number as usize) {
            Some(shard) if shard.number == number => Some(shard),
            _ => self
                .shards
                .get(self.shards.binary_search_by_key(&number, |shard| shard.number).ok()?),
        }
    }
}

impl FromIterator<Ordinal> for Bitmap {
    /// In any order, any of them more than once.
    fn from_iter<I: IntoIterator<Item = Ordinal>>(ordinals: I) -> Self {
        let mut ordinals: Vec<Ordinal> = ordinals.into_iter().collect();
        if !ordinals.is_sorted_by(|a, b| a < b) {
            ordinals.sort_unstable();
            ordinals.dedup();
        }
        Self::from_sorted(&ordinals)
    }
}

impl std::fmt::Debug for Bitmap {
    /// The first few ordinals and how many there are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bitmap")
            .field("len", &self.len())
            .field("first", &self.page(0, 16))
            .finish()
    }
}
