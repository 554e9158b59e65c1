//! A data folder that cannot be written, opened for reading.
//!
//! The crates write when they are opened: locks, the end of a torn log, SQLite's shared memory. So
//! they get a folder of their own in memory or in the system's folder for temporary files. What is
//! small and is written in place is copied there; what is never written again is linked or read
//! where it is. What they write to the copies is deleted with them.

use crate::lock::Unwritable;
use crate::wiring::DataPaths;
use anyhow::{Context, Result, bail};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder in memory, where the system has one.
const MEMORY: &str = "/dev/shm";

/// The copies, which are deleted when this is dropped. Until then nobody writes to the folder
/// itself.
pub(crate) struct Mirror {
    folder: PathBuf,
    copies: TempDir,
    _unwritable: Unwritable,
}

impl Mirror {
    /// Copies what the crates would write to.
    ///
    /// # Errors
    /// There is no folder for the copies, or the folder cannot be read.
    pub(crate) fn of(folder: &Path, unwritable: Unwritable) -> Result<Self> {
        let folder = std::fs::canonicalize(folder)
            .with_context(|| format!("reading {}", folder.display()))?;
        let mut failed = Vec::new();
        for parent in [PathBuf::from(MEMORY), std::env::temp_dir()] {
            match copied(&folder, &parent) {
                Ok(copies) => return Ok(Self { folder, copies, _unwritable: unwritable }),
                Err(error) => failed.push(format!("{}: {error}", parent.display())),
            }
        }
        bail!(
            "{}; to read it, what is written in place is copied, and that failed too ({}): make room there, or name another place with TMPDIR",
            unwritable.message(),
            failed.join("; ")
        )
    }

    /// The paths that the crates open: copies of what they write to, originals of the rest.
    pub(crate) fn paths(&self) -> DataPaths {
        let (there, copies) = (|name: &str| self.folder.join(name), self.copies.path());
        DataPaths {
            folder: self.folder.clone(),
            catalog: copies.join("catalog.db"),
            lake: there("lake"),
            objects: there("objects"),
            // What waits in the log is in no answer yet.
            log: copies.join("log"),
            ids: copies.join("ids"),
            live: copies.join("live"),
            feed: copies.join("feed"),
            // Commands that read write nothing there.
            webhooks: there("webhooks"),
            activations: there("activations"),
            dictionary: copies.join("dictionary"),
            uploads: copies.join("uploads"),
            scratch: copies.join("scratch"),
        }
    }
}

fn copied(folder: &Path, parent: &Path) -> io::Result<TempDir> {
    let copies = tempfile::Builder::new().prefix("taghouse-").tempdir_in(parent)?;
    for part in ["log", "live", "feed", "dictionary", "uploads", "scratch"] {
        std::fs::create_dir(copies.path().join(part))?;
    }
    // The catalog with what stands beside it; its shared memory is made again from the write-ahead
    // log.
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.starts_with("catalog.") && !text.ends_with("-shm") {
            copy_if_there(&folder.join(&name), &copies.path().join(&name))?;
        }
    }
    copy_tree(&folder.join("live"), &copies.path().join("live"), &|_| false)?;
    copy_tree(&folder.join("dictionary"), &copies.path().join("dictionary"), &written_once)?;
    Ok(copies)
}

/// Files of the dictionary that are written whole under another name and never again.
fn written_once(name: &str) -> bool {
    ["ids-", "run-", "deleted-"].iter().any(|kind| name.starts_with(kind))
}

fn copy_tree(from: &Path, to: &Path, linked: &dyn Fn(&str) -> bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&copy)?;
            copy_tree(&path, &copy, linked)?;
        } else if linked(&entry.file_name().to_string_lossy()) {
            std::os::unix::fs::symlink(&path, &copy)?;
        } else {
            copy_if_there(&path, &copy)?;
        }
    }
    Ok(())
}

/// Copies bytes, not rights: a file that may not be written would make a copy that may not.
fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = match std::fs::File::open(from) {
        Ok(from) => from,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    io::copy(&mut from, &mut std::fs::File::create_new(to)?).map(drop)
}
