//! The objects of the warehouse: immutable, written once and whole, durable when written.

use crate::content::{self, Content};
use crate::{Error, Result};
use bytes::Bytes;
use iceberg::io::{FileIO, FileRead};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use taghouse_disk::{Folders, blocking};
use xxhash_rust::xxh3::Xxh3;

/// Runs work that blocks on the disk where it may, so that many files are synced at once.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|e| Error::Internal(format!("the lake outside a runtime: {e}")))?;
    blocking(move || runtime.block_on(work)).await
}

/// Reads and writes objects by path. The seam to object storage: another `FileIO` and nothing else
/// changes.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    io: FileIO,
    /// What upstream writes piece by piece, in memory until it is whole.
    drafts: FileIO,
    folders: Arc<Folders>,
    /// Objects that were found to hold what their name says.
    verified: Arc<Mutex<HashSet<String>>>,
}

/// How many of those are known at once.
const VERIFIED: usize = 100_000;

impl Objects {
    /// Objects below the folder `root` of this machine.
    pub(crate) fn local(root: PathBuf) -> Self {
        let folders = Arc::new(Folders::below(root));
        Self {
            io: FileIO::new_with_fs(),
            drafts: FileIO::new_with_memory(),
            folders,
            verified: Arc::default(),
        }
    }

    pub(crate) fn io(&self) -> &FileIO {
        &self.io
    }

    /// The whole object.
    pub(crate) async fn read(&self, path: &str) -> Result<Bytes> {
        let bytes =
            self.io.new_input(path)?.read().await.map_err(|e| Error::corrupt(path, e.message()))?;
        if Content::of(path).is_some_and(|content| !content.is_of(&bytes)) {
            return Err(Error::corrupt(path, CHANGED));
        }
        Ok(bytes)
    }

    /// Opens an object for reading ranges.
    pub(crate) async fn open(&self, path: &str) -> Result<Box<dyn FileRead>> {
        self.verify(path).await?;
        self.io.new_input(path)?.reader().await.map_err(|e| Error::corrupt(path, e.message()))
    }

    /// Looks whether an object holds what its name says, the first time that this process reads it.
    pub(crate) async fn verify(&self, path: &str) -> Result<()> {
        let Some(content) = Content::of(path) else { return Ok(()) };
        if self.verified.lock().contains(path) {
            return Ok(());
        }
        let object = path.to_owned();
        let hashed =
            blocking(move || hashed(file(&object)).map_err(|e| Error::corrupt(&object, e))).await?;
        if !content.is_hashed(&hashed) {
            return Err(Error::corrupt(path, CHANGED));
        }
        let mut verified = self.verified.lock();
        if verified.len() >= VERIFIED {
            verified.clear();
        }
        verified.insert(path.to_owned());
        Ok(())
    }

    /// Writes a new object; its content is on disk when this returns, its name once it is
    /// [settled](Self::settle).
    pub(crate) async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let failed = |e| {
            Error::Unavailable(format!(
                "cannot write {path} ({e}): check that the disk has room and is writable, then retry"
            ))
        };
        taghouse_disk::write_new(file(path), &bytes).map_err(failed)
    }

    /// Where upstream may write an object piece by piece; [`write_draft`](Self::write_draft) then
    /// makes it one.
    pub(crate) fn drafts(&self) -> &FileIO {
        &self.drafts
    }

    /// Writes what was drafted under this path, under a name that says its content; gives that.
    pub(crate) async fn write_draft(&self, path: &str) -> Result<String> {
        let bytes = self.drafts.new_input(path)?.read().await?;
        self.drafts.delete(path).await?;
        let named = content::named(path, &bytes);
        self.write(&named, bytes).await?;
        Ok(named)
    }

    /// Makes the names of objects durable, which were written before: then a pointer may lead to
    /// them.
    pub(crate) fn settle<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let failed = |e| {
            Error::Unavailable(format!(
                "cannot sync the lake's folder {e}: check that the disk has room and is writable, then retry"
            ))
        };
        self.folders.settle(paths.into_iter().map(file)).map_err(failed)
    }

    /// Removes objects that nothing names, and the folders that are empty then, as far as it goes:
    /// what stays behind is unreachable and harmless.
    pub(crate) async fn remove(&self, paths: impl IntoIterator<Item = String>) {
        let mut folders = HashSet::new();
        for path in paths {
            if let Err(e) = self.io.delete(&path).await {
                tracing::warn!(path, error = %e, "an unreachable object of the lake could not be removed");
            }
            folders.extend(file(&path).parent().map(Path::to_owned));
        }
        self.remove_empty(folders).await;
    }

    /// Removes those of the folders that are empty.
    pub(crate) async fn remove_empty(&self, empty: HashSet<PathBuf>) {
        if empty.is_empty() {
            return;
        }
        let folders = self.folders.clone();
        let remove = move || {
            folders.remove_empty(empty);
            Ok::<_, Error>(())
        };
        if let Err(e) = blocking(remove).await {
            tracing::warn!(error = %e, "empty folders of the lake could not be removed");
        }
    }
}

/// The file of an object; other engines may name it with a scheme.
fn file(path: &str) -> &Path {
    Path::new(path.strip_prefix("file://").unwrap_or(path))
}

const CHANGED: &str = "its bytes are not those that were written";

fn hashed(file: &Path) -> std::io::Result<Xxh3> {
    let (mut file, mut hash, mut piece) =
        (std::fs::File::open(file)?, Xxh3::new(), vec![0; 1 << 20]);
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(hash);
        }
        hash.update(&piece[..length]);
    }
}
