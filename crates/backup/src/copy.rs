//! Files copied, synced, and hashed on the way.

use crate::listing::ListedFile;
use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

const PIECE_BYTES: usize = 1 << 20;

/// Copies a file into a folder that is there; says what was copied. `path` is its place below the
/// backup's folder.
pub(crate) fn copy(from: &Path, to: &Path, path: String) -> Result<ListedFile> {
    let mut source = File::open(from).map_err(Error::disk(from))?;
    let mut target = File::create_new(to).map_err(Error::disk(to))?;
    let (mut hash, mut bytes, mut piece) = (Xxh3::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        let length = source.read(&mut piece).map_err(Error::disk(from))?;
        if length == 0 {
            break;
        }
        hash.update(&piece[..length]);
        target.write_all(&piece[..length]).map_err(Error::disk(to))?;
        bytes += length as u64;
    }
    taghouse_disk::sync(&target, to).map_err(Error::disk(to))?;
    Ok(ListedFile { path, bytes, xxh3: format!("{:016x}", hash.digest()) })
}

/// What a file holds that was written where it is.
pub(crate) fn listed(file: &Path, path: String) -> Result<ListedFile> {
    let mut source = File::open(file).map_err(Error::disk(file))?;
    let (mut hash, mut bytes, mut piece) = (Xxh3::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        let length = source.read(&mut piece).map_err(Error::disk(file))?;
        if length == 0 {
            break;
        }
        hash.update(&piece[..length]);
        bytes += length as u64;
    }
    taghouse_disk::sync(&source, file).map_err(Error::disk(file))?;
    Ok(ListedFile { path, bytes, xxh3: format!("{:016x}", hash.digest()) })
}

/// The files below a folder, by their paths from it, in order. Files of which others may write
/// parts are not meant.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut waiting) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inner) = waiting.pop() {
        let at = folder.join(&inner);
        for entry in fs::read_dir(&at).map_err(Error::disk(&at))? {
            let entry = entry.map_err(Error::disk(&at))?;
            let path = inner.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => waiting.push(path),
                Ok(_) => found.push(path),
                Err(error) => return Err(Error::disk(&entry.path())(error)),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Links the files of one folder into another, or copies them where the file system has no links.
/// Files that vanish meanwhile are passed over: nothing led to them.
pub(crate) fn link_all(from: &Path, to: &Path) -> Result<()> {
    let mut made = None;
    for path in files_below(from)? {
        let (file, link) = (from.join(&path), to.join(&path));
        let folder = link.parent().map(Path::to_owned);
        if folder != made {
            make_parent(&link)?;
            made = folder;
        }
        if fs::hard_link(&file, &link).is_err() {
            match fs::copy(&file, &link) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                outcome => drop(outcome.map_err(Error::disk(&file))?),
            }
        }
    }
    Ok(())
}

pub(crate) fn make_parent(file: &Path) -> Result<()> {
    file.parent().map_or(Ok(()), |folder| fs::create_dir_all(folder).map_err(Error::disk(folder)))
}

/// Makes the names below a folder durable.
pub(crate) fn sync_folders(folder: &Path) -> Result<()> {
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(&at).map_err(Error::disk(&at))? {
            let entry = entry.map_err(Error::disk(&at))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
        taghouse_disk::sync_folder(&at).map_err(Error::disk(&at))?;
    }
    Ok(())
}

/// A path below a folder, as listings have it.
pub(crate) fn name(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| Error::place(path, "is not named in UTF-8"))?;
    Ok(text.to_owned())
}
