//! The message ids of the last day, kept on disk by the hour in which they landed.
//!
//! An id is remembered with the log position that brought it, before the lake's commit of that
//! position. What stands behind the position landed is void: [`MessageIds::settle`] removes it, so
//! that after a crash a record is never its own duplicate.
//!
//! Hours are counted by the time that this crate was at work (see [`Kept`](kept::Kept)), not by the
//! wall clock: however that is set, an id is kept for a day. Ids of an hour that is over go all at
//! once.

mod entry;
mod failure;
mod filter;
mod kept;
mod log;
mod merge;
mod run;
mod said;
mod store;
#[cfg(test)]
mod tests;

use crate::{Error, Result};
use failure::Failure;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use taghouse_model::{AppId, Clock};
use xxhash_rust::xxh3::xxh3_128;

const HOUR_MS: i64 = 3_600_000;

/// How long an id is remembered at least: a day, and an hour for what waits in the log.
const REMEMBERED_MS: i64 = 25 * HOUR_MS;

/// How long an app whose calls cannot land keeps the ids of all from being forgotten.
const HELD_MS: i64 = 72 * HOUR_MS;

/// The hash by which a message id is remembered.
pub fn message_hash(message_id: &str) -> u128 {
    xxh3_128(message_id.as_bytes())
}

/// An id and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotedId {
    /// See [`message_hash`].
    pub id: u128,
    /// The position of its record in the app's log.
    pub position: u64,
}

/// The message ids of all apps, in one folder. It is opened when it is first needed, and again
/// after a failure. Its calls block.
///
/// Memory: about 15 bits an id for filters and a few megabytes; the ids are on disk.
pub struct MessageIds {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    store: Option<Arc<Store>>,
    /// Apps whose calls wait for their landing, with the kept time at which it was tried first.
    behind: HashMap<AppId, i64>,
}

impl MessageIds {
    /// The ids in `folder`; nothing is touched yet.
    pub fn at(folder: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { folder: folder.to_owned(), clock, opened: Mutex::default() }
    }

    /// Which of these ids are remembered.
    ///
    /// # Errors
    /// [`Error::Ids`].
    pub fn known(&self, app: &AppId, ids: &[u128]) -> Result<Vec<bool>> {
        self.with(|store| store.known(app, ids))
    }

    /// Remembers ids of records up to `through`, synced to disk. They count once the caller has
    /// committed that position.
    ///
    /// # Errors
    /// [`Error::Ids`].
    pub fn note(&self, app: &AppId, ids: &[NotedId], through: u64) -> Result<()> {
        let steady_ms = self.clock.steady_ms();
        self.with(|store| store.note(app, ids, through, steady_ms))
    }

    /// How many hours have ids.
    ///
    /// # Errors
    /// [`Error::Ids`].
    pub fn hours(&self) -> Result<usize> {
        self.with(|store| Ok(store.hours()))
    }

    /// Makes the ids of `app` those of its records up to `landed`. `false`: some are missing, to be
    /// remembered again from the lake.
    pub(crate) fn settle(&self, app: &AppId, landed: u64) -> Result<bool> {
        self.with(|store| store.settle(app, landed))
    }

    /// Remembers ids that have landed; [`MessageIds::restored`] says that they are all.
    pub(crate) fn restore(&self, app: &AppId, ids: impl Iterator<Item = u128>) -> Result<()> {
        let steady_ms = self.clock.steady_ms();
        let ids: Vec<NotedId> = ids.map(|id| NotedId { id, position: 0 }).collect();
        self.with(|store| store.restore(app, &ids, steady_ms))
    }

    /// All ids of records up to `landed` are remembered.
    pub(crate) fn restored(&self, app: &AppId, landed: u64) -> Result<()> {
        self.note(app, &[], landed)
    }

    /// Calls of `app` begin to land: until they have, what they may repeat is kept.
    pub(crate) fn begin(&self, app: &AppId) -> Result<()> {
        let steady_ms = self.clock.steady_ms();
        let now_ms = self.with(|store| Ok(store.now(steady_ms)))?;
        self.lock().behind.entry(app.clone()).or_insert(now_ms);
        Ok(())
    }

    /// All calls of `app` have landed: forgets the hours that nobody's calls can repeat within a
    /// day.
    pub(crate) fn caught_up(&self, app: &AppId) -> Result<()> {
        let steady_ms = self.clock.steady_ms();
        let mut opened = self.lock();
        let Some(store) = opened.store.clone() else { return Ok(()) };
        opened.behind.remove(app);
        let now_ms = store.now(steady_ms);
        let oldest = opened.behind.values().min().copied().unwrap_or(now_ms);
        drop(opened);
        self.with(|store| store.forget(oldest.max(now_ms - HELD_MS) - REMEMBERED_MS))
    }

    fn lock(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock()
    }

    fn with<T>(&self, work: impl FnOnce(&Store) -> failure::Result<T>) -> Result<T> {
        let store = {
            let mut opened = self.lock();
            match &opened.store {
                Some(store) => store.clone(),
                None => {
                    let opening = Store::open(&self.folder, self.clock.steady_ms());
                    let store = Arc::new(opening.map_err(|failure| self.named(failure))?);
                    opened.store = Some(store.clone());
                    // Kept time goes on from what was written last.
                    opened.behind.clear();
                    store
                }
            }
        };
        work(&store).map_err(|failure| self.named(failure)).inspect_err(|_| {
            // A store that failed once writes no more: the next call opens it again. Somebody else
            // may have done so already.
            store.close();
            let mut opened = self.lock();
            if opened.store.as_ref().is_some_and(|of_others| Arc::ptr_eq(of_others, &store)) {
                opened.store = None;
            }
        })
    }

    fn named(&self, failure: Failure) -> Error {
        match failure {
            Failure::Disk { path, source } => Error::Ids { folder: path, source },
            Failure::Damaged(detail) => Error::IdsDamaged { folder: self.folder.clone(), detail },
            Failure::Closed => {
                let source = std::io::Error::other(failure.to_string());
                Error::Ids { folder: self.folder.clone(), source }
            }
        }
    }
}
