//! Users of one value who were given at once: encoded as they come, for most values' shards need
//! nothing more.

use super::blocks::TagSpan;
use super::key::of_code_key;
use super::spill::SpilledBytes;
use crate::error::Result;
use std::ops::Range;

/// Fewer users of one shard are points like others: a head of their own would take more than they
/// do.
pub(super) const PIECE_FROM: usize = 64;

const HEAD_BYTES: usize = 24;

/// What a block says of each of its pieces.
#[derive(Clone, Copy, Default)]
pub(super) struct PieceHead {
    /// The value's code key.
    key: u64,
    /// How many points of other forms the feeder had given the shard before.
    pub(super) after: u64,
    pub(super) cardinality: u32,
    pub(super) len: u32,
    /// Where in the block its portable form begins; not written, but counted.
    pub(super) offset: u32,
}

impl PieceHead {
    /// Tag and code.
    pub(super) fn value(&self) -> (usize, u32) {
        let (tag, code, _) = of_code_key(self.key);
        (tag, code)
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.key.to_le_bytes());
        into.extend_from_slice(&self.after.to_le_bytes());
        into.extend_from_slice(&self.cardinality.to_le_bytes());
        into.extend_from_slice(&self.len.to_le_bytes());
    }

    fn read(bytes: &[u8; HEAD_BYTES], offset: u32) -> Self {
        let [key, after, lens] =
            [0, 1, 2].map(|at| u64::from_le_bytes(bytes.as_chunks::<8>().0[at]));
        Self { key, after, cardinality: lens as u32, len: (lens >> 32) as u32, offset }
    }
}

/// Pieces of one shard that a feeder collects.
#[derive(Default)]
pub(super) struct Pieces {
    heads: Vec<PieceHead>,
    bytes: Vec<u8>,
}

impl Pieces {
    /// Adds what `encode` appends in the portable form, and of which it gives the cardinality.
    pub(super) fn push(&mut self, key: u64, after: u64, encode: impl FnOnce(&mut Vec<u8>) -> u32) {
        let offset = self.bytes.len() as u32;
        let cardinality = encode(&mut self.bytes);
        self.heads.push(PieceHead {
            key,
            after,
            cardinality,
            len: self.bytes.len() as u32 - offset,
            offset,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Of the block that they are about to be.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + HEAD_BYTES * self.heads.len()
    }

    /// Makes a block of them, whose bytes `keep` keeps: the portable forms, then the heads. The
    /// buffer holds on to `hold_bytes`.
    pub(super) fn take(
        &mut self,
        feeder: u32,
        hold_bytes: usize,
        keep: impl FnOnce(Vec<u8>) -> Result<SpilledBytes>,
    ) -> Result<PieceBlock> {
        // A copy of the right size: the buffer stays, and stays in the cache.
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend_from_slice(&self.bytes);
        self.heads.iter().for_each(|head| head.write(&mut bytes));
        let tags = TagSpan::of(self.heads.iter().map(|head| head.value().0));
        let block = PieceBlock { feeder, tags, heads_at: self.bytes.len(), place: keep(bytes)? };
        self.heads.clear();
        self.bytes.clear();
        self.bytes.shrink_to(hold_bytes);
        Ok(block)
    }
}

/// Pieces of one feeder and one shard, in the order in which they were given.
pub(super) struct PieceBlock {
    pub(super) feeder: u32,
    tags: TagSpan,
    heads_at: usize,
    place: SpilledBytes,
}

impl PieceBlock {
    /// Whether a piece of one of these tags may be in it.
    pub(super) fn meets(&self, tags: &Range<usize>) -> bool {
        self.tags.meets(tags)
    }

    /// The heads; `buffer` is scratch.
    pub(super) fn heads<'a>(
        &'a self,
        buffer: &'a mut Vec<u8>,
    ) -> Result<impl Iterator<Item = PieceHead> + 'a> {
        let bytes = self.place.read(self.heads_at, self.place.len() - self.heads_at, buffer)?;
        Ok(bytes.as_chunks().0.iter().scan(0, |offset, bytes| {
            let head = PieceHead::read(bytes, *offset);
            *offset += head.len;
            Some(head)
        }))
    }

    /// A piece's portable form; `buffer` is scratch.
    pub(super) fn blob<'a>(
        &'a self,
        piece: &PieceHead,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        self.bytes(piece.offset as usize, piece.len as usize, buffer)
    }

    pub(super) fn bytes<'a>(
        &'a self,
        offset: usize,
        len: usize,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        self.place.read(offset, len, buffer)
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.place, SpilledBytes::Memory(_))
    }
}
