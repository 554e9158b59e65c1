//! Kept versions of crowds written anew: without users who were deleted, or with the ordinals of another generation.

use crate::crowds::{POINTER_KIND, off_thread};
use crate::{CrowdVersions, Crowds, Error, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Change;
use taghouse_model::AppId;
use tokio::sync::RwLockWriteGuard;

/// How often a crowd is tried again because its versions changed meanwhile.
const ATTEMPTS: u32 = 5;

/// No version is published as long as this lives.
pub struct Held<'a> {
    _guard: RwLockWriteGuard<'a, ()>,
}

/// A version that held a deleted user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// The crowd.
    pub crowd: String,
    /// The version's number.
    pub version: u64,
}

/// Versions with the ordinals of another generation, written and not yet published.
pub struct Renumbered {
    /// What publishes them: to be committed together with the index of that generation.
    pub changes: Vec<Change>,
    /// The objects that nobody needs afterwards.
    replaced: Vec<String>,
    /// The objects that nobody needs if it is not committed.
    written: Vec<String>,
}

/// Gives the new set of a version, or `None` to leave it as it is.
type Edit = Arc<dyn Fn(&Bitmap) -> Option<Bitmap> + Send + Sync>;

impl Crowds {
    /// Waits for computations that run, and keeps others from beginning. Whoever makes users vanish holds this from the moment on at which the
    /// index shows them no more: a computation that began before would bring them back.
    pub async fn hold(&self) -> Held<'_> {
        Held { _guard: self.computing.write().await }
    }

    /// Takes users of `generation` out of every kept version of every crowd, at once for all readers, and deletes the objects that held them.
    ///
    /// # Errors
    /// Of the catalog and the store; [`Error::Corrupt`]; [`Error::Contended`]. Crowds done before the error stay done: call it again.
    pub async fn forget_users(&self, _: &Held<'_>, app: &AppId, generation: u64, users: &Arc<Bitmap>) -> Result<Vec<Forgotten>> {
        let gone = users.clone();
        let edit: Edit = Arc::new(move |set| (set.and_len(&gone) > 0).then(|| set.and_not(&gone)));
        let mut forgotten = Vec::new();
        for (crowd, _) in self.catalog.pointers(POINTER_KIND, app).await? {
            forgotten.extend(self.edit(app, &crowd, generation, &edit).await?);
        }
        Ok(forgotten)
    }

    /// Writes every kept version whose ordinals are of generation `from` with those of `to`. Versions of other generations, which nobody can
    /// read, are left out.
    ///
    /// # Errors
    /// Of the catalog and the store; [`Error::Corrupt`]. Nothing is changed then.
    pub async fn renumbered(&self, _: &Held<'_>, app: &AppId, from: u64, to: u64, renumber: Edit) -> Result<Renumbered> {
        let mut all = Renumbered { changes: Vec::new(), replaced: Vec::new(), written: Vec::new() };
        for (crowd, pointer) in self.catalog.pointers(POINTER_KIND, app).await? {
            let versions: CrowdVersions =
                serde_json::from_value(pointer.value).map_err(|e| Error::corrupt(format!("the record of crowd {crowd}"), e))?;
            let current = versions.current()?.version;
            let kept = versions.versions.into_iter().filter(|v| v.generation == from || v.version == current).collect();
            let outcome = self.rewrite(app, &crowd, CrowdVersions { current, versions: kept }, from, &renumber).await;
            let (mut next, edited) = match outcome {
                Ok(done) => done,
                Err(error) => {
                    self.discard(app, all).await;
                    return Err(error);
                }
            };
            for (old, number) in edited {
                all.replaced.push(old);
                let Some(version) = next.versions.iter_mut().find(|v| v.version == number) else { continue };
                version.generation = to;
                all.written.push(version.object.clone());
            }
            all.changes.push(put(app, &crowd, Some(pointer.revision), &next)?);
        }
        Ok(all)
    }

    /// After the commit of [`Renumbered::changes`]: readers ask the catalog again, and the old objects are deleted.
    pub async fn renumbering_published(&self, app: &AppId, done: Renumbered) {
        self.forget_all(app);
        for object in done.replaced {
            self.delete(&object).await;
        }
    }

    /// When [`Renumbered::changes`] were not committed: the new objects are deleted.
    pub async fn discard(&self, app: &AppId, given_up: Renumbered) {
        self.forget_all(app);
        for object in given_up.written {
            self.delete(&object).await;
        }
    }

    /// Edits the versions of one crowd and publishes them.
    async fn edit(&self, app: &AppId, crowd: &str, generation: u64, edit: &Edit) -> Result<Vec<Forgotten>> {
        for _ in 0..ATTEMPTS {
            let Some(pointer) = self.catalog.pointer(POINTER_KIND, app, crowd).await? else { return Ok(Vec::new()) };
            let versions: CrowdVersions =
                serde_json::from_value(pointer.value).map_err(|e| Error::corrupt(format!("the record of crowd {crowd}"), e))?;
            let (next, edited) = self.rewrite(app, crowd, versions, generation, edit).await?;
            if edited.is_empty() {
                return Ok(Vec::new());
            }
            match self.catalog.commit(vec![put(app, crowd, Some(pointer.revision), &next)?]).await {
                Ok(()) => {
                    self.forget(app, crowd);
                    for (old, _) in &edited {
                        self.delete(old).await;
                    }
                    return Ok(edited.into_iter().map(|(_, version)| Forgotten { crowd: crowd.to_owned(), version }).collect());
                }
                Err(taghouse_catalog::Error::Conflict { .. }) => {
                    for (_, number) in &edited {
                        let written = next.versions.iter().find(|v| v.version == *number);
                        self.delete(written.map_or("", |v| v.object.as_str())).await;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended { crowd: crowd.to_owned() })
    }

    /// Writes edited sets of the versions of a generation as new objects. Gives the versions as they then are, and of those edited the old
    /// object and the number.
    async fn rewrite(
        &self,
        app: &AppId,
        crowd: &str,
        mut versions: CrowdVersions,
        generation: u64,
        edit: &Edit,
    ) -> Result<(CrowdVersions, Vec<(String, u64)>)> {
        let mut edited = Vec::new();
        for version in versions.versions.iter_mut().filter(|v| v.generation == generation) {
            let set = self.set(app, crowd, version).await?;
            let edit = edit.clone();
            let done = off_thread(move || {
                let Some(set) = edit(&*set.bitmap()?) else { return Ok(None) };
                Ok(Some((set.len(), set.to_bytes()?)))
            })
            .await?;
            if let Some((size, bytes)) = done {
                let object = self.write(app, crowd, version.version, bytes.into()).await?;
                edited.push((std::mem::replace(&mut version.object, object), version.version));
                version.size = size;
            }
        }
        Ok((versions, edited))
    }
}

fn put(app: &AppId, crowd: &str, expected: Option<u64>, versions: &CrowdVersions) -> Result<Change> {
    let value = serde_json::to_value(versions).map_err(|e| Error::BrokeOff(e.to_string()))?;
    Ok(Change::PutPointer { kind: POINTER_KIND.to_owned(), app: app.clone(), name: crowd.to_owned(), expected, value })
}
