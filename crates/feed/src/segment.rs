//! The files of a feed: each begins with a head of 32 bytes, and is named for its first record.

use crate::frame::FeedFrames;
use crate::value_bytes::Bytes;
use crate::{Error, Result};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use taghouse_journal::{AppendFile, FrameReader, TornEnd};
use taghouse_model::TimestampMs;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 8] = *b"TAGHFEED";
const VERSION: u64 = 1;
const ENDING: &str = "feed";
pub(crate) const HEAD: u64 = 32;

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) created_ms: TimestampMs,
    /// Those that are on disk.
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
}

/// What a folder was found to hold.
#[derive(Default)]
pub(crate) struct Found {
    /// In ascending order.
    pub(crate) segments: Vec<Segment>,
    /// The last one, to go on with, unless it is damaged.
    pub(crate) last: Option<AppendFile>,
    /// The id behind the last record that can be read.
    pub(crate) next: u64,
}

/// Makes an empty segment; its name is on disk when this returns.
pub(crate) fn create(
    folder: &Path,
    first: u64,
    created_ms: TimestampMs,
) -> Result<(Segment, AppendFile)> {
    taghouse_disk::make_folder(folder).map_err(Error::disk(folder))?;
    let path = folder.join(format!("{first:020}.{ENDING}"));
    let file = AppendFile::create(path.clone(), &head(created_ms)).map_err(Error::disk(&path))?;
    taghouse_disk::sync_folder(folder).map_err(Error::disk(folder))?;
    Ok((Segment { first, created_ms, bytes: HEAD, path }, file))
}

/// Reads what is in a folder, and cuts off a torn end.
pub(crate) fn find(folder: &Path) -> Result<Found> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Found { next: 1, ..Found::default() });
        }
        Err(error) => return Err(Error::disk(folder)(error)),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::disk(folder))?.path();
        let Some(first) = first_of(&path) else { continue };
        match read_head(&path)? {
            Some(created_ms) => {
                let bytes = fs::metadata(&path).map_err(Error::disk(&path))?.len();
                segments.push(Segment { first, created_ms, bytes, path });
            }
            // Its maker was killed, or it is damaged.
            None => {
                tracing::warn!(file = %path.display(), "a file of the change feed without a head is removed");
                fs::remove_file(&path).map_err(Error::disk(&path))?;
            }
        }
    }
    segments.sort_by_key(|segment| segment.first);
    let mut found = Found { segments, last: None, next: 1 };
    let Some(last) = found.segments.last_mut() else { return Ok(found) };
    let content = fs::read(&last.path).map_err(Error::disk(&last.path))?;
    let format = FeedFrames { next: last.first };
    let mut frames =
        FrameReader::new(&last.path, &content, HEAD as usize, TornEnd::Missing, format);
    let whole = loop {
        match frames.next() {
            Ok(Some(_)) => {}
            Ok(None) => break true,
            Err(error) => {
                tracing::warn!(%error, "the change feed goes on behind a damaged file");
                break false;
            }
        }
    };
    found.next = frames.format().next;
    if whole {
        let (file, _) =
            AppendFile::open(last.path.clone(), frames.end()).map_err(Error::disk(&last.path))?;
        last.bytes = frames.end();
        found.last = Some(file);
    }
    Ok(found)
}

fn first_of(path: &Path) -> Option<u64> {
    let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
    path.file_stem().filter(|_| is_ours)?.to_str()?.parse().ok()
}

fn head(created_ms: TimestampMs) -> [u8; HEAD as usize] {
    let mut head = [0; HEAD as usize];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&created_ms.to_le_bytes());
    let checksum = xxh3_64(&head[..24]);
    head[24..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// When the segment was made; `None`: it has no head of ours.
fn read_head(path: &Path) -> Result<Option<TimestampMs>> {
    let mut head = [0; HEAD as usize];
    let mut file = fs::File::open(path).map_err(Error::disk(path))?;
    match file.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(Error::disk(path)(error)),
    }
    let mut numbers = Bytes(&head[8..]);
    let (version, created_ms, checksum) = (numbers.number(), numbers.signed(), numbers.number());
    let is_ours =
        head[..8] == MAGIC && version == Some(VERSION) && checksum == Some(xxh3_64(&head[..24]));
    Ok(created_ms.filter(|_| is_ours))
}
