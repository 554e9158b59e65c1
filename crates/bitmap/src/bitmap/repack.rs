//! Ordinals made dense again after users are gone: the new ordinal is how many of those that are kept come before.

use super::Bitmap;
use crate::blob::{Blob, BlobWriter, CONTAINER_BITS, CONTAINERS, Container, WORDS, Words};
use crate::bundle::{Bundle, BundleBuilder};
use crate::vector::{Kernel, Simd, fastest};
use crate::view::view;
use crate::{Result, SHARD_BITS};
use croaring::{Bitmap as Roaring, Portable};
use taghouse_model::Ordinal;

/// Shards of less than so many ordinals are taken one by one.
const SPARSE: u32 = 8192;

/// Which ordinals are kept, and how many come before each: some 0.16 bytes for each of those that there were.
pub struct Repack {
    /// By the high 16 bits; as many as there are up to the last that is kept.
    containers: Vec<Option<Kept>>,
    len: u64,
}

/// Those of one container that are kept.
struct Kept {
    /// How many are kept before this container.
    before: u32,
    words: Box<Words>,
    /// How many are kept in this container before each word.
    ranks: Box<[u16; WORDS]>,
}

impl Repack {
    /// Keeps `kept`, and nothing else.
    pub fn new(kept: &Bitmap) -> Self {
        let mut repack = Self { containers: Vec::new(), len: 0 };
        let mut buffer = Vec::new();
        for shard in kept.shards() {
            for (key, count, container) in containers_of(&shard.set, &mut buffer).containers() {
                let words = Box::new(container.words());
                let mut ranks = Box::new([0; WORDS]);
                let mut rank = 0_u32;
                for (to, word) in ranks.iter_mut().zip(words.iter()) {
                    // At most 2^16 - 64, before the last word.
                    *to = rank as u16;
                    rank += word.count_ones();
                }
                repack.containers.resize_with(usize::from(key), || None);
                repack.containers.push(Some(Kept { before: repack.len as u32, words, ranks }));
                repack.len += count as u64;
            }
        }
        repack
    }

    /// How many ordinals are kept.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What becomes of `ordinal`; `None` for one that is not kept.
    pub fn new_ordinal(&self, ordinal: Ordinal) -> Option<Ordinal> {
        self.container((ordinal >> CONTAINER_BITS) as u16)?.new_ordinal(ordinal as u16)
    }

    /// Those that are kept, under their old ordinals.
    pub(crate) fn kept(&self) -> Bitmap {
        let mut buffer = Vec::new();
        let shards = self.containers.chunks(CONTAINERS).enumerate().filter_map(|(shard, containers)| {
            let mut writer = BlobWriter::new(&mut buffer);
            for (key, kept) in containers.iter().enumerate() {
                if let Some(kept) = kept {
                    writer.push((shard * CONTAINERS + key) as u16, &kept.words);
                }
            }
            (writer.finish() > 0).then(|| (shard as u32, view(Blob::checked(&buffer)).to_bitmap()))
        });
        Bitmap::from_shards(shards)
    }

    fn container(&self, key: u16) -> Option<&Kept> {
        self.containers.get(usize::from(key))?.as_ref()
    }
}

impl Kept {
    fn new_ordinal(&self, low: u16) -> Option<Ordinal> {
        let (word, bit) = (usize::from(low / 64), low % 64);
        let kept = self.words[word];
        (kept >> bit & 1 == 1).then(|| self.before + u32::from(self.ranks[word]) + (kept & ((1 << bit) - 1)).count_ones())
    }
}

impl Bitmap {
    /// The set under its new ordinals, without those that are not kept.
    pub fn repack(&self, repack: &Repack) -> Self {
        let mut shards = Vec::new();
        let mut packing = Packing::new();
        let mut buffer = Vec::new();
        let mut emit = |shard, set| shards.push((shard, set));
        for shard in &self.shards {
            if shard.len < SPARSE {
                packing.push_each(repack, shard.set.iter(), &mut emit);
            } else {
                packing.push_blob(repack, containers_of(&shard.set, &mut buffer), &mut emit);
            }
        }
        packing.finish(&mut emit);
        Self::from_shards(shards.into_iter())
    }
}

/// The bytes of `bundle` under new ordinals: its bitmaps keep their numbers.
///
/// # Errors
/// As [`Bundle::load`]; `TooLarge` is passed on from the form.
pub fn repack_bundle(bundle: &Bundle, repack: &Repack) -> Result<Vec<u8>> {
    let mut builder = BundleBuilder::new();
    for number in 0..bundle.len() {
        let stored = bundle.get(number);
        stored.load()?;
        let mut packing = Packing::new();
        let mut emit = |shard, mut set: Roaring| {
            set.run_optimize();
            builder.push_shard(number, shard, &set);
        };
        for (_, len, blob) in stored.blobs() {
            if len < SPARSE {
                packing.push_each(repack, view(blob).iter(), &mut emit);
            } else {
                packing.push_blob(repack, blob, &mut emit);
            }
        }
        packing.finish(&mut emit);
    }
    builder.finish(bundle.len())
}

/// The containers of `set`, written out in `buffer`.
pub(crate) fn containers_of<'b>(set: &Roaring, buffer: &'b mut Vec<u8>) -> Blob<'b> {
    buffer.clear();
    let _ = set.serialize_into_vec::<Portable>(buffer);
    Blob::checked(buffer)
}

/// A set being written under its new ordinals, ascending. Whole shards are given away as soon as nothing more can come into them.
pub(crate) struct Packing {
    shard: u32,
    set: Roaring,
    /// Of the container that is being written.
    key: u16,
    words: Box<Words>,
    /// Scratch.
    packed: Box<Words>,
    buffer: Vec<u8>,
    ordinals: Vec<Ordinal>,
}

impl Packing {
    pub(crate) fn new() -> Self {
        let words = || Box::new([0; WORDS]);
        Self { shard: 0, set: Roaring::new(), key: 0, words: words(), packed: words(), buffer: Vec::new(), ordinals: Vec::new() }
    }

    /// Adds what is kept of the old `ordinals`, ascending.
    fn push_each(&mut self, repack: &Repack, ordinals: impl Iterator<Item = Ordinal>, emit: &mut impl FnMut(u32, Roaring)) {
        self.flush(emit);
        let mut new = std::mem::take(&mut self.ordinals);
        new.clear();
        new.extend(ordinals.filter_map(|ordinal| repack.new_ordinal(ordinal)));
        for chunk in new.chunk_by(|a, b| a >> SHARD_BITS == b >> SHARD_BITS) {
            self.add(chunk[0] >> SHARD_BITS, &Roaring::of(chunk), emit);
        }
        self.ordinals = new;
    }

    /// Adds what is kept of a shard.
    fn push_blob(&mut self, repack: &Repack, blob: Blob<'_>, emit: &mut impl FnMut(u32, Roaring)) {
        for (key, _, container) in blob.containers() {
            let Some(kept) = repack.container(key) else { continue };
            match &container {
                Container::Array(values) => {
                    for value in values.as_chunks::<2>().0 {
                        if let Some(ordinal) = kept.new_ordinal(u16::from_le_bytes(*value)) {
                            self.push_bits(ordinal / 64, 1 << (ordinal % 64), emit);
                        }
                    }
                }
                _ => self.push_container(kept, &container.words(), emit),
            }
        }
    }

    /// Adds what is kept of the words of old container number `key`.
    pub(crate) fn push_words(&mut self, repack: &Repack, key: u16, words: &Words, emit: &mut impl FnMut(u32, Roaring)) {
        if let Some(kept) = repack.container(key) {
            self.push_container(kept, words, emit);
        }
    }

    fn push_container(&mut self, kept: &Kept, words: &Words, emit: &mut impl FnMut(u32, Roaring)) {
        let count = fastest(Pack { from: words, kept: &kept.words, into: &mut self.packed });
        let (first, shift) = (kept.before / 64, kept.before % 64);
        for index in 0..count {
            let (word, at) = (self.packed[index], first + index as u32);
            if word << shift != 0 {
                self.push_bits(at, word << shift, emit);
            }
            if shift > 0 && word >> (64 - shift) != 0 {
                self.push_bits(at + 1, word >> (64 - shift), emit);
            }
        }
    }

    /// Adds the bits of word number `word` of all.
    fn push_bits(&mut self, word: u32, bits: u64, emit: &mut impl FnMut(u32, Roaring)) {
        let key = (word / WORDS as u32) as u16;
        if key != self.key {
            self.flush(emit);
            self.key = key;
        }
        self.words[word as usize % WORDS] |= bits;
    }

    /// Ends the container that is being written.
    fn flush(&mut self, emit: &mut impl FnMut(u32, Roaring)) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut writer = BlobWriter::new(&mut buffer);
        writer.push(self.key, &self.words);
        if writer.finish() > 0 {
            let shard = u32::from(self.key) >> (SHARD_BITS - CONTAINER_BITS);
            self.add(shard, &view(Blob::checked(&buffer)), emit);
            self.words.fill(0);
        }
        self.buffer = buffer;
    }

    fn add(&mut self, shard: u32, set: &Roaring, emit: &mut impl FnMut(u32, Roaring)) {
        if shard != self.shard {
            self.give(emit);
            self.shard = shard;
        }
        self.set.or_inplace(set);
    }

    fn give(&mut self, emit: &mut impl FnMut(u32, Roaring)) {
        if !self.set.is_empty() {
            emit(self.shard, std::mem::take(&mut self.set));
        }
    }

    /// Ends the set.
    pub(crate) fn finish(&mut self, emit: &mut impl FnMut(u32, Roaring)) {
        self.flush(emit);
        self.give(emit);
    }
}

/// Moves the bits of `from` that are in `kept` together, and gives how many words they fill.
struct Pack<'a> {
    from: &'a Words,
    kept: &'a Words,
    into: &'a mut Words,
}

impl Kernel for Pack<'_> {
    type Out = usize;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        let (mut word, mut filled, mut done) = (0, 0, 0);
        for (from, kept) in self.from.iter().zip(self.kept) {
            let (bits, count) = (simd.extract(*from, *kept), kept.count_ones());
            word |= bits << filled;
            if filled + count >= 64 {
                self.into[done] = word;
                done += 1;
                word = bits.checked_shr(64 - filled).unwrap_or(0);
                filled = filled + count - 64;
            } else {
                filled += count;
            }
        }
        if filled > 0 {
            self.into[done] = word;
            done += 1;
        }
        done
    }
}
