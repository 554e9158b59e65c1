//! Kept versions of crowds rewritten, with other members or other ordinals.

use crate::compute::put;
use crate::crowds::POINTER_KIND;
use crate::known::{Record, versions_of};
use crate::{CrowdVersions, Crowds, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Change;
use taghouse_disk::blocking;
use taghouse_model::AppId;
use tokio::sync::OwnedRwLockWriteGuard;

/// No version of an app's crowds is published as long as this lives.
pub struct Held {
    _guard: OwnedRwLockWriteGuard<()>,
}

/// Versions with the ordinals of another generation, written and not yet published.
pub struct Renumbered {
    /// What publishes them: to be committed together with the index of that generation.
    pub changes: Vec<Change>,
    /// What readers see from then on.
    records: Vec<Record>,
    /// The objects that nobody needs afterwards.
    replaced: Vec<String>,
    /// The objects that nobody needs if it is not committed.
    written: Vec<String>,
}

/// Gives the new set of a version, or `None` to leave it as it is.
pub(crate) type Edit = Arc<dyn Fn(&Bitmap) -> Option<Bitmap> + Send + Sync>;

/// A version whose object was rewritten.
pub(crate) struct Edited {
    pub(crate) version: u64,
    /// The object that held it before, and the one that holds it now.
    pub(crate) before: String,
    pub(crate) now: String,
}

impl Crowds {
    /// Waits for computations of the app that run, and keeps others from beginning. Whoever
    /// renumbers its users holds this.
    pub async fn hold(&self, app: &AppId) -> Held {
        Held { _guard: self.state(app).computing.clone().write_owned().await }
    }

    /// Writes every kept version whose ordinals are of generation `from` with those of `to`.
    /// Versions of other generations, which nobody can read, are left out.
    ///
    /// # Errors
    /// Of the catalog and the store; [`Error::Corrupt`](crate::Error::Corrupt). Nothing is changed
    /// then.
    pub async fn renumbered(
        &self,
        _: &Held,
        app: &AppId,
        from: u64,
        to: u64,
        renumber: Edit,
    ) -> Result<Renumbered> {
        let state = self.asked(app).await?;
        state.keep_deleted();
        let _cleaning = state.cleaning.lock().await;
        let mut all = Renumbered {
            changes: Vec::new(),
            records: Vec::new(),
            replaced: Vec::new(),
            written: Vec::new(),
        };
        for (crowd, pointer) in self.catalog.pointers(POINTER_KIND, app).await? {
            let versions = versions_of(&crowd, pointer.value)?;
            let current = versions.current()?.version;
            let kept = versions
                .versions
                .into_iter()
                .filter(|v| v.generation == from || v.version == current)
                .collect();
            let outcome = self
                .rewrite(app, &crowd, CrowdVersions { current, versions: kept }, from, &renumber)
                .await;
            let (mut next, edited) = match outcome {
                Ok(done) => done,
                Err(error) => {
                    self.discard(all).await;
                    return Err(error);
                }
            };
            for Edited { version: number, before, now } in edited {
                all.replaced.push(before);
                all.written.push(now);
                let Some(version) = next.versions.iter_mut().find(|v| v.version == number) else {
                    continue;
                };
                (version.generation, version.without_deleted) = (to, 0);
            }
            all.changes.push(put(app, &crowd, Some(pointer.revision), &next)?);
            all.records.push(Record { crowd, versions: next, revision: pointer.revision + 1 });
        }
        Ok(all)
    }

    /// Right after the commit of [`Renumbered::changes`], while both generations can be read:
    /// readers see the new versions.
    pub fn renumbering_published(&self, app: &AppId, done: &mut Renumbered) {
        self.state(app).put_all(std::mem::take(&mut done.records));
    }

    /// Deletes the objects that [`Crowds::renumbering_published`] left without readers.
    pub async fn renumbering_done(&self, done: Renumbered) {
        for object in done.replaced {
            self.delete(&object).await;
        }
    }

    /// When [`Renumbered::changes`] were not committed: the new objects are deleted.
    pub async fn discard(&self, given_up: Renumbered) {
        for object in given_up.written {
            self.delete(&object).await;
        }
    }

    /// Writes edited sets of the versions of a generation as new objects. Gives the versions as
    /// they then are, and those edited.
    pub(crate) async fn rewrite(
        &self,
        app: &AppId,
        crowd: &str,
        mut versions: CrowdVersions,
        generation: u64,
        edit: &Edit,
    ) -> Result<(CrowdVersions, Vec<Edited>)> {
        let mut edited = Vec::new();
        for version in versions.versions.iter_mut().filter(|v| v.generation == generation) {
            let set = self.set(&self.state(app).known_version(crowd, version)).await?;
            let edit = edit.clone();
            let done = blocking::<_, crate::Error>(move || {
                let Some(set) = edit(&*set.bitmap_without(None)?) else { return Ok(None) };
                Ok(Some((set.len(), set.to_bytes()?)))
            })
            .await?;
            if let Some((size, bytes)) = done {
                let now = self.write(app, crowd, version.version, bytes.into()).await?;
                let before = std::mem::replace(&mut version.object, now.clone());
                edited.push(Edited { version: version.version, before, now });
                version.size = size;
            }
        }
        Ok((versions, edited))
    }
}
