//! Opens a folder: reads its segments in order, and says what the log holds.

use crate::contents::Contents;
use crate::error::unavailable;
use crate::frame::{Kind, LogFrames, RecordsHead, marks, trims};
use crate::group::Placed;
use crate::mark::Mark;
use crate::runs::Run;
use crate::segment::{self, Begin, HEAD, Named, Segment, damaged};
use crate::{Error, Result};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use taghouse_journal::{AppendFile, Frame, FrameReader, TornEnd};
use taghouse_model::AppId;

/// Locked while the folder is open.
const LOCK: &str = "LOCK";

/// A folder that was opened, and what it was found to hold.
pub(crate) struct Opened {
    pub(crate) contents: Contents,
    /// In order.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    /// The last segment, to go on with.
    pub(crate) file: AppendFile,
    /// How many groups were acknowledged, beside the folder.
    pub(crate) mark: taghouse_disk::Mark,
    /// The number of the last group.
    pub(crate) groups: u64,
    /// Kept open for its lock.
    pub(crate) lock: File,
}

/// Opens the folder, making it where there is none. What was acknowledged must be there.
pub(crate) fn open(folder: &Path) -> Result<Opened> {
    refuse_old_form(folder)?;
    taghouse_disk::make_filled(folder, |new| segment::create(new, 1).map(drop))
        .map_err(unavailable(folder))?;
    let lock = lock(folder)?;
    let mut reading = Reading { names: segment::list(folder)?.into(), ..Reading::default() };
    while let Some(named) = reading.names.pop_front() {
        reading.read(named)?;
    }
    let Reading { mut contents, mut segments, groups, found, torn, whole, .. } = reading;
    contents.groups = found;

    let path = folder.with_extension("mark");
    let (mut mark, acknowledged) =
        taghouse_disk::Mark::open(path.clone()).map_err(unavailable(&path))?;
    lost(folder, acknowledged.unwrap_or(0), found, &path)?;
    if let Some(hole) = contents.hole() {
        return Err(Error::Corrupt(format!("{}: {hole}", folder.display())));
    }

    // Nothing is changed before it is known that the rest is sound.
    if let Some(torn) = torn {
        fs::remove_file(&torn).map_err(unavailable(&torn))?;
        taghouse_disk::sync_folder(folder).map_err(unavailable(folder))?;
    }
    let file = match segments.back() {
        Some(last) => {
            let opened = AppendFile::open(last.path.clone(), whole);
            let (file, torn) = opened.map_err(unavailable(&last.path))?;
            if torn > 0 {
                tracing::info!(file = %last.path.display(), bytes = torn, "a group that was never acknowledged was cut off");
            }
            file
        }
        None => {
            let file = segment::create(folder, groups + 1).map_err(unavailable(folder))?;
            let path = file.path().to_owned();
            segments.push_back(Arc::new(Segment::open(path, groups + 1, HEAD as u64)?));
            file
        }
    };
    mark.set(groups);
    Ok(Opened { contents, segments, file, mark, groups, lock })
}

/// An error if the log ends before what was acknowledged.
fn lost(folder: &Path, acknowledged: u64, found: u64, mark: &Path) -> Result<()> {
    if found >= acknowledged {
        return Ok(());
    }
    Err(Error::Lost {
        folder: folder.to_owned(),
        missing: acknowledged - found,
        mark: mark.to_owned(),
    })
}

/// Earlier versions kept the log in a store whose folder has these.
fn refuse_old_form(folder: &Path) -> Result<()> {
    if folder.join("keyspaces").is_dir() || folder.join("0.jnl").is_file() {
        return Err(Error::OldForm(folder.to_owned()));
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(unavailable(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(unavailable(&path)(error)),
    }
}

/// What the segments read so far say.
#[derive(Default)]
struct Reading {
    /// Those to be read.
    names: VecDeque<Named>,
    contents: Contents,
    segments: VecDeque<Arc<Segment>>,
    /// The number of the last group.
    groups: u64,
    /// The same, or 0 where no group was found: then nothing says what was before.
    found: u64,
    /// A last file whose maker was stopped.
    torn: Option<PathBuf>,
    /// Up to where the last segment is whole.
    whole: u64,
    /// The content of one.
    content: Vec<u8>,
}

impl Reading {
    fn read(&mut self, Named { first_group, path }: Named) -> Result<()> {
        let is_last = self.names.is_empty();
        let mut content = std::mem::take(&mut self.content);
        content.clear();
        let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut content));
        read.map_err(unavailable(&path))?;
        match segment::begin_of(&content, first_group) {
            Begin::Whole => {}
            Begin::Torn if is_last => {
                self.torn = Some(path);
                return Ok(());
            }
            Begin::Torn | Begin::Damaged => return Err(damaged(&path, 0)),
        }
        if !self.segments.is_empty() && first_group != self.groups + 1 {
            return Err(Error::Corrupt(format!(
                "{}: it begins with group {first_group}, those before it end with {}: a file is missing",
                path.display(),
                self.groups
            )));
        }
        let segment = Arc::new(Segment::open(path, first_group, content.len() as u64)?);
        self.segments.push_back(segment.clone());
        self.groups = first_group.saturating_sub(1);
        self.whole = self.groups_of(&segment, &content, is_last)?;
        if is_last {
            segment.bytes.store(self.whole, std::sync::atomic::Ordering::Relaxed);
        }
        self.content = content;
        Ok(())
    }

    /// Takes in the groups of a segment; where the last whole one ends.
    fn groups_of(&mut self, segment: &Arc<Segment>, content: &[u8], is_last: bool) -> Result<u64> {
        let torn = if is_last { TornEnd::Missing } else { TornEnd::Never };
        let format = LogFrames::from(segment.first_group);
        let mut frames = FrameReader::new(&segment.path, content, HEAD, torn, format);
        let (mut group, mut whole) = (Vec::new(), HEAD as u64);
        loop {
            let offset = frames.end();
            let frame = frames.next().map_err(|flaw| Error::Corrupt(flaw.to_string()))?;
            let Some(frame) = frame else { break };
            let (number, is_end) = (frame.fields.group, frame.fields.is_last);
            let item = Item::read(&frame, offset, frames.end());
            group.push(item.ok_or_else(|| segment.damaged(offset))?);
            if is_end {
                // What was before it is known from its marks alone.
                let knows = self.segments.len() > 1
                    || number > segment.first_group
                    || number == 1
                    || matches!(group.first(), Some(Item { content: ItemContent::Marks(_), .. }));
                if !knows {
                    return Err(segment.damaged(HEAD as u64));
                }
                for item in group.drain(..) {
                    self.take_in(item, segment)?;
                }
                whole = frames.end();
                (self.groups, self.found) = (number, number);
            }
        }
        if is_last || whole == content.len() as u64 {
            Ok(whole)
        } else {
            Err(segment.damaged(whole))
        }
    }

    fn take_in(&mut self, item: Item, segment: &Arc<Segment>) -> Result<()> {
        let is_first = self.segments.len() == 1 && self.groups < segment.first_group;
        let offset = item.offset;
        let is_sound = match item.content {
            // Of what is dropped with the segments before them the first marks say the ends.
            ItemContent::Marks(marks) if is_first => {
                self.contents.set(marks);
                true
            }
            ItemContent::Marks(marks) => {
                marks.iter().all(|(app, mark)| self.contents.mark(app) == *mark)
            }
            ItemContent::Records(placed) => {
                self.contents.append(&placed.app, Run::of(&placed, segment, 0))
            }
            ItemContent::Carried(placed) => {
                self.contents.carry(&placed.app, Run::of(&placed, segment, 0))
            }
            ItemContent::Trims(trims) => {
                trims.iter().all(|(app, through)| self.contents.trim(app, *through))
            }
        };
        if is_sound { Ok(()) } else { Err(segment.damaged(offset)) }
    }
}

/// What a frame says.
struct Item {
    /// Where it begins in the segment.
    offset: u64,
    content: ItemContent,
}

enum ItemContent {
    Marks(Vec<(AppId, Mark)>),
    Records(Placed),
    Carried(Placed),
    Trims(Vec<(AppId, u64)>),
}

impl Item {
    /// `None`: it is not what is written.
    fn read(frame: &Frame<'_, crate::frame::Fields>, offset: u64, end: u64) -> Option<Self> {
        let placed = || {
            let head = RecordsHead::read(frame.payload)?;
            Some(Placed {
                app: AppId::new(head.app).ok()?,
                first: head.first,
                last: head.last(),
                offset,
                end,
                record_bytes: head.record_bytes(),
            })
        };
        let content = match frame.fields.kind {
            Kind::Marks => ItemContent::Marks(marks(frame.payload)?),
            Kind::Trims => ItemContent::Trims(trims(frame.payload)?),
            Kind::Records => ItemContent::Records(placed()?),
            Kind::Carried => ItemContent::Carried(placed()?),
        };
        Some(Self { offset, content })
    }
}
