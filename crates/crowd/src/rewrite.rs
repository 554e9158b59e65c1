//! Rewrites the kept versions of crowds, with other members or other ordinals.

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

/// While this lives, no version of the app's crowds is computed or published.
pub struct ComputationsPaused {
    _guard: OwnedRwLockWriteGuard<()>,
}

/// Versions with the ordinals of another generation, written but not published yet.
pub struct Renumbered {
    /// The changes that publish them, to be committed together with the index of that generation.
    pub changes: Vec<Change>,
    /// What readers see afterwards.
    records: Vec<Record>,
    /// The objects that nobody needs afterwards.
    replaced: Vec<String>,
    /// The objects that nobody needs if it is not committed.
    written: Vec<String>,
}

impl Renumbered {
    /// Notes an object that was written.
    pub(crate) fn written(&mut self, object: String) {
        self.written.push(object);
    }

    /// Notes an object whose place another takes.
    pub(crate) fn replaced(&mut self, object: String) {
        self.replaced.push(object);
    }
}

/// Gives the new set of a version, or `None` to leave it as it is.
pub(crate) type Edit = Arc<dyn Fn(&Bitmap) -> Option<Bitmap> + Send + Sync>;

/// What [`Crowds::rewrite`] did.
pub(crate) struct Rewritten {
    /// All versions, as they are now.
    pub(crate) versions: CrowdVersions,
    /// Those whose objects were rewritten.
    pub(crate) edited: Vec<Edited>,
    /// Those that do not answer and whose objects cannot be read.
    pub(crate) damaged: Vec<u64>,
}

/// A version whose object was rewritten.
pub(crate) struct Edited {
    pub(crate) version: u64,
    /// Its object before.
    pub(crate) before: String,
    /// Its object now.
    pub(crate) now: String,
}

impl Crowds {
    /// Waits for running computations of the app, and prevents new ones. Call it before its users
    /// are renumbered.
    pub async fn pause_computations(&self, app: &AppId) -> ComputationsPaused {
        ComputationsPaused { _guard: self.state(app).computing.clone().write_owned().await }
    }

    /// Writes every kept version whose ordinals are of generation `from` with those of `to`.
    /// Versions of other generations, which nobody can read, are left out.
    ///
    /// # Errors
    /// Of the catalog and the store; [`Error::Corrupt`](crate::Error::Corrupt). Nothing is changed
    /// then.
    pub async fn renumbered(
        &self,
        _: &ComputationsPaused,
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
            let mut versions = versions_of(&crowd, pointer.value)?;
            let current = match versions.current {
                0 => 0,
                _ => versions.current()?.version,
            };
            versions.versions.retain(|v| v.generation == from || v.version == current);
            let outcome = self.rewrite(app, &crowd, versions, from, &renumber).await;
            let Rewritten { versions: mut next, edited, damaged } = match outcome {
                Ok(done) => done,
                Err(error) => {
                    self.discard(all).await;
                    return Err(error);
                }
            };
            next.versions.retain(|version| !damaged.contains(&version.version));
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
        if let Err(error) = self.renumber_sets(app, from, to, &renumber, &mut all).await {
            self.discard(all).await;
            return Err(error);
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

    /// Writes edited sets of the versions of a generation as new objects.
    pub(crate) async fn rewrite(
        &self,
        app: &AppId,
        crowd: &str,
        mut versions: CrowdVersions,
        generation: u64,
        edit: &Edit,
    ) -> Result<Rewritten> {
        let (mut edited, mut damaged) = (Vec::new(), Vec::new());
        let current = versions.current;
        for version in versions.versions.iter_mut().filter(|v| v.generation == generation) {
            let set = match self.set(&self.state(app).known_version(crowd, version)).await {
                Err(error @ crate::Error::Corrupt { .. }) if version.version != current => {
                    tracing::warn!(%app, crowd, version = version.version, %error, "a version of a crowd that does not answer is lost");
                    damaged.push(version.version);
                    continue;
                }
                set => set?,
            };
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
        Ok(Rewritten { versions, edited, damaged })
    }
}
