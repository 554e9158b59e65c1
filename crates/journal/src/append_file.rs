//! A file that is only appended to.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};
use taghouse_disk::Standing;

/// The file of a log, open for appending. It knows how much of it is on disk, so that what a failed
/// write left can be cut off.
#[derive(Debug)]
pub struct AppendFile {
    file: File,
    /// Checks that the path still leads to the opened file: what is written to a deleted file is
    /// lost.
    standing: Standing,
    /// The bytes that are on disk.
    durable: u64,
    /// The bytes written, on disk or not.
    length: u64,
}

impl AppendFile {
    /// Creates a file that begins with `head`, replacing any of that name. Its contents are synced;
    /// its name is durable once the caller syncs the folder.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn create(path: PathBuf, head: &[u8]) -> Result<Self> {
        let mut new = File::create(&path)?;
        new.write_all(head)?;
        taghouse_disk::sync(&new, &path)?;
        // Opened again to append: what is written after a cut stands behind what is left, not
        // behind what was there.
        Self::open(path, head.len() as u64).map(|(file, _)| file)
    }

    /// Opens a file of which the first `whole` bytes are frames. Cuts off the rest, and returns its
    /// length.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn open(path: PathBuf, whole: u64) -> Result<(Self, u64)> {
        let file = OpenOptions::new().append(true).open(&path)?;
        let torn = file.metadata()?.len().saturating_sub(whole);
        if torn > 0 {
            file.set_len(whole)?;
            taghouse_disk::sync(&file, &path)?;
        }
        Ok((Self { file, standing: Standing::of(path)?, durable: whole, length: whole }, torn))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.standing.path()
    }

    /// The bytes that are on disk.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether its path still leads to it.
    ///
    /// # Errors
    /// As [`Standing::check`].
    pub fn check(&self) -> Result<()> {
        self.standing.check()
    }

    /// Writes bytes behind all others; [`AppendFile::sync`] makes them durable.
    ///
    /// # Errors
    /// The system's; part of them may be in the file then, until it is cut back.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Waits until all that was written is on disk.
    ///
    /// # Errors
    /// The system's, and `NotFound` where the path leads to it no more; what is on disk is unknown
    /// then.
    pub fn sync(&mut self) -> Result<()> {
        taghouse_disk::sync_data(&self.file, self.standing.path())?;
        self.standing.check()?;
        self.durable = self.length;
        Ok(())
    }

    /// Cuts off what is not known to be on disk.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn cut_back(&mut self) -> Result<()> {
        self.file.set_len(self.durable)?;
        taghouse_disk::sync(&self.file, self.standing.path())?;
        self.length = self.durable;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_not_synced_is_cut_off_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = AppendFile::create(path.clone(), b"head").unwrap();
        file.write(b" one").unwrap();
        file.sync().unwrap();
        file.write(b" two").unwrap();
        file.cut_back().unwrap();
        file.write(b" three").unwrap();
        file.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"head one three");
        assert_eq!(file.durable(), 14);
    }

    #[test]
    fn a_torn_end_is_cut_off_and_the_file_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "head one tw").unwrap();
        let (mut file, torn) = AppendFile::open(path.clone(), 8).unwrap();
        assert_eq!(torn, 3);
        file.write(b" two").unwrap();
        file.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"head one two");
        assert_eq!(AppendFile::open(path, 12).unwrap().1, 0);
    }

    #[test]
    fn nothing_counts_as_durable_in_a_file_that_was_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = AppendFile::create(path.clone(), b"head").unwrap();
        fs::remove_file(&path).unwrap();
        file.write(b" one").unwrap();
        assert!(file.sync().is_err() && file.check().is_err());
        assert_eq!(file.durable(), 4);
    }
}
