//! The containers of many sets in one shard.

use super::UserSet;
use crate::blob::{Blob, CONTAINERS, Container, WORDS, Words};
use crate::kernel::{Bytes, bytes_of};
use crate::prefetch::{LINE, prefetch};
use croaring::Portable;

/// Blobs between the one whose head is read and the one that memory is asked for.
const AHEAD: usize = 12;
/// What the head of a full shard takes.
const HEAD_LINES: usize = 3;

/// A shard of each of many sets, in the portable form.
pub(super) struct Blobs<'m> {
    sets: Vec<Source<'m>>,
}

enum Source<'m> {
    Empty,
    Stored(Blob<'m>),
    Owned(Vec<u8>),
}

/// One container of one set.
#[derive(Clone, Copy)]
pub(super) struct Piece<'b> {
    pub(super) set: u32,
    pub(super) count: usize,
    pub(super) container: Container<'b>,
}

impl<'m> Blobs<'m> {
    pub(super) fn of(sets: &'m [UserSet], shard: u32) -> Self {
        let source = |set: &'m UserSet| match set {
            UserSet::Stored(stored) => {
                stored.blob(shard).map_or(Source::Empty, |(_, blob)| Source::Stored(blob))
            }
            UserSet::Owned(bitmap) => bitmap
                .shard(shard)
                .map_or(Source::Empty, |shard| Source::Owned(shard.set.serialize::<Portable>())),
        };
        Self { sets: sets.iter().map(source).collect() }
    }

    /// The pieces of each container of the shard.
    pub(super) fn pieces(&self) -> [Vec<Piece<'_>>; CONTAINERS] {
        let mut pieces: [Vec<Piece<'_>>; CONTAINERS] = std::array::from_fn(|_| Vec::new());
        for (set, source) in self.sets.iter().enumerate() {
            if let Some(Source::Stored(next)) = self.sets.get(set + AHEAD) {
                (0..HEAD_LINES).for_each(|line| prefetch(next.bytes(), line * LINE));
            }
            let blob = match source {
                Source::Empty => continue,
                Source::Stored(blob) => *blob,
                Source::Owned(bytes) => Blob::checked(bytes),
            };
            for (key, count, container) in blob.containers() {
                pieces[usize::from(key) % CONTAINERS].push(Piece {
                    set: set as u32,
                    count,
                    container,
                });
            }
        }
        pieces
    }
}

impl Piece<'_> {
    /// Each of its values, ascending.
    pub(super) fn for_each(&self, mut each: impl FnMut(u16)) {
        match self.container {
            Container::Array(bytes) => {
                bytes.as_chunks::<2>().0.iter().for_each(|value| each(u16::from_le_bytes(*value)))
            }
            Container::Runs(bytes) => {
                for [a, b, c, d] in bytes.as_chunks::<4>().0 {
                    let (start, more) =
                        (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
                    for low in u32::from(start)..=u32::from(start.saturating_add(more)) {
                        each(low as u16);
                    }
                }
            }
            Container::Bits(bytes) => {
                for (at, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
                    let mut rest = u64::from_le_bytes(*word);
                    while rest != 0 {
                        each((at * 64) as u16 + rest.trailing_zeros() as u16);
                        rest &= rest - 1;
                    }
                }
            }
        }
    }
}

/// Containers as words: where they lie, or made here.
#[derive(Default)]
pub(super) struct Expanded {
    /// Kept from container to container.
    made: Vec<Box<Words>>,
    used: usize,
}

/// The words of one set's container.
#[derive(Clone, Copy)]
pub(super) enum Dense<'b> {
    Lying(&'b Bytes),
    Made(usize),
}

impl Expanded {
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// `within` is taken as a mask.
    pub(super) fn put<'b>(
        &mut self,
        container: &Container<'b>,
        within: Option<&Words>,
    ) -> Dense<'b> {
        if let (Container::Bits(bytes), None) = (container, within)
            && let Some(bytes) = bytes.as_chunks::<8>().0.first_chunk::<WORDS>()
        {
            return Dense::Lying(bytes);
        }
        if self.used == self.made.len() {
            self.made.push(Box::new([0; WORDS]));
        }
        let words = &mut *self.made[self.used];
        words.fill(0);
        container.or_into(words);
        if let Some(within) = within {
            words.iter_mut().zip(within).for_each(|(a, b)| *a &= b);
        }
        self.used += 1;
        Dense::Made(self.used - 1)
    }

    pub(super) fn bytes<'s>(&'s self, dense: Dense<'s>) -> &'s Bytes {
        match dense {
            Dense::Lying(bytes) => bytes,
            Dense::Made(at) => bytes_of(&self.made[at]),
        }
    }
}
