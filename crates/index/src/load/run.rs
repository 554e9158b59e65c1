use super::pieces::{PieceBlock, PieceHead};
use super::spill::{Spill, SpillFile, SpilledBytes};
use crate::error::Result;
use std::sync::Arc;

/// One shard's part of all bitmaps of some tags.
pub(super) struct ShardRun {
    pub(super) shard: u32,
    /// By tag and bitmap.
    pub(super) entries: Vec<RunEntry>,
    place: Option<SpilledBytes>,
    /// Blocks of which entries name bytes.
    blocks: Arc<Vec<PieceBlock>>,
}

/// Of an entry whose bytes are the run's own.
pub(super) const OWN: u32 = u32::MAX;

/// Where one shard of one bitmap lies in a run.
#[derive(Clone, Copy)]
pub(super) struct RunEntry {
    pub(super) tag: u32,
    /// As in the segment, if all texts occur in it.
    pub(super) bitmap: u32,
    pub(super) cardinality: u32,
    pub(super) len: u32,
    /// The block of pieces that has the bytes, or [`OWN`].
    pub(super) block: u32,
    pub(super) offset: u64,
}

/// Writes a [`ShardRun`].
pub(super) struct RunWriter<'a> {
    spill: &'a Spill,
    pub(super) entries: Vec<RunEntry>,
    pub(super) bytes: Vec<u8>,
    /// Bytes that may be held before they go to a file.
    hold_bytes: usize,
    flushed: u64,
    file: Option<Arc<SpillFile>>,
}

impl<'a> RunWriter<'a> {
    pub(super) fn new(spill: &'a Spill, hold_bytes: usize) -> Self {
        Self { spill, entries: Vec::new(), bytes: Vec::new(), hold_bytes, flushed: 0, file: None }
    }

    /// Where the next bitmap will lie.
    pub(super) fn end(&self) -> u64 {
        self.flushed + self.bytes.len() as u64
    }

    /// Notes what was appended to `bytes` since [`RunWriter::end`] was `start`.
    pub(super) fn note(&mut self, tag: usize, bitmap: u32, cardinality: u32, start: u64) {
        if cardinality > 0 {
            let len = (self.end() - start) as u32;
            self.entries.push(RunEntry {
                tag: tag as u32,
                bitmap,
                cardinality,
                len,
                block: OWN,
                offset: start,
            });
        }
    }

    /// Notes a bitmap that a piece of block number `block` is.
    pub(super) fn note_piece(&mut self, tag: usize, bitmap: u32, block: u32, piece: &PieceHead) {
        let PieceHead { cardinality, len, offset, .. } = *piece;
        self.entries.push(RunEntry {
            tag: tag as u32,
            bitmap,
            cardinality,
            len,
            block,
            offset: u64::from(offset),
        });
    }

    /// Takes back everything since there were so many entries and `end` was `start`;
    /// [`RunWriter::flush`] was not called since.
    pub(super) fn take_back(&mut self, entries: usize, start: u64) {
        self.entries.truncate(entries);
        self.bytes.truncate((start - self.flushed) as usize);
    }

    /// Writes what is held to a file, if that is much.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.bytes.len() >= self.hold_bytes {
            self.flush_all()?;
        }
        Ok(())
    }

    fn flush_all(&mut self) -> Result<()> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.file.insert(self.spill.file()?).clone(),
        };
        file.append(&self.bytes)?;
        self.flushed += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }

    /// `blocks` are those of [`RunWriter::note_piece`]. `file` is for runs that were not flushed:
    /// the worker's own.
    pub(super) fn finish(
        mut self,
        shard: u32,
        blocks: Arc<Vec<PieceBlock>>,
        file: &mut Option<Arc<SpillFile>>,
    ) -> Result<ShardRun> {
        self.entries.sort_unstable_by_key(|entry| (entry.tag, entry.bitmap));
        let place = if self.file.is_some() {
            self.flush_all()?;
            self.file.map(|file| file.whole())
        } else if self.bytes.is_empty() {
            None
        } else {
            self.bytes.shrink_to_fit();
            Some(self.spill.keep_or_append(self.bytes, file)?)
        };
        Ok(ShardRun { shard, entries: self.entries, place, blocks })
    }
}

impl ShardRun {
    /// The entries of one tag.
    pub(super) fn of_tag(&self, tag: u32) -> &[RunEntry] {
        let start = self.entries.partition_point(|entry| entry.tag < tag);
        let len = self.entries[start..].partition_point(|entry| entry.tag == tag);
        &self.entries[start..start + len]
    }
}

/// Reads a run from front to back, mostly.
pub(super) struct Cursor<'a> {
    run: &'a ShardRun,
    window: Vec<u8>,
    window_start: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(run: &'a ShardRun) -> Self {
        Self { run, window: Vec::new(), window_start: 0 }
    }

    /// `len` bytes from `start` on, of a block or the run itself; `ahead` bytes are read at once if
    /// they are not in memory.
    pub(super) fn read(
        &mut self,
        block: u32,
        start: u64,
        len: usize,
        ahead: usize,
    ) -> Result<&[u8]> {
        if let Some(block) = self.run.blocks.get(block as usize) {
            return block.bytes(start as usize, len, &mut self.window);
        }
        let Some(place) = &self.run.place else { return Ok(&[]) };
        let start = start as usize;
        if matches!(place, SpilledBytes::Memory(_)) {
            return place.read(start, len, &mut self.window);
        }
        if start < self.window_start || start + len > self.window_start + self.window.len() {
            let ahead = ahead.max(len).min(place.len() - start);
            place.read(start, ahead, &mut self.window)?;
            self.window_start = start;
        }
        Ok(&self.window[start - self.window_start..][..len])
    }
}
