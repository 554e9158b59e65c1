//! The portable form of one shard, read in place: <https://github.com/RoaringBitmap/RoaringFormatSpec>.
//!
//! Croaring does the algebra. What is read here without it: bounds before a view is made, single
//! bits (a view costs 50 ns, a bit 10), and the words of bit slices.

mod check;
mod search;

use crate::file::{u16_at, u32_at, u64_at};
use crate::prefetch::{LINE, prefetch};
use crate::vector::{LANES, Simd, VectorLoop, WORD_BITS, fastest};
use crate::{SHARD_BITS, popcount};
use search::{find, near};

pub(crate) const COOKIE_NO_RUNS: u32 = 12346;
pub(crate) const COOKIE_RUNS: u16 = 12347;
/// With runs, the offsets are written from this many containers on.
pub(crate) const OFFSETS_FROM: usize = 4;
/// The most values of an array container.
pub(crate) const ARRAY_MAX: usize = 4096;
/// A container spans 2^16 values.
pub(crate) const CONTAINER_BITS: u32 = 16;
/// Containers of a shard.
pub(crate) const CONTAINERS: usize = 1 << (SHARD_BITS - CONTAINER_BITS);
pub(crate) const WORDS: usize = 1024;
const BITSET_BYTES: usize = WORDS * 8;

/// The bits of one container.
pub(crate) type Words = [u64; WORDS];

/// One shard's portable bytes, of which [`Blob::check`] was once asked (when its bundle was
/// opened), or which were made here.
#[derive(Clone, Copy)]
pub(crate) struct Blob<'a>(&'a [u8]);

/// Where the parts of the head lie.
struct BlobHeader<'a> {
    containers: usize,
    run_flags: &'a [u8],
    descriptors: usize,
    offsets: Option<usize>,
    data: usize,
}

/// A container's bytes in place.
#[derive(Clone, Copy)]
pub(crate) enum Container<'a> {
    /// Sorted values, two bytes each.
    Array(&'a [u8]),
    /// 8192 bytes.
    Bits(&'a [u8]),
    /// Start and length − 1, two bytes each.
    Runs(&'a [u8]),
}

impl<'a> Blob<'a> {
    /// Takes bytes that were checked before (see the type), and are not changed while this lives.
    pub(crate) fn checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    fn head(self) -> Option<BlobHeader<'a>> {
        let cookie = self.0.get(..4).map(|_| u32_at(self.0, 0))?;
        if cookie == COOKIE_NO_RUNS {
            let containers = self.0.get(4..8).map(|_| u32_at(self.0, 4) as usize)?;
            if containers > CONTAINERS {
                return None;
            }
            return Some(BlobHeader {
                containers,
                run_flags: &[],
                descriptors: 8,
                offsets: Some(8 + 4 * containers),
                data: 8 + 8 * containers,
            });
        }
        if cookie as u16 != COOKIE_RUNS {
            return None;
        }
        let containers = (cookie >> 16) as usize + 1;
        let descriptors = 4 + containers.div_ceil(8);
        let run_flags = self.0.get(4..descriptors)?;
        let end = descriptors + 4 * containers;
        Some(if containers >= OFFSETS_FROM {
            BlobHeader {
                containers,
                run_flags,
                descriptors,
                offsets: Some(end),
                data: end + 4 * containers,
            }
        } else {
            BlobHeader { containers, run_flags, descriptors, offsets: None, data: end }
        })
    }

    /// Key and cardinality.
    fn descriptor(self, head: &BlobHeader<'_>, index: usize) -> (u16, usize) {
        let at = head.descriptors + 4 * index;
        (u16_at(self.0, at), usize::from(u16_at(self.0, at + 2)) + 1)
    }

    fn is_run(head: &BlobHeader<'_>, index: usize) -> bool {
        head.run_flags.get(index / 8).is_some_and(|flags| flags >> (index % 8) & 1 == 1)
    }

    fn len_at(self, head: &BlobHeader<'_>, index: usize, count: usize, at: usize) -> usize {
        if Self::is_run(head, index) {
            2 + 4 * usize::from(u16_at(self.0, at))
        } else if count > ARRAY_MAX {
            BITSET_BYTES
        } else {
            2 * count
        }
    }

    fn container_at(self, head: &BlobHeader<'_>, index: usize) -> Option<Container<'a>> {
        let at = match head.offsets {
            Some(offsets) => u32_at(self.0, offsets + 4 * index) as usize,
            None => (0..index).fold(head.data, |at, before| {
                at + self.len_at(head, before, self.descriptor(head, before).1, at)
            }),
        };
        let count = self.descriptor(head, index).1;
        let bytes = self.0.get(at..at + self.len_at(head, index, count, at))?;
        Some(if Self::is_run(head, index) {
            Container::Runs(bytes.get(2..)?)
        } else if count > ARRAY_MAX {
            Container::Bits(bytes)
        } else {
            Container::Array(bytes)
        })
    }

    /// The container of the values whose high 16 bits are `key`.
    pub(crate) fn container(self, key: u16) -> Option<Container<'a>> {
        let head = self.head()?;
        // In a full shard a container's number is its key's low bits.
        let likely = usize::from(key) % CONTAINERS;
        let index = if likely < head.containers && self.descriptor(&head, likely).0 == key {
            likely
        } else {
            (0..head.containers).find(|&index| self.descriptor(&head, index).0 >= key)?
        };
        if self.descriptor(&head, index).0 != key {
            return None;
        }
        self.container_at(&head, index)
    }

    /// Key, cardinality and bytes of every container, ascending.
    pub(crate) fn containers(self) -> impl Iterator<Item = (u16, usize, Container<'a>)> {
        self.head().into_iter().flat_map(move |head| {
            (0..head.containers).filter_map(move |index| {
                let (key, count) = self.descriptor(&head, index);
                Some((key, count, self.container_at(&head, index)?))
            })
        })
    }

    pub(crate) fn contains(self, ordinal: u32) -> bool {
        self.container((ordinal >> CONTAINER_BITS) as u16)
            .is_some_and(|container| container.contains(ordinal as u16))
    }
}

impl Container<'_> {
    /// Whether it is a run of everything; another form of everything may go unseen.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Runs([0, 0, 0xFF, 0xFF, ..]))
    }

    /// Asks for the memory that [`Container::contains`] reads, or is likely to.
    pub(crate) fn prefetch(&self, low: u16) {
        match self {
            Self::Bits(bits) => prefetch(bits, usize::from(low / 64) * 8),
            Self::Array(bytes) => {
                let near = near(bytes.len() / 2, low);
                prefetch(bytes, 2 * near.start);
                prefetch(bytes, (2 * near.end).saturating_sub(2));
            }
            Self::Runs(bytes) => {
                prefetch(bytes, (bytes.len() * usize::from(low)) >> CONTAINER_BITS)
            }
        }
    }

    /// Asks for its first bytes: what follows a processor asks for by itself.
    pub(crate) fn prefetch_start(&self) {
        let (Self::Bits(bytes) | Self::Array(bytes) | Self::Runs(bytes)) = self;
        (0..3).for_each(|line| prefetch(bytes, line * LINE));
    }

    pub(crate) fn contains(&self, low: u16) -> bool {
        match self {
            Self::Bits(bits) => u64_at(bits, usize::from(low / 64) * 8) >> (low % 64) & 1 == 1,
            Self::Array(values) => find(values.as_chunks::<2>().0, low),
            Self::Runs(runs) => {
                let (runs, _) = runs.as_chunks::<4>();
                let after = runs.partition_point(|run| u16_at(run, 0) <= low);
                after > 0 && low - u16_at(&runs[after - 1], 0) <= u16_at(&runs[after - 1], 2)
            }
        }
    }

    /// `into |= self`
    pub(crate) fn or_into(&self, into: &mut Words) {
        match self {
            Self::Bits(bits) => into
                .iter_mut()
                .zip(bits.as_chunks::<8>().0)
                .for_each(|(a, b)| *a |= u64::from_le_bytes(*b)),
            Self::Array(values) => {
                for value in values.as_chunks::<2>().0 {
                    let low = u16::from_le_bytes(*value);
                    into[usize::from(low / 64)] |= 1 << (low % 64);
                }
            }
            Self::Runs(runs) => {
                for run in runs.as_chunks::<4>().0 {
                    let start = usize::from(u16_at(run, 0));
                    set_run(into, start, (start + usize::from(u16_at(run, 2))).min(WORDS * 64 - 1));
                }
            }
        }
    }

    /// The words of the dense form.
    pub(crate) fn words(&self) -> Words {
        let mut words = [0; WORDS];
        self.or_into(&mut words);
        words
    }
}

fn set_run(words: &mut Words, start: usize, last: usize) {
    let (first_word, last_word) = (start / 64, last / 64);
    let (head, tail) = (!0 << (start % 64), !0 >> (63 - last % 64));
    if first_word == last_word {
        words[first_word] |= head & tail;
        return;
    }
    words[first_word] |= head;
    // Most runs that are short end in the next word, and filling nothing takes longer than both
    // ends.
    if last_word > first_word + 1 {
        words[first_word + 1..last_word].fill(!0);
    }
    words[last_word] |= tail;
}

/// Writes a shard's portable form out of containers' words: into `into`, from its beginning.
/// Containers lie at fixed places from `8 + 8 × CONTAINERS` on, which the form's offsets allow.
pub(crate) struct BlobWriter<'b> {
    into: &'b mut Vec<u8>,
    descriptors: [(u16, u32, u32); CONTAINERS],
    containers: usize,
    cardinality: u32,
}

impl<'b> BlobWriter<'b> {
    pub(crate) fn new(into: &'b mut Vec<u8>) -> Self {
        into.clear();
        into.resize(8 + 8 * CONTAINERS, 0);
        Self { into, descriptors: [(0, 0, 0); CONTAINERS], containers: 0, cardinality: 0 }
    }

    /// Keys must ascend, at most 16 of them. Empty words are left out.
    pub(crate) fn push(&mut self, key: u16, words: &Words) {
        self.push_counted(key, words, popcount::count(words) as u32);
    }

    /// As [`BlobWriter::push`], of words of which `count` bits are set.
    pub(crate) fn push_counted(&mut self, key: u16, words: &Words, count: u32) {
        if count == 0 || self.containers == CONTAINERS {
            return;
        }
        self.descriptors[self.containers] = (key, count, self.into.len() as u32);
        self.containers += 1;
        self.cardinality += count;
        if count as usize > ARRAY_MAX {
            let start = self.into.len();
            self.into.resize(start + BITSET_BYTES, 0);
            for (to, word) in self.into[start..].as_chunks_mut::<8>().0.iter_mut().zip(words) {
                *to = word.to_le_bytes();
            }
            return;
        }
        let start = self.into.len();
        self.into.resize(start + 2 * (count as usize + WORD_BITS), 0);
        fastest(Values { words, into: self.into[start..].as_chunks_mut().0 });
        self.into.truncate(start + 2 * count as usize);
    }

    /// How many values were written; with none the bytes are not a blob.
    pub(crate) fn finish(self) -> u32 {
        let head = self.into;
        head[..4].copy_from_slice(&COOKIE_NO_RUNS.to_le_bytes());
        head[4..8].copy_from_slice(&(self.containers as u32).to_le_bytes());
        for (index, (key, count, offset)) in self.descriptors[..self.containers].iter().enumerate()
        {
            let at = 8 + 4 * index;
            head[at..at + 2].copy_from_slice(&key.to_le_bytes());
            head[at + 2..at + 4].copy_from_slice(&((count - 1) as u16).to_le_bytes());
            let at = 8 + 4 * self.containers + 4 * index;
            head[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        }
        self.cardinality
    }
}

/// Writes the values of words, as many as there is room for. A word's are written as if it had all:
/// there must be room for `WORD_BITS` more.
struct Values<'a> {
    words: &'a Words,
    into: &'a mut [[u8; 2]],
}

impl VectorLoop for Values<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut at = 0;
        for (line, words) in self.words.as_chunks::<LANES>().0.iter().enumerate() {
            if !simd.any(simd.load(words)) {
                continue;
            }
            for (index, word) in words.iter().enumerate().filter(|(_, word)| **word != 0) {
                let Some(into) = self.into.get_mut(at..).and_then(|into| into.first_chunk_mut())
                else {
                    return;
                };
                simd.positions(*word, ((line * LANES + index) * WORD_BITS) as u16, into);
                at += word.count_ones() as usize;
            }
        }
    }
}
