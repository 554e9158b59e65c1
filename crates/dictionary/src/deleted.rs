//! The ordinals of deleted users: given once, never again, and of no one.

use crate::block_file::{BlockFile, BlockWriter, FileKind};
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_model::Ordinal;

const CHUNK: u32 = 1 << 16;
type Chunk = [u64; CHUNK as usize / 64];

/// Bits in chunks that copies share, so that a deletion makes a new set without copying the old
/// one.
#[derive(Clone, Default)]
pub(crate) struct Deleted {
    chunks: Vec<Option<Arc<Chunk>>>,
    count: u32,
}

impl Deleted {
    #[inline]
    pub(crate) fn contains(&self, ordinal: Ordinal) -> bool {
        let chunk = self.chunks.get((ordinal / CHUNK) as usize).and_then(Option::as_ref);
        chunk.is_some_and(|chunk| chunk[(ordinal % CHUNK / 64) as usize] >> (ordinal % 64) & 1 == 1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// These and `more`.
    pub(crate) fn with(mut self, more: impl IntoIterator<Item = Ordinal>) -> Self {
        for ordinal in more {
            let at = (ordinal / CHUNK) as usize;
            if self.chunks.len() <= at {
                self.chunks.resize(at + 1, None);
            }
            let chunk = self.chunks[at].get_or_insert_with(|| Arc::new([0; CHUNK as usize / 64]));
            let (word, bit) = ((ordinal % CHUNK / 64) as usize, 1 << (ordinal % 64));
            if chunk[word] & bit == 0 {
                Arc::make_mut(chunk)[word] |= bit;
                self.count += 1;
            }
        }
        self
    }

    /// In rising order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Ordinal> + '_ {
        let chunks = self
            .chunks
            .iter()
            .enumerate()
            .filter_map(|(at, chunk)| Some((at as u32 * CHUNK, chunk.as_ref()?)));
        chunks.flat_map(|(base, chunk)| {
            let words = chunk.iter().enumerate().filter(|(_, word)| **word != 0);
            words.flat_map(move |(at, word)| {
                (0..64)
                    .filter(move |bit| word >> bit & 1 == 1)
                    .map(move |bit| base + at as u32 * 64 + bit)
            })
        })
    }

    pub(crate) fn write(&self, path: PathBuf) -> Result<()> {
        let mut file = BlockWriter::create(path)?;
        for ordinal in self.iter() {
            file.write(&ordinal.to_le_bytes())?;
        }
        file.finish(FileKind::Deleted, [u64::from(self.count), 0, 0])
    }

    pub(crate) fn read(path: PathBuf) -> Result<Self> {
        let file = BlockFile::open(path, FileKind::Deleted)?;
        file.verify(0..file.bytes().len())?;
        let deleted = Self::default().with(
            file.bytes().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        );
        if u64::from(deleted.count) != file.numbers[0] {
            return Err(Error::corrupt(
                &file.path,
                "it has not the number of ordinals noted in it",
            ));
        }
        Ok(deleted)
    }
}
