//! The files of the log. Each is named for its first group, begins with a head of 32 bytes, and
//! its first group begins with the marks of all apps.

use crate::error::unavailable;
use crate::frame::MAX_NUMBER;
use crate::{Error, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_journal::AppendFile;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 8] = *b"TAGHELOG";
const VERSION: u64 = 1;
const ENDING: &str = "log";
/// Magic, version, first group, checksum of these: 8 bytes each.
pub(crate) const HEAD: usize = 32;
const CHECKSUM_AT: usize = HEAD - 8;

/// A file that is there, or was removed while somebody reads it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The number of its first group.
    pub(crate) first_group: u64,
    pub(crate) path: PathBuf,
    /// Open for reading.
    pub(crate) file: File,
    /// Those that are on disk.
    pub(crate) bytes: AtomicU64,
    /// What its records weigh that are neither trimmed nor carried to a later segment.
    live: AtomicU64,
    /// The runs that lie in it.
    runs: AtomicU64,
}

impl Segment {
    pub(crate) fn open(path: PathBuf, first_group: u64, bytes: u64) -> Result<Self> {
        let file = File::open(&path).map_err(unavailable(&path))?;
        Ok(Self {
            first_group,
            path,
            file,
            bytes: AtomicU64::new(bytes),
            live: AtomicU64::new(0),
            runs: AtomicU64::new(0),
        })
    }

    /// Notes that so much of it is live more, in so many runs. Whoever calls it holds the log's
    /// lock for writing.
    pub(crate) fn add(&self, runs: u64, weight: u64) {
        self.runs.fetch_add(runs, Ordering::Relaxed);
        self.live.fetch_add(weight, Ordering::Relaxed);
    }

    /// Notes that so much of it is dead. Whoever calls it holds the log's lock for writing.
    pub(crate) fn subtract(&self, runs: u64, weight: u64) {
        self.runs.fetch_sub(runs, Ordering::Relaxed);
        self.live.fetch_sub(weight, Ordering::Relaxed);
    }

    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.runs.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// An error that names the frame at `offset`.
    pub(crate) fn damaged(&self, offset: u64) -> Error {
        damaged(&self.path, offset)
    }
}

/// An error that names the frame at `offset` of a file.
pub(crate) fn damaged(path: &Path, offset: u64) -> Error {
    Error::Corrupt(format!("{}: the frame at byte {offset} is damaged", path.display()))
}

/// Makes a file for the groups from this one on, in place of any of that name. Its name is on disk
/// when this returns.
pub(crate) fn create(folder: &Path, first_group: u64) -> std::io::Result<AppendFile> {
    let file = AppendFile::create(path_of(folder, first_group), &file_head(first_group))?;
    taghouse_disk::sync_folder(folder)?;
    Ok(file)
}

/// A file of a folder, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) first_group: u64,
    pub(crate) path: PathBuf,
}

/// The segments of a folder in order.
pub(crate) fn list(folder: &Path) -> Result<Vec<Named>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unavailable(folder))? {
        let path = entry.map_err(unavailable(folder))?.path();
        if let Some(first_group) = first_group_of(&path) {
            found.push(Named { first_group, path });
        }
    }
    found.sort();
    Ok(found)
}

fn first_group_of(path: &Path) -> Option<u64> {
    let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
    path.file_stem().filter(|_| is_ours)?.to_str()?.parse().ok()
}

pub(crate) fn path_of(folder: &Path, first_group: u64) -> PathBuf {
    folder.join(format!("{first_group:020}.{ENDING}"))
}

/// What a file begins with.
pub(crate) fn file_head(first_group: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&VERSION.to_le_bytes());
    head[16..CHECKSUM_AT].copy_from_slice(&first_group.to_le_bytes());
    let checksum = xxh3_64(&head[..CHECKSUM_AT]);
    head[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// How a file begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// As one of this name does.
    Whole,
    /// Its maker was stopped: there is no head.
    Torn,
    /// There is something else.
    Damaged,
}

/// How the content of a file of this name begins.
pub(crate) fn begin_of(content: &[u8], first_group: u64) -> Begin {
    let is_named = (1..MAX_NUMBER).contains(&first_group);
    match content.get(..HEAD) {
        Some(head) if is_named && head == file_head(first_group) => Begin::Whole,
        // Its page was never written.
        Some(_) if content.iter().all(|byte| *byte == 0) => Begin::Torn,
        Some(_) => Begin::Damaged,
        None => Begin::Torn,
    }
}
