//! Writes the portable form of one shard straight from ordinals or words, without a Roaring container in between: what bulk loading
//! needs for millions of small sets. The bytes are those that croaring writes of a set after its run optimisation.

use crate::blob::{ARRAY_MAX, CONTAINER_BITS, CONTAINERS, COOKIE_NO_RUNS, COOKIE_RUNS, OFFSETS_FROM, WORDS};
use crate::slices::{head, slices_of, transpose};
use crate::{SHARD_BITS, SHARD_SIZE};
use taghouse_model::Ordinal;

const SHARD_WORDS: usize = SHARD_SIZE as usize / 64;
/// Words of which one bit each says whether a word of the set has any.
const TOUCHED: usize = SHARD_WORDS / 64;
const TOUCHED_PER_CONTAINER: usize = TOUCHED / CONTAINERS;
const BITSET_BYTES: usize = WORDS * 8;
/// From this many ordinals of 64 on, turning a whole word costs less than setting bit by bit.
const TRANSPOSE_FROM: usize = 8;

/// A set within one shard that is filled, written and emptied again, in time that depends on what is in it. Ordinals count from the
/// shard's first: below 2^20.
pub struct ShardEncoder {
    words: Box<[u64; SHARD_WORDS]>,
    touched: Box<[u64; TOUCHED]>,
}

/// What a container's head says, and what decides on its form.
#[derive(Clone, Copy)]
struct Descriptor {
    container: usize,
    cardinality: usize,
    runs: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Array,
    Bits,
    Runs,
}

impl Descriptor {
    fn form(&self) -> Form {
        let plain = if self.cardinality > ARRAY_MAX { BITSET_BYTES } else { 2 * self.cardinality };
        if 2 + 4 * self.runs < plain {
            Form::Runs
        } else if self.cardinality > ARRAY_MAX {
            Form::Bits
        } else {
            Form::Array
        }
    }

    fn len(&self) -> usize {
        match self.form() {
            Form::Array => 2 * self.cardinality,
            Form::Bits => BITSET_BYTES,
            Form::Runs => 2 + 4 * self.runs,
        }
    }
}

/// The descriptors of a blob.
struct Head {
    descriptors: [Descriptor; CONTAINERS],
    len: usize,
}

impl Head {
    fn new() -> Self {
        Self { descriptors: [Descriptor { container: 0, cardinality: 0, runs: 0 }; CONTAINERS], len: 0 }
    }

    fn push(&mut self, descriptor: Descriptor) {
        if let Some(place) = self.descriptors.get_mut(self.len) {
            *place = descriptor;
            self.len += 1;
        }
    }

    fn all(&self) -> &[Descriptor] {
        &self.descriptors[..self.len]
    }

    /// Writes everything before the containers; gives the cardinality.
    fn write(&self, shard: u32, into: &mut Vec<u8>) -> u32 {
        let all = self.all();
        let runs = all.iter().any(|descriptor| descriptor.form() == Form::Runs);
        let start = into.len();
        if runs {
            into.extend_from_slice(&(u32::from(COOKIE_RUNS) | (all.len() as u32 - 1) << 16).to_le_bytes());
            let flags = all.iter().enumerate().fold(0_u32, |flags, (at, d)| flags | u32::from(d.form() == Form::Runs) << at);
            into.extend_from_slice(&flags.to_le_bytes()[..all.len().div_ceil(8)]);
        } else {
            into.extend_from_slice(&COOKIE_NO_RUNS.to_le_bytes());
            into.extend_from_slice(&(all.len() as u32).to_le_bytes());
        }
        let first_key = shard << (SHARD_BITS - CONTAINER_BITS);
        for descriptor in all {
            into.extend_from_slice(&((first_key + descriptor.container as u32) as u16).to_le_bytes());
            into.extend_from_slice(&((descriptor.cardinality - 1) as u16).to_le_bytes());
        }
        if !runs || all.len() >= OFFSETS_FROM {
            let mut at = into.len() - start + 4 * all.len();
            for descriptor in all {
                into.extend_from_slice(&(at as u32).to_le_bytes());
                at += descriptor.len();
            }
        }
        all.iter().map(|descriptor| descriptor.cardinality as u32).sum()
    }
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

    fn set_word(&mut self, word: usize, bits: u64) {
        self.words[word] = bits;
        self.touched[word / 64] |= u64::from(bits != 0) << (word % 64);
    }

    /// Appends the set as the portable form of shard number `shard`, and empties it. Gives its cardinality; an empty set appends
    /// nothing.
    pub fn take(&mut self, shard: u32, into: &mut Vec<u8>) -> u32 {
        self.take_with(shard, into, |_, _| ())
    }

    /// `each` gets the place and the bits of every word.
    fn take_with(&mut self, shard: u32, into: &mut Vec<u8>, mut each: impl FnMut(usize, u64)) -> u32 {
        let mut head = Head::new();
        for container in 0..CONTAINERS {
            let (mut cardinality, mut runs) = (0, 0);
            for at in container * TOUCHED_PER_CONTAINER..(container + 1) * TOUCHED_PER_CONTAINER {
                let mut rest = self.touched[at];
                while rest != 0 {
                    let place = at * 64 + rest.trailing_zeros() as usize;
                    let word = self.words[place];
                    let before = if place.is_multiple_of(WORDS) { 0 } else { self.words[place - 1] >> 63 };
                    cardinality += word.count_ones();
                    runs += (word & !(word << 1 | before)).count_ones();
                    each(place, word);
                    rest &= rest - 1;
                }
            }
            if cardinality > 0 {
                head.push(Descriptor { container, cardinality: cardinality as usize, runs: runs as usize });
            }
        }
        if head.len == 0 {
            return 0;
        }
        let cardinality = head.write(shard, into);
        head.all().iter().for_each(|descriptor| self.take_container(descriptor, into));
        cardinality
    }

    /// Appends the set of `lows`, in any order and any of them more than once, as the portable form of shard number `shard`; adds it to
    /// `union`. Expects this set to be empty, and leaves it so. Gives the cardinality.
    pub fn encode(&mut self, shard: u32, lows: &[u32], union: Option<&mut Self>, into: &mut Vec<u8>) -> u32 {
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

    /// Gives `each` the words of one container that have bits, and their place within it, and clears them.
    fn take_words(&mut self, container: usize, mut each: impl FnMut(usize, u64)) {
        for at in 0..TOUCHED_PER_CONTAINER {
            let mut rest = std::mem::take(&mut self.touched[container * TOUCHED_PER_CONTAINER + at]);
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
                            *place = ((at * 64) as u16 + rest.trailing_zeros() as u16).to_le_bytes();
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
                        rest = if start + ones == 64 { 0 } else { rest & (u64::MAX << (start + ones)) };
                    }
                });
                writer.finish();
            }
        }
    }
}

fn write_bits(words: &[u64], into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + BITSET_BYTES, 0);
    for (place, word) in into[start..].as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

/// Joins runs that touch one another.
struct RunWriter<'a> {
    into: &'a mut Vec<u8>,
    /// Start and length.
    run: (u32, u32),
}

impl<'a> RunWriter<'a> {
    fn new(runs: usize, into: &'a mut Vec<u8>) -> Self {
        into.extend_from_slice(&(runs as u16).to_le_bytes());
        Self { into, run: (0, 0) }
    }

    fn push(&mut self, start: u32, len: u32) {
        if self.run.1 > 0 && self.run.0 + self.run.1 == start {
            self.run.1 += len;
            return;
        }
        self.flush();
        self.run = (start, len);
    }

    fn flush(&mut self) {
        if let (start, Some(last)) = (self.run.0, self.run.1.checked_sub(1)) {
            self.into.extend_from_slice(&(start as u16).to_le_bytes());
            self.into.extend_from_slice(&(last as u16).to_le_bytes());
        }
    }

    fn finish(mut self) {
        self.flush();
    }
}

/// Appends strictly ascending ordinals of shard number `shard` in the portable form, and gives how many they are. They may count from the
/// shard's first or from zero.
pub fn encode_ascending(shard: u32, lows: &[u32], into: &mut Vec<u8>) -> u32 {
    debug_assert!(lows.is_sorted_by(|a, b| a < b && a >> SHARD_BITS == b >> SHARD_BITS));
    let mut head = Head::new();
    let mut rest = lows;
    while let Some(first) = rest.first() {
        let container = first >> CONTAINER_BITS;
        let len = if rest[rest.len() - 1] >> CONTAINER_BITS == container {
            rest.len()
        } else {
            rest.partition_point(|low| low >> CONTAINER_BITS <= container)
        };
        let breaks: u32 = rest[..len].iter().zip(&rest[1..len]).map(|(low, next)| u32::from(low + 1 != *next)).sum();
        head.push(Descriptor { container: container as usize % CONTAINERS, cardinality: len, runs: 1 + breaks as usize });
        rest = &rest[len..];
    }
    if head.len == 0 {
        return 0;
    }
    let cardinality = head.write(shard, into);
    let mut rest = lows;
    for descriptor in head.all() {
        let (here, after) = rest.split_at(descriptor.cardinality);
        rest = after;
        match descriptor.form() {
            Form::Array => {
                let start = into.len();
                into.resize(start + 2 * here.len(), 0);
                into[start..].as_chunks_mut::<2>().0.iter_mut().zip(here).for_each(|(to, low)| *to = (*low as u16).to_le_bytes());
            }
            Form::Bits => {
                let mut words = [0_u64; WORDS];
                here.iter().for_each(|low| words[usize::from(*low as u16) / 64] |= 1 << (low % 64));
                write_bits(&words, into);
            }
            Form::Runs => {
                let mut writer = RunWriter::new(descriptor.runs, into);
                here.iter().for_each(|low| writer.push(u32::from(*low as u16), 1));
                writer.finish();
            }
        }
    }
    cardinality
}

/// Writes numbers of one shard after another as the bitmaps of [`crate::BitSlices`].
pub struct SliceEncoder {
    min: i64,
    /// Existence, then the slices.
    bitmaps: Vec<ShardEncoder>,
    buffer: Vec<u8>,
}

impl SliceEncoder {
    /// For numbers from `min` to `max`.
    pub fn new(min: i64, max: i64) -> Self {
        let bitmaps = (0..=slices_of(min.into(), max.into())).map(|_| ShardEncoder::new()).collect();
        Self { min, bitmaps, buffer: Vec::new() }
    }

    /// What comes before the bundle of the bit slices of numbers from `min` to `max`.
    pub fn head(min: i64, max: i64) -> Vec<u8> {
        head(min.into(), max.into())
    }

    /// How many bitmaps numbers from `min` to `max` take, existence included.
    pub fn bitmaps(min: i64, max: i64) -> u32 {
        slices_of(min.into(), max.into()) + 1
    }

    /// For other numbers from now on.
    pub fn reset(&mut self, min: i64, max: i64) {
        self.min = min;
        self.bitmaps.resize_with(slices_of(min.into(), max.into()) as usize + 1, ShardEncoder::new);
    }

    /// Gives `each` the number, cardinality and portable form of every bitmap that is not empty in shard number `shard`. `lows` are
    /// strictly ascending, counted from the shard's first ordinal; `numbers` has one for each.
    pub fn encode<E>(
        &mut self,
        shard: u32,
        lows: &[Ordinal],
        numbers: &[i64],
        mut each: impl FnMut(u32, u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        debug_assert!(lows.len() == numbers.len() && lows.is_sorted_by(|a, b| a < b));
        let mut done = 0;
        for word in lows.chunk_by(|a, b| a / 64 == b / 64) {
            self.push_word(word, &numbers[done..done + word.len()]);
            done += word.len();
        }
        for (number, bitmap) in self.bitmaps.iter_mut().enumerate() {
            self.buffer.clear();
            let cardinality = bitmap.take(shard, &mut self.buffer);
            if cardinality > 0 {
                each(number as u32, cardinality, &self.buffer)?;
            }
        }
        Ok(())
    }

    /// Up to 64 ordinals of one word.
    fn push_word(&mut self, lows: &[Ordinal], numbers: &[i64]) {
        if lows.len() < TRANSPOSE_FROM {
            for (low, number) in lows.iter().zip(numbers) {
                self.bitmaps[0].insert(*low);
                let mut offset = number.wrapping_sub(self.min) as u64;
                while offset != 0 {
                    self.bitmaps[offset.trailing_zeros() as usize + 1].insert(*low);
                    offset &= offset - 1;
                }
            }
            return;
        }
        let word = lows[0] as usize / 64;
        let mut rows = [0; 64];
        let mut existence = 0;
        for (low, number) in lows.iter().zip(numbers) {
            existence |= 1 << (low % 64);
            rows[(low % 64) as usize] = number.wrapping_sub(self.min) as u64;
        }
        let slices = self.bitmaps.len() - 1;
        transpose(&mut rows, slices);
        self.bitmaps[0].set_word(word, existence);
        self.bitmaps[1..].iter_mut().zip(rows).for_each(|(bitmap, row)| bitmap.set_word(word, row));
    }
}

mod absorb;
#[cfg(test)]
mod tests;

pub use absorb::for_each_low;
