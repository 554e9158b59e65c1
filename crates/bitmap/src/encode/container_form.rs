//! In which of three forms a container is written, and the head of a blob that says so of each.

use crate::SHARD_BITS;
use crate::blob::{
    ARRAY_MAX, CONTAINER_BITS, CONTAINERS, COOKIE_NO_RUNS, COOKIE_RUNS, OFFSETS_FROM, WORDS,
};

const BITSET_BYTES: usize = WORDS * 8;

/// What a container's head says, and what decides on its form.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub(super) container: usize,
    pub(super) cardinality: usize,
    pub(super) runs: usize,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    Array,
    Bits,
    Runs,
}

impl Descriptor {
    pub(super) fn form(&self) -> Form {
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
pub(super) struct BlobHeader {
    descriptors: [Descriptor; CONTAINERS],
    len: usize,
}

impl BlobHeader {
    pub(super) fn new() -> Self {
        Self {
            descriptors: [Descriptor { container: 0, cardinality: 0, runs: 0 }; CONTAINERS],
            len: 0,
        }
    }

    pub(super) fn push(&mut self, descriptor: Descriptor) {
        if let Some(place) = self.descriptors.get_mut(self.len) {
            *place = descriptor;
            self.len += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn all(&self) -> &[Descriptor] {
        &self.descriptors[..self.len]
    }

    /// Writes everything before the containers; gives the cardinality.
    pub(super) fn write(&self, shard: u32, into: &mut Vec<u8>) -> u32 {
        let all = self.all();
        let runs = all.iter().any(|descriptor| descriptor.form() == Form::Runs);
        let start = into.len();
        if runs {
            into.extend_from_slice(
                &(u32::from(COOKIE_RUNS) | (all.len() as u32 - 1) << 16).to_le_bytes(),
            );
            let flags = all
                .iter()
                .enumerate()
                .fold(0_u32, |flags, (at, d)| flags | u32::from(d.form() == Form::Runs) << at);
            into.extend_from_slice(&flags.to_le_bytes()[..all.len().div_ceil(8)]);
        } else {
            into.extend_from_slice(&COOKIE_NO_RUNS.to_le_bytes());
            into.extend_from_slice(&(all.len() as u32).to_le_bytes());
        }
        let first_key = shard << (SHARD_BITS - CONTAINER_BITS);
        for descriptor in all {
            into.extend_from_slice(
                &((first_key + descriptor.container as u32) as u16).to_le_bytes(),
            );
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

pub(super) fn write_bits(words: &[u64], into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + BITSET_BYTES, 0);
    for (place, word) in into[start..].as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

/// Joins runs that touch one another.
pub(super) struct RunWriter<'a> {
    into: &'a mut Vec<u8>,
    /// Start and length.
    run: (u32, u32),
}

impl<'a> RunWriter<'a> {
    pub(super) fn new(runs: usize, into: &'a mut Vec<u8>) -> Self {
        into.extend_from_slice(&(runs as u16).to_le_bytes());
        Self { into, run: (0, 0) }
    }

    pub(super) fn push(&mut self, start: u32, len: u32) {
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

    pub(super) fn finish(mut self) {
        self.flush();
    }
}
