use super::store_error;
use crate::error::Result;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const SUFFIX: &str = "load-spill";

/// Bytes that are in memory while there is room, and else in a file.
pub(super) struct Spill {
    folder: PathBuf,
    files: AtomicU64,
    resident_bytes: Arc<AtomicUsize>,
    limit_bytes: usize,
}

/// A file that is written at its end and read anywhere. It is removed when the last of its places
/// is dropped.
pub(super) struct SpillFile {
    path: PathBuf,
    file: File,
    len: AtomicU64,
}

/// Where bytes are kept.
pub(super) enum SpilledBytes {
    Memory(Kept),
    File { file: Arc<SpillFile>, offset: u64, len: usize },
}

/// Bytes in memory, counted as such.
pub(super) struct Kept {
    bytes: Vec<u8>,
    resident_bytes: Arc<AtomicUsize>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.resident_bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl Spill {
    /// Makes the folder, and removes what a killed loader has left in it.
    pub(super) fn new(folder: &Path, limit_bytes: usize) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| store_error(folder, &e))?;
        for entry in std::fs::read_dir(folder).map_err(|e| store_error(folder, &e))? {
            let path = entry.map_err(|e| store_error(folder, &e))?.path();
            if path.extension().is_some_and(|extension| extension == SUFFIX) {
                std::fs::remove_file(&path).map_err(|e| store_error(&path, &e))?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            files: AtomicU64::new(0),
            resident_bytes: Arc::default(),
            limit_bytes,
        })
    }

    /// Keeps bytes in memory if there is room for them, or else gives them back.
    fn keep(&self, bytes: Vec<u8>) -> std::result::Result<SpilledBytes, Vec<u8>> {
        let before = self.resident_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        if before + bytes.len() > self.limit_bytes {
            self.resident_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
            return Err(bytes);
        }
        Ok(SpilledBytes::Memory(Kept { bytes, resident_bytes: self.resident_bytes.clone() }))
    }

    /// Keeps bytes in memory if there is room for them, or else at the end of `file`, which is made
    /// when it is first needed.
    pub(super) fn keep_or_append(
        &self,
        bytes: Vec<u8>,
        file: &mut Option<Arc<SpillFile>>,
    ) -> Result<SpilledBytes> {
        match (self.keep(bytes), file) {
            (Ok(place), _) => Ok(place),
            (Err(bytes), Some(file)) => file.append(&bytes),
            (Err(bytes), file) => file.insert(self.file()?).append(&bytes),
        }
    }

    /// A new empty file.
    pub(super) fn file(&self) -> Result<Arc<SpillFile>> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number}.{SUFFIX}"));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| store_error(&path, &e))?;
        Ok(Arc::new(SpillFile { path, file, len: AtomicU64::new(0) }))
    }
}

impl SpillFile {
    /// All that was appended.
    pub(super) fn whole(self: &Arc<Self>) -> SpilledBytes {
        SpilledBytes::File {
            file: self.clone(),
            offset: 0,
            len: self.len.load(Ordering::Relaxed) as usize,
        }
    }

    pub(super) fn append(self: &Arc<Self>, bytes: &[u8]) -> Result<SpilledBytes> {
        let offset = self.len.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, offset).map_err(|e| store_error(&self.path, &e))?;
        Ok(SpilledBytes::File { file: self.clone(), offset, len: bytes.len() })
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // Nothing reads it any more; what cannot be removed now the next loader removes.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl SpilledBytes {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Memory(kept) => kept.bytes.len(),
            Self::File { len, .. } => *len,
        }
    }

    /// `len` bytes from `start` on, which are the place's own or read into `buffer`.
    pub(super) fn read<'a>(
        &'a self,
        start: usize,
        len: usize,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        match self {
            Self::Memory(kept) => Ok(&kept.bytes[start..start + len]),
            Self::File { file, offset, .. } => {
                buffer.resize(len, 0);
                file.file
                    .read_exact_at(buffer, offset + start as u64)
                    .map_err(|e| store_error(&file.path, &e))?;
                Ok(buffer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits_and_removes_what_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("7.load-spill");
        let other = folder.path().join("other");
        std::fs::write(&left, "left").unwrap();
        std::fs::write(&other, "other").unwrap();
        let spill = Spill::new(folder.path(), 10).unwrap();
        assert!(!left.exists() && other.exists());
        let kept = spill.keep(b"12345678".to_vec()).ok().unwrap();
        assert!(spill.keep(b"123".to_vec()).is_err());
        drop(kept);
        assert!(spill.keep(b"123".to_vec()).is_ok());
        let file = spill.file().unwrap();
        let places = [file.append(b"abc").unwrap(), file.append(b"defgh").unwrap()];
        drop(file);
        let mut buffer = Vec::new();
        assert_eq!(places[1].read(1, 3, &mut buffer).unwrap(), b"efg");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(places);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
