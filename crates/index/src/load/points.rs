use super::Shared;
use super::blocks::{Block, PointKind, Reader};
use super::key::of_code_key;
use super::pieces::{PieceBlock, PieceHead};
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;
use taghouse_bitmap::for_each_low;

/// The points of one shard, of all feeders: each kind of blocks in the feeders' order.
#[derive(Default)]
pub(super) struct ShardPoints {
    pub(super) blocks: Vec<Block>,
    pub(super) pieces: Arc<Vec<PieceBlock>>,
}

impl ShardPoints {
    pub(super) fn take(shared: &Shared, place: usize) -> Self {
        Self {
            blocks: shared.blocks.take(place, PointKind::Codes),
            pieces: Arc::new(shared.blocks.take_pieces(place)),
        }
    }

    /// The blocks that may have points of these tags.
    pub(super) fn blocks_of(&self, tags: &Range<usize>) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.meets(tags))
    }

    /// The blocks that may have pieces of these tags, with their numbers.
    pub(super) fn pieces_of(
        &self,
        tags: &Range<usize>,
    ) -> impl Iterator<Item = (usize, &PieceBlock)> {
        self.pieces.iter().enumerate().filter(|(_, block)| block.meets(tags))
    }
}

/// Gives `each` the points of one shard (tag, code and the ordinal within the shard) whose tag is
/// `wanted`, in the order in which each feeder was given them, feeder after feeder. Both kinds of
/// blocks are in the feeders' order.
pub(super) fn for_each_point(
    blocks: &[Block],
    pieces: &[PieceBlock],
    reader: &mut Reader,
    wanted: impl Fn(usize) -> bool,
    mut each: impl FnMut(usize, u32, u32),
) -> Result<()> {
    let mut pieces = PieceCursor { blocks: pieces, heads: Vec::new(), buffer: Vec::new(), next: 0 };
    pieces.load()?;
    let (mut feeder, mut given) = (0, 0);
    for block in blocks {
        if block.feeder != feeder {
            (feeder, given) = (block.feeder, 0);
        }
        for key in reader.read(block)?.0 {
            while pieces.place().is_some_and(|place| place <= (feeder, given)) {
                pieces.pass(&wanted, &mut each)?;
            }
            let (tag, code, low) = of_code_key(*key);
            if wanted(tag) {
                each(tag, code, low);
            }
            given += 1;
        }
    }
    while pieces.place().is_some() {
        pieces.pass(&wanted, &mut each)?;
    }
    Ok(())
}

/// Goes through pieces in the order in which they were given.
struct PieceCursor<'a> {
    /// Those not passed yet, the current one first.
    blocks: &'a [PieceBlock],
    /// Of the current block.
    heads: Vec<PieceHead>,
    next: usize,
    buffer: Vec<u8>,
}

impl PieceCursor<'_> {
    /// Reads the heads of the current block.
    fn load(&mut self) -> Result<()> {
        self.heads.clear();
        self.next = 0;
        if let Some(block) = self.blocks.first() {
            self.heads.extend(block.heads(&mut self.buffer)?);
        }
        Ok(())
    }

    /// Feeder of the next piece, and the points that came before it.
    fn place(&self) -> Option<(u32, u64)> {
        Some((self.blocks.first()?.feeder, self.heads.get(self.next)?.after))
    }

    fn pass(
        &mut self,
        wanted: impl Fn(usize) -> bool,
        mut each: impl FnMut(usize, u32, u32),
    ) -> Result<()> {
        let ([block, rest @ ..], Some(piece)) = (self.blocks, self.heads.get(self.next)) else {
            return Ok(());
        };
        let (tag, code) = piece.value();
        if wanted(tag) {
            for_each_low(block.blob(piece, &mut self.buffer)?, |low| each(tag, code, low));
        }
        self.next += 1;
        if self.next == self.heads.len() {
            self.blocks = rest;
            self.load()?;
        }
        Ok(())
    }
}
