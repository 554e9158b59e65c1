//! The store in its folder: opened, and opened again after a failure.
//!
//! fjall takes nothing more once a write has failed, for then it does not know what is on disk. It
//! is closed and opened again, as a new process would do it, until that works: a disk that was full
//! has room again.

use crate::{Error, Result, key};
use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::path::{Path, PathBuf};
use taghouse_disk::{Mark, Standing, caught};

const CACHE_BYTES: u64 = 16 << 20;
const BLOCK_BYTES: u32 = 32 << 10;
const JOURNAL_ENDING: &str = "jnl";

/// fjall's handles. Nobody keeps a clone of them, so that the store can be closed.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) keyspace: Keyspace,
}

/// The store, which is closed while it cannot be opened.
pub(crate) struct Store {
    path: PathBuf,
    opened: RwLock<Option<Opened>>,
    /// Why the store is closed.
    problem: Mutex<String>,
}

/// A store that was just opened, and what it was found to contain.
pub(crate) struct OpenedStore {
    pub(crate) store: Store,
    pub(crate) mark: Mark,
    /// The number of the last group that was committed.
    pub(crate) groups: u64,
}

impl Store {
    /// Opens the folder, making it where there is none. What was acknowledged must be there.
    pub(crate) fn open(path: &Path) -> Result<OpenedStore> {
        // fjall does not open again what it was stopped in making.
        taghouse_disk::make_filled(path, |new| database(new).map(drop))
            .map_err(|error: fjall::Error| Error::from(error).within(path))?;
        let opened = open(path)?;
        let (mut mark, acknowledged) =
            Mark::open(path.with_extension("mark")).map_err(|error| unavailable(path, &error))?;
        let groups = groups(&opened)?;
        lost(path, acknowledged.unwrap_or(0), groups, mark.path())?;
        mark.set(groups);
        let store = Self {
            path: path.to_owned(),
            opened: RwLock::new(Some(opened)),
            problem: Mutex::default(),
        };
        Ok(OpenedStore { store, mark, groups })
    }

    /// Makes a store in a folder that is not there yet.
    pub(crate) fn make(path: &Path) -> Result<Opened> {
        taghouse_disk::make_filled(path, |new| database(new).map(drop))
            .map_err(|error: fjall::Error| Error::from(error).within(path))?;
        open(path)
    }

    /// Does something with the store, which cannot be closed meanwhile.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&Opened) -> Result<T>) -> Result<T> {
        let opened: RwLockReadGuard<'_, Option<Opened>> = self.opened.read();
        match opened.as_ref() {
            Some(opened) => act(opened).map_err(|error| error.within(&self.path)),
            None => Err(Error::Unavailable(self.problem.lock().clone())),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened.read().is_some()
    }

    /// Closes the store, once those who read have ended, and opens it again; the number of its last
    /// group. `acknowledged` groups must be there.
    pub(crate) fn reopen(&self, acknowledged: u64, mark: &Path) -> Result<u64> {
        let mut opened = self.opened.write();
        *opened = None;
        let again = || {
            // Not one that fjall would make where the folder is gone.
            std::fs::metadata(&self.path).map_err(|error| unavailable(&self.path, &error))?;
            let opened = open(&self.path)?;
            let groups = groups(&opened)?;
            lost(&self.path, acknowledged, groups, mark)?;
            Ok((opened, groups))
        };
        match again() {
            Ok((found, groups)) => {
                *opened = Some(found);
                Ok(groups)
            }
            Err(error) => {
                *self.problem.lock() = problem_of(&error);
                Err(error)
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn problem_of(error: &Error) -> String {
    match error {
        Error::Unavailable(problem) => problem.clone(),
        other => other.to_string(),
    }
}

fn database(path: &Path) -> fjall::Result<Database> {
    Database::builder(path).cache_size(CACHE_BYTES).worker_threads(1).open()
}

/// Records are read in order, by the thousand: large blocks, and no filters.
fn of_records() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .filter_policy(FilterPolicy::disabled())
}

fn open(path: &Path) -> Result<Opened> {
    let open = || {
        let database = database(path).map_err(|error| match error {
            fjall::Error::Locked => Error::Locked(path.to_owned()),
            other => Error::from(other),
        })?;
        let keyspace = database.keyspace("log", of_records)?;
        Ok(Opened { database, keyspace })
    };
    // fjall panics on some bytes that it never wrote.
    let opened = caught(open).unwrap_or_else(|panic| Err(Error::Corrupt(panic)));
    opened.map_err(|error: Error| error.within(path))
}

fn groups(opened: &Opened) -> Result<u64> {
    let Some(bytes) = opened.keyspace.get(key::GROUPS)? else { return Ok(0) };
    let number = bytes.first_chunk::<8>().filter(|_| bytes.len() == 8);
    number
        .map(|number| u64::from_be_bytes(*number))
        .ok_or_else(|| Error::Corrupt(format!("the number of groups has {} bytes", bytes.len())))
}

/// An error if the store ends before what was acknowledged.
fn lost(path: &Path, acknowledged: u64, found: u64, mark: &Path) -> Result<()> {
    if found >= acknowledged {
        return Ok(());
    }
    Err(Error::Lost {
        folder: path.to_owned(),
        missing: acknowledged - found,
        mark: mark.to_owned(),
    })
}

fn unavailable(path: &Path, error: &std::io::Error) -> Error {
    Error::Unavailable(format!("{}: {error}", path.display()))
}

/// The folder and its newest journal as they were opened. What is written to deleted files is lost,
/// so both are checked.
pub(crate) struct StoreFiles {
    folder: Standing,
    journal: Option<Standing>,
}

impl StoreFiles {
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        Ok(Self {
            folder: Standing::of(folder.to_owned()).map_err(|error| unavailable(folder, &error))?,
            journal: newest_journal(folder),
        })
    }

    /// An error that names what is gone.
    pub(crate) fn check(&mut self) -> Result<()> {
        let gone = |error: std::io::Error| Error::Gone(error.to_string());
        self.folder.check().map_err(gone)?;
        let Some(journal) = &self.journal else { return Ok(()) };
        let Err(error) = journal.check() else { return Ok(()) };
        // It may be one that fjall removed, all of it being in tables; then a newer one is there.
        match newest_journal(self.folder.path()) {
            Some(newest) if number(newest.path()) > number(journal.path()) => {
                self.journal = Some(newest);
                Ok(())
            }
            _ => Err(gone(error)),
        }
    }
}

fn newest_journal(folder: &Path) -> Option<Standing> {
    let journals = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = journals
        .filter(|path| path.extension().is_some_and(|ending| ending == JOURNAL_ENDING))
        .max_by_key(|path| number(path))?;
    Standing::of(newest).ok()
}

fn number(journal: &Path) -> Option<u64> {
    journal.file_stem()?.to_str()?.parse().ok()
}
