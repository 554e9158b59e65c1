//! A set of one shard, to be filled in any order.

use super::ascending::encode_ascending;
use super::container_form::{BlobHeader, Descriptor, Form, RunWriter, write_bits};
use crate::SHARD_SIZE;
use crate::blob::{CONTAINERS, WORDS};

const SHARD_WORDS: usize = SHARD_SIZE as usize / 64;
/// Words of which one bit each says whether a word of the set has any.
const TOUCHED: usize = SHARD_WORDS / 64;
pub(super) const TOUCHED_PER_CONTAINER: usize = TOUCHED / CONTAINERS;

/// A set within one shard that is filled, written and emptied again, in time that depends on what
/// is in it. Ordinals count from the shard's first: below 2^20.
pub struct ShardEncoder {
    pub(super) words: Box<[u64; SHARD_WORDS]>,
    pub(super) touched: Box<[u64; TOUCHED]>,
}

impl Default for ShardEncoder {
    fn default() -> Self {
        Self { words: Box::new([0; SHARD_WORDS]), touched: Box::new([0; TOUCHED]) }
    }
}

impl ShardEncoder {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one ordinal of the shard, below 2^20.
    #[inline]
    pub fn insert(&mut self, low: u32) {
        let low = low as usize % SHARD_SIZE as usize;
        self.words[low / 64] |= 1 << (low % 64);
        self.touched[low / 4096] |= 1 << (low / 64 % 64);
    }

    /// Adds all that is in `other`.
    pub fn union(&mut self, other: &Self) {
        for (at, touched) in other.touched.iter().enumerate() {
            self.touched[at] |= touched;
            let mut rest = *touched;
            while rest != 0 {
                let word = at * 64 + rest.trailing_zeros() as usize;
                self.words[word] |= other.words[word];
                rest &= rest - 1;
            }
        }
    }

    /// Whether ordinal `low` of the shard is in it.
    pub fn contains(&self, low: u32) -> bool {
        let low = low as usize % SHARD_SIZE as usize;
        self.words[low / 64] >> (low % 64) & 1 == 1
    }

    pub(crate) fn set_word(&mut self, word: usize, bits: u64) {
        self.words[word] = bits;
        self.touched[word / 64] |= u64::from(bits != 0) << (word % 64);
    }

    /// Appends the set as the portable form of shard number `shard`, and empties it. Gives its
    /// cardinality; an empty set appends nothing.
    pub fn take(&mut self, shard: u32, into: &mut Vec<u8>) -> u32 {
        self.take_with(shard, into, |_, _| ())
    }

    /// `each` gets the place and the bits of every word.
    fn take_with(
        &mut self,
        shard: u32,
        into: &mut Vec<u8>,
        mut each: impl FnMut(usize, u64),
    ) -> u32 {
        let mut head = BlobHeader::new();
        for container in 0..CONTAINERS {
            let (mut cardinality, mut runs) = (0, 0);
            for at in container * TOUCHED_PER_CONTAINER..(container + 1) * TOUCHED_PER_CONTAINER {
                let mut rest = self.touched[at];
                while rest != 0 {
                    let place = at * 64 + rest.trailing_zeros() as usize;
                    let word = self.words[place];
                    let before =
                        if place.is_multiple_of(WORDS) { 0 } else { self.words[place - 1] >> 63 };
                    cardinality += word.count_ones();
                    runs += (word & !(word << 1 | before)).count_ones();
                    each(place, word);
                    rest &= rest - 1;
                }
            }
            if cardinality > 0 {
                head.push(Descriptor {
                    container,
                    cardinality: cardinality as usize,
                    runs: runs as usize,
                });
            }
        }
        if head.is_empty() {
            return 0;
        }
        let cardinality = head.write(shard, into);
        head.all().iter().for_each(|descriptor| self.take_container(descriptor, into));
        cardinality
    }

    /// Appends the set of `lows`, in any order and any of them more than once, as the portable form
    /// of shard number `shard`; adds it to `union`. Expects this set to be empty, and leaves it
    /// so. Gives the cardinality.
    pub fn encode(
        &mut self,
        shard: u32,
        lows: &[u32],
        union: Option<&mut Self>,
        into: &mut Vec<u8>,
    ) -> u32 {
        if lows.is_sorted_by(|a, b| a < b) {
            if let Some(union) = union {
                lows.iter().for_each(|low| union.insert(*low));
            }
            return encode_ascending(shard, lows, into);
        }
        lows.iter().for_each(|low| self.insert(*low));
        match union {
            None => self.take(shard, into),
            Some(union) => self.take_with(shard, into, |place, word| {
                union.words[place] |= word;
                union.touched[place / 64] |= 1 << (place % 64);
            }),
        }
    }

    /// Gives `each` the words of one container that have bits, and their place within it, and
    /// clears them.
    fn take_words(&mut self, container: usize, mut each: impl FnMut(usize, u64)) {
        for at in 0..TOUCHED_PER_CONTAINER {
            let mut rest =
                std::mem::take(&mut self.touched[container * TOUCHED_PER_CONTAINER + at]);
            while rest != 0 {
                let place = at * 64 + rest.trailing_zeros() as usize;
                each(place, std::mem::take(&mut self.words[container * WORDS + place]));
                rest &= rest - 1;
            }
        }
    }

    fn take_container(&mut self, descriptor: &Descriptor, into: &mut Vec<u8>) {
        let container = descriptor.container;
        match descriptor.form() {
            Form::Array => {
                let start = into.len();
                into.resize(start + 2 * descriptor.cardinality, 0);
                let mut places = into[start..].as_chunks_mut::<2>().0.iter_mut();
                self.take_words(container, |at, mut rest| {
                    while rest != 0 {
                        if let Some(place) = places.next() {
                            *place =
                                ((at * 64) as u16 + rest.trailing_zeros() as u16).to_le_bytes();
                        }
                        rest &= rest - 1;
                    }
                });
            }
            Form::Bits => {
                let words = container * WORDS..(container + 1) * WORDS;
                write_bits(&self.words[words.clone()], into);
                self.words[words].fill(0);
                self.touched[container * TOUCHED_PER_CONTAINER..][..TOUCHED_PER_CONTAINER].fill(0);
            }
            Form::Runs => {
                let mut writer = RunWriter::new(descriptor.runs, into);
                self.take_words(container, |at, mut rest| {
                    while rest != 0 {
                        let start = rest.trailing_zeros();
                        let ones = (!(rest >> start)).trailing_zeros();
                        writer.push((at * 64) as u32 + start, ones);
                        rest = if start + ones == 64 {
                            0
                        } else {
                            rest & (u64::MAX << (start + ones))
                        };
                    }
                });
                writer.finish();
            }
        }
    }
}
