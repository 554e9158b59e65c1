use crate::{Error, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use std::fs;
use std::io;
use std::path::Path;

/// Blocks read from disk are kept in this much memory.
const CACHE_BYTES: u64 = 64 << 20;
/// What is written is kept in memory and the journal up to this size, for each keyspace; opening reads that journal.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Journals that wait for a memtable to be flushed; `apps` alone would keep them for ever. The least that the store takes.
const JOURNAL_BYTES: u64 = 64 << 20;

/// The store and its keyspaces; `key` says what they hold.
pub(crate) struct Store {
    pub(crate) database: Database,
    pub(crate) ordinals: Keyspace,
    pub(crate) ids: Keyspace,
    pub(crate) apps: Keyspace,
}

/// Opens the store at `path`, making it where there is none.
///
/// The store's own creation takes several steps, and one that is cut off between them does not open again. So it is made under
/// another name and then renamed: either there is none, or a whole one.
pub(crate) fn open_or_create(path: &Path) -> Result<Store> {
    let unavailable = |e: io::Error| Error::Unavailable { path: path.to_owned(), detail: e.to_string() };
    if !is_there(path).map_err(unavailable)? {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".creating");
        let unfinished = path.with_file_name(name);
        match fs::remove_dir_all(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unavailable(e)),
            _ => {}
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(unavailable)?;
        }
        drop(open(&unfinished)?);
        fs::rename(&unfinished, path).map_err(unavailable)?;
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::File::open(folder).and_then(|f| f.sync_all()).map_err(unavailable)?;
        }
    }
    open(path)
}

/// Whether `path` is a folder with something in it.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn open(path: &Path) -> Result<Store> {
    let failed = |e| Error::of_store(e, path);
    let database =
        Database::builder(path).cache_size(CACHE_BYTES).max_journaling_size(JOURNAL_BYTES).worker_threads(2).open().map_err(failed)?;
    let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
    let ordinals = database.keyspace("ordinals", options).map_err(failed)?;
    // Ordinals asked for are nearly always given: no filters on the last level.
    let ids = database.keyspace("ids", || options().expect_point_read_hits(true)).map_err(failed)?;
    let apps = database.keyspace("apps", || options().expect_point_read_hits(true)).map_err(failed)?;
    Ok(Store { database, ordinals, ids, apps })
}
