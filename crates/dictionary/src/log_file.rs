//! The log under the tail: what was given and deleted since the last seal, in frames that are appended and synced.
//!
//! | bytes of a frame | |
//! |---|---|
//! | 4 | magic |
//! | 4 | 1: ids were given, 2: users were deleted |
//! | 4 | ids: the first ordinal |
//! | 4 | how many |
//! | 4 | bytes of the payload |
//! | 4 | checksum of the header so far |
//! | 8 | checksum of the payload, seeded with the header's |
//! | | ids: packed ids; deletions: ordinals of four bytes |
//!
//! Each frame is synced before the next is written, so only the last can be torn. One whose end is missing, or of which a page was
//! never written, is cut off when the log is opened. Any other damage is [`Error::Corrupt`], and so is a log that is shorter than what was
//! acknowledged, which the file with the ending `mark` beside it says.

use crate::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use taghouse_disk::{Mark, Standing};
use taghouse_model::Ordinal;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const FILE_MAGIC: &[u8; 8] = b"THTAIL01";
/// Magic, first ordinal, checksum of these.
const FILE_HEADER: usize = 16;
const MAGIC: [u8; 4] = *b"THF1";
const HEADER: usize = 32;
const IDS: u32 = 1;
const DELETED: u32 = 2;
/// What a file system writes or loses at once.
const PAGE: usize = 4096;
/// A stretch of zeros below this size says nothing.
const LOST_BYTES: usize = 16;
/// The ending of the file beside a log that says how much of it was acknowledged.
pub(crate) const MARK: &str = "mark";

/// The log of one tail, open for appending.
pub(crate) struct LogFile {
    file: File,
    pub(crate) path: PathBuf,
    /// As it was opened: what is written to a deleted file is lost.
    standing: Standing,
    /// The bytes that somebody was told are on disk.
    acknowledged: Mark,
    /// The same.
    durable: u64,
    /// The bytes written, durable or not.
    length: u64,
}

/// What a frame says.
pub(crate) enum Frame<'a> {
    /// These packed ids got the ordinals from `first` on.
    Ids { first: Ordinal, count: u32, packed: &'a [u8] },
    /// These are of no one any more.
    Deleted(Vec<Ordinal>),
}

impl LogFile {
    /// The length of a log without frames.
    pub(crate) const EMPTY_BYTES: u64 = FILE_HEADER as u64;

    /// A new log on disk; the caller syncs the folder.
    pub(crate) fn create(path: PathBuf, first: Ordinal) -> Result<Self> {
        let header = file_header(first);
        let made = || {
            let mut file = File::create(&path)?;
            file.write_all(&header)?;
            taghouse_disk::sync(&file, &path)?;
            // Of a file of that name which was never current.
            let (mut acknowledged, _) = Mark::open(mark_of(&path))?;
            acknowledged.reset(Self::EMPTY_BYTES)?;
            Ok((file, Standing::of(path.clone())?, acknowledged))
        };
        let (file, standing, acknowledged) = made().map_err(Error::io(&path))?;
        Ok(Self { file, path, standing, acknowledged, durable: Self::EMPTY_BYTES, length: Self::EMPTY_BYTES })
    }

    /// Reads the log, cutting off a torn last frame.
    pub(crate) fn open(path: PathBuf, first: Ordinal, visit: impl FnMut(Frame<'_>) -> Result<()>) -> Result<Self> {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::corrupt(&path, "it is missing")),
            Err(e) => return Err(Error::io(&path)(e)),
        };
        if bytes.get(..FILE_HEADER) != Some(&file_header(first)) {
            return Err(Error::corrupt(&path, "its header"));
        }
        let end = read(&path, &bytes, visit)?;
        let (mut acknowledged, noted) = Mark::open(mark_of(&path)).map_err(Error::io(&path))?;
        if let Some(noted) = noted.filter(|noted| *noted > end as u64) {
            return Err(Error::corrupt(&path, format!("it is whole up to byte {end} only, {noted} were acknowledged")));
        }
        let opened = || {
            let file = OpenOptions::new().append(true).open(&path)?;
            if end < bytes.len() {
                file.set_len(end as u64)?;
                taghouse_disk::sync(&file, &path)?;
            }
            Ok((file, Standing::of(path.clone())?))
        };
        let (file, standing) = opened().map_err(Error::io(&path))?;
        acknowledged.set(end as u64);
        Ok(Self { file, path, standing, acknowledged, durable: end as u64, length: end as u64 })
    }

    /// Cuts off what was written and never acknowledged.
    pub(crate) fn cut_back(&mut self) -> Result<()> {
        let cut = self.standing.check().and_then(|()| self.file.set_len(self.durable));
        cut.and_then(|()| taghouse_disk::sync(&self.file, &self.path)).map_err(Error::io(&self.path))?;
        self.length = self.durable;
        Ok(())
    }

    /// Writes a frame; `sync` makes it durable.
    pub(crate) fn append_ids(&mut self, first: Ordinal, count: u32, packed: &[u8]) -> Result<()> {
        self.append(IDS, first, count, packed)
    }

    /// Writes a frame; `sync` makes it durable.
    pub(crate) fn append_deleted(&mut self, ordinals: &[Ordinal]) -> Result<()> {
        let payload: Vec<u8> = ordinals.iter().flat_map(|ordinal| ordinal.to_le_bytes()).collect();
        self.append(DELETED, 0, ordinals.len() as u32, &payload)
    }

    pub(crate) fn sync(&mut self) -> Result<()> {
        let synced = taghouse_disk::sync_data(&self.file, &self.path).and_then(|()| self.standing.check());
        synced.map_err(Error::io(&self.path))?;
        self.durable = self.length;
        self.acknowledged.set(self.durable);
        Ok(())
    }

    fn append(&mut self, kind: u32, first: Ordinal, count: u32, payload: &[u8]) -> Result<()> {
        let mut frame = Vec::with_capacity(HEADER + payload.len());
        frame.extend_from_slice(&MAGIC);
        for number in [kind, first, count, payload.len() as u32] {
            frame.extend_from_slice(&number.to_le_bytes());
        }
        let header = xxh3_64(&frame);
        frame.extend_from_slice(&(header as u32).to_le_bytes());
        frame.extend_from_slice(&xxh3_64_with_seed(payload, header).to_le_bytes());
        frame.extend_from_slice(payload);
        self.file.write_all(&frame).map_err(Error::io(&self.path))?;
        self.length += frame.len() as u64;
        Ok(())
    }
}

/// Beside a log, how much of it was acknowledged.
fn mark_of(path: &Path) -> PathBuf {
    path.with_extension(MARK)
}

fn file_header(first: Ordinal) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..8].copy_from_slice(FILE_MAGIC);
    header[8..12].copy_from_slice(&first.to_le_bytes());
    let checksum = xxh3_64(&header[..12]) as u32;
    header[12..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Visits all frames and gives where the last whole one ends.
fn read(path: &Path, bytes: &[u8], mut visit: impl FnMut(Frame<'_>) -> Result<()>) -> Result<usize> {
    let mut at = FILE_HEADER;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let Some(frame) = frame_at(rest) else {
            // A header that is cut short or not there: nothing was written after it.
            let torn = rest.len() < HEADER || lost_page(at, &rest[..HEADER]);
            return if torn && !frame_in(rest) { Ok(at) } else { Err(damaged(path, at)) };
        };
        let Some(payload) = frame.payload else { return Ok(at) };
        let end = at + HEADER + payload.len();
        if xxh3_64_with_seed(payload, frame.seed) != frame.checksum {
            let torn = lost_page(at, &bytes[at..end]) && !frame_in(&bytes[end..]);
            return if torn { Ok(at) } else { Err(damaged(path, at)) };
        }
        match frame.kind {
            IDS => visit(Frame::Ids { first: frame.first, count: frame.count, packed: payload })?,
            DELETED => visit(Frame::Deleted(payload.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()))?,
            _ => return Err(damaged(path, at)),
        }
        at = end;
    }
    Ok(at)
}

fn damaged(path: &Path, at: usize) -> Error {
    Error::corrupt(path, format!("the frame at byte {at}"))
}

/// What a frame's header says, and where the frame's bytes are.
struct FrameAt<'a> {
    kind: u32,
    first: Ordinal,
    count: u32,
    /// Of the payload.
    checksum: u64,
    /// Of the header, with which the payload's is seeded.
    seed: u64,
    /// `None` if its end is missing.
    payload: Option<&'a [u8]>,
}

/// The frame at the head of `bytes`; `None` if that is no header.
fn frame_at(bytes: &[u8]) -> Option<FrameAt<'_>> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let seed = xxh3_64(&header[..20]);
    if header[..4] != MAGIC || seed as u32 != number(20) {
        return None;
    }
    let checksum = u64::from(number(28)) << 32 | u64::from(number(24));
    let payload = bytes[HEADER..].get(..number(16) as usize);
    Some(FrameAt { kind: number(4), first: number(8), count: number(12), checksum, seed, payload })
}

/// Whether some page's part of `bytes`, which stand at `at` in the file, is all zeros: it was never written.
fn lost_page(at: usize, bytes: &[u8]) -> bool {
    let (mut start, mut lost) = (0, false);
    while start < bytes.len() {
        let end = bytes.len().min(start + PAGE - (at + start) % PAGE);
        lost |= end - start >= LOST_BYTES && bytes[start..end].iter().all(|byte| *byte == 0);
        start = end;
    }
    lost
}

/// Whether a frame begins anywhere in `bytes`.
fn frame_in(bytes: &[u8]) -> bool {
    bytes.windows(MAGIC.len()).enumerate().any(|(at, window)| window == MAGIC && frame_at(&bytes[at..]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path) -> (PathBuf, Vec<u8>) {
        let path = folder.join("tail");
        let mut log = LogFile::create(path.clone(), 7).unwrap();
        log.append_ids(7, 2, b"some ids").unwrap();
        log.append_deleted(&[7, 1]).unwrap();
        log.append_ids(9, 1, &[b'x'; 3 * PAGE]).unwrap();
        log.sync().unwrap();
        (path.clone(), fs::read(path).unwrap())
    }

    fn frames(path: &Path) -> Result<usize> {
        let mut count = 0;
        LogFile::open(path.to_owned(), 7, |_| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    #[test]
    fn a_torn_end_is_cut_off_and_the_log_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole) = written(folder.path());
        assert_eq!(frames(&path).unwrap(), 3);
        let second_ends = whole.len() - HEADER - 3 * PAGE;
        for length in [second_ends + 1, second_ends + HEADER, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            Mark::open(mark_of(&path)).unwrap().0.reset(whole.len() as u64).unwrap();
            assert!(matches!(frames(&path), Err(Error::Corrupt { .. })), "{length}: acknowledged");
            fs::remove_file(mark_of(&path)).unwrap();
            assert_eq!(frames(&path).unwrap(), 2, "{length}");
            assert_eq!(fs::metadata(&path).unwrap().len(), second_ends as u64);
        }
        let mut lost = whole.clone();
        lost[PAGE..2 * PAGE].fill(0);
        fs::write(&path, &lost).unwrap();
        fs::remove_file(mark_of(&path)).unwrap();
        assert_eq!(frames(&path).unwrap(), 2, "a page of the last frame was never written");
        let mut log = LogFile::open(path.clone(), 7, |_| Ok(())).unwrap();
        log.append_ids(9, 1, b"x").unwrap();
        assert_eq!(frames(&path).unwrap(), 3);
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole) = written(folder.path());
        let first_pages = (0..200).chain((200..whole.len()).step_by(997));
        for at in first_pages {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(frames(&path), Err(Error::Corrupt { .. })), "byte {at}");
        }
    }
}
