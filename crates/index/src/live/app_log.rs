//! One app's live changes: logged by one thread, gathered into overlays by another, kept short on disk by a third.

use super::change::{Block, Changes};
use super::change_log::ChangeLog;
use super::checkpoint;
use super::codec::{self, put_came, put_deleted, put_tag};
use super::gather::{Pending, Published, Replay};
use super::overlay::Overlay;
use super::tag_log::TagLog;
use super::{LiveOptions, locked};
use crate::error::{Error, Result};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use taghouse_model::{Name, Ordinal, ValueType};
use tokio::sync::oneshot;

/// Calls that may wait for the log; more of them wait to be heard.
const WAITING: usize = 256;
/// Bytes from which on a frame takes no further call in.
const FRAME_BYTES: usize = 8 << 20;
/// How often it is looked whether a checkpoint is due.
const KEEP_EVERY: Duration = Duration::from_millis(250);

/// Of threads that work in the background; the system's default is 0. With it, such a thread gets a tenth of a core that somebody else wants
/// all of, so that changes are still visible within the second.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The live changes of one app. Its threads end when it is dropped.
pub(crate) struct AppLog {
    shared: Arc<Shared>,
    requests: Option<SyncSender<Request>>,
    threads: Vec<JoinHandle<()>>,
}

/// One call's changes on their way to the log.
struct Request {
    generation: u64,
    blocks: Vec<Block>,
    came: Vec<Ordinal>,
    deleted: Vec<Ordinal>,
    payload: Vec<u8>,
    changes: u32,
    reply: oneshot::Sender<Result<u64>>,
}

struct Shared {
    folder: PathBuf,
    options: LiveOptions,
    log: Mutex<ChangeLog>,
    tags: RwLock<HashMap<Name, Arc<TagLog>>>,
    pending: Mutex<Pending>,
    overlay: RwLock<Arc<Overlay>>,
    /// The position of the last checkpoint.
    checkpointed: AtomicU64,
    /// Held by whoever makes the next overlay.
    gathering: Mutex<()>,
    stop: Mutex<bool>,
    stopped: Condvar,
    /// While somebody renames all ordinals the committer waits.
    held: Mutex<bool>,
    released: Condvar,
}

/// While it lives no change is logged.
pub(crate) struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        *locked(&self.0.held) = false;
        self.0.released.notify_all();
    }
}

impl AppLog {
    /// Opens the log of an app in its folder, which is made if need be.
    ///
    /// # Errors
    /// `Log` names a damaged file; `Disk` when the folder cannot be read or written.
    pub(crate) fn open(folder: &Path, generation: u64, options: LiveOptions) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::disk(folder, &e))?;
        let shared = Arc::new(Shared::open(folder, generation, options)?);
        let (sender, receiver) = sync_channel(WAITING);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|e| Error::disk(folder, &e))
        };
        let (committer, ticker, keeper) = (shared.clone(), shared.clone(), shared.clone());
        let threads = vec![
            spawn("live-commit", Box::new(move || committer.commit_all(&receiver)))?,
            spawn(
                "live-tick",
                Box::new(move || {
                    give_way();
                    ticker.every(ticker.options.tick, &|shared| drop(shared.tick()));
                }),
            )?,
            spawn(
                "live-keep",
                Box::new(move || {
                    give_way();
                    keeper.every(KEEP_EVERY, &Shared::keep);
                }),
            )?,
        ];
        Ok(Self { shared, requests: Some(sender), threads })
    }

    /// Logs changes; the position of the last of them, once they are on disk.
    pub(crate) fn change(&self, changes: &Changes, deleted: &[Ordinal]) -> Result<oneshot::Receiver<Result<u64>>> {
        let blocks = changes.checked(&|tag| self.shared.tag(tag))?;
        let mut payload = Vec::new();
        blocks.iter().for_each(|block| put_tag(&mut payload, &block.tag, &block.entries, false));
        let came = changes.users.clone();
        if !came.is_empty() {
            put_came(&mut payload, &came);
        }
        if !deleted.is_empty() {
            put_deleted(&mut payload, deleted);
        }
        let count = blocks.iter().map(|block| block.entries.len()).sum::<usize>() + came.len() + deleted.len();
        let changes_count = u32::try_from(count).ok().filter(|_| payload.len() <= u32::MAX as usize / 2).ok_or(Error::TooMany(count))?;
        let (reply, answer) = oneshot::channel();
        let request =
            Request { generation: changes.generation, blocks, came, deleted: deleted.to_vec(), payload, changes: changes_count, reply };
        let gone = || Error::Internal("the thread that logs changes has ended".to_owned());
        self.requests.as_ref().ok_or_else(gone)?.send(request).map_err(|_| gone())?;
        Ok(answer)
    }

    /// Tells the tags that may be changed. One whose type is another now begins anew.
    pub(crate) fn know(&self, tags: &BTreeMap<Name, ValueType>) {
        let mut known = self.shared.tags.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, tag| tags.get(name) == Some(&tag.value_type));
        for (name, value_type) in tags {
            if !known.contains_key(name) {
                known.insert(name.clone(), Arc::new(TagLog::new(name.clone(), *value_type)));
            }
        }
    }

    /// The type that changes of a tag are checked against.
    pub(crate) fn type_of(&self, tag: &str) -> Option<ValueType> {
        self.shared.tag(tag).map(|tag| tag.value_type)
    }

    /// What readers see.
    pub(crate) fn overlay(&self) -> Arc<Overlay> {
        self.shared.overlay()
    }

    /// Makes all that is logged visible at once.
    pub(crate) fn tick(&self) -> Arc<Overlay> {
        self.shared.tick()
    }

    /// Takes note of a publication; what it holds leaves the overlay at the next tick.
    pub(crate) fn published(&self, published: Published) {
        let mut pending = locked(&self.shared.pending);
        if pending.published.as_ref().is_none_or(|before| before.revision <= published.revision) {
            pending.published = Some(published);
        }
    }

    /// Writes a checkpoint now.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.shared.checkpoint()
    }

    /// Keeps writers waiting until the hold is dropped; what was logged before is visible when this returns.
    pub(crate) fn hold(&self) -> Hold {
        *locked(&self.shared.held) = true;
        // A commit on its way holds this lock.
        drop(locked(&self.shared.log));
        self.shared.tick();
        Hold(self.shared.clone())
    }

    /// Begins anew under the generation of an index's revision, with no changes, behind `position` if the log has not come so far.
    pub(crate) fn restart(&self, generation: u64, revision: u64, position: u64) -> Result<()> {
        let _gathering = locked(&self.shared.gathering);
        let mut log = locked(&self.shared.log);
        let before = self.overlay();
        if before.generation == generation && before.position >= position {
            return Ok(());
        }
        let position = log.end().max(position);
        let empty = Overlay { generation, position, revision, ..Overlay::default() };
        checkpoint::write(&self.shared.folder, &empty)?;
        log.restart(generation, position)?;
        log.remove_through(position);
        self.shared.checkpointed.store(position, Ordering::Relaxed);
        *locked(&self.shared.pending) = Pending::at(position);
        *self.shared.overlay.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(empty);
        Ok(())
    }
}

/// Makes this thread one whose work can wait a little: where all cores are taken, questions go first.
fn give_way() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

impl Drop for AppLog {
    fn drop(&mut self) {
        // Without a sender the committer ends once it has logged what waits.
        self.requests = None;
        *locked(&self.shared.stop) = true;
        self.shared.stopped.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn open(folder: &Path, generation: u64, options: LiveOptions) -> Result<Self> {
        let checkpoint = checkpoint::read(folder)?;
        let (generation, after) = checkpoint.as_ref().map_or((generation, 0), |read| (read.generation, read.position));
        let gathered = Overlay { generation, position: after, ..Overlay::default() };
        let mut replay = Replay { tags: HashMap::new(), pending: Pending::at(after), gathered };
        if let Some(read) = &checkpoint {
            let items = codec::read(&read.items).ok_or_else(|| Error::log(&read.path, "its items cannot be read"))?;
            replay.take_checkpoint(items);
        }
        let log = ChangeLog::open(folder, generation, after, options.file_bytes, &mut |path, first, payload| {
            let items = codec::read(payload).ok_or_else(|| Error::log(path, format!("the changes from {first} on cannot be read")))?;
            replay.take(first, items);
            Ok(())
        })?;
        let Replay { tags, mut pending, gathered } = replay;
        pending.position = log.end();
        let shared = Self {
            folder: folder.to_owned(),
            options,
            log: Mutex::new(log),
            tags: RwLock::new(tags),
            pending: Mutex::new(pending),
            overlay: RwLock::new(Arc::new(gathered)),
            checkpointed: AtomicU64::new(after),
            gathering: Mutex::default(),
            stop: Mutex::default(),
            stopped: Condvar::new(),
            held: Mutex::default(),
            released: Condvar::new(),
        };
        shared.tick();
        Ok(shared)
    }

    fn tag(&self, name: &str) -> Option<Arc<TagLog>> {
        self.tags.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn overlay(&self) -> Arc<Overlay> {
        self.overlay.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does `work` every so often until the end.
    fn every(&self, period: Duration, work: &dyn Fn(&Self)) {
        let mut stop = locked(&self.stop);
        while !*stop {
            (stop, _) = self.stopped.wait_timeout(stop, period).unwrap_or_else(PoisonError::into_inner);
            if !*stop {
                drop(stop);
                work(self);
                stop = locked(&self.stop);
            }
        }
    }

    /// Serves until there is no sender left. While one frame is synced the calls for the next gather: that is the whole group commit.
    fn commit_all(&self, requests: &Receiver<Request>) {
        let mut group: Vec<Request> = Vec::new();
        while let Ok(first) = requests.recv() {
            let mut bytes = first.payload.len();
            group.push(first);
            while bytes < FRAME_BYTES
                && let Ok(next) = requests.try_recv()
            {
                bytes += next.payload.len();
                group.push(next);
            }
            let held = locked(&self.held);
            let held = self.released.wait_while(held, |held| *held).unwrap_or_else(PoisonError::into_inner);
            let mut log = locked(&self.log);
            drop(held);
            self.commit(&mut log, std::mem::take(&mut group));
        }
    }

    /// Logs a group as one frame, and answers each call.
    fn commit(&self, log: &mut ChangeLog, group: Vec<Request>) {
        let generation = self.overlay().generation;
        // Between its check and now a call's ordinals may have become those of other users, or its tags those of another type.
        let fits = |request: &Request| {
            let same = |block: &Block| self.tag(block.tag.name.as_str()).is_some_and(|tag| Arc::ptr_eq(&tag, &block.tag));
            request.generation == generation && request.blocks.iter().all(same)
        };
        let (group, strangers): (Vec<Request>, Vec<Request>) = group.into_iter().partition(fits);
        for Request { generation: of, reply, .. } in strangers {
            let _ = reply.send(Err(Error::Generation { of, current: generation }));
        }
        let changes = group.iter().map(|request| u64::from(request.changes)).sum::<u64>();
        if changes == 0 {
            group.into_iter().for_each(|request| drop(request.reply.send(Ok(log.end()))));
            return;
        }
        let (mut position, mut payload) = (log.end(), Vec::with_capacity(group.iter().map(|request| request.payload.len()).sum()));
        group.iter().for_each(|request| payload.extend_from_slice(&request.payload));
        let outcome = u32::try_from(changes).map_err(|_| Error::TooMany(changes as usize)).and_then(|count| log.append(&payload, count));
        if let Err(error) = outcome {
            let detail = error.to_string();
            tracing::error!(%error, "the change log cannot be written");
            for request in group {
                let file = self.folder.display().to_string();
                let _ = request.reply.send(Err(Error::Disk { file, detail: detail.clone() }));
            }
            return;
        }
        let mut pending = locked(&self.pending);
        let mut replies = Vec::with_capacity(group.len());
        for Request { blocks, came, deleted, reply, changes, .. } in group {
            let mut next = position + 1;
            for Block { tag, entries } in blocks {
                next = pending.push(tag, entries, next);
            }
            pending.came.extend(came);
            pending.deleted.extend(deleted);
            position += u64::from(changes);
            replies.push((reply, position));
        }
        pending.position = position;
        drop(pending);
        replies.into_iter().for_each(|(reply, position)| drop(reply.send(Ok(position))));
    }

    /// Gathers what is pending into the next overlay, if anything is.
    fn tick(&self) -> Arc<Overlay> {
        let _gathering = locked(&self.gathering);
        let pending = {
            let mut pending = locked(&self.pending);
            let position = pending.position;
            std::mem::replace(&mut *pending, Pending::at(position))
        };
        let before = self.overlay();
        if pending.position == before.position && pending.published.is_none() {
            return before;
        }
        let next = Arc::new(before.gather(pending));
        next.prepare();
        *self.overlay.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
        next
    }

    /// Writes a checkpoint when the log has grown so long that opening would take longer than it must.
    fn keep(&self) {
        let overlay = self.overlay();
        let due = self.options.checkpoint_changes.max(overlay.len() as u64);
        if overlay.position.saturating_sub(self.checkpointed.load(Ordering::Relaxed)) >= due
            && let Err(error) = self.checkpoint()
        {
            tracing::warn!(%error, "a checkpoint of the live changes could not be written; the log goes on to grow");
        }
    }

    fn checkpoint(&self) -> Result<()> {
        // What is logged from here on goes to a file of its own, so that all files before can go.
        locked(&self.log).rotate()?;
        let overlay = self.tick();
        checkpoint::write(&self.folder, &overlay)?;
        self.checkpointed.store(overlay.position, Ordering::Relaxed);
        locked(&self.log).remove_through(overlay.position);
        Ok(())
    }
}
