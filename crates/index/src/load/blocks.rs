use super::LoadOptions;
use super::pack::{Packing, pack, unpack};
use super::pieces::{PieceBlock, Pieces};
use super::spill::{Spill, SpillFile, SpilledBytes};
use crate::error::Result;
use parking_lot::Mutex;
use std::sync::Arc;

/// A block's points at most: the piece in which points move to memory or disk.
const BLOCK_POINTS: usize = 1 << 14;

/// Points of one feeder and one shard, in the order in which they were given.
pub(super) struct Block {
    pub(super) feeder: u32,
    pub(super) count: usize,
    keys: Packing,
    /// Of tags of numbers: one a key.
    numbers: Option<Packing>,
    place: SpilledBytes,
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
        let block = Block {
            feeder,
            count: points.keys.len(),
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
