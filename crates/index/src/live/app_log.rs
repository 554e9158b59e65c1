//! One app's live changes. One thread logs them, another gathers them into overlays, and a third
//! keeps the log short on disk.

use super::LiveOptions;
use super::change::Changes;
use super::change_log::ChangeLog;
use super::change_log::read_back;
use super::checkpoint;
use super::codec::{self, Item, put_added, put_deleted, put_tag};
use super::commit::Request;
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
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use taghouse_model::{Name, Ordinal, ValueType, give_way};
use tokio::sync::oneshot;

/// Calls that may queue for the log. Further calls wait for a free place in the queue.
const QUEUED_CALLS: usize = 256;
/// How often to check whether a checkpoint is due.
const KEEP_EVERY: Duration = Duration::from_millis(250);

/// The live changes of one app. Its threads end when it is dropped.
pub(crate) struct AppLog {
    pub(super) shared: Arc<Shared>,
    requests: Option<SyncSender<Request>>,
    threads: Vec<JoinHandle<()>>,
}

pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) options: LiveOptions,
    pub(super) log: Mutex<ChangeLog>,
    pub(super) tags: RwLock<HashMap<Name, Arc<TagLog>>>,
    pub(super) pending: Mutex<Pending>,
    overlay: ArcSwap<Overlay>,
    /// Receives every new overlay.
    shown: Arc<dyn ShowsOverlay>,
    pins: Pins,
    /// Changes on their way to the log.
    pub(super) admitted: Mutex<Weight>,
    /// Bytes of the texts of changes. They stay in memory until their tag is flushed and nobody
    /// writes to it.
    pub(super) text_bytes: Arc<AtomicU64>,
    /// Writers that wait for room. While there are any, no later writer is admitted before them.
    pub(super) waiting: Mutex<u64>,
    /// The position of the last checkpoint.
    checkpointed: AtomicU64,
    /// Held while a checkpoint is written, so that one begun under an earlier generation never
    /// replaces that of a later one.
    checkpointing: Mutex<()>,
    /// Held by whoever makes the next overlay.
    pub(super) gathering: Mutex<()>,
    stop: Mutex<bool>,
    stopped: Condvar,
    /// While true, the committer waits: all ordinals are being renumbered.
    pub(super) held: Mutex<bool>,
    pub(super) released: Condvar,
}

/// While it lives, no change is logged.
pub(crate) struct Hold(Arc<Shared>);

impl Hold {
    /// What readers see. It does not change while the hold lives.
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
    /// Opens the log of an app in its folder, which is created if missing.
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
        let (sender, receiver) = sync_channel(QUEUED_CALLS);
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

    /// Logs changes. Answers with the position of the last one once all are on disk.
    pub(crate) fn change(
        &self,
        changes: &Changes,
        deleted: &[Ordinal],
    ) -> Result<oneshot::Receiver<Result<u64>>> {
        let blocks = changes.checked(&|tag| self.shared.tag(tag))?;
        let mut payload = Vec::new();
        blocks.iter().for_each(|block| put_tag(&mut payload, &block.tag, &block.entries, false));
        let added = changes.users.clone();
        if !added.is_empty() {
            put_added(&mut payload, &added);
        }
        if !deleted.is_empty() {
            put_deleted(&mut payload, deleted);
        }
        let count = blocks.iter().map(|block| block.entries.len()).sum::<usize>()
            + added.len()
            + deleted.len();
        let changes_count = u32::try_from(count)
            .ok()
            .filter(|_| payload.len() <= u32::MAX as usize / 2)
            .ok_or(Error::TooMany(count))?;
        let (reply, answer) = oneshot::channel();
        let request = Request {
            generation: changes.generation,
            blocks,
            added,
            deleted: deleted.to_vec(),
            payload,
            changes: changes_count,
            reply,
        };
        let ended = || Error::Internal("the thread that logs changes has ended".to_owned());
        self.requests.as_ref().ok_or_else(ended)?.send(request).map_err(|_| ended())?;
        Ok(answer)
    }

    /// Checks the changes against their tags, as far as possible before they are logged.
    pub(crate) fn check(&self, changes: &Changes) -> Result<()> {
        changes.checked(&|tag| self.shared.tag(tag)).map(drop)
    }

    /// Sets the tags that may be changed. A tag whose type has changed starts without changes.
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

    /// The position of the last change logged, which may not be visible yet. Takes a lock that is
    /// held for moments only.
    pub(crate) fn logged(&self) -> u64 {
        self.shared.pending.lock().position
    }

    /// Makes everything that is logged visible now.
    pub(crate) fn tick(&self) -> Arc<Overlay> {
        self.shared.tick()
    }

    /// Notes a publication and the types of its tags. The changes it includes leave the overlay at
    /// the next tick.
    pub(crate) fn published(&self, published: Published, types: &BTreeMap<Name, ValueType>) {
        let mut pending = self.shared.pending.lock();
        // Under the lock, so that a change of a new tag never meets a publication that does not
        // name it.
        self.know(types);
        if pending.published.as_ref().is_none_or(|before| before.revision <= published.revision) {
            pending.published = Some(published);
        }
    }

    /// Pins the end of the log: until the pin is dropped, the log keeps what comes after it.
    pub(crate) fn pin(&self) -> Pin {
        // Pin first, so that no checkpoint removes what comes in between.
        let pin = self.shared.pins.pin(self.overlay().position);
        pin.at(self.tick().position)
    }

    /// Reads the changes after `after` and up to `through`, which must be in the overlay. `each`
    /// gets the position of the first of some items. `false` when the log does not reach back
    /// that far. Reads files: not for I/O threads.
    pub(crate) fn read_back(
        &self,
        after: u64,
        through: u64,
        each: &mut dyn FnMut(u64, Vec<Item>) -> Result<()>,
    ) -> Result<bool> {
        let (generation, files) = self.shared.log.lock().files();
        read_back(&files, generation, after, through, each)
    }

    /// The number of changes in memory that are in no segment yet.
    pub(crate) fn held(&self) -> u64 {
        // A tick moves changes from one to the other under this lock.
        let pending = self.shared.pending.lock();
        (self.overlay().len() + pending.moving + pending.len()) as u64
    }

    /// Writes a checkpoint now.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.shared.checkpoint()
    }

    /// Makes writers wait until the hold is dropped. What was logged before is visible when this
    /// returns.
    pub(crate) fn hold(&self) -> Hold {
        *self.shared.held.lock() = true;
        // A commit on its way holds this lock.
        drop(self.shared.log.lock());
        self.shared.tick();
        Hold(self.shared.clone())
    }

    /// Starts over under another generation, that of `revision` of the index, without changes.
    /// Positions continue after `position` if the log ends before it.
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
        // Without a sender, the committer ends once it has logged what is queued.
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

    pub(super) fn tag(&self, name: &str) -> Option<Arc<TagLog>> {
        self.tags.read().get(name).cloned()
    }

    pub(super) fn overlay(&self) -> Arc<Overlay> {
        self.overlay.load_full()
    }

    /// Makes an overlay what readers see.
    fn replace(&self, overlay: Arc<Overlay>) {
        self.overlay.store(overlay.clone());
        self.shown.set_overlay(overlay);
    }

    /// Does `work` once each period until stopped.
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

    /// Writes a checkpoint when the log has grown so long that replaying it would delay opening.
    fn keep(&self) {
        let overlay = self.overlay();
        let due = self.options.checkpoint_changes.max(overlay.len() as u64);
        if overlay.position.saturating_sub(self.checkpointed.load(Ordering::Relaxed)) >= due
            && let Err(error) = self.checkpoint()
        {
            tracing::warn!(%error, "a checkpoint of the live changes could not be written; the log keeps growing");
        }
    }

    fn checkpoint(&self) -> Result<()> {
        let _checkpointing = self.checkpointing.lock();
        // What is logged from here on goes to a new file, so that all earlier ones can be removed.
        self.log.lock().rotate()?;
        let overlay = self.tick();
        checkpoint::write(&self.folder, &overlay)?;
        self.checkpointed.store(overlay.position, Ordering::Relaxed);
        self.log.lock().remove_through(self.pins.kept_behind(overlay.position));
        Ok(())
    }
}
