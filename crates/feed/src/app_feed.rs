//! One app's feed: what waits to be written, the file that is written to, and which files there are.

use crate::feeds::{Extent, Retention};
use crate::frame::put_frames;
use crate::leaps::Leaps;
use crate::record::Change;
use crate::segment::{self, Segment};
use crate::subscribers::Subscribers;
use crate::{Error, Result};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use taghouse_disk::Mark;
use taghouse_journal::AppendFile;
use taghouse_model::TimestampMs;
use tokio::sync::watch;

/// A segment that reaches this gets a successor.
const SEGMENT_BYTES: u64 = 16 << 20;

/// So many segments, about, are begun in the time that records are kept.
const SEGMENTS_BY_AGE: i64 = 8;

/// What somebody holds back may grow to so many times the bytes that are kept.
const HELD_TIMES: u64 = 4;

/// What is appended and not yet written.
struct Waiting {
    frames: Vec<u8>,
    /// The id of the next record.
    next: u64,
}

/// The file that is written to. Whoever holds it writes.
struct Writing {
    file: Option<AppendFile>,
    mark: Option<Mark>,
}

pub(crate) struct AppFeed {
    folder: PathBuf,
    waiting: Mutex<Waiting>,
    writing: Mutex<Writing>,
    segments: RwLock<Vec<Segment>>,
    /// The id of the last record on disk.
    end: watch::Sender<u64>,
    /// Whether somebody is about to write what waits.
    pub(crate) scheduled: AtomicBool,
    pub(crate) subscribers: Subscribers,
    /// By name of who holds it: records behind this id are kept, however old and many.
    held: Mutex<BTreeMap<String, u64>>,
    /// Ids that it never gives.
    pub(crate) leaps: Leaps,
}

impl AppFeed {
    /// Opens what is in the folder; it need not be there. Blocks.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        let found = segment::find(&folder)?;
        let mark = if folder.is_dir() { Some(open_mark(&folder)?) } else { None };
        let (mark, marked) = mark.unzip();
        let next = found.next.max(marked.flatten().unwrap_or(0) + 1);
        let leaps = Leaps::open(&folder, next - 1)?;
        let next = next.max(leaps.end() + 1);
        // Behind a hole, a leap or damage a new file begins, so that every file is without gaps.
        let file = found.last.filter(|_| next == found.next);
        Ok(Self {
            folder,
            waiting: Mutex::new(Waiting { frames: Vec::new(), next }),
            writing: Mutex::new(Writing { file, mark }),
            segments: RwLock::new(found.segments),
            end: watch::Sender::new(next - 1),
            scheduled: AtomicBool::new(false),
            subscribers: Subscribers::default(),
            held: Mutex::default(),
            leaps,
        })
    }

    /// Numbers records. They wait in memory for [`AppFeed::write`].
    pub(crate) fn append(&self, at_ms: TimestampMs, position: u64, changes: &[Change]) {
        let mut waiting = self.waiting.lock();
        let Waiting { frames, next } = &mut *waiting;
        *next = put_frames(frames, *next, at_ms, position, changes);
    }

    /// Gives no id up to this one any more.
    pub(crate) fn begin_behind(&self, id: u64) {
        let mut writing = self.writing.lock();
        let mut waiting = self.waiting.lock();
        if waiting.next <= id && waiting.frames.is_empty() {
            waiting.next = id + 1;
            // So that every file is without gaps.
            writing.file = None;
            self.end.send_replace(id);
        }
    }

    /// How much waits to be written.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.lock().frames.len()
    }

    /// Writes and syncs what waits. On return all that was appended before is on disk. Blocks.
    ///
    /// # Errors
    /// `Disk`; what waits goes on to wait.
    pub(crate) fn write(&self, now_ms: TimestampMs, retention: &Retention) -> Result<()> {
        let mut writing = self.writing.lock();
        let (frames, next) = {
            let mut waiting = self.waiting.lock();
            (std::mem::take(&mut waiting.frames), waiting.next)
        };
        if frames.is_empty() {
            return Ok(());
        }
        match self.write_frames(&mut writing, &frames, now_ms, retention) {
            Ok(()) => {
                if let Some(mark) = &mut writing.mark {
                    mark.set(next - 1);
                }
                self.end.send_replace(next - 1);
                Ok(())
            }
            Err(error) => {
                // What was appended meanwhile comes behind it.
                let mut waiting = self.waiting.lock();
                let later = std::mem::replace(&mut waiting.frames, frames);
                waiting.frames.extend(later);
                Err(error)
            }
        }
    }

    fn write_frames(
        &self,
        writing: &mut Writing,
        frames: &[u8],
        now_ms: TimestampMs,
        retention: &Retention,
    ) -> Result<()> {
        self.roll(writing, now_ms, retention)?;
        let Some(file) = &mut writing.file else { return Ok(()) };
        let written = file.write(frames).and_then(|()| file.sync());
        if let Err(error) = written {
            let failed = Error::disk(file.path())(error);
            // Where that fails too, the next attempt looks at what the file holds.
            if file.cut_back().is_err() {
                writing.file = None;
            }
            return Err(failed);
        }
        let bytes = file.durable();
        if let Some(last) = self.segments.write().last_mut() {
            last.bytes = bytes;
        }
        Ok(())
    }

    /// Begins a segment if there is none to go on with, or the last one is large or old enough.
    fn roll(
        &self,
        writing: &mut Writing,
        now_ms: TimestampMs,
        retention: &Retention,
    ) -> Result<()> {
        if writing.mark.is_none() {
            taghouse_disk::make_folder(&self.folder).map_err(Error::disk(&self.folder))?;
            writing.mark = Some(open_mark(&self.folder)?.0);
        }
        let first = *self.end.borrow() + 1;
        let goes_on = |last: &Segment| {
            last.first == first
                || (last.bytes < SEGMENT_BYTES.min(retention.bytes / 4)
                    && now_ms - last.created_ms < retention.age_ms / SEGMENTS_BY_AGE)
        };
        if writing.file.is_some() && self.segments.read().last().is_some_and(goes_on) {
            return Ok(());
        }
        let (segment, file) = segment::create(&self.folder, first, now_ms)?;
        writing.file = Some(file);
        let mut segments = self.segments.write();
        // One of the same name was replaced.
        segments.retain(|other| other.first < first);
        segments.push(segment);
        Ok(())
    }

    /// Removes the segments that are too old or too many. Blocks.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn trim(&self, now_ms: TimestampMs, retention: &Retention) -> Result<()> {
        let mut writing = self.writing.lock();
        let is_old = |created_ms: i64| now_ms - created_ms >= retention.age_ms;
        if !self.segments.read().is_empty() {
            self.roll(&mut writing, now_ms, retention)?;
        }
        loop {
            let (oldest, next, bytes) = {
                let segments = self.segments.read();
                let [oldest, next, ..] = segments.as_slice() else { return Ok(()) };
                let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
                (oldest.clone(), next.clone(), bytes)
            };
            let held = next.first.saturating_sub(1) > self.held_behind()
                && bytes <= retention.bytes.saturating_mul(HELD_TIMES);
            // All of its records are from before the next one was made.
            if held || (!is_old(next.created_ms) && bytes <= retention.bytes) {
                return Ok(());
            }
            self.segments.write().retain(|segment| segment.first != oldest.first);
            std::fs::remove_file(&oldest.path).map_err(Error::disk(&oldest.path))?;
        }
    }

    /// Keeps what is behind this id until the holder calls it with a higher one, or releases it.
    pub(crate) fn hold(&self, holder: &str, id: u64) {
        self.held.lock().insert(holder.to_owned(), id);
    }

    /// Keeps nothing for the holder any more.
    pub(crate) fn release(&self, holder: &str) {
        self.held.lock().remove(holder);
    }

    /// What the slowest holder has come to.
    fn held_behind(&self) -> u64 {
        self.held.lock().values().min().copied().unwrap_or(u64::MAX)
    }

    /// The id of the last record on disk, and who wants to know when it changes.
    pub(crate) fn end(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// The id of the first record that is kept; behind the end if none is.
    pub(crate) fn first(&self) -> u64 {
        let end = *self.end.borrow();
        self.segments.read().first().map_or(end + 1, |segment| segment.first)
    }

    /// Does something while nothing is written or removed. Blocks.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn at_rest(&self, work: impl FnOnce(&Path, &[Segment]) -> Result<()>) -> Result<()> {
        let _writing = self.writing.lock();
        let segments = self.segments.read().clone();
        work(&self.folder, &segments)
    }

    /// The segment that has this record, and how many bytes it has.
    pub(crate) fn segment_of(&self, id: u64) -> Option<Segment> {
        let segments = self.segments.read();
        segments.iter().rev().find(|segment| segment.first <= id).cloned()
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent {
            first: self.first(),
            end: *self.end.borrow(),
            bytes: self.segments.read().iter().map(|segment| segment.bytes).sum(),
        }
    }
}

fn open_mark(folder: &Path) -> Result<(Mark, Option<u64>)> {
    let path = folder.join("mark");
    Mark::open(path.clone()).map_err(Error::disk(path))
}
