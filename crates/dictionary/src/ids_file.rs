//! Ids of consecutive ordinals: the packed ids one after the other, then, if they differ in size, a
//! word for every 16 of them.
//!
//! The word holds where the first of the 16 begins (32 bits) and, if all have one size, that size
//! (16 bits), so that one UUID among UUIDs is found with one multiplication; else 0, and a lookup
//! walks from the first. If all ids of the file have one size, there are no words.

use crate::block_file::{BlockFile, BlockWriter, FileKind};
use crate::packed::{self, BLANK};
use crate::{Error, Result};
use std::ops::Range;
use std::path::PathBuf;
use taghouse_model::Ordinal;

/// Ids under one word.
const STRIDE: u32 = 16;

/// Takes the ids in order of their ordinals.
pub(crate) struct IdsWriter {
    file: BlockWriter,
    first: Ordinal,
    count: u32,
    words: Vec<u64>,
    /// The size of all ids of the stride so far, or 0.
    size: u64,
    /// The size of all ids of the file so far, or 0.
    size_of_all: u64,
}

impl IdsWriter {
    pub(crate) fn create(path: PathBuf, first: Ordinal) -> Result<Self> {
        Ok(Self {
            file: BlockWriter::create(path)?,
            first,
            count: 0,
            words: Vec::new(),
            size: 0,
            size_of_all: 0,
        })
    }

    /// The caller ends a file before it has 4 GiB.
    pub(crate) fn push(&mut self, packed: &[u8]) -> Result<()> {
        let size = packed.len() as u64;
        if self.count.is_multiple_of(STRIDE) {
            self.end_stride();
            self.words.push(self.file.position() as u64);
            self.size = size;
        } else if size != self.size {
            self.size = 0;
        }
        if self.count == 0 {
            self.size_of_all = size;
        } else if size != self.size_of_all {
            self.size_of_all = 0;
        }
        self.count += 1;
        self.file.write(packed)
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.file.position()
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.end_stride();
        let text = self.file.position() as u64;
        if self.size_of_all == 0 {
            for word in &self.words {
                self.file.write(&word.to_le_bytes())?;
            }
        }
        self.file.finish(
            FileKind::Ids,
            [u64::from(self.first), u64::from(self.count), text | self.size_of_all << 32],
        )
    }

    fn end_stride(&mut self) {
        if let Some(word) = self.words.last_mut() {
            *word |= self.size << 32;
        }
    }
}

/// Read by ordinals relative to the first.
pub(crate) struct IdsFile {
    file: BlockFile,
    pub(crate) first: Ordinal,
    pub(crate) count: u32,
    /// Where the words begin.
    text: usize,
    /// Of all ids, or 0 if they differ.
    size: usize,
}

impl IdsFile {
    pub(crate) fn open(path: PathBuf, first: Ordinal, count: u32) -> Result<Self> {
        let file = BlockFile::open(path, FileKind::Ids)?;
        let [first_noted, count_noted, text] = file.numbers;
        if (first_noted, count_noted) != (u64::from(first), u64::from(count)) {
            return Err(file.damaged("it holds other ordinals than its manifest says"));
        }
        Ok(Self {
            first,
            count,
            text: (text & 0xFFFF_FFFF) as usize,
            size: (text >> 32) as usize,
            file,
        })
    }

    /// What `place` reads, verified; nothing if it needs nothing.
    #[inline]
    pub(crate) fn word_bytes(&self, index: u32) -> Result<&[u8]> {
        if self.size != 0 {
            return Ok(&[]);
        }
        let at = self.word_at(index);
        self.file.verify(at..at + 8)?;
        Ok(&self.bytes()[at..at + 8])
    }

    /// Where the packed id stands in `bytes`, verified.
    #[inline]
    pub(crate) fn place(&self, index: u32) -> Result<Range<usize>> {
        if self.size != 0 {
            let start = index as usize * self.size;
            self.file.verify(start..start + self.size)?;
            return Ok(start..start + self.size);
        }
        let at = self.word_at(index);
        self.file.verify(at..at + 8)?;
        let word = self.file.u64_at(at);
        let (start, size) = ((word & 0xFFFF_FFFF) as usize, (word >> 32) as usize);
        if size == 0 {
            return self.walk(index, start);
        }
        let start = start + (index % STRIDE) as usize * size;
        self.file.verify(start..start + size)?;
        Ok(start..start + size)
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    /// The packed id.
    #[inline]
    pub(crate) fn packed(&self, index: u32) -> Result<&[u8]> {
        Ok(&self.bytes()[self.place(index)?])
    }

    pub(crate) fn is_blank(&self, index: u32) -> Result<bool> {
        Ok(self.packed(index)? == BLANK)
    }

    /// The id's text; the caller knows that it is not deleted.
    pub(crate) fn text(&self, index: u32) -> Result<String> {
        packed::unpack(self.packed(index)?).ok_or_else(|| self.unreadable(index))
    }

    fn unreadable(&self, index: u32) -> Error {
        self.file.damaged(format!(
            "the id of ordinal {} cannot be read",
            self.first.saturating_add(index)
        ))
    }

    #[inline]
    fn word_at(&self, index: u32) -> usize {
        self.text.saturating_add((index / STRIDE) as usize * 8)
    }

    fn walk(&self, index: u32, mut start: usize) -> Result<Range<usize>> {
        let next = self.word_at(index) + 8;
        let end = if index / STRIDE == self.count.saturating_sub(1) / STRIDE {
            self.text
        } else {
            self.file.verify(next..next + 8)?;
            (self.file.u64_at(next) & 0xFFFF_FFFF) as usize
        };
        self.file.verify(start..end)?;
        let mut size = 0;
        for _ in 0..=index % STRIDE {
            start += size;
            size = self
                .bytes()
                .get(start..end)
                .and_then(packed::size)
                .ok_or_else(|| self.unreadable(index))?;
        }
        Ok(start..start + size)
    }
}
