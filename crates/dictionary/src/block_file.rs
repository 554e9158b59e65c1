//! The form of immutable files: a body in blocks of 64 KiB with a checksum each, the checksums, a
//! footer.
//!
//! Opening reads the footer and the checksums; a block is verified when it is first touched. So
//! opening costs the same at any size, and every byte is checked before it is believed.

use crate::error::{PRODUCE_AGAIN, REMOVE_FILE};
use crate::map::map;
use crate::{Error, Result};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Bytes under one checksum.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

const MAGIC: u64 = u64::from_le_bytes(*b"THDICT01");
/// Magic, kind, length of the body, three numbers of the kind's own, checksum of the checksums and
/// of the footer so far.
const FOOTER_BYTES: usize = 7 * 8;

/// What a file is for; stands in its footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Ids in the order of their ordinals.
    Ids = 1,
    /// Hashes and ordinals, sorted.
    Run = 2,
    /// Ordinals of deleted users.
    Deleted = 3,
}

/// Writes a file under a temporary name and gives it its own when it is whole and on disk.
pub(crate) struct BlockWriter {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    block: Vec<u8>,
    checksums: Vec<u64>,
    body: usize,
}

impl BlockWriter {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let unfinished = path.with_extension("unfinished");
        let file = File::create(&unfinished).map_err(Error::io(&unfinished))?;
        Ok(Self {
            path,
            unfinished,
            file,
            block: Vec::with_capacity(BLOCK_BYTES),
            checksums: Vec::new(),
            body: 0,
        })
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.block.len() + bytes.len() >= BLOCK_BYTES {
            let (now, later) = bytes.split_at(BLOCK_BYTES - self.block.len());
            self.block.extend_from_slice(now);
            self.end_block()?;
            bytes = later;
        }
        self.block.extend_from_slice(bytes);
        Ok(())
    }

    /// The bytes of the body so far.
    pub(crate) fn position(&self) -> usize {
        self.body + self.block.len()
    }

    /// The caller syncs the folder.
    pub(crate) fn finish(mut self, kind: FileKind, numbers: [u64; 3]) -> Result<()> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let footer = [MAGIC, kind as u64, self.body as u64, numbers[0], numbers[1], numbers[2]];
        let mut end: Vec<u8> =
            self.checksums.iter().chain(&footer).flat_map(|number| number.to_le_bytes()).collect();
        end.extend_from_slice(&xxh3_64(&end).to_le_bytes());
        let written = self
            .file
            .write_all(&end)
            .and_then(|()| taghouse_disk::sync(&self.file, &self.unfinished));
        written.map_err(Error::io(&self.unfinished))?;
        fs::rename(&self.unfinished, &self.path).map_err(Error::io(&self.path))
    }

    fn end_block(&mut self) -> Result<()> {
        self.checksums.push(xxh3_64(&self.block));
        self.file.write_all(&self.block).map_err(Error::io(&self.unfinished))?;
        self.body += self.block.len();
        self.block.clear();
        Ok(())
    }
}

/// A file opened for reading.
pub(crate) struct BlockFile {
    pub(crate) path: PathBuf,
    bytes: Bytes,
    body: usize,
    /// What the writer of the kind gave.
    pub(crate) numbers: [u64; 3],
    kind: FileKind,
    /// A bit a block: it was checked.
    verified: Box<[AtomicU64]>,
}

impl BlockFile {
    /// # Errors
    /// [`Error::Corrupt`] for a file that is missing, short, of another kind or damaged in what
    /// opening reads; [`Error::Unavailable`].
    pub(crate) fn open(path: PathBuf, kind: FileKind) -> Result<Self> {
        let damaged = |detail: &str| Error::Corrupt {
            path: path.clone(),
            detail: detail.to_owned(),
            fix: kind.fix(),
        };
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(damaged("it is missing")),
            Err(e) => return Err(Error::io(&path)(e)),
        };
        if length < FOOTER_BYTES as u64 {
            return Err(damaged("it is short"));
        }
        let bytes = map(&path).map_err(Error::io(&path))?;
        let word = |at: usize| read_u64(&bytes, at);
        let footer = bytes.len().saturating_sub(FOOTER_BYTES);
        if word(footer) != MAGIC {
            return Err(damaged("its end is not that of a whole file"));
        }
        let body = usize::try_from(word(footer + 16)).unwrap_or(usize::MAX);
        let blocks = body.div_ceil(BLOCK_BYTES);
        if body.checked_add(8 * blocks) != Some(footer) {
            return Err(damaged("its length is not the one noted in it"));
        }
        let mut checksum = Xxh3::new();
        checksum.update(&bytes[body..bytes.len() - 8]);
        if checksum.digest() != word(footer + 48) {
            return Err(damaged("the checksum of its footer"));
        }
        if word(footer + 8) != kind as u64 {
            return Err(damaged("it is another kind of file"));
        }
        let numbers = [word(footer + 24), word(footer + 32), word(footer + 40)];
        let verified = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { path, bytes, body, numbers, kind, verified })
    }

    /// To be called before the bytes of `range` are read, all of which must be in the body.
    #[inline]
    pub(crate) fn verify(&self, range: Range<usize>) -> Result<()> {
        let (first, last) = (range.start / BLOCK_BYTES, range.end.saturating_sub(1) / BLOCK_BYTES);
        if first == last && range.end <= self.body && self.is_verified(first) {
            Ok(())
        } else {
            self.verify_blocks(range)
        }
    }

    /// The bytes of the body.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.body]
    }

    #[inline]
    pub(crate) fn u64_at(&self, at: usize) -> u64 {
        read_u64(&self.bytes, at)
    }

    #[inline]
    pub(crate) fn u32_at(&self, at: usize) -> u32 {
        self.bytes
            .get(at..at + 4)
            .and_then(|b| b.first_chunk())
            .map_or(0, |b| u32::from_le_bytes(*b))
    }

    pub(crate) fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path.clone(), detail: detail.into(), fix: self.kind.fix() }
    }

    #[inline]
    fn is_verified(&self, block: usize) -> bool {
        self.verified
            .get(block / 64)
            .is_some_and(|bits| bits.load(Ordering::Relaxed) >> (block % 64) & 1 == 1)
    }

    #[cold]
    fn verify_blocks(&self, range: Range<usize>) -> Result<()> {
        if range.start > range.end || range.end > self.body {
            return Err(self.damaged(format!("it points to bytes {range:?} of {}", self.body)));
        }
        for block in range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES) {
            if self.is_verified(block) {
                continue;
            }
            let start = block * BLOCK_BYTES;
            if xxh3_64(&self.bytes[start..self.body.min(start + BLOCK_BYTES)])
                != self.u64_at(self.body + 8 * block)
            {
                return Err(self.damaged(format!("the checksum of its block {block}")));
            }
            self.verified[block / 64].fetch_or(1 << (block % 64), Ordering::Relaxed);
        }
        Ok(())
    }
}

impl FileKind {
    fn fix(self) -> &'static str {
        if self == Self::Run { REMOVE_FILE } else { PRODUCE_AGAIN }
    }
}

#[inline]
fn read_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    taghouse_disk::sync_folder(folder).map_err(Error::io(folder))
}

/// Replaces a small file: it is the old one or the new one, whole, whatever happens.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    taghouse_disk::replace(path, bytes).map_err(Error::io(path))
}
