//! The log of changes on disk: files of frames, each frame one sync.
//!
//! ```text
//! file:  magic 8 | version 4 | zeros 4 | generation 8 | position of its first change 8 | xxh3 of these 8 | frames
//! frame: payload length 4 | changes 4 | position of the first 8 | xxh3 of the payload 8 | xxh3 of these 8 | payload (see `codec`)
//! ```
//!
//! A frame that a crash cut short is the last one of the last file, and nobody was told that it is
//! there: it is cut off at open. A bad frame anywhere else is damage, and so is a log that ends
//! before the changes that were acknowledged, which `acknowledged.mark` says.
//!
//! After a failed write the file is cut back to what was acknowledged, at once or with the next
//! call, and goes on from there.

use super::change_frame::{ChangeFrames, Fields, u64_at};
use super::codec::{self, Item};
use crate::error::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use taghouse_disk::Mark;
use taghouse_journal::{AppendFile, FrameReader, TornEnd, frame_bytes};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"TAGHCHNG";
const VERSION: u32 = 1;
const FILE_HEAD: usize = 40;
const PREFIX: &str = "changes-";
const ENDING: &str = ".log";
const MARK: &str = "acknowledged.mark";

/// The log of one app, open for appending.
pub(crate) struct ChangeLog {
    folder: PathBuf,
    generation: u64,
    /// The file that is written to.
    last: AppendFile,
    /// A file grows to about so many bytes.
    file_bytes: u64,
    /// The position of the last change.
    end: u64,
    /// All files by the position of their first change, ascending.
    files: Vec<(u64, PathBuf)>,
    /// The last change that somebody was told is on disk.
    acknowledged: Mark,
    /// A write or sync failed, and what it left behind the last frame is there yet.
    broken: bool,
    /// A new file could not be begun, and may be there all the same: it must not be found behind
    /// what is appended to the last one.
    stray: Option<PathBuf>,
    /// Its generation is over, and the file of the next one is not begun yet.
    superseded: bool,
}

impl ChangeLog {
    /// Opens the log behind a checkpoint at position `after`, and hands each frame's first position
    /// and payload to `each` as far as it lies behind that.
    ///
    /// # Errors
    /// `Log` names a damaged or missing file; `Disk` when the folder cannot be read or written;
    /// those of `each`.
    pub(crate) fn open(
        folder: &Path,
        generation: u64,
        after: u64,
        file_bytes: u64,
        each: &mut impl FnMut(&Path, u64, &[u8]) -> Result<()>,
    ) -> Result<Self> {
        let mut files = list(folder)?;
        // What lies before the checkpoint was to be removed already. The last file may hold more,
        // which its frames tell.
        while files.len() > 1 && files[1].0 <= after + 1 {
            remove(&files.remove(0).1)?;
        }
        if let Some((first, path)) = files.first()
            && *first > after + 1
        {
            return Err(Error::log(
                path,
                format!("changes {} to {} before it are missing", after + 1, first - 1),
            ));
        }
        let LogContent { end, size } = read_files(&files, generation, after, each)?;
        let acknowledged = acknowledged(folder, &files, end)?;
        let last = match (size, files.last()) {
            (Some(size), Some((_, path))) => open_file(path, size)?,
            _ => {
                let last = make_file(folder, generation, end)?;
                files.retain(|(_, other)| other != last.path());
                files.push((end + 1, last.path().to_owned()));
                last
            }
        };
        Ok(Self {
            folder: folder.to_owned(),
            generation,
            last,
            file_bytes,
            end,
            files,
            acknowledged,
            broken: false,
            stray: None,
            superseded: false,
        })
    }

    /// Goes on in a new file behind `end`.
    fn begin(&mut self, generation: u64, end: u64) -> Result<()> {
        self.remove_stray()?;
        let path = path_of(&self.folder, end);
        let last = match make_file(&self.folder, generation, end) {
            Ok(last) => last,
            Err(error) => {
                // One that took the place of the last file is noticed by that one's standing.
                self.stray = Some(path).filter(|path| path != self.last.path());
                // What cannot be done now is done before the next write.
                let _ = self.remove_stray();
                return Err(error);
            }
        };
        self.files.retain(|(_, other)| other != last.path());
        self.files.push((end + 1, last.path().to_owned()));
        (self.last, self.generation, self.end, self.broken, self.superseded) =
            (last, generation, end, false, false);
        Ok(())
    }

    /// The position of the last change.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The generation, and all files by the position of their first change, ascending.
    pub(crate) fn files(&self) -> (u64, Vec<(u64, PathBuf)>) {
        (self.generation, self.files.clone())
    }

    /// Appends one frame of `changes` changes, on disk when this returns.
    ///
    /// # Errors
    /// `Disk`; then nothing of it is in the log.
    pub(crate) fn append(&mut self, payload: &[u8], changes: u32) -> Result<()> {
        self.last.check().map_err(|e| Error::disk(self.last.path(), &e))?;
        self.remove_stray()?;
        if self.broken {
            self.last.cut_back().map_err(|e| Error::disk(self.last.path(), &e))?;
            self.broken = false;
        }
        if self.last.durable() >= self.file_bytes {
            self.rotate()?;
        }
        let frame = frame_bytes::<ChangeFrames>(&Fields { first: self.end + 1, changes }, payload);
        if let Err(error) = self.last.write(&frame).and_then(|()| self.last.sync()) {
            // So that the frame that failed is not there after the next open; what cannot be done
            // now is done before the next write.
            self.broken = self.last.cut_back().is_err();
            return Err(Error::disk(self.last.path(), &error));
        }
        self.end += u64::from(changes);
        self.acknowledged.set(self.end);
        Ok(())
    }

    /// Goes on in a new file.
    pub(crate) fn rotate(&mut self) -> Result<()> {
        if self.last.durable() > FILE_HEAD as u64 && !self.broken {
            self.begin(self.generation, self.end)?;
        }
        Ok(())
    }

    fn remove_stray(&mut self) -> Result<()> {
        let Some(path) = &self.stray else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::disk(path, &error));
            }
            _ => taghouse_disk::sync_folder(&self.folder)
                .map_err(|e| Error::disk(&self.folder, &e))?,
        }
        self.stray = None;
        Ok(())
    }

    /// Goes on under another generation, from a position not before the end: what is logged already
    /// is of no more use.
    pub(crate) fn restart(&mut self, generation: u64, end: u64) -> Result<()> {
        self.begin(generation, end.max(self.end))
    }

    /// From now on nothing is logged until it was restarted: a checkpoint of another generation may
    /// be on disk.
    pub(crate) fn supersede(&mut self) {
        self.superseded = true;
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded
    }

    /// Removes the files of which a checkpoint at `position` holds everything. What cannot be
    /// removed is waste, not damage.
    pub(crate) fn remove_through(&mut self, position: u64) {
        while self.files.len() > 1 && self.files[1].0 <= position + 1 {
            let (_, path) = self.files.remove(0);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "an old file of the change log could not be removed");
            }
        }
    }
}

/// A new file behind `end`, on disk.
fn make_file(folder: &Path, generation: u64, end: u64) -> Result<AppendFile> {
    let path = path_of(folder, end);
    let mut head = Vec::with_capacity(FILE_HEAD);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    head.extend_from_slice(&generation.to_le_bytes());
    head.extend_from_slice(&(end + 1).to_le_bytes());
    head.extend_from_slice(&xxh3_64(&head).to_le_bytes());
    taghouse_disk::replace(&path, &head).map_err(|e| Error::disk(&path, &e))?;
    open_file(&path, FILE_HEAD as u64)
}

/// A file of which the first `size` bytes are frames; others are cut off.
fn open_file(path: &Path, size: u64) -> Result<AppendFile> {
    let (file, torn) =
        AppendFile::open(path.to_owned(), size).map_err(|e| Error::disk(path, &e))?;
    if torn > 0 {
        tracing::warn!(file = %path.display(), bytes = torn, "the log ends in a frame that was never acknowledged; it is cut off");
    }
    Ok(file)
}

/// Hands the items of the frames that hold changes later than `after` and up to `through` to
/// `each`, with the position of their first. Those of other generations are passed over, for their
/// ordinals mean nothing. `false` when the files do not reach back so far.
pub(crate) fn read_back(
    files: &[(u64, PathBuf)],
    generation: u64,
    after: u64,
    through: u64,
    each: &mut dyn FnMut(u64, Vec<Item>) -> Result<()>,
) -> Result<bool> {
    if files.first().is_none_or(|(first, _)| *first > after + 1) {
        return Ok(false);
    }
    for (number, (first, path)) in
        files.iter().enumerate().take_while(|(_, (first, _))| *first <= through)
    {
        if files.get(number + 1).is_some_and(|(next, _)| *next <= after + 1) {
            continue;
        }
        let bytes = fs::read(path).map_err(|e| Error::disk(path, &e))?;
        if file_head(&bytes, *first).ok_or_else(|| Error::log(path, "its head does not match"))?
            != generation
        {
            continue;
        }
        // Behind what was acknowledged the last file may be in the midst of being written.
        let last = number + 1 == files.len();
        let frames = frames(path, &bytes, *first, last, &mut |first, changes, payload| {
            if first + changes <= after + 1 || first > through {
                return Ok(());
            }
            let items = codec::read(payload).ok_or_else(|| {
                Error::log(path, format!("the changes from {first} on cannot be read"))
            })?;
            each(first, items)
        })?;
        if last && frames.through < through {
            return Err(Error::log(
                path,
                format!(
                    "it ends at change {}, those up to {through} were acknowledged",
                    frames.through
                ),
            ));
        }
    }
    Ok(true)
}

/// What the files hold.
struct LogContent {
    /// The position of the last change.
    end: u64,
    /// Bytes of the last file that are frames, if it can be gone on with.
    size: Option<u64>,
}

fn read_files(
    files: &[(u64, PathBuf)],
    generation: u64,
    after: u64,
    each: &mut impl FnMut(&Path, u64, &[u8]) -> Result<()>,
) -> Result<LogContent> {
    let mut content = LogContent { end: after, size: None };
    for (number, (first, path)) in files.iter().enumerate() {
        let last = number + 1 == files.len();
        let bytes = fs::read(path).map_err(|e| Error::disk(path, &e))?;
        let of_generation =
            file_head(&bytes, *first).ok_or_else(|| Error::log(path, "its head does not match"))?;
        let Frames { through, bytes: size } =
            frames(path, &bytes, *first, last, &mut |first, changes, payload| {
                if first + changes <= after + 1 {
                    return Ok(());
                }
                if of_generation != generation {
                    return Err(Error::log(
                        path,
                        format!("it is of generation {of_generation} instead of {generation}"),
                    ));
                }
                each(path, first, payload)
            })?;
        if let Some((next, _)) = files.get(number + 1)
            && *next != through + 1
        {
            return Err(Error::log(
                path,
                format!("it ends at change {through}, the next file begins at {next}"),
            ));
        }
        content.end = content.end.max(through);
        content.size = (last && of_generation == generation && through >= after).then_some(size);
    }
    Ok(content)
}

/// The mark of what was acknowledged; an error if the log ends before it.
fn acknowledged(folder: &Path, files: &[(u64, PathBuf)], end: u64) -> Result<Mark> {
    let path = folder.join(MARK);
    let (mut mark, noted) = Mark::open(path.clone()).map_err(|e| Error::disk(&path, &e))?;
    if let Some(noted) = noted.filter(|noted| *noted > end) {
        let at = files.last().map_or(folder, |(_, path)| path);
        let mark = path.display();
        let problem = format!(
            "it ends at change {end}, those up to {noted} were acknowledged; to go on without them, remove {mark}"
        );
        return Err(Error::log(at, problem));
    }
    mark.set(end);
    Ok(mark)
}

/// The file that goes on behind the change at position `end`.
fn path_of(folder: &Path, end: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{:020}{ENDING}", end + 1))
}

fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::disk(folder, &e))? {
        let path = entry.map_err(|e| Error::disk(folder, &e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(first) = name
            .strip_prefix(PREFIX)
            .and_then(|name| name.strip_suffix(ENDING))
            .and_then(|first| first.parse().ok())
        {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|e| Error::disk(path, &e))
}

/// Offsets in a file's head, which begins with the magic.
mod file_head_at {
    pub(super) const VERSION: usize = 8;
    pub(super) const GENERATION: usize = 16;
    pub(super) const FIRST: usize = 24;
    /// Of everything before it.
    pub(super) const CHECKSUM: usize = 32;
}

/// The generation in a file's head; `None` without a head, or for one of another position.
fn file_head(bytes: &[u8], first: u64) -> Option<u64> {
    let head = bytes.get(..FILE_HEAD)?;
    let known = &head[..8] == MAGIC
        && u64_at(head, file_head_at::CHECKSUM) == xxh3_64(&head[..file_head_at::CHECKSUM])
        && head[file_head_at::VERSION..][..4] == VERSION.to_le_bytes();
    (known && u64_at(head, file_head_at::FIRST) == first)
        .then(|| u64_at(head, file_head_at::GENERATION))
}

/// The intact frames of a file.
struct Frames {
    /// The position of the last change.
    through: u64,
    /// Bytes up to the end of the last frame.
    bytes: u64,
}

/// Reads the frames of a file, and calls `each` with the first position, the number of changes and
/// the payload of each.
fn frames(
    path: &Path,
    bytes: &[u8],
    first: u64,
    last_file: bool,
    each: &mut impl FnMut(u64, u64, &[u8]) -> Result<()>,
) -> Result<Frames> {
    let torn = if last_file { TornEnd::Anything } else { TornEnd::Never };
    let mut frames = FrameReader::new(path, bytes, FILE_HEAD, torn, ChangeFrames { next: first });
    loop {
        let next = frames.format().next;
        let frame = frames.next().map_err(|flaw| {
            Error::log(
                path,
                format!(
                    "the frame at byte {}, of change {next}, does not match its checksum",
                    flaw.offset
                ),
            )
        })?;
        let Some(frame) = frame else {
            return Ok(Frames { through: next - 1, bytes: frames.end() });
        };
        each(frame.fields.first, u64::from(frame.fields.changes), frame.payload)?;
    }
}
