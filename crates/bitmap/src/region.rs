//! Bytes that are verified, and fetched if they are remote, only when first read.

use crate::file::{BLOCK_BYTES, FileHeader, header_of};
use crate::{Error, Result};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// Fetches a part of a file into the bytes that represent it, such as a memory-mapped file of a
/// local cache.
pub trait Fetch: Send + Sync {
    /// Makes bytes `range` of the file present. Called again for a range that a failure left out.
    ///
    /// # Errors
    /// A description of what failed.
    fn fetch(&self, range: Range<u64>) -> std::result::Result<(), String>;
}

/// A part of a file in the form of [`crate::seal`], or bytes that were checked before. Cloning it
/// is cheap.
#[derive(Clone)]
pub struct Region {
    bytes: Bytes,
    /// The file's blocks and where in the body this part starts.
    blocks: Option<(Arc<Blocks>, usize)>,
}

/// The body of a file and which of its blocks were found to be what was written.
struct Blocks {
    object: Arc<str>,
    file: Bytes,
    head: FileHeader,
    /// A bit a block.
    checked: Vec<AtomicU64>,
    fetch: Option<Arc<dyn Fetch>>,
}

impl Region {
    /// The body of a file, of which only the head is checked now. `object` names it in errors. With
    /// `fetch`, `file` has the length of the whole file, and its bytes are there once they were
    /// fetched.
    ///
    /// # Errors
    /// `Corrupt` for another magic, another length, or a head that was changed; `Unavailable` when
    /// the head cannot be fetched.
    pub fn open(
        object: impl Into<Arc<str>>,
        magic: &[u8; 8],
        file: Bytes,
        fetch: Option<Arc<dyn Fetch>>,
    ) -> Result<Self> {
        let object = object.into();
        let need = |range: Range<usize>| match &fetch {
            Some(fetch) if range.end <= file.len() => {
                let range = range.start as u64..range.end as u64;
                fetch
                    .fetch(range)
                    .map_err(|detail| Error::Unavailable { object: object.clone(), detail })
            }
            _ => Ok(()),
        };
        let head = header_of(magic, &file, &need).map_err(|error| error.of(&object))?;
        let blocks = head.body_len.div_ceil(BLOCK_BYTES);
        let checked = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let bytes = file.slice(head.body_start..);
        Ok(Self {
            bytes,
            blocks: Some((Arc::new(Blocks { object, file, head, checked, fetch }), 0)),
        })
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A part of it.
    ///
    /// # Errors
    /// `Corrupt` when it does not lie within.
    pub fn part(&self, range: Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > self.bytes.len() {
            return Err(self.corrupt(format!(
                "bytes {} to {} of {} are asked for",
                range.start,
                range.end,
                self.bytes.len()
            )));
        }
        let blocks =
            self.blocks.as_ref().map(|(blocks, start)| (blocks.clone(), start + range.start));
        Ok(Self { bytes: self.bytes.slice(range), blocks })
    }

    /// Makes sure that bytes `range` are here and are what was written. What was seen once costs an
    /// atomic load for each block.
    ///
    /// # Errors
    /// `Corrupt` names the file and the bytes, `Unavailable` the file that cannot be fetched.
    pub fn load(&self, range: Range<usize>) -> Result<()> {
        let range = range.start..range.end.min(self.bytes.len());
        match &self.blocks {
            Some((blocks, start)) if !range.is_empty() => {
                blocks.load(start + range.start..start + range.end)
            }
            _ => Ok(()),
        }
    }

    /// All of it, checked.
    ///
    /// # Errors
    /// As [`Region::load`].
    pub fn whole(&self) -> Result<&Bytes> {
        self.load(0..self.bytes.len())?;
        Ok(&self.bytes)
    }

    /// The bytes, of which only those that were loaded mean something.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An error that names the file.
    pub fn corrupt(&self, detail: impl Into<String>) -> Error {
        let error = Error::corrupt(detail);
        match &self.blocks {
            Some((blocks, _)) => error.of(&blocks.object),
            None => error,
        }
    }
}

impl From<Bytes> for Region {
    /// Bytes that were checked before, or never left this process.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, blocks: None }
    }
}

impl From<Vec<u8>> for Region {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Blocks {
    fn load(&self, body: Range<usize>) -> Result<()> {
        let (first, last) = (body.start / BLOCK_BYTES, (body.end - 1) / BLOCK_BYTES);
        let mut missing = (first..=last).filter(|block| !self.is_checked(*block)).peekable();
        while let Some(from) = missing.next() {
            // Neighbours are fetched in one request.
            let mut to = from;
            while missing.next_if_eq(&(to + 1)).is_some() {
                to += 1;
            }
            if let Some(fetch) = &self.fetch {
                let (from, to) = (self.range_of(from).start as u64, self.range_of(to).end as u64);
                fetch
                    .fetch(from..to)
                    .map_err(|detail| Error::Unavailable { object: self.object.clone(), detail })?;
            }
            (from..=to).try_for_each(|block| self.check(block))?;
        }
        Ok(())
    }

    fn is_checked(&self, block: usize) -> bool {
        self.checked
            .get(block / 64)
            .is_some_and(|word| word.load(Ordering::Acquire) >> (block % 64) & 1 == 1)
    }

    fn check(&self, block: usize) -> Result<()> {
        let range = self.range_of(block);
        if self.file.get(range.clone()).map(xxh3_64) != Some(self.head.checksum(&self.file, block))
        {
            let detail =
                format!("the checksum of bytes {} to {} does not match", range.start, range.end);
            return Err(Error::corrupt(detail).of(&self.object));
        }
        if let Some(word) = self.checked.get(block / 64) {
            word.fetch_or(1 << (block % 64), Ordering::Release);
        }
        Ok(())
    }

    /// Where a block lies in the file.
    fn range_of(&self, block: usize) -> Range<usize> {
        let start = self.head.body_start + block * BLOCK_BYTES;
        start..(start + BLOCK_BYTES).min(self.head.body_start + self.head.body_len)
    }
}
