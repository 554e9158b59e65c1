//! Objects: written once, never changed. The store makes each durable when its writing returns, for
//! the log of live changes will soon no longer hold what they do.

use crate::error::{Error, Result};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::fs::File;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use taghouse_disk::Folders;
use taghouse_disk::blocking;
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_128;

#[derive(Clone)]
pub(crate) struct Objects(pub(crate) Arc<dyn ObjectStore>);

/// The path of a tag's segment (or, with a name that no tag can have, of something else). It names
/// who wrote it, and when: an object that a publication gave up is never one that another has
/// published. And it names the content, so that no path ever has two.
pub(crate) fn path_of(
    app: &AppId,
    folder: &str,
    revision: u64,
    publication: u64,
    ending: &str,
    content: &[u8],
) -> String {
    let process = std::process::id();
    format!(
        "index/{app}/{folder}/{revision:010}-{process:x}-{publication:x}-{:032x}.{ending}",
        xxh3_128(content)
    )
}

impl Objects {
    pub(crate) async fn write(&self, object: &str, content: Vec<u8>) -> Result<()> {
        self.0.put(&path(object)?, content.into()).await.map(|_| ()).map_err(|e| failed(object, &e))
    }

    /// Makes a file of this machine an object: moves it there, if objects are files below `root`,
    /// or else copies and removes it.
    pub(crate) async fn take(
        &self,
        object: &str,
        file: PathBuf,
        root: Option<PathBuf>,
    ) -> Result<()> {
        if let Some(root) = root {
            let (from, to) = (file.clone(), root.join(object));
            let moved = blocking::<_, Error>(move || {
                let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
                if made.and_then(|()| std::fs::rename(&from, &to)).is_err() {
                    return Ok(false);
                }
                let synced = File::open(&to).and_then(|file| taghouse_disk::sync(&file, &to));
                synced
                    .and_then(|()| Folders::below(root).settle([to.as_path()]))
                    .map_err(|e| file_failed(&to, &e))?;
                Ok(true)
            });
            if moved.await? {
                return Ok(());
            }
            // It lies in another file system, perhaps.
        }
        let mapped = file.clone();
        let content = blocking(move || map_file(&mapped)).await?;
        self.0.put(&path(object)?, content.into()).await.map_err(|e| failed(object, &e))?;
        blocking(move || std::fs::remove_file(&file).map_err(|e| file_failed(&file, &e))).await
    }

    /// `None` when there is no such object.
    pub(crate) async fn read(&self, object: &str) -> Result<Option<Bytes>> {
        let found = match self.0.get(&path(object)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(object, &e)),
        };
        found.bytes().await.map(Some).map_err(|e| failed(object, &e))
    }

    /// Best effort: what stays is waste, not damage.
    pub(crate) async fn delete(&self, objects: impl IntoIterator<Item = &String>) {
        for object in objects {
            let Ok(path) = path(object) else { continue };
            match self.0.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(%object, %error, "an old index object could not be deleted")
                }
            }
        }
    }
}

/// The bytes of a segment that a loader wrote.
pub(crate) fn map_file(file: &FilePath) -> Result<Bytes> {
    File::open(file)
        .and_then(|opened| taghouse_bitmap::map(&opened))
        .map_err(|e| file_failed(file, &e))
}

fn file_failed(file: &FilePath, error: &std::io::Error) -> Error {
    Error::Store { object: file.display().to_string(), detail: error.to_string() }
}

pub(crate) fn path(object: &str) -> Result<Path> {
    Path::parse(object).map_err(|e| Error::corrupt(object, e.to_string()))
}

pub(crate) fn failed(object: &str, error: &object_store::Error) -> Error {
    Error::Store { object: object.to_owned(), detail: error.to_string() }
}
