//! The lock of a data folder: one process has it open. The lock file says which, and where its
//! server is, so that other commands can go through it.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOCK_FILE: &str = "lock";
const KEY_FILE: &str = "local.key";

/// Who holds the folder; the content of the lock file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// `serve`, `produce` and so on.
    pub(crate) command: String,
    /// Where the holder's server listens; `None` while it does not serve.
    pub(crate) address: Option<std::net::SocketAddr>,
}

/// The folder is ours until this is dropped. The kernel lets go of the lock when the process ends,
/// however it ends.
pub(crate) struct FolderLock {
    file: File,
    holder: Holder,
    key_file: PathBuf,
}

/// What [`acquire`] found.
pub(crate) enum Acquired {
    Ours(FolderLock),
    Theirs(Holder),
    /// Nobody writes to it, and we cannot.
    Unwritable(Unwritable),
}

/// A folder that can be read only. Nobody writes to it while this lives.
#[derive(Debug)]
pub(crate) struct Unwritable {
    folder: PathBuf,
    cause: io::Error,
    _lock: Option<File>,
}

impl Unwritable {
    /// What to tell whoever wants to write, with the fix.
    pub(crate) fn message(&self) -> String {
        let fix = match self.cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room on its disk, then try again"
            }
            io::ErrorKind::ReadOnlyFilesystem => "mount its disk for writing, then try again",
            _ => "run this as the user whom it belongs to, or give yours the right to write there",
        };
        format!(
            "the data folder {} cannot be written: {}; {fix}. What only reads works meanwhile",
            self.folder.display(),
            self.cause
        )
    }
}

/// Free space that a command needs to begin: opening the folder writes a little.
const ROOM_BYTES: usize = 4 << 20;
/// A file that is written to find out, and deleted at once.
const ROOM_FILE: &str = ".room";

/// Takes the folder, which is made if it does not exist, unless another process holds it.
pub(crate) fn acquire(folder: &Path, command: &str) -> Result<Acquired> {
    taghouse_disk::make_folder(folder)
        .with_context(|| format!("making the data folder {}", folder.display()))?;
    let path = folder.join(LOCK_FILE);
    let mut file =
        match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path) {
            Ok(file) => file,
            Err(cause) if unwritable(&cause) => return beside_readers(folder, &path, cause),
            Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
        };
    match file.try_lock() {
        Ok(()) => {
            let holder =
                Holder { pid: std::process::id(), command: command.to_owned(), address: None };
            let mut lock = FolderLock { file, holder, key_file: folder.join(KEY_FILE) };
            match lock.write().and_then(|()| room(folder)) {
                Ok(()) => Ok(Acquired::Ours(lock)),
                Err(cause) if unwritable(&cause) => Ok(Acquired::Unwritable(Unwritable {
                    folder: folder.to_owned(),
                    cause,
                    _lock: Some(lock.file.try_clone()?),
                })),
                Err(error) => Err(error).with_context(|| format!("writing {}", path.display())),
            }
        }
        Err(TryLockError::WouldBlock) => Ok(Acquired::Theirs(read_holder(&mut file, &path)?)),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

/// Whether the error means that the folder cannot be written.
fn unwritable(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}

/// The lock of a folder that cannot be written: shared, for all who read.
fn beside_readers(folder: &Path, path: &Path, cause: io::Error) -> Result<Acquired> {
    let lock = match File::open(path) {
        Ok(mut file) => match file.try_lock_shared() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => {
                return Ok(Acquired::Theirs(read_holder(&mut file, path)?));
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        },
        // It was never held, so nobody holds it now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
    };
    Ok(Acquired::Unwritable(Unwritable { folder: folder.to_owned(), cause, _lock: lock }))
}

/// Checks that the folder has room for what opening it writes.
fn room(folder: &Path) -> io::Result<()> {
    let path = folder.join(ROOM_FILE);
    let written = File::create(&path).and_then(|mut file| file.write_all(&vec![0; ROOM_BYTES]));
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

impl FolderLock {
    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.key_file.parent().unwrap_or(Path::new("."))
    }

    /// Writes the address of our server, and the local key for commands of the same user.
    pub(crate) fn announce(
        &mut self,
        address: std::net::SocketAddr,
        local_key: &str,
    ) -> Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.key_file)?;
        file.write_all(local_key.as_bytes())?;
        self.holder.address = Some(address);
        Ok(self.write()?)
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.holder)?;
        self.file.seek(SeekFrom::Start(0))?;
        // Over what is there, then cut: on a full disk an emptied file could not be filled again.
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if self.holder.address.is_some() {
            // A key file that outlives its server opens nothing: each server makes its own key.
            std::fs::remove_file(&self.key_file).ok();
        }
    }
}

/// The local key that the folder's server left.
pub(crate) fn local_key(folder: &Path) -> Result<String> {
    let path = folder.join(KEY_FILE);
    std::fs::read_to_string(&path).with_context(|| {
        format!("reading {}: the server of this folder runs as another user; use --server with an API key instead", path.display())
    })
}

/// The holder writes its line right after it has the lock, so an empty file is read again for a
/// moment.
fn read_holder(file: &mut File, path: &Path) -> Result<Holder> {
    for _ in 0..50 {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_string(&mut text)?;
        if let Ok(holder) = serde_json::from_str(&text) {
            return Ok(holder);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!(
        "{} is held by a process that does not say who it is; stop it and try again",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is_and_where() {
        let folder = tempfile::tempdir().unwrap();
        let Acquired::Ours(mut first) = acquire(folder.path(), "serve").unwrap() else {
            panic!("the folder is free")
        };
        first.announce("127.0.0.1:7700".parse().unwrap(), "secret").unwrap();
        let Acquired::Theirs(holder) = acquire(folder.path(), "produce").unwrap() else {
            panic!("the folder is held")
        };
        assert_eq!(
            (holder.command.as_str(), holder.address),
            ("serve", Some("127.0.0.1:7700".parse().unwrap()))
        );
        assert_eq!(local_key(folder.path()).unwrap(), "secret");
        drop(first);
        assert!(matches!(acquire(folder.path(), "produce").unwrap(), Acquired::Ours(_)));
        assert!(local_key(folder.path()).is_err());
    }
}
