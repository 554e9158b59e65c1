//! One app's live changes: logged by one thread, gathered into overlays by another, kept short on
//! disk by a third.

use super::LiveOptions;
use super::change::{Block, Changes};
use super::change_log::ChangeLog;
use super::change_log::read_back;
use super::checkpoint;
use super::codec::{self, Item, put_came, put_deleted, put_tag};
use super::gather::{Pending, Published, RestoredChanges};
use super::overlay::{Overlay, ShowsOverlay};
use super::pins::{Pin, Pins};
use super::room::Weight;
use super::tag_log::TagLog;
use crate::error::{Error, Result};
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use taghouse_model::{Name, Ordinal, ValueType, give_way};
use tokio::sync::oneshot;

/// Calls that may wait for the log; more of them wait to be heard.
const WAITING: usize = 256;
/// Bytes from which on a frame takes no further call in.
const FRAME_BYTES: usize = 8 << 20;
/// How often it is looked whether a checkpoint is due.
const KEEP_EVERY: Duration = Duration::from_millis(250);

/// The live changes of one app. Its threads end when it is dropped.
pub(crate) struct AppLog {
    pub(super) shared: Arc<Shared>,
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

pub(super) struct Shared {
    folder: PathBuf,
    pub(super) options: LiveOptions,
    log: Mutex<ChangeLog>,
    pub(super) tags: RwLock<HashMap<Name, Arc<TagLog>>>,
    pub(super) pending: Mutex<Pending>,
    overlay: ArcSwap<Overlay>,
    /// Told of every overlay.
    shown: Arc<dyn ShowsOverlay>,
    pins: Pins,
    /// Changes on their way to the log.
    pub(super) admitted: Mutex<Weight>,
    /// What the texts of changes take. They stay in memory until their tag is flushed and nobody
    /// writes to it.
    pub(super) text_bytes: Arc<AtomicU64>,
    /// Writers for whom there was no room; as long as there are any, no other goes in before them.
    pub(super) waiting: Mutex<u64>,
    /// The position of the last checkpoint.
    checkpointed: AtomicU64,
    /// Held while a checkpoint is written: one that was begun under an earlier generation must not
    /// take the place of a later one's.
    checkpointing: Mutex<()>,
    /// Held by whoever makes the next overlay.
    pub(super) gathering: Mutex<()>,
    stop: Mutex<bool>,
    stopped: Condvar,
    /// While somebody renames all ordinals the committer waits.
    held: Mutex<bool>,
    released: Condvar,
}

/// While it lives no change is logged.
pub(crate) struct Hold(Arc<Shared>);

impl Hold {
    /// What readers see, which nobody changes.
    pub(crate) fn overlay(&self) -> Arc<Overlay> {
        self.0.overlay()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.0.held.lock() = false;
        self.0.released.notify_all();
    }
}

impl AppLog {
    /// Opens the log of an app in its folder, which is made if need be.
    ///
    /// # Errors
    /// `Log` names a damaged file; `Disk` when the folder cannot be read or written.
    pub(crate) fn open(
        folder: &Path,
        generation: u64,
        options: LiveOptions,
        shown: Arc<dyn ShowsOverlay>,
    ) -> Result<Self> {
        taghouse_disk::make_folder(folder).map_err(|e| Error::disk(folder, &e))?;
        let shared = Arc::new(Shared::open(folder, generation, options, shown)?);
        let (sender, receiver) = sync_channel(WAITING);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(work)
                .map_err(|e| Error::disk(folder, &e))
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
    pub(crate) fn change(
        &self,
        changes: &Changes,
        deleted: &[Ordinal],
    ) -> Result<oneshot::Receiver<Result<u64>>> {
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
        let count = blocks.iter().map(|block| block.entries.len()).sum::<usize>()
            + came.len()
            + deleted.len();
        let changes_count = u32::try_from(count)
            .ok()
            .filter(|_| payload.len() <= u32::MAX as usize / 2)
            .ok_or(Error::TooMany(count))?;
        let (reply, answer) = oneshot::channel();
        let request = Request {
            generation: changes.generation,
            blocks,
            came,
            deleted: deleted.to_vec(),
            payload,
            changes: changes_count,
            reply,
        };
        let gone = || Error::Internal("the thread that logs changes has ended".to_owned());
        self.requests.as_ref().ok_or_else(gone)?.send(request).map_err(|_| gone())?;
        Ok(answer)
    }

    /// Whether the changes fit their tags, as far as that can be said before they are logged.
    pub(crate) fn check(&self, changes: &Changes) -> Result<()> {
        changes.checked(&|tag| self.shared.tag(tag)).map(drop)
    }

    /// Tells the tags that may be changed. One whose type is another now begins again.
    pub(crate) fn know(&self, tags: &BTreeMap<Name, ValueType>) {
        let mut known = self.shared.tags.write();
        known.retain(|name, tag| tags.get(name) == Some(&tag.value_type));
        for (name, value_type) in tags {
            if !known.contains_key(name) {
                known.insert(
                    name.clone(),
                    Arc::new(TagLog::new(
                        name.clone(),
                        *value_type,
                        self.shared.text_bytes.clone(),
                    )),
                );
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

    /// Takes note of a publication and of its tags' types; what it holds leaves the overlay at the
    /// next tick.
    pub(crate) fn published(&self, published: Published, types: &BTreeMap<Name, ValueType>) {
        let mut pending = self.shared.pending.lock();
        // Under the lock: a change of a tag that is new must not meet a publication that does not
        // name it.
        self.know(types);
        if pending.published.as_ref().is_none_or(|before| before.revision <= published.revision) {
            pending.published = Some(published);
        }
    }

    /// Marks the end of the log: until the pin is dropped the log keeps what comes after it.
    pub(crate) fn pin(&self) -> Pin {
        // First, so that no checkpoint removes what comes between.
        let pin = self.shared.pins.pin(self.overlay().position);
        pin.at(self.tick().position)
    }

    /// Reads changes back, later than `after` and up to `through`, which must be in the overlay.
    /// `each` is given the position of the first of some items. `false` when the log does not
    /// reach back so far. Reads files: not for I/O threads.
    pub(crate) fn read_back(
        &self,
        after: u64,
        through: u64,
        each: &mut dyn FnMut(u64, Vec<Item>) -> Result<()>,
    ) -> Result<bool> {
        let (generation, files) = self.shared.log.lock().files();
        read_back(&files, generation, after, through, each)
    }

    /// Changes in memory that are in no segment yet.
    pub(crate) fn held(&self) -> u64 {
        // A tick moves changes from one to the other under this lock.
        let pending = self.shared.pending.lock();
        (self.overlay().len() + pending.moving + pending.len()) as u64
    }

    /// Writes a checkpoint now.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.shared.checkpoint()
    }

    /// Keeps writers waiting until the hold is dropped; what was logged before is visible when this
    /// returns.
    pub(crate) fn hold(&self) -> Hold {
        *self.shared.held.lock() = true;
        // A commit on its way holds this lock.
        drop(self.shared.log.lock());
        self.shared.tick();
        Hold(self.shared.clone())
    }

    /// Begins again under the generation of an index's revision, with no changes, behind `position`
    /// if the log has not come so far.
    pub(crate) fn restart(&self, generation: u64, revision: u64, position: u64) -> Result<()> {
        let _checkpointing = self.shared.checkpointing.lock();
        let _gathering = self.shared.gathering.lock();
        let mut log = self.shared.log.lock();
        let before = self.overlay();
        if before.generation == generation && before.position >= position {
            return Ok(());
        }
        let position = log.end().max(position);
        log.supersede();
        let empty = Overlay { generation, position, revision, ..Overlay::default() };
        checkpoint::write(&self.shared.folder, &empty)?;
        log.restart(generation, position)?;
        log.remove_through(position);
        self.shared.checkpointed.store(position, Ordering::Relaxed);
        *self.shared.pending.lock() = Pending::at(position);
        self.shared.replace(Arc::new(empty));
        Ok(())
    }
}

impl Drop for AppLog {
    fn drop(&mut self) {
        // Without a sender the committer ends once it has logged what waits.
        self.requests = None;
        *self.shared.stop.lock() = true;
        self.shared.stopped.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn open(
        folder: &Path,
        generation: u64,
        options: LiveOptions,
        shown: Arc<dyn ShowsOverlay>,
    ) -> Result<Self> {
        taghouse_disk::remove_unfinished(folder).map_err(|e| Error::disk(folder, &e))?;
        let checkpoint = checkpoint::read(folder)?;
        let (generation, after) =
            checkpoint.as_ref().map_or((generation, 0), |read| (read.generation, read.position));
        let gathered = Overlay { generation, position: after, ..Overlay::default() };
        let text_bytes = Arc::<AtomicU64>::default();
        let mut restored = RestoredChanges {
            tags: HashMap::new(),
            pending: Pending::at(after),
            gathered,
            text_bytes: text_bytes.clone(),
        };
        if let Some(read) = &checkpoint {
            let items = codec::read(&read.items)
                .ok_or_else(|| Error::log(&read.path, "its items cannot be read"))?;
            restored.take_checkpoint(items);
        }
        let log = ChangeLog::open(
            folder,
            generation,
            after,
            options.file_bytes,
            &mut |path, first, payload| {
                let items = codec::read(payload).ok_or_else(|| {
                    Error::log(path, format!("the changes from {first} on cannot be read"))
                })?;
                restored.take(first, items);
                Ok(())
            },
        )?;
        let RestoredChanges { tags, mut pending, gathered, .. } = restored;
        pending.position = log.end();
        let shared = Self {
            folder: folder.to_owned(),
            options,
            log: Mutex::new(log),
            tags: RwLock::new(tags),
            pending: Mutex::new(pending),
            overlay: ArcSwap::from_pointee(gathered),
            shown,
            pins: Pins::default(),
            admitted: Mutex::default(),
            text_bytes,
            waiting: Mutex::default(),
            checkpointed: AtomicU64::new(after),
            checkpointing: Mutex::default(),
            gathering: Mutex::default(),
            stop: Mutex::default(),
            stopped: Condvar::new(),
            held: Mutex::default(),
            released: Condvar::new(),
        };
        shared.tick();
        shared.shown.set_overlay(shared.overlay());
        Ok(shared)
    }

    fn tag(&self, name: &str) -> Option<Arc<TagLog>> {
        self.tags.read().get(name).cloned()
    }

    fn overlay(&self) -> Arc<Overlay> {
        self.overlay.load_full()
    }

    /// Makes an overlay what readers see.
    fn replace(&self, overlay: Arc<Overlay>) {
        self.overlay.store(overlay.clone());
        self.shown.set_overlay(overlay);
    }

    /// Does `work` every so often until the end.
    fn every(&self, period: Duration, work: &dyn Fn(&Self)) {
        let mut stop = self.stop.lock();
        while !*stop {
            self.stopped.wait_for(&mut stop, period);
            if !*stop {
                drop(stop);
                work(self);
                stop = self.stop.lock();
            }
        }
    }

    /// Serves until there is no sender left. While one frame is synced the calls for the next
    /// gather: that is the whole group commit.
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
            let mut held = self.held.lock();
            self.released.wait_while(&mut held, |held| *held);
            let mut log = self.log.lock();
            drop(held);
            self.commit(&mut log, std::mem::take(&mut group));
        }
    }

    /// Logs a group as one frame, and answers each call.
    fn commit(&self, log: &mut ChangeLog, group: Vec<Request>) {
        let generation = self.overlay().generation;
        let superseded = log.is_superseded();
        // Between its check and now a call's ordinals may have become those of other users, or its
        // tags those of another type.
        let fits = |request: &Request| {
            let same = |block: &Block| {
                self.tag(block.tag.name.as_str()).is_some_and(|tag| Arc::ptr_eq(&tag, &block.tag))
            };
            !superseded && request.generation == generation && request.blocks.iter().all(same)
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
        let (mut position, mut payload) = (
            log.end(),
            Vec::with_capacity(group.iter().map(|request| request.payload.len()).sum()),
        );
        group.iter().for_each(|request| payload.extend_from_slice(&request.payload));
        let outcome = u32::try_from(changes)
            .map_err(|_| Error::TooMany(changes as usize))
            .and_then(|count| log.append(&payload, count));
        if let Err(error) = outcome {
            tracing::error!(%error, "the change log cannot be written");
            for request in group {
                let _ = request.reply.send(Err(match &error {
                    Error::Disk { file, detail } => {
                        Error::Disk { file: file.clone(), detail: detail.clone() }
                    }
                    other => Error::Disk {
                        file: self.folder.display().to_string(),
                        detail: other.to_string(),
                    },
                }));
            }
            return;
        }
        let mut pending = self.pending.lock();
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
        let _gathering = self.gathering.lock();
        let pending = self.pending.lock().take();
        let before = self.overlay();
        if pending.position == before.position && pending.published.is_none() {
            return before;
        }
        let next = Arc::new(before.gather(pending));
        next.prepare();
        {
            let mut pending = self.pending.lock();
            self.overlay.store(next.clone());
            pending.moving = 0;
        }
        self.shown.set_overlay(next.clone());
        next
    }

    /// Writes a checkpoint when the log has grown so long that opening would take longer than it
    /// must.
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
        let _checkpointing = self.checkpointing.lock();
        // What is logged from here on goes to a file of its own, so that all files before can go.
        self.log.lock().rotate()?;
        let overlay = self.tick();
        checkpoint::write(&self.folder, &overlay)?;
        self.checkpointed.store(overlay.position, Ordering::Relaxed);
        self.log.lock().remove_through(self.pins.kept_behind(overlay.position));
        Ok(())
    }
}
