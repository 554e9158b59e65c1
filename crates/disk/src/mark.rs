//! How far a log was acknowledged, noted beside it.
//!
//! The file holds two slots of 16 bytes, a number and its checksum; the larger number counts, and
//! the slots are written in turn. It is written after each sync of the log and not synced itself.
//! So it never runs ahead of the log: after a loss of power it may lag behind, which only makes it
//! notice less; after the end of the process, however it ended, it says all that was acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{Read, Result};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const SLOT: usize = 16;
const SLOTS: u64 = 2;
/// Makes the checksums differ from those of other files' bytes.
const SEED: u64 = 0x5441_4748_4d41_524b;

/// The mark of one log, for its one writer.
///
/// ```
/// use taghouse_disk::Mark;
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("log.mark");
/// let (mut mark, acknowledged) = Mark::open(path.clone())?;
/// assert_eq!(acknowledged, None);
/// mark.set(41);
/// mark.set(42);
///
/// // After the process has ended:
/// let (_, acknowledged) = Mark::open(path)?;
/// assert_eq!(acknowledged, Some(42));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mark {
    file: File,
    path: PathBuf,
    writes: u64,
}

impl Mark {
    /// Opens the mark, making it where there is none. Gives what it says; nothing where it is new
    /// or damaged.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn open(path: PathBuf) -> Result<(Self, Option<u64>)> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let value = bytes.chunks_exact(SLOT).filter_map(read_slot).max();
        if value.is_none() && !bytes.is_empty() {
            tracing::warn!(file = %path.display(), "the mark of what was acknowledged cannot be read; it is written again");
        }
        Ok((Self { file, path, writes: 0 }, value))
    }

    /// What the mark at `path` says, without making one.
    pub fn read(path: &Path) -> Option<u64> {
        std::fs::read(path).ok()?.chunks_exact(SLOT).filter_map(read_slot).max()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that everything up to `value`, which never falls, is acknowledged. Best effort: a mark
    /// that lags behind notices less.
    pub fn set(&mut self, value: u64) {
        let at = self.writes % SLOTS * SLOT as u64;
        if let Err(error) = self.file.write_all_at(&slot(value), at) {
            tracing::warn!(file = %self.path.display(), %error, "the mark of what was acknowledged could not be written");
        }
        self.writes += 1;
    }

    /// Says that the log really ends at `value`, which may be less than before: its owner accepted
    /// a loss, or made it new.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn reset(&mut self, value: u64) -> Result<()> {
        self.file.set_len(0)?;
        self.writes = 0;
        self.file.write_all_at(&slot(value), 0)
    }
}

fn slot(value: u64) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    bytes[8..].copy_from_slice(&xxh3_64_with_seed(&value.to_le_bytes(), SEED).to_le_bytes());
    bytes
}

fn read_slot(bytes: &[u8]) -> Option<u64> {
    let value = u64::from_le_bytes(*bytes.first_chunk()?);
    (bytes == slot(value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_the_last_number_and_outlives_damage_of_one_slot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        let (mut mark, none) = Mark::open(path.clone()).unwrap();
        assert_eq!(none, None);
        (1..=5).for_each(|number| mark.set(number));
        assert_eq!(Mark::open(path.clone()).unwrap().1, Some(5));
        assert_eq!(Mark::read(&path), Some(5));
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&path, &flipped).unwrap();
            let said = Mark::read(&path).unwrap();
            assert!(said == 4 || said == 5, "byte {at}: {said}");
        }
        std::fs::write(&path, &whole[..9]).unwrap();
        assert_eq!(Mark::open(path.clone()).unwrap().1, None);
        mark.reset(2).unwrap();
        assert_eq!(Mark::read(&path), Some(2));
    }
}
