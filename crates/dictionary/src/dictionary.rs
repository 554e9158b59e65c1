use crate::block_file::{replace, sync_folder};
use crate::deletion_watch::{DeletionWatch, Watches};
use crate::lookup::options;
use crate::repack::Repack;
use crate::space::{FIRST_GENERATION, Space};
use crate::{Error, Options, Resolved, Result, View};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use taghouse_model::{AppId, Ordinal};

/// Locked while the folder is open.
const LOCK: &str = "LOCK";
/// States the format version of the folder.
const FORM: &str = "FORM";
const FORM_TEXT: &str = "taghouse dictionary 1\n";

/// The user ids and ordinals of all apps, in one folder. Share it in an `Arc`. The crate's
/// documentation states its guarantees.
///
/// ```
/// use taghouse_dictionary::Dictionary;
/// use taghouse_model::AppId;
///
/// let folder = tempfile::tempdir()?;
/// let dictionary = Dictionary::open(&folder.path().join("dictionary"))?;
/// let app = AppId::new("shop")?;
///
/// assert_eq!(dictionary.assign(&app, &["ann", "bob", "ann"])?, [0, 1, 0]);
/// assert_eq!(dictionary.lookup(&app, &["bob", "eve"])?, [Some(1), None]);
/// assert_eq!(dictionary.resolve(&app, &[0])?, [Some("ann".to_owned())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Dictionary {
    path: PathBuf,
    options: Options,
    /// Read without a lock: a judgment must not wait while another app's folder is created.
    spaces: ArcSwap<HashMap<AppId, Arc<Space>>>,
    /// Held while an app's folder is created.
    making: Mutex<()>,
    watches: Watches,
    /// Kept open for its lock.
    _lock: File,
}

impl Dictionary {
    /// Opens the dictionary in the folder `path`, creating it if it is missing. Only one process
    /// can have it open.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::OldForm`], [`Error::Corrupt`], [`Error::Unavailable`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// For tests: with other limits.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_with(path: &Path, options: Options) -> Result<Self> {
        let lock = lock(path)?;
        let mut spaces = HashMap::new();
        for entry in fs::read_dir(path).map_err(Error::io(path))? {
            let folder = entry.map_err(Error::io(path))?.path();
            let app = folder.file_name().and_then(|name| AppId::new(name.to_str()?).ok());
            if let Some(app) = app.filter(|_| folder.is_dir())
                && let Some(space) = Space::open(app.clone(), folder, options)?
            {
                spaces.insert(app, Arc::new(space));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            options,
            spaces: ArcSwap::from_pointee(spaces),
            making: Mutex::default(),
            watches: Watches::default(),
            _lock: lock,
        })
    }

    /// The ordinals of `ids`, in their order. An id without an ordinal gets the next one. An id may
    /// occur more than once. Durable on return.
    ///
    /// # Errors
    /// [`Error::UserId`], [`Error::Full`] and [`Error::Unsettled`]: nothing was written.
    /// [`Error::Unavailable`]: some may have been written. Those become visible when the dictionary
    /// is reopened; repeating the call assigns the rest.
    pub fn assign(&self, app: &AppId, ids: &[&str]) -> Result<Vec<Ordinal>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(space) = self.space(app) {
            return space.assign(ids);
        }
        for (position, id) in ids.iter().enumerate() {
            taghouse_model::check_user_id(id)
                .map_err(|reason| Error::UserId { position, reason })?;
        }
        self.space_or_new(app, FIRST_GENERATION)?.assign(ids)
    }

    /// The ordinals of `ids`, in their order; `None` for an id that has none (also for text that
    /// cannot be a user id). Large batches are several times faster than single ids.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn lookup(&self, app: &AppId, ids: &[&str]) -> Result<Vec<Option<Ordinal>>> {
        let Some(space) = self.space(app) else { return Ok(vec![None; ids.len()]) };
        space.current().state().lookup(ids).map(options)
    }

    /// The ids of `ordinals`, in their order; `None` for an ordinal that is unassigned or of a
    /// deleted user.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn resolve(&self, app: &AppId, ordinals: &[Ordinal]) -> Result<Vec<Option<String>>> {
        let Some(space) = self.space(app) else { return Ok(vec![None; ordinals.len()]) };
        space.current().state().resolve(ordinals)
    }

    /// Streams the ids of ascending ordinals, such as a bitmap's, in the same order, each with its
    /// ordinal. Unassigned ordinals and those of deleted users are skipped. Keeps a thousand ids
    /// in memory at a time, whatever the number.
    pub fn resolve_sorted<I: Iterator<Item = Ordinal>>(
        &self,
        app: &AppId,
        ordinals: impl IntoIterator<IntoIter = I>,
    ) -> Resolved<I> {
        Resolved::new(self.space(app).map(|space| space.current()), ordinals.into_iter())
    }

    /// The number of ordinals that the app has assigned: all below it have an id, or had one that
    /// was deleted.
    pub fn len(&self, app: &AppId) -> u32 {
        self.space(app).map_or(0, |space| space.current().state().len())
    }

    /// The generation of the app's ordinals, 1 or more, or 0 where it has none yet; see the crate's
    /// documentation.
    pub fn generation(&self, app: &AppId) -> u64 {
        self.space(app).map_or(0, |space| space.generations().number)
    }

    /// Sets the generation of the app's ordinals, those assigned already included: what was derived
    /// from an earlier generation must not be read with them. Durable on return. Does nothing
    /// unless it is later than the current one.
    ///
    /// # Errors
    /// [`Error::Unsettled`], [`Error::Unavailable`].
    pub fn renew(&self, app: &AppId, generation: u64) -> Result<()> {
        self.space_or_new(app, generation.max(FIRST_GENERATION))?.renew(generation)
    }

    /// A view of one generation of the app: the current one, one that is being published, or an
    /// earlier one that a reader still holds.
    pub fn view(&self, app: &AppId, generation: u64) -> Option<View> {
        let generations = self.space(app)?.generations();
        let view = |found| Some(View { number: generation, generation: found });
        if generations.number == generation {
            return view(Arc::clone(&generations.current));
        }
        if let Some((_, prepared)) =
            generations.prepared.as_ref().filter(|(number, _)| *number == generation)
        {
            return view(Arc::clone(prepared));
        }
        let retired = generations.retired.iter().find(|(number, _)| *number == generation);
        retired.and_then(|(_, held)| held.upgrade()).and_then(view)
    }

    /// Deletes users, durably: from now on they are neither looked up nor resolved. Returns the ids
    /// that the ordinals had, `None` for one without an id. The ordinals are not reused in this
    /// generation; an id that returns gets a new one. The text stays in the files until
    /// [`purge`](Self::purge) or a repacking.
    ///
    /// # Errors
    /// [`Error::Unsettled`], [`Error::Corrupt`]: nothing was written. [`Error::Unavailable`]: it may
    /// have been written, and then takes effect when the dictionary is reopened.
    pub fn delete(&self, app: &AppId, ordinals: &[Ordinal]) -> Result<Vec<Option<String>>> {
        let Some(space) = self.space(app) else { return Ok(vec![None; ordinals.len()]) };
        if self.watches.is_watched(app) {
            // Before: an id must not get another ordinal between its deletion and the note of it.
            let ids: Vec<String> = self.resolve(app, ordinals)?.into_iter().flatten().collect();
            self.watches.note(app, &ids);
        }
        space.delete(ordinals)
    }

    /// Notifies the watches that ids are deleted, including ids without an ordinal, which a running
    /// production may have read already. Call it before the ids are looked up: then a concurrent
    /// assignment is either found by the lookup or notified.
    pub fn note_deleted(&self, app: &AppId, ids: &[String]) {
        self.watches.note(app, ids);
    }

    /// Watches the deletions of an app from now on.
    pub fn watch_deletions(&self, app: &AppId) -> DeletionWatch {
        self.watches.watch(app)
    }

    /// Erases the text of deleted users from the current generation's files by rewriting those that
    /// contain any. Returns the number of texts erased. Meanwhile readers continue and writers
    /// wait. On return the bytes are no longer in the folder.
    ///
    /// # Errors
    /// [`Error::Unsettled`], [`Error::Corrupt`], [`Error::Unavailable`].
    pub fn purge(&self, app: &AppId) -> Result<u64> {
        self.space(app).map_or(Ok(0), |space| space.purge())
    }

    /// Builds the next generation from the users `kept`, in ascending order, beside the current
    /// one. Deleted and unassigned ordinals are skipped. Meanwhile readers and writers of the
    /// current generation continue. [`Repack::finish`] carries over users that are added after
    /// the beginning, and makes the new generation current.
    ///
    /// # Errors
    /// [`Error::Repacking`], [`Error::Unsettled`], [`Error::KeptOrder`], [`Error::Corrupt`],
    /// [`Error::Unavailable`].
    pub fn repack(&self, app: &AppId, kept: impl Iterator<Item = Ordinal>) -> Result<Repack<'_>> {
        let space = self.space_or_new(app, FIRST_GENERATION)?;
        // Not where another generation waits to be settled: the new one would have its name.
        drop(space.write()?);
        Repack::begin(space, kept)
    }

    /// Makes the published generation current and removes the other: after a crash in
    /// [`Repack::finish`] there may be two. Does nothing where there is only one, whatever its
    /// number.
    ///
    /// # Errors
    /// [`Error::NoGeneration`] if it is neither of two; [`Error::Unavailable`].
    pub fn settle(&self, app: &AppId, generation: u64) -> Result<()> {
        self.space(app).map_or(Ok(()), |space| space.settle(generation))
    }

    /// The size of all files of the app, in bytes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub fn bytes_on_disk(&self, app: &AppId) -> Result<u64> {
        let mut bytes = 0;
        let mut folders: Vec<PathBuf> =
            self.space(app).map(|space| space.folder.clone()).into_iter().collect();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
                let entry = entry.map_err(Error::io(&folder))?;
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                    Ok(metadata) => bytes += metadata.len(),
                    // A merge has just removed it.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(Error::io(&folder)(e)),
                }
            }
        }
        Ok(bytes)
    }

    /// Copies all apps' files as they are now into `folder`, which must be empty. Immutable files
    /// become hard links where the file system has them. Readers continue; an app's writers wait
    /// while it is copied. Nothing is synced.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Unavailable`].
    pub fn copy_to(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        fs::write(folder.join(FORM), FORM_TEXT).map_err(Error::io(folder))?;
        // Of spaces that are made meanwhile nothing is published yet.
        for (app, space) in self.spaces.load().iter() {
            space.copy_to(&folder.join(app.as_str()))?;
        }
        Ok(())
    }

    fn space(&self, app: &AppId) -> Option<Arc<Space>> {
        self.spaces.load().get(app).cloned()
    }

    fn space_or_new(&self, app: &AppId, generation: u64) -> Result<Arc<Space>> {
        if let Some(space) = self.space(app) {
            return Ok(space);
        }
        let _making = self.making.lock();
        if let Some(space) = self.space(app) {
            return Ok(space);
        }
        let space = Arc::new(Space::create(
            app.clone(),
            self.path.join(app.as_str()),
            self.options,
            generation,
        )?);
        sync_folder(&self.path)?;
        let mut spaces = HashMap::clone(&self.spaces.load());
        spaces.insert(app.clone(), Arc::clone(&space));
        self.spaces.store(Arc::new(spaces));
        Ok(space)
    }
}

impl Drop for Dictionary {
    fn drop(&mut self) {
        // Before the lock is given back.
        for space in self.spaces.load().values() {
            space.merging.stop();
        }
    }
}

/// Locks the folder, creating it if it is missing. Refuses one with other contents.
fn lock(path: &Path) -> Result<File> {
    taghouse_disk::make_folder(path).map_err(Error::io(path))?;
    let form = path.join(FORM);
    let is_ours = |name: &str| [LOCK, FORM, "FORM.unfinished"].contains(&name);
    if !form.exists() {
        for entry in fs::read_dir(path).map_err(Error::io(path))? {
            let name = entry.map_err(Error::io(path))?.file_name();
            if !name.to_str().is_some_and(is_ours) {
                return Err(Error::OldForm { path: path.to_owned() });
            }
        }
    }
    let lock_path = path.join(LOCK);
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&lock_path)
        .map_err(Error::io(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(e)) => return Err(Error::io(&lock_path)(e)),
    }
    if !form.exists() {
        replace(&form, FORM_TEXT.as_bytes())?;
    } else if fs::read(&form).map_err(Error::io(&form))? != FORM_TEXT.as_bytes() {
        return Err(Error::OldForm { path: path.to_owned() });
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_wait_for_no_writer() {
        let folder = tempfile::tempdir().unwrap();
        let dictionary = Dictionary::open(folder.path()).unwrap();
        let app = AppId::new("shop").unwrap();
        let ordinals = dictionary.assign(&app, &["ann", "bob"]).unwrap();
        let space = dictionary.space(&app).unwrap();
        // Another app's folder is being made, and somebody writes to this one.
        let (_making, _writing) = (dictionary.making.lock(), space.write().unwrap());
        let view = dictionary.view(&app, dictionary.generation(&app)).unwrap();
        assert_eq!(
            view.lookup(&["bob", "ann", "nobody"]).unwrap(),
            [Some(ordinals[1]), Some(ordinals[0]), None]
        );
        assert_eq!(dictionary.lookup(&app, &["ann"]).unwrap(), [Some(ordinals[0])]);
        assert_eq!(
            dictionary.resolve(&app, &ordinals).unwrap(),
            [Some("ann".to_owned()), Some("bob".to_owned())]
        );
    }

    #[test]
    fn a_tail_that_grows_forgets_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let dictionary = Dictionary::open(folder.path()).unwrap();
        let app = AppId::new("shop").unwrap();
        let ids: Vec<String> = (0..20_000).map(|n| format!("user-{n}")).collect();
        for (n, part) in ids.chunks(333).enumerate() {
            let ordinals = dictionary
                .assign(&app, &part.iter().map(String::as_str).collect::<Vec<_>>())
                .unwrap();
            dictionary.delete(&app, &ordinals[..3]).unwrap();
            assert_eq!(
                dictionary.lookup(&app, &[part[2].as_str(), part[3].as_str()]).unwrap(),
                [None, Some(n as u32 * 333 + 3)]
            );
        }
        let found =
            dictionary.lookup(&app, &ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let expected = (0..20_000).map(|n| (n % 333 >= 3).then_some(n as u32));
        assert!(found.into_iter().eq(expected));
    }
}
