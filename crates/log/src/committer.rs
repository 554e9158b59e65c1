use crate::carry::Carrying;
use crate::contents::Contents;
use crate::error::unavailable;
use crate::group::{Group, GroupBytes};
use crate::opening::Opened;
use crate::options::Options;
use crate::plan::{CommitPlan, Request};
use crate::runs::Run;
use crate::segment::{self, HEAD, Segment};
use crate::{Error, Result};
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use taghouse_disk::Standing;
use taghouse_journal::AppendFile;
use taghouse_model::AppId;
use tokio::sync::mpsc;

/// How many requests share one sync at most; the bytes that wait are limited already.
const GROUP: usize = 4096;
/// How often what failed without a caller is tried again.
const AGAIN_EVERY: Duration = Duration::from_millis(200);
/// What one group keeps of its memory for the next.
const KEPT_BYTES: usize = 4 << 20;
/// A segment is so many times as large as the marks that it begins with, at least.
const MARKS_TIMES: u64 = 4;

/// What failed of a group.
enum Failure {
    Write(std::io::Error),
    Sync(std::io::Error),
}

/// What is done beside the requests.
enum Chore {
    /// The oldest segment goes.
    Remove,
    /// What lives in it is carried behind.
    Carry,
}

/// The only writer of the folder: it alone gives positions, so they are dense without a lock.
pub(crate) struct Committer {
    pub(crate) contents: Arc<RwLock<Contents>>,
    pub(crate) options: Options,
    /// The folder as it was opened: what is written to deleted files is lost.
    folder: Standing,
    /// How many groups were acknowledged, beside the folder.
    mark: taghouse_disk::Mark,
    /// The number of the last group, which is on disk and acknowledged.
    groups: u64,
    /// In order. The last one is written to.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    /// The last segment; nothing where another one is to be begun.
    file: Option<AppendFile>,
    /// A write or sync failed, and what it left behind the last group is still there.
    is_broken: bool,
    /// The bytes of the marks that the last segment begins with.
    marks_bytes: u64,
    /// The last segment, when an old one could not be removed.
    unremoved: Option<u64>,
    pub(crate) carrying: Carrying,
    buffer: Vec<u8>,
    syncs: Arc<AtomicU64>,
    _lock: File,
}

impl Committer {
    pub(crate) fn new(
        folder: &Path,
        opened: Opened,
        options: Options,
        syncs: Arc<AtomicU64>,
        slices: Arc<AtomicU64>,
    ) -> Result<Self> {
        let Opened { contents, segments, file, mark, groups, lock } = opened;
        Ok(Self {
            contents: Arc::new(RwLock::new(contents)),
            options,
            folder: Standing::of(folder.to_owned()).map_err(unavailable(folder))?,
            mark,
            groups,
            segments,
            file: Some(file),
            is_broken: false,
            marks_bytes: 0,
            unremoved: None,
            carrying: Carrying::new(slices),
            buffer: Vec::new(),
            syncs,
            _lock: lock,
        })
    }

    /// Serves until every sender is gone. While one group syncs, the next one gathers: that is the
    /// whole group commit. Old segments are removed, and what lives in them is carried behind, step
    /// by step, one after each group, so that nobody waits for long.
    pub(crate) fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        loop {
            let chore = self.chore();
            if chore.is_none() {
                if requests.blocking_recv_many(&mut group, GROUP) == 0 {
                    return;
                }
            } else {
                while group.len() < GROUP
                    && let Ok(request) = requests.try_recv()
                {
                    group.push(request);
                }
                // What is dead is not left for the next opening to read.
                let leaves = group.is_empty() && requests.is_closed();
                if leaves && !matches!(chore, Some(Chore::Remove)) {
                    return;
                }
            }
            let is_idle = group.is_empty();
            let came_in = self.commit(std::mem::take(&mut group));
            match chore {
                Some(Chore::Remove) => self.remove_oldest(),
                Some(Chore::Carry) => {
                    let carried = self.carry(came_in);
                    if carried.is_err() && is_idle {
                        std::thread::sleep(AGAIN_EVERY);
                    }
                }
                None => {}
            }
        }
    }

    fn chore(&self) -> Option<Chore> {
        if !self.can_remove() {
            None
        } else if self.segments.len() > 1 && self.segments.front().is_some_and(|old| old.is_dead())
        {
            Some(Chore::Remove)
        } else {
            self.is_worth_carrying().then_some(Chore::Carry)
        }
    }

    /// Writes a group with one sync, and answers each caller. Gives the bytes written.
    fn commit(&mut self, requests: Vec<Request>) -> u64 {
        let plan = CommitPlan::of(requests, &self.contents);
        let outcome = if plan.is_empty() {
            Ok(0)
        } else {
            self.write(|group| plan.put_into(group), Contents::append, &plan.trims)
        };
        let written = *outcome.as_ref().unwrap_or(&0);
        if let Err(error) = &outcome {
            tracing::error!(%error, "the event log cannot write");
        }
        plan.answer(&outcome.map(drop));
        written
    }

    /// Writes what `fill` puts into a group. On return it is on disk and in the contents, where
    /// `place` notes each run, or nothing of it is.
    pub(crate) fn write<'a>(
        &mut self,
        fill: impl FnOnce(&mut Group),
        place: fn(&mut Contents, &AppId, Run) -> bool,
        trims: impl IntoIterator<Item = (&'a AppId, &'a u64)>,
    ) -> Result<u64> {
        self.folder.check().map_err(gone(self.folder.path()))?;
        if let Some(file) = &self.file {
            file.check().map_err(gone(file.path()))?;
        }
        self.cut_back()?;
        if self.is_full() {
            self.file = None;
        }
        if self.file.is_none() {
            self.begin_segment()?;
        }
        let mut group =
            Group::new(self.groups + 1, self.options.frame_bytes, std::mem::take(&mut self.buffer));
        let nothing = || Error::Internal("no segment is open".to_owned());
        let (file, segment) = self.file.as_mut().zip(self.segments.back()).ok_or_else(nothing)?;
        let begin = file.durable();
        if begin == HEAD as u64 {
            self.contents.read().marks().for_each(|(app, mark)| group.mark(app, mark));
            self.marks_bytes = group.len() as u64;
        }
        fill(&mut group);
        let GroupBytes { bytes, placed } = group.finish();
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let written = match file.write(&bytes) {
            Ok(()) => file.sync().map_err(Failure::Sync),
            Err(error) => Err(Failure::Write(error)),
        };
        self.buffer = bytes;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        if let Err(failure) = written {
            return Err(self.failed(failure));
        }

        self.groups += 1;
        self.mark.set(self.groups);
        let bytes = file.durable();
        segment.bytes.store(bytes, Ordering::Relaxed);
        let (mut contents, mut is_sound) = (self.contents.write(), true);
        contents.groups = self.groups;
        for placed in &placed {
            is_sound &= place(&mut contents, &placed.app, Run::of(placed, segment, begin));
        }
        for (app, through) in trims {
            is_sound &= contents.trim(app, *through);
        }
        if is_sound {
            Ok(bytes - begin)
        } else {
            Err(Error::Internal(
                "a group was written at positions that are not the next".to_owned(),
            ))
        }
    }

    /// Nothing of the group counts, and what was written of it is cut off. After a sync that failed
    /// nobody knows what the disk has of the last pages: another segment is begun.
    fn failed(&mut self, failure: Failure) -> Error {
        let Some(file) = &mut self.file else {
            return Error::Internal("no segment is open".to_owned());
        };
        self.is_broken = file.cut_back().is_err();
        // Nothing else may be begun in place of a file that is gone.
        if let Err(error) = file.check() {
            return gone(file.path())(error);
        }
        match failure {
            Failure::Write(error) => unavailable(file.path())(error),
            Failure::Sync(error) => {
                let error = unavailable(file.path())(error);
                if !self.is_broken {
                    self.file = None;
                }
                error
            }
        }
    }

    /// Cuts off what a failure left, if that could not be done at once.
    fn cut_back(&mut self) -> Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.is_broken) else { return Ok(()) };
        file.cut_back().map_err(unavailable(file.path()))?;
        (self.is_broken, self.file) = (false, None);
        Ok(())
    }

    fn is_full(&self) -> bool {
        let limit = self.options.segment_bytes.max(MARKS_TIMES * self.marks_bytes);
        self.file.as_ref().is_some_and(|file| file.durable() >= limit.max(HEAD as u64 + 1))
    }

    /// Begins another segment; from now on no other is written to, for this one may be there even
    /// if it fails.
    fn begin_segment(&mut self) -> Result<()> {
        let (folder, first_group) = (self.folder.path(), self.groups + 1);
        let file = segment::create(folder, first_group).map_err(unavailable(folder))?;
        let segment = Segment::open(file.path().to_owned(), first_group, file.durable())?;
        // One that got no group has the same name.
        self.segments.pop_back_if(|last| last.first_group == first_group);
        self.segments.push_back(Arc::new(segment));
        self.file = Some(file);
        Ok(())
    }

    /// Whether the last segment says what the earlier ones said of marks, and no removal failed
    /// since it was begun.
    fn can_remove(&self) -> bool {
        self.segments.back().is_some_and(|last| {
            self.groups >= last.first_group && self.unremoved != Some(last.first_group)
        })
    }

    /// Removes the oldest segment, in which nothing lives. One at a time, each before the next, so
    /// that what a loss of power leaves is without gaps.
    fn remove_oldest(&mut self) {
        let Some(oldest) = self.segments.front() else { return };
        // In another folder of that name the file is not ours.
        let removed = self.folder.check().and_then(|()| match fs::remove_file(&oldest.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => taghouse_disk::sync_folder(self.folder.path()),
        });
        if let Err(error) = removed {
            tracing::warn!(file = %oldest.path.display(), %error, "a segment of the event log that is not needed could not be removed; it is tried again with the next segment");
            self.unremoved = self.segments.back().map(|last| last.first_group);
            return;
        }
        self.segments.pop_front();
    }
}

/// What a path becomes that does not lead to what was opened.
fn gone(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| match error.kind() {
        ErrorKind::NotFound => Error::Gone(error.to_string()),
        _ => unavailable(path)(error),
    }
}
