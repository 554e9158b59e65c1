use super::LoadOptions;
use super::key::{of_code_key, tag_of_number};
use super::pack::{Packing, pack, unpack};
use super::pieces::{PieceBlock, Pieces};
use super::spill::{Spill, SpillFile, SpilledBytes};
use crate::error::Result;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;

/// A block's points at most: the piece in which points move to memory or disk.
const BLOCK_POINTS: usize = 1 << 14;

/// Points of one feeder and one shard, in the order in which they were given.
pub(super) struct Block {
    pub(super) feeder: u32,
    pub(super) count: usize,
    tags: TagSpan,
    keys: Packing,
    /// Of tags of numbers: one a key.
    numbers: Option<Packing>,
    place: SpilledBytes,
}

/// The least and the greatest tag of what a block holds, so that it need not be read for others.
#[derive(Clone, Copy, Default)]
pub(super) struct TagSpan {
    first: usize,
    last: usize,
}

impl TagSpan {
    pub(super) fn of(tags: impl Iterator<Item = usize>) -> Self {
        let around = |span: Option<Self>, tag: usize| {
            Some(span.map_or(Self { first: tag, last: tag }, |span| Self {
                first: span.first.min(tag),
                last: span.last.max(tag),
            }))
        };
        tags.fold(None, around).unwrap_or_default()
    }

    /// Whether one of these tags may be in the block.
    pub(super) fn meets(&self, tags: &Range<usize>) -> bool {
        self.first < tags.end && tags.start <= self.last
    }
}

#[derive(Clone, Copy)]
pub(super) enum PointKind {
    Codes,
    Numbers,
}

/// All points so far, by shard.
pub(super) struct Blocks {
    pub(super) spill: Spill,
    /// Points that a feeder collects for a shard.
    pub(super) block_points: usize,
    shards: Vec<Mutex<OfShard>>,
}

#[derive(Default)]
struct OfShard {
    blocks: [Vec<Block>; 2],
    pieces: Vec<PieceBlock>,
}

impl Blocks {
    pub(super) fn new(options: &LoadOptions) -> Result<Self> {
        let shards = options.shards.len();
        let block_points = (options.memory_bytes / 8 / options.threads.max(1) / shards / 8)
            .clamp(16, BLOCK_POINTS);
        let spill = Spill::new(&options.spill, options.memory_bytes / 2)?;
        Ok(Self { spill, block_points, shards: (0..shards).map(|_| Mutex::default()).collect() })
    }

    /// Packs points and keeps them; `scratch` and `file` are the feeder's own.
    pub(super) fn add(
        &self,
        place: usize,
        feeder: u32,
        points: Points<'_>,
        file: &mut Option<Arc<SpillFile>>,
    ) -> Result<()> {
        let mut bytes = Vec::with_capacity(points.keys.len() * 8);
        let keys = pack(points.keys, &mut bytes);
        let numbers = points.numbers.map(|numbers| pack(numbers, &mut bytes));
        bytes.shrink_to_fit();
        let kind = if numbers.is_some() { PointKind::Numbers } else { PointKind::Codes };
        let tag_of = match kind {
            PointKind::Codes => |key: &u64| of_code_key(*key).0,
            PointKind::Numbers => |key: &u64| tag_of_number(*key),
        };
        let block = Block {
            feeder,
            count: points.keys.len(),
            tags: TagSpan::of(points.keys.iter().map(tag_of)),
            keys,
            numbers,
            place: self.spill.keep_or_append(bytes, file)?,
        };
        if let Some(shard) = self.shards.get(place) {
            shard.lock().blocks[kind as usize].push(block);
        }
        Ok(())
    }

    /// Of pieces, what [`Blocks::block_points`] is of points.
    pub(super) fn block_bytes(&self) -> usize {
        self.block_points * size_of::<u64>()
    }

    /// Keeps pieces of one shard, and empties them.
    pub(super) fn add_pieces(
        &self,
        place: usize,
        feeder: u32,
        pieces: &mut Pieces,
        file: &mut Option<Arc<SpillFile>>,
    ) -> Result<()> {
        let block = pieces
            .take(feeder, 2 * self.block_bytes(), |bytes| self.spill.keep_or_append(bytes, file))?;
        if let Some(shard) = self.shards.get(place) {
            shard.lock().pieces.push(block);
        }
        Ok(())
    }

    /// The blocks of one shard, which are then no longer here: by feeder, and each feeder's in the
    /// order given.
    pub(super) fn take(&self, place: usize, kind: PointKind) -> Vec<Block> {
        let blocks = self
            .shards
            .get(place)
            .map(|shard| std::mem::take(&mut shard.lock().blocks[kind as usize]));
        let mut blocks = blocks.unwrap_or_default();
        blocks.sort_by_key(|block| block.feeder);
        blocks
    }

    /// The pieces of one shard, as [`Blocks::take`] gives the points.
    pub(super) fn take_pieces(&self, place: usize) -> Vec<PieceBlock> {
        let mut blocks = self
            .shards
            .get(place)
            .map(|shard| std::mem::take(&mut shard.lock().pieces))
            .unwrap_or_default();
        blocks.sort_by_key(|block| block.feeder);
        blocks
    }
}

impl Block {
    /// Whether a point of one of these tags may be in it.
    pub(super) fn meets(&self, tags: &Range<usize>) -> bool {
        self.tags.meets(tags)
    }
}

/// What a feeder hands over.
pub(super) struct Points<'a> {
    pub(super) keys: &'a [u64],
    pub(super) numbers: Option<&'a [u64]>,
}

/// Reads blocks into buffers of its own.
#[derive(Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    keys: Vec<u64>,
    numbers: Vec<u64>,
}

impl Reader {
    /// The keys, and of tags of numbers the numbers.
    pub(super) fn read(&mut self, block: &Block) -> Result<(&[u64], &[u64])> {
        let bytes = block.place.read(0, block.place.len(), &mut self.bytes)?;
        let (keys, numbers) = bytes.split_at(block.keys.len(block.count));
        unpack(block.keys, keys, block.count, &mut self.keys);
        if let Some(packing) = block.numbers {
            unpack(packing, numbers, block.count, &mut self.numbers);
        }
        Ok((&self.keys, &self.numbers))
    }
}
