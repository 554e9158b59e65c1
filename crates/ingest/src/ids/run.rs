//! A run: ids in order, in a file that is never changed.
//!
//! ```text
//! head 64:    magic 8, entries 8, blocks 8, filter blocks 8, -, checksum 8
//! block 8192: checksum 8, entries 2, -, up to 255 entries of 32
//! filter 64 for each of its blocks
//! first key of each block, 24
//! checksum of filter and keys 8
//! ```

use super::entry::{ENTRY_BYTES, Entry, KEY_BYTES, Key};
use super::failure::{Failure, Result};
use super::filter::{BLOCK_BYTES as FILTER_BLOCK, Filter};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const MAGIC: [u8; 8] = *b"TAGHIDS1";
const HEAD: usize = 64;
const BLOCK: usize = 8192;
const BLOCK_HEAD: usize = 16;
const PER_BLOCK: usize = (BLOCK - BLOCK_HEAD) / ENTRY_BYTES;

/// An open run. Filter and first keys are in memory: about 15 bits an id.
pub(super) struct Run {
    path: PathBuf,
    file: File,
    entries: u64,
    filter: Filter,
    /// The first key of each block.
    first_keys: Vec<Key>,
}

/// What a run says of an id.
pub(super) struct Found {
    /// Which of those asked for.
    pub(super) place: usize,
    pub(super) position: u64,
}

impl Run {
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Failure::disk(path))?;
        let damaged = |what: &str| Failure::damaged(path, what);
        let read = |offset: u64, bytes: usize| {
            let mut content = vec![0; bytes];
            match file.read_exact_at(&mut content, offset) {
                Ok(()) => Ok(content),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    Err(damaged("it is cut short"))
                }
                Err(error) => Err(Failure::disk(path)(error)),
            }
        };
        let head = read(0, HEAD)?;
        let number = |at: usize| number(&head[at..]);
        if head[..8] != MAGIC || number(HEAD - 8) != xxh3_64(&head[..HEAD - 8]) {
            return Err(damaged("it has no head of a run"));
        }
        let (entries, blocks, filter_blocks) = (number(8), number(16), number(24));
        let (keys, filter) = (blocks as usize * KEY_BYTES, filter_blocks as usize * FILTER_BLOCK);
        let tail = read(HEAD as u64 + blocks * BLOCK as u64, filter + keys + 8)?;
        let (content, checksum) = tail.split_at(filter + keys);
        if xxh3_64(content) != self::number(checksum) {
            return Err(damaged("its filter is damaged"));
        }
        let (filter, keys) = content.split_at(filter);
        Ok(Self {
            path: path.to_owned(),
            file,
            entries,
            filter: Filter::read(filter),
            first_keys: keys.as_chunks::<KEY_BYTES>().0.iter().map(Key::read).collect(),
        })
    }

    /// Shows those of the keys, ascending, that it has. `wanted`: which of them are asked for.
    pub(super) fn find(
        &self,
        keys: &[Key],
        mut wanted: impl FnMut(usize) -> bool,
        mut see: impl FnMut(Found),
    ) -> Result<()> {
        let mut loaded: Option<LoadedBlock> = None;
        for (place, key) in keys.iter().enumerate() {
            if !wanted(place) || !self.filter.may_have(key) {
                continue;
            }
            let Some(number) = self.first_keys.partition_point(|first| first <= key).checked_sub(1)
            else {
                continue;
            };
            let block = match loaded.take() {
                Some(block) if block.number == number => block,
                _ => LoadedBlock { number, entries: self.block(number)? },
            };
            if let Ok(at) = block.entries.binary_search_by_key(key, |entry| entry.key) {
                see(Found { place, position: block.entries[at].position });
            }
            loaded = Some(block);
        }
        Ok(())
    }

    /// The entries of a block.
    fn block(&self, number: usize) -> Result<Vec<Entry>> {
        let mut bytes = vec![0; BLOCK];
        let offset = HEAD as u64 + number as u64 * BLOCK as u64;
        self.file.read_exact_at(&mut bytes, offset).map_err(Failure::disk(&self.path))?;
        let count = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        if self::number(&bytes) != xxh3_64(&bytes[8..]) || count > PER_BLOCK {
            return Err(Failure::damaged(&self.path, &format!("block {number} is damaged")));
        }
        let entries = &bytes[BLOCK_HEAD..][..count * ENTRY_BYTES];
        Ok(entries.as_chunks::<ENTRY_BYTES>().0.iter().map(Entry::read).collect())
    }

    /// All entries, in order.
    pub(super) fn all(&self) -> RunEntries<'_> {
        RunEntries { run: self, next: 0, entries: Vec::new().into_iter() }
    }
}

struct LoadedBlock {
    number: usize,
    entries: Vec<Entry>,
}

/// Reads a run from its beginning.
pub(super) struct RunEntries<'r> {
    run: &'r Run,
    next: usize,
    entries: std::vec::IntoIter<Entry>,
}

impl RunEntries<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            if self.next == self.run.first_keys.len() {
                return Ok(None);
            }
            self.entries = self.run.block(self.next)?.into_iter();
            self.next += 1;
        }
    }
}

/// Writes a run. What is not finished has no name that anybody reads.
pub(super) struct RunWriter {
    path: PathBuf,
    file: File,
    filter: Filter,
    first_keys: Vec<Key>,
    block: Vec<u8>,
    in_block: usize,
    entries: u64,
}

impl RunWriter {
    /// For so many entries at most. `path`: where it is while it is written.
    pub(super) fn new(path: PathBuf, most: u64) -> Result<Self> {
        let file = File::create(&path).map_err(Failure::disk(&path))?;
        let writer = Self {
            filter: Filter::for_ids(most),
            first_keys: Vec::new(),
            block: vec![0; BLOCK_HEAD],
            in_block: 0,
            entries: 0,
            file,
            path,
        };
        writer.write(&[0; HEAD])?;
        Ok(writer)
    }

    /// Adds the next entry; they come in order.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<()> {
        if self.in_block == 0 {
            self.first_keys.push(entry.key);
        }
        self.filter.add(&entry.key);
        entry.write(&mut self.block);
        self.in_block += 1;
        self.entries += 1;
        if self.in_block == PER_BLOCK { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<()> {
        self.block.resize(BLOCK, 0);
        self.block[8..10].copy_from_slice(&(self.in_block as u16).to_le_bytes());
        let checksum = xxh3_64(&self.block[8..]);
        self.block[..8].copy_from_slice(&checksum.to_le_bytes());
        self.write(&self.block)?;
        self.block.clear();
        self.block.resize(BLOCK_HEAD, 0);
        self.in_block = 0;
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        (&self.file).write_all(bytes).map_err(Failure::disk(&self.path))
    }

    /// Its content is on disk when this returns; its path is the caller's to give.
    pub(super) fn finish(mut self) -> Result<u64> {
        if self.in_block > 0 {
            self.end_block()?;
        }
        let mut tail = Vec::new();
        self.filter.write(&mut tail);
        for key in &self.first_keys {
            tail.extend_from_slice(&key.bytes());
        }
        let mut checksum = Xxh3::new();
        checksum.update(&tail);
        tail.extend_from_slice(&checksum.digest().to_le_bytes());
        self.write(&tail)?;

        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&MAGIC);
        let numbers = [self.entries, self.first_keys.len() as u64, self.filter.len() as u64];
        for (number, place) in numbers.iter().zip(1..) {
            head[8 * place..][..8].copy_from_slice(&number.to_le_bytes());
        }
        let checksum = xxh3_64(&head[..HEAD - 8]);
        head[HEAD - 8..].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&head, 0).map_err(Failure::disk(&self.path))?;
        taghouse_disk::sync(&self.file, &self.path).map_err(Failure::disk(&self.path))?;
        Ok(self.entries)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
