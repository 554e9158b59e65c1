//! The log of changes on disk: files of frames, each frame one sync.
//!
//! ```text
//! file:  magic 8 | version 4 | zeros 4 | generation 8 | position of its first change 8 | xxh3 of these 8 | frames
//! frame: payload length 4 | changes 4 | position of the first 8 | xxh3 of the payload 8 | xxh3 of these 8 | payload (see `codec`)
//! ```
//!
//! A frame that a crash cut short is the last one of the last file, and nobody was told that it is there: it is cut off at open. A
//! bad frame anywhere else is damage.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"TAGHCHNG";
const VERSION: u32 = 1;
const FILE_HEAD: usize = 40;
const FRAME_HEAD: usize = 32;
const PREFIX: &str = "changes-";
const ENDING: &str = ".log";

/// The log of one app, open for appending.
pub(crate) struct ChangeLog {
    folder: PathBuf,
    generation: u64,
    file: File,
    /// Bytes of the last file that are frames.
    size: u64,
    /// A file grows to about so many bytes.
    file_bytes: u64,
    /// The position of the last change.
    end: u64,
    /// All files by the position of their first change, ascending.
    files: Vec<(u64, PathBuf)>,
    /// After a failed write or sync nobody knows what is on disk: nothing more is written until the log is opened anew.
    broken: bool,
}

impl ChangeLog {
    /// Opens the log behind a checkpoint at position `after`, and hands each frame's first position and payload to `each` as far as it lies
    /// behind that.
    ///
    /// # Errors
    /// `Log` names a damaged or missing file; `Disk` when the folder cannot be read or written; those of `each`.
    pub(crate) fn open(
        folder: &Path,
        generation: u64,
        after: u64,
        file_bytes: u64,
        each: &mut impl FnMut(&Path, u64, &[u8]) -> Result<()>,
    ) -> Result<Self> {
        let mut files = list(folder)?;
        // What lies before the checkpoint was to be removed already. The last file may hold more, which its frames tell.
        while files.len() > 1 && files[1].0 <= after + 1 {
            remove(&files.remove(0).1)?;
        }
        if let Some((first, path)) = files.first()
            && *first > after + 1
        {
            return Err(Error::log(path, format!("changes {} to {} before it are missing", after + 1, first - 1)));
        }
        let mut end = after;
        let mut kept = None;
        for (number, (first, path)) in files.iter().enumerate() {
            let last = number + 1 == files.len();
            let bytes = fs::read(path).map_err(|e| Error::disk(path, &e))?;
            let of_generation = file_head(&bytes, *first).ok_or_else(|| Error::log(path, "its head does not match"))?;
            let (through, size) = frames(path, &bytes, *first, last, &mut |first, changes, payload| {
                if first + changes <= after + 1 {
                    return Ok(());
                }
                if of_generation != generation {
                    return Err(Error::log(path, format!("it is of generation {of_generation} instead of {generation}")));
                }
                each(path, first, payload)
            })?;
            if let Some((next, _)) = files.get(number + 1)
                && *next != through + 1
            {
                return Err(Error::log(path, format!("it ends at change {through}, the next file begins at {next}")));
            }
            end = end.max(through);
            kept = (last && of_generation == generation && through >= after).then_some(size);
        }
        let Some(size) = kept else {
            return Self::begin(folder, generation, end, file_bytes, files);
        };
        let Some((_, path)) = files.last() else {
            return Err(Error::Internal("a log without files has a last one".to_owned()));
        };
        let file = OpenOptions::new().append(true).open(path).map_err(|e| Error::disk(path, &e))?;
        let found = file.metadata().map_err(|e| Error::disk(path, &e))?.len();
        if found > size {
            tracing::warn!(file = %path.display(), bytes = found - size, "the log ends in a frame that was never acknowledged; it is cut off");
            file.set_len(size).and_then(|()| file.sync_all()).map_err(|e| Error::disk(path, &e))?;
        }
        Ok(Self { folder: folder.to_owned(), generation, file, size, file_bytes, end, files, broken: false })
    }

    /// A new file behind `end`.
    fn begin(folder: &Path, generation: u64, end: u64, file_bytes: u64, mut files: Vec<(u64, PathBuf)>) -> Result<Self> {
        let path = folder.join(format!("{PREFIX}{:020}{ENDING}", end + 1));
        let mut head = Vec::with_capacity(FILE_HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&generation.to_le_bytes());
        head.extend_from_slice(&(end + 1).to_le_bytes());
        head.extend_from_slice(&xxh3_64(&head).to_le_bytes());
        write_whole(&path, &head)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| Error::disk(&path, &e))?;
        files.retain(|(_, other)| *other != path);
        files.push((end + 1, path));
        Ok(Self { folder: folder.to_owned(), generation, file, size: FILE_HEAD as u64, file_bytes, end, files, broken: false })
    }

    /// The position of the last change.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Appends one frame of `changes` changes, on disk when this returns.
    ///
    /// # Errors
    /// `Disk`; then nothing of it is in the log, and no more is taken until it is opened anew.
    pub(crate) fn append(&mut self, payload: &[u8], changes: u32) -> Result<()> {
        if self.broken {
            return Err(Error::Disk { file: self.last_path(), detail: "an earlier write failed, open the index anew".to_owned() });
        }
        if self.size >= self.file_bytes {
            self.rotate()?;
        }
        let mut frame = Vec::with_capacity(FRAME_HEAD + payload.len());
        frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        frame.extend_from_slice(&changes.to_le_bytes());
        frame.extend_from_slice(&(self.end + 1).to_le_bytes());
        frame.extend_from_slice(&xxh3_64(payload).to_le_bytes());
        frame.extend_from_slice(&xxh3_64(&frame).to_le_bytes());
        frame.extend_from_slice(payload);
        let written = self.file.write_all(&frame).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.broken = true;
            // Best effort, lest a frame that failed is there after the next open; a frame not acknowledged may be there all the same.
            let _ = self.file.set_len(self.size).and_then(|()| self.file.sync_all());
            return Err(Error::Disk { file: self.last_path(), detail: error.to_string() });
        }
        self.size += frame.len() as u64;
        self.end += u64::from(changes);
        Ok(())
    }

    /// Goes on in a new file.
    pub(crate) fn rotate(&mut self) -> Result<()> {
        if self.size > FILE_HEAD as u64 && !self.broken {
            *self = Self::begin(&self.folder, self.generation, self.end, self.file_bytes, self.files.clone())?;
        }
        Ok(())
    }

    /// Goes on under another generation, from a position not before the end: what is logged already is of no more use.
    pub(crate) fn restart(&mut self, generation: u64, end: u64) -> Result<()> {
        *self = Self::begin(&self.folder, generation, end.max(self.end), self.file_bytes, self.files.clone())?;
        Ok(())
    }

    /// Removes the files of which a checkpoint at `position` holds everything. What cannot be removed is waste, not damage.
    pub(crate) fn remove_through(&mut self, position: u64) {
        while self.files.len() > 1 && self.files[1].0 <= position + 1 {
            let (_, path) = self.files.remove(0);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "an old file of the change log could not be removed");
            }
        }
    }

    fn last_path(&self) -> String {
        self.files.last().map_or_else(|| self.folder.display().to_string(), |(_, path)| path.display().to_string())
    }
}

/// Writes a file so that after a crash it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|e| Error::disk(path, &e))
}

fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::disk(folder, &e))? {
        let path = entry.map_err(|e| Error::disk(folder, &e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(first) = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(ENDING)).and_then(|first| first.parse().ok()) {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|e| Error::disk(path, &e))
}

/// The generation that a file's head says; `None` for no head, or that of another position.
fn file_head(bytes: &[u8], first: u64) -> Option<u64> {
    let head = bytes.get(..FILE_HEAD)?;
    let known = &head[..8] == MAGIC && u64_at(head, 32) == xxh3_64(&head[..32]) && head[8..12] == VERSION.to_le_bytes();
    (known && u64_at(head, 24) == first).then(|| u64_at(head, 16))
}

/// Goes through a file's frames: the position of the last change, and how many bytes are good.
fn frames(
    path: &Path,
    bytes: &[u8],
    first: u64,
    last_file: bool,
    each: &mut impl FnMut(u64, u64, &[u8]) -> Result<()>,
) -> Result<(u64, u64)> {
    let (mut at, mut next) = (FILE_HEAD, first);
    while at < bytes.len() {
        let Some((changes, payload)) = frame(&bytes[at..], next) else {
            let torn = last_file && !(at + 1..bytes.len()).any(|later| frame_head(&bytes[later..]).is_some_and(|(first, ..)| first > next));
            if torn {
                break;
            }
            return Err(Error::log(path, format!("the frame at byte {at}, of change {next}, does not match its checksum")));
        };
        each(next, changes, payload)?;
        at += FRAME_HEAD + payload.len();
        next += changes;
    }
    Ok((next - 1, at as u64))
}

/// The number of changes and the payload of a good frame.
fn frame(bytes: &[u8], expected: u64) -> Option<(u64, &[u8])> {
    let (first, changes, len) = frame_head(bytes)?;
    let payload = bytes.get(FRAME_HEAD..)?.get(..len)?;
    (first == expected && xxh3_64(payload) == u64_at(bytes, 16)).then_some((changes, payload))
}

/// First position, changes and payload length of a good head.
fn frame_head(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let head = bytes.get(..FRAME_HEAD)?;
    (u64_at(head, 24) == xxh3_64(&head[..24])).then(|| (u64_at(head, 8), u64_at(head, 0) >> 32, u64_at(head, 0) as u32 as usize))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}
