use crate::copy::{copy, make_parent, sync_folders};
use crate::listing::{LISTING, Listing};
use crate::{Error, Result};
use std::fs;
use std::path::{Component, Path, PathBuf};
use taghouse_feed::note_restored;
use taghouse_model::TimestampMs;

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The moment that the backup shows, in milliseconds since 1970 UTC.
    pub taken_ms: i64,
    /// How many files it has.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Makes a data folder of a backup: whole, or not at all. The folder must not be there, or be
/// empty. Every file is held against what was written. The change feed gives no id that the folder
/// which was backed up may have given until now. Blocks.
///
/// # Errors
/// `NoBackup`, `Damaged`, `Place`, `Disk`.
pub fn restore(backup: &Path, folder: &Path, now_ms: TimestampMs) -> Result<Restored> {
    let listing = Listing::read(backup)?;
    let is_empty =
        |folder: &Path| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists() && !is_empty(folder) {
        return Err(Error::place(
            folder,
            "holds something already: name a folder that is empty or not there yet",
        ));
    }

    let unfinished = beside(folder)?;
    make_parent(&unfinished)?;
    fs::create_dir(&unfinished).map_err(Error::disk(&unfinished))?;
    let restored = copy_all(backup, &listing, &unfinished)
        .and_then(|()| Ok(note_restored(&unfinished.join("feed"), listing.taken_ms, now_ms)?))
        .and_then(|()| fs::rename(&unfinished, folder).map_err(Error::disk(folder)));
    if let Err(error) = restored {
        // What is left there is in nobody's way.
        let _ = fs::remove_dir_all(&unfinished);
        return Err(error);
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        taghouse_disk::sync_folder(parent).map_err(Error::disk(parent))?;
    }
    Ok(Restored {
        taken_ms: listing.taken_ms,
        files: listing.files.len() as u64,
        bytes: listing.bytes(),
    })
}

/// A name beside the folder's that is not taken.
fn beside(folder: &Path) -> Result<PathBuf> {
    let name = folder
        .file_name()
        .ok_or_else(|| Error::place(folder, "has no name: name a folder to restore into"))?;
    let mut unfinished = name.to_owned();
    unfinished.push(format!(".unfinished-{}", std::process::id()));
    Ok(folder.with_file_name(unfinished))
}

fn copy_all(backup: &Path, listing: &Listing, to: &Path) -> Result<()> {
    for file in &listing.files {
        let inner = Path::new(&file.path);
        if file.path == LISTING
            || !inner.components().all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(Error::NoBackup {
                path: backup.to_owned(),
                problem: format!("it names the file {}", file.path),
            });
        }
        let (from, copied) = (backup.join(inner), to.join(inner));
        make_parent(&copied)?;
        let damaged = |problem: String| Error::Damaged { path: from.clone(), problem };
        if !from.is_file() {
            return Err(damaged("is missing".to_owned()));
        }
        let found = copy(&from, &copied, file.path.clone())?;
        if found.bytes != file.bytes {
            return Err(damaged(format!("has {} bytes, {} were written", found.bytes, file.bytes)));
        }
        if found.xxh3 != file.xxh3 {
            return Err(damaged("does not hold the bytes that were written".to_owned()));
        }
    }
    sync_folders(to)
}
