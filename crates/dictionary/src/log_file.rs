//! The log under the tail: what was given and deleted since the last seal, in frames that are
//! appended and synced.
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
//! Each frame is synced before the next is written, so only the last can be torn. One whose end is
//! missing, or of which a page was never written, is cut off when the log is opened. Any other
//! damage is [`Error::Corrupt`], and so is a log that is shorter than what was acknowledged, which
//! the file with the ending `mark` beside it says.

use crate::{Error, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use taghouse_disk::Mark;
use taghouse_journal::{
    AppendFile, FrameFormat, FrameHead, FrameReader, HEAD_BYTES, TornEnd, frame_bytes,
};
use taghouse_model::Ordinal;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const FILE_MAGIC: &[u8; 8] = b"THTAIL01";
/// The header: magic, first ordinal, checksum of both.
const FILE_HEADER: usize = 16;
const MAGIC: [u8; 4] = *b"THF1";
const IDS: u32 = 1;
const DELETED: u32 = 2;
/// The ending of the file beside a log that says how much of it was acknowledged.
pub(crate) const MARK: &str = "mark";

/// The log of one tail, open for appending.
pub(crate) struct LogFile {
    file: AppendFile,
    pub(crate) path: PathBuf,
    /// The bytes that were acknowledged as being on disk.
    acknowledged: Mark,
}

/// What a frame says.
pub(crate) enum Frame<'a> {
    /// These packed ids got the ordinals from `first` on.
    Ids { first: Ordinal, count: u32, packed: &'a [u8] },
    /// The users of these ordinals were deleted.
    Deleted(Vec<Ordinal>),
}

impl LogFile {
    /// The length of a log without frames.
    pub(crate) const EMPTY_BYTES: u64 = FILE_HEADER as u64;

    /// A new log on disk; the caller syncs the folder.
    pub(crate) fn create(path: PathBuf, first: Ordinal) -> Result<Self> {
        let made = || {
            let file = AppendFile::create(path.clone(), &file_header(first))?;
            // Of a file of that name which was never current.
            let (mut acknowledged, _) = Mark::open(mark_of(&path))?;
            acknowledged.reset(Self::EMPTY_BYTES)?;
            Ok((file, acknowledged))
        };
        let (file, acknowledged) = made().map_err(Error::io(&path))?;
        Ok(Self { file, path, acknowledged })
    }

    /// Reads the log, cutting off a torn last frame.
    pub(crate) fn open(
        path: PathBuf,
        first: Ordinal,
        visit: impl FnMut(Frame<'_>) -> Result<()>,
    ) -> Result<Self> {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::corrupt(&path, "it is missing"));
            }
            Err(e) => return Err(Error::io(&path)(e)),
        };
        if bytes.get(..FILE_HEADER) != Some(&file_header(first)) {
            return Err(Error::corrupt(&path, "its header"));
        }
        let end = read(&path, &bytes, visit)?;
        let (mut acknowledged, noted) = Mark::open(mark_of(&path)).map_err(Error::io(&path))?;
        if let Some(noted) = noted.filter(|noted| *noted > end) {
            return Err(Error::corrupt(
                &path,
                format!("it is whole up to byte {end} only, {noted} were acknowledged"),
            ));
        }
        let (file, _) = AppendFile::open(path.clone(), end).map_err(Error::io(&path))?;
        acknowledged.set(end);
        Ok(Self { file, path, acknowledged })
    }

    /// Cuts off what was written and never acknowledged.
    pub(crate) fn cut_back(&mut self) -> Result<()> {
        self.file.check().and_then(|()| self.file.cut_back()).map_err(Error::io(&self.path))
    }

    /// Writes a frame; `sync` makes it durable.
    pub(crate) fn append_ids(&mut self, first: Ordinal, count: u32, packed: &[u8]) -> Result<()> {
        self.append(&Fields { kind: IDS, first, count }, packed)
    }

    /// Writes a frame; `sync` makes it durable.
    pub(crate) fn append_deleted(&mut self, ordinals: &[Ordinal]) -> Result<()> {
        let payload: Vec<u8> = ordinals.iter().flat_map(|ordinal| ordinal.to_le_bytes()).collect();
        self.append(&Fields { kind: DELETED, first: 0, count: ordinals.len() as u32 }, &payload)
    }

    pub(crate) fn sync(&mut self) -> Result<()> {
        self.file.sync().map_err(Error::io(&self.path))?;
        self.acknowledged.set(self.file.durable());
        Ok(())
    }

    fn append(&mut self, fields: &Fields, payload: &[u8]) -> Result<()> {
        self.file.write(&frame_bytes::<TailFrames>(fields, payload)).map_err(Error::io(&self.path))
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
fn read(path: &Path, bytes: &[u8], mut visit: impl FnMut(Frame<'_>) -> Result<()>) -> Result<u64> {
    let damaged = |at: u64| Error::corrupt(path, format!("the frame at byte {at}"));
    let mut frames = FrameReader::new(path, bytes, FILE_HEADER, TornEnd::Missing, TailFrames);
    loop {
        let at = frames.end();
        let Some(frame) = frames.next().map_err(|flaw| damaged(flaw.offset))? else {
            return Ok(at);
        };
        match (frame.fields, frame.payload) {
            (Fields { kind: IDS, first, count }, packed) => {
                visit(Frame::Ids { first, count, packed })?
            }
            (Fields { kind: DELETED, .. }, payload) => {
                visit(Frame::Deleted(
                    payload
                        .chunks_exact(4)
                        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                        .collect(),
                ))?;
            }
            _ => return Err(damaged(at)),
        }
    }
}

/// The form of the frames. Any may follow any other.
struct TailFrames;

/// What a frame's head says of its payload.
struct Fields {
    kind: u32,
    first: Ordinal,
    count: u32,
}

impl FrameFormat for TailFrames {
    type Fields = Fields;

    fn head(fields: &Fields, payload: &[u8]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&MAGIC);
        for (place, number) in
            [fields.kind, fields.first, fields.count, payload.len() as u32].into_iter().enumerate()
        {
            head[4 + 4 * place..8 + 4 * place].copy_from_slice(&number.to_le_bytes());
        }
        let seed = xxh3_64(&head[..20]);
        head[20..24].copy_from_slice(&(seed as u32).to_le_bytes());
        head[24..].copy_from_slice(&xxh3_64_with_seed(payload, seed).to_le_bytes());
        head
    }

    fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<Fields>> {
        if bytes[..4] != MAGIC {
            return None;
        }
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let seed = xxh3_64(&bytes[..20]);
        (seed as u32 == number(20)).then(|| FrameHead {
            fields: Fields { kind: number(4), first: number(8), count: number(12) },
            payload_bytes: number(16) as usize,
            payload_checksum: u64::from(number(28)) << 32 | u64::from(number(24)),
            payload_seed: seed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file system writes or loses at once.
    const PAGE: usize = 4096;

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
        let second_ends = whole.len() - HEAD_BYTES - 3 * PAGE;
        for length in [second_ends + 1, second_ends + HEAD_BYTES, whole.len() - 1] {
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
