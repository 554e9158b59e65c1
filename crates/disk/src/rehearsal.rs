//! A loss of power, or a sync that fails, played in a test.
//!
//! Every sync of this crate is told to the rehearsal of the folder that it lies in. At a loss of
//! power the folder becomes what was synced: a file holds what it held at its last sync, a folder
//! names what it named at its own. What nobody synced is lost, as the strictest file system may do.

use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Error, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

static RUNNING: RwLock<Vec<Arc<Inner>>> = RwLock::new(Vec::new());
/// The number of those, so that a process without any pays one read.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Which syncs fail.
type Fails = Box<dyn Fn(&Path) -> bool + Send + Sync>;

/// A folder under rehearsal, until this is dropped. One at a time for a folder.
pub struct Rehearsal(Arc<Inner>);

struct Inner {
    root: PathBuf,
    disk: Mutex<Disk>,
    fails: Mutex<Option<Fails>>,
}

/// What would be found after a loss of power, by inode.
#[derive(Default)]
struct Disk {
    files: HashMap<u64, Vec<u8>>,
    folders: HashMap<u64, BTreeMap<PathBuf, Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    inode: u64,
    is_folder: bool,
}

impl Rehearsal {
    /// Watches a folder from now on; what is in it already counts as synced.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn of(root: &Path) -> Result<Self> {
        let root = root.canonicalize()?;
        let mut disk = Disk::default();
        disk.take_all(&root)?;
        let inner = Arc::new(Inner { root, disk: Mutex::new(disk), fails: Mutex::default() });
        RUNNING.write().push(inner.clone());
        COUNT.fetch_add(1, Ordering::SeqCst);
        Ok(Self(inner))
    }

    /// Lets syncs of the paths that `fails` says fail from now on.
    pub fn fail_when(&self, fails: impl Fn(&Path) -> bool + Send + Sync + 'static) {
        *self.0.fails.lock() = Some(Box::new(fails));
    }

    /// Lets all syncs succeed again.
    pub fn fail_no_more(&self) {
        *self.0.fails.lock() = None;
    }

    /// Makes the folder what was synced. Whoever has it open must have ended.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn lose_power(self) -> Result<()> {
        let root = &self.0.root;
        let inode = fs::metadata(root)?.ino();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
        self.0.disk.lock().restore(inode, root)
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        RUNNING.write().retain(|other| !Arc::ptr_eq(other, &self.0));
        COUNT.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Disk {
    fn take(&mut self, path: &Path) -> Result<()> {
        let found = fs::metadata(path)?;
        if !found.is_dir() {
            self.files.insert(found.ino(), fs::read(path)?);
            return Ok(());
        }
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // One that is being removed meanwhile is not there.
            let Ok(found) = entry.metadata() else { continue };
            entries.insert(
                PathBuf::from(entry.file_name()),
                Entry { inode: found.ino(), is_folder: found.is_dir() },
            );
        }
        self.folders.insert(found.ino(), entries);
        Ok(())
    }

    fn take_all(&mut self, path: &Path) -> Result<()> {
        self.take(path)?;
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                self.take_all(&entry?.path())?;
            }
        }
        Ok(())
    }

    fn restore(&self, folder: u64, at: &Path) -> Result<()> {
        for (name, entry) in self.folders.get(&folder).into_iter().flatten() {
            let path = at.join(name);
            if entry.is_folder {
                fs::create_dir(&path)?;
                self.restore(entry.inode, &path)?;
            } else {
                fs::write(&path, self.files.get(&entry.inode).map_or(&[][..], Vec::as_slice))?;
            }
        }
        Ok(())
    }
}

/// Does a sync, and tells the rehearsal of the folder, where there is one.
pub(crate) fn sync(path: &Path, sync: impl FnOnce() -> Result<()>) -> Result<()> {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return sync();
    }
    let running = RUNNING.read().clone();
    let watching = path
        .canonicalize()
        .ok()
        .and_then(|path| running.iter().find(|inner| path.starts_with(&inner.root)).cloned());
    let Some(inner) = watching else { return sync() };
    if inner.fails.lock().as_ref().is_some_and(|fails| fails(path)) {
        return Err(Error::other(format!("{}: a failed sync is rehearsed", path.display())));
    }
    sync()?;
    inner.disk.lock().take(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Folders, make_folder, replace, write_new};

    #[test]
    fn what_was_not_synced_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::write(root.join("before"), "before").unwrap();
        let rehearsal = Rehearsal::of(&root).unwrap();
        fs::write(root.join("unsynced"), "x").unwrap();
        write_new(&root.join("a/b/unnamed"), b"x").unwrap();
        write_new(&root.join("c/d/named"), b"named").unwrap();
        Folders::below(root.clone()).settle([root.join("c/d/named").as_path()]).unwrap();
        replace(&root.join("c/replaced"), b"one").unwrap();
        replace(&root.join("c/replaced"), b"two").unwrap();
        make_folder(&root.join("e/f")).unwrap();
        fs::write(root.join("before"), "after").unwrap();
        rehearsal.lose_power().unwrap();
        assert_eq!(fs::read(root.join("before")).unwrap(), b"before");
        assert_eq!(fs::read(root.join("c/d/named")).unwrap(), b"named");
        assert_eq!(fs::read(root.join("c/replaced")).unwrap(), b"two");
        assert!(root.join("e/f").is_dir());
        assert!(!root.join("a/b/unnamed").exists());
    }

    #[test]
    fn a_sync_fails_when_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let rehearsal = Rehearsal::of(&root).unwrap();
        rehearsal.fail_when(|path| path.ends_with("bad"));
        write_new(&root.join("good"), b"x").unwrap();
        assert!(write_new(&root.join("bad"), b"x").unwrap_err().to_string().contains("rehearsed"));
        assert!(!root.join("bad").exists());
        rehearsal.fail_no_more();
        write_new(&root.join("bad"), b"x").unwrap();
    }
}
