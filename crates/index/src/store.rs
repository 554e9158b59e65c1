//! Objects: written once, never changed.

use crate::error::{Error, Result};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_128;

#[derive(Clone)]
pub(crate) struct Objects(pub(crate) Arc<dyn ObjectStore>);

/// The path of a tag's segment (or, with a name that no tag can have, of the users). It names the content too, so that two writers who
/// race for one revision never write different bytes under one path.
pub(crate) fn path_of(app: &AppId, folder: &str, revision: u64, ending: &str, content: &[u8]) -> String {
    format!("index/{app}/{folder}/{revision:010}-{:032x}.{ending}", xxh3_128(content))
}

impl Objects {
    pub(crate) async fn write(&self, object: &str, content: Vec<u8>) -> Result<()> {
        self.0.put(&path(object)?, content.into()).await.map(|_| ()).map_err(|e| failed(object, &e))
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
                Err(error) => tracing::warn!(%object, %error, "an old index object could not be deleted"),
            }
        }
    }
}

pub(crate) fn path(object: &str) -> Result<Path> {
    Path::parse(object).map_err(|e| Error::corrupt(object, e.to_string()))
}

fn failed(object: &str, error: &object_store::Error) -> Error {
    Error::Store { object: object.to_owned(), detail: error.to_string() }
}
