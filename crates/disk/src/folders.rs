//! Names on disk: a file that was synced is only found again with the folders that name it.

use crate::rehearsal;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Result;
use std::path::{Path, PathBuf};

/// Waits until the names in a folder are on disk.
///
/// # Errors
/// Errors of the operating system.
pub fn sync_folder(folder: &Path) -> Result<()> {
    rehearsal::sync(folder, || File::open(folder)?.sync_all())
}

/// Makes a folder and those above it that are not there, on disk when this returns.
///
/// # Errors
/// Errors of the operating system.
pub fn make_folder(folder: &Path) -> Result<()> {
    let made: Vec<&Path> = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    fs::create_dir_all(folder)?;
    for folder in made {
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
        sync_folder(above.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Makes a folder with what `fill` puts into it, whole or not at all, on disk when this returns: it
/// is filled beside its place, as `<folder>.new`, and moved there. Nothing is done where the folder
/// has something in it. `fill` must leave nothing open.
///
/// # Errors
/// The system's, and `fill`'s. The next call begins again.
pub fn make_filled<E: From<std::io::Error>>(
    folder: &Path,
    fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    let mut new = folder.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    if let Err(error) = fs::remove_dir_all(&new)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    make_folder(&new)?;
    fill(&new)?;
    sync_folder(&new)?;

    // An empty folder in its place is replaced.
    fs::rename(&new, folder)?;
    sync_folder(
        folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )?;
    Ok(())
}

/// The folders below a root, and which of them are known to be on disk.
#[derive(Debug)]
pub struct Folders {
    root: PathBuf,
    /// Those that the folder above them names on disk.
    known: Mutex<HashSet<PathBuf>>,
}

impl Folders {
    /// The folders below `root`, which is on disk itself.
    pub fn below(root: PathBuf) -> Self {
        Self { root, known: Mutex::default() }
    }

    /// Where they all lie.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the names of files on disk, which were synced themselves. Each folder is synced once,
    /// those above it only the first time.
    ///
    /// # Errors
    /// The system's, with the folder's path.
    pub fn settle<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> Result<()> {
        let mut folders = BTreeSet::new();
        let mut new = Vec::new();
        {
            let known = self.known.lock();
            for file in files {
                folders.extend(file.parent().map(Path::to_owned));
                let within = file
                    .ancestors()
                    .skip(1)
                    .take_while(|folder| folder.starts_with(&self.root) && *folder != self.root);
                new.extend(within.filter(|folder| !known.contains(*folder)).map(Path::to_owned));
            }
        }
        folders.extend(new.iter().filter_map(|folder| folder.parent()).map(Path::to_owned));
        for folder in &folders {
            sync_folder(folder).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
            })?;
        }
        self.known.lock().extend(new);
        Ok(())
    }

    /// Removes those of the folders that are empty, and those above them that are empty then, up to
    /// the root. Writers may go on: [`write_new`](crate::write_new) makes a folder again that
    /// was removed before its file was there, and one with a file stays.
    pub fn remove_empty(&self, folders: impl IntoIterator<Item = PathBuf>) {
        // A folder after those in it.
        for folder in folders.into_iter().collect::<BTreeSet<_>>().iter().rev() {
            for folder in folder
                .ancestors()
                .take_while(|folder| folder.starts_with(&self.root) && *folder != self.root)
            {
                if !fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) {
                    break;
                }
                // Before it goes: whoever makes it again after that must not find it known to be on
                // disk.
                self.known.lock().remove(folder);
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;

    #[test]
    fn a_folder_whose_making_was_stopped_is_made_again_from_the_start() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("store");
        let full = |new: &Path| -> Result<()> {
            File::create_new(new.join("version"))?;
            Err(Error::from(std::io::ErrorKind::StorageFull))
        };
        for _ in 0..2 {
            assert_eq!(
                make_filled(&folder, full).unwrap_err().kind(),
                std::io::ErrorKind::StorageFull
            );
            assert!(!folder.exists(), "half a folder is not there");
        }

        // As a process leaves it that somebody killed, and with an empty folder in its place.
        fs::create_dir(&folder).unwrap();
        let fill = |new: &Path| fs::write(new.join("version"), b"3");
        make_filled(&folder, fill).unwrap();
        assert_eq!(fs::read(folder.join("version")).unwrap(), b"3");

        make_filled(&folder, |_| Err(Error::other("filled twice"))).unwrap();
        let names: Vec<_> =
            fs::read_dir(above.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["store"]);
    }

    #[test]
    fn empty_folders_go_beside_writers_who_lose_nothing() {
        let above = tempfile::tempdir().unwrap();
        let root = above.path().canonicalize().unwrap();
        let rehearsal = rehearsal::Rehearsal::of(&root).unwrap();
        let folders = Folders::below(root.clone());
        let part = root.join("table/day=1");
        let written = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (folders, part, written) = (&folders, &part, &written);
            scope.spawn(move || {
                while !written.load(std::sync::atomic::Ordering::Relaxed) {
                    folders.remove_empty([part.clone()]);
                }
            });
            for number in 0..500 {
                let file = part.join(format!("{number}"));
                let outcome =
                    crate::write_new(&file, b"x").and_then(|()| folders.settle([file.as_path()]));
                let outcome = outcome.and_then(|()| fs::remove_file(&file));
                if number == 499 || outcome.is_err() {
                    written.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                outcome.unwrap();
            }
        });
        folders.remove_empty([part.clone()]);
        assert!(!root.join("table").exists() && root.exists());
        // What is made again is not a name that is known to be on disk.
        let last = part.join("last");
        crate::write_new(&last, b"last").unwrap();
        folders.settle([last.as_path()]).unwrap();
        folders.remove_empty([part.clone()]);
        rehearsal.lose_power().unwrap();
        assert_eq!(fs::read(&last).unwrap(), b"last");
    }
}
