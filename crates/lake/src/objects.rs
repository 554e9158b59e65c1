//! The objects of the warehouse: immutable, written once and whole, durable when written.

use crate::{Error, Result};
use bytes::Bytes;
use iceberg::io::{FileIO, FileRead};

/// Runs work that blocks on the disk where it may, so that many files are synced at once.
pub(crate) async fn aside<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|e| Error::Internal(format!("the lake outside a runtime: {e}")))?;
    let joined = tokio::task::spawn_blocking(move || runtime.block_on(work)).await;
    joined.map_err(|e| Error::Internal(format!("writing to the lake broke off: {e}")))?
}

/// Reads and writes objects by path. The seam to object storage: another `FileIO` and nothing else changes.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    io: FileIO,
}

impl Objects {
    pub(crate) fn local() -> Self {
        Self { io: FileIO::new_with_fs() }
    }

    pub(crate) fn io(&self) -> &FileIO {
        &self.io
    }

    /// The whole object.
    pub(crate) async fn read(&self, path: &str) -> Result<Bytes> {
        self.io.new_input(path)?.read().await.map_err(|e| Error::corrupt(path, e.message()))
    }

    /// Opens an object for reading ranges.
    pub(crate) async fn open(&self, path: &str) -> Result<Box<dyn FileRead>> {
        self.io.new_input(path)?.reader().await.map_err(|e| Error::corrupt(path, e.message()))
    }

    /// Writes a new object; it is on disk when this returns (`FileWrite::close` syncs).
    pub(crate) async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let failed = |e: iceberg::Error| {
            Error::Unavailable(format!("cannot write {path} ({}): see that the disk has room and is writable", e.message()))
        };
        let mut writer = self.io.new_output(path)?.writer().await.map_err(failed)?;
        writer.write(bytes).await.map_err(failed)?;
        writer.close().await.map_err(failed)
    }

    /// Removes objects that nothing names, as far as it goes: what stays behind is unreachable and harmless.
    pub(crate) async fn remove(&self, paths: impl IntoIterator<Item = String>) {
        for path in paths {
            if let Err(e) = self.io.delete(&path).await {
                tracing::warn!(path, error = %e, "an unreachable object of the lake could not be removed");
            }
        }
    }
}
