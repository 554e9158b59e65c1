//! One process holds a data folder. The lock file says which, and where its server is, so that other commands can go through it.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
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

/// The folder is ours until this is dropped. The kernel lets go of the lock when the process ends, however it ends.
pub(crate) struct FolderLock {
    file: File,
    holder: Holder,
    key_file: PathBuf,
}

/// What [`acquire`] found.
pub(crate) enum Acquired {
    Ours(FolderLock),
    Theirs(Holder),
}

/// Takes the folder, which is made if it does not exist, unless another process holds it.
pub(crate) fn acquire(folder: &Path, command: &str) -> Result<Acquired> {
    std::fs::create_dir_all(folder).with_context(|| format!("making the data folder {}", folder.display()))?;
    let path = folder.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            let holder = Holder { pid: std::process::id(), command: command.to_owned(), address: None };
            let mut lock = FolderLock { file, holder, key_file: folder.join(KEY_FILE) };
            lock.write()?;
            Ok(Acquired::Ours(lock))
        }
        Err(TryLockError::WouldBlock) => Ok(Acquired::Theirs(read_holder(&mut file, &path)?)),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

impl FolderLock {
    /// Says where we serve, and leaves the local key for commands of the same machine's user.
    pub(crate) fn announce(&mut self, address: std::net::SocketAddr, local_key: &str) -> Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.key_file)?;
        file.write_all(local_key.as_bytes())?;
        self.holder.address = Some(address);
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let text = serde_json::to_vec(&self.holder)?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&text)?;
        Ok(())
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

/// The holder writes its line right after it has the lock, so an empty file is read again for a moment.
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
    bail!("{} is held by a process that does not say who it is; stop it and try again", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is_and_where() {
        let folder = tempfile::tempdir().unwrap();
        let Acquired::Ours(mut first) = acquire(folder.path(), "serve").unwrap() else { panic!("the folder is free") };
        first.announce("127.0.0.1:7700".parse().unwrap(), "secret").unwrap();
        let Acquired::Theirs(holder) = acquire(folder.path(), "produce").unwrap() else { panic!("the folder is held") };
        assert_eq!((holder.command.as_str(), holder.address), ("serve", Some("127.0.0.1:7700".parse().unwrap())));
        assert_eq!(local_key(folder.path()).unwrap(), "secret");
        drop(first);
        assert!(matches!(acquire(folder.path(), "produce").unwrap(), Acquired::Ours(_)));
        assert!(local_key(folder.path()).is_err());
    }
}
