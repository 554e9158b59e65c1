//! Deletes unreferenced objects, of processes that ended between writing and publishing them, or
//! between publishing and deleting.

use crate::error::Result;
use crate::index::Index;
use crate::store::{failed, path};
use futures::TryStreamExt;
use object_store::ObjectStore;
use std::collections::BTreeSet;
use taghouse_model::AppId;

impl Index {
    /// Deletes the objects of an app's index that neither the current manifest nor readers of the
    /// previous revision need. Returns their number. Call it before anything is published, and only
    /// if no other process writes to the store.
    ///
    /// # Errors
    /// As [`Index::published`], and `Store`; nothing is deleted then.
    pub async fn sweep(&self, app: &AppId) -> Result<usize> {
        let known = self.known(app).await?;
        // Without a pointer nobody can tell what is of use.
        if known.revision.is_none() {
            return Ok(0);
        }
        let named: BTreeSet<String> = known
            .manifest
            .objects()
            .into_iter()
            .chain(known.manifest.retired.iter().cloned())
            .chain(known.object)
            .collect();
        let folder = format!("index/{app}");
        let found =
            self.objects.0.list(Some(&path(&folder)?)).map_ok(|object| object.location.to_string());
        let found: Vec<String> =
            found.try_collect().await.map_err(|error| failed(&folder, &error))?;
        let unnamed: Vec<&String> =
            found.iter().filter(|object| !named.contains(*object)).collect();
        let count = unnamed.len();
        self.objects.delete(unnamed).await;
        Ok(count)
    }
}
