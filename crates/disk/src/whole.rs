//! Files written as a whole.

use crate::rehearsal;
use crate::sync_folder;
use crate::unfinished::UNFINISHED;
use std::fs::{self, File};
use std::io::{ErrorKind, Result, Write};
use std::path::Path;

/// How often one folder could be removed between its making and that of its file, which take
/// microseconds.
const CREATED_AGAIN: usize = 100;

/// Waits until a file's content and length are on disk. `path` is where it is found.
///
/// # Errors
/// The system's; what is on disk is unknown then.
pub fn sync(file: &File, path: &Path) -> Result<()> {
    rehearsal::sync(path, || file.sync_all())
}

/// As [`sync`], without what does not matter for reading the content again, such as the time of the
/// change.
///
/// # Errors
/// As [`sync`].
pub fn sync_data(file: &File, path: &Path) -> Result<()> {
    rehearsal::sync(path, || file.sync_data())
}

/// Writes a file and syncs it, and makes the folders that it lies in. Its name is on disk once its
/// folder is synced: see [`Folders::settle`].
///
/// # Errors
/// The system's; what was written is removed again then, as far as that goes.
pub fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = create(path)?;
    let written = file.write_all(content).and_then(|()| sync(&file, path));
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Makes a file with the folders that it lies in, again where
/// [`Folders::remove_empty`](crate::Folders::remove_empty) removed one in between.
fn create(path: &Path) -> Result<File> {
    let once = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        File::create(path)
    };
    for _ in 0..CREATED_AGAIN {
        match once() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            made => return made,
        }
    }
    once()
}

/// Replaces a file: it is the old one or the new one, whole, whatever happens. Its name is on disk
/// when this returns.
///
/// # Errors
/// Errors of the operating system.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    write_new(&unfinished, content)?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}
