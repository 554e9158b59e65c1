//! Sets of users that are kept under a name: who was sent somewhere, say. Their ordinals follow when the
//! users are renumbered.

use crate::crowds::Crowds;
use crate::loaded_set::LoadedSet;
use crate::rewrite::{Edit, Renumbered};
use crate::{CrowdMembers, CrowdVersion, Error, Result};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_catalog::Change;
use taghouse_disk::blocking;
use taghouse_model::AppId;
use tokio::sync::OwnedRwLockReadGuard;

/// The kind of the catalog's pointers to kept sets.
const POINTER_KIND: &str = "kept_set";

/// Objects of one name that stopped processes may have left.
const MAX_LEFTOVERS: u32 = 100;

/// What a pointer says. Of the version, `size` and `generation` are those of the set.
#[derive(Clone, Serialize, Deserialize)]
struct KeptSet {
    object: String,
    version: CrowdVersion,
}

/// While this lives, the app's users keep their ordinals.
pub struct Numbering {
    _guard: OwnedRwLockReadGuard<()>,
}

impl Crowds {
    /// Keeps users from being renumbered. Not to be held for long: a renumbering waits for it.
    pub async fn numbering(&self, app: &AppId) -> Numbering {
        Numbering { _guard: self.state(app).computing.clone().read_owned().await }
    }

    /// Writes a set and gives the change that keeps it under a name, which must be new: letters, digits,
    /// `_` and `.`.
    ///
    /// # Errors
    /// Of the store.
    pub async fn keep_set(
        &self,
        app: &AppId,
        name: &str,
        members: &CrowdMembers,
    ) -> Result<Change> {
        let set = members.shared_set();
        let bytes: Bytes = blocking(move || Ok::<_, Error>(set.to_bytes()?)).await?.into();
        let object = self.write_set(app, name, bytes).await?;
        let version = CrowdVersion { size: members.len(), ..members.version().clone() };
        put(app, name, None, &KeptSet { object, version })
    }

    async fn write_set(&self, app: &AppId, name: &str, bytes: Bytes) -> Result<String> {
        let payload = object_store::PutPayload::from(bytes);
        for attempt in 0..MAX_LEFTOVERS {
            let object = format!("{}/{name}-{attempt}.set", folder(app));
            let location = ObjectPath::from(object.as_str());
            match self.store.put_opts(&location, payload.clone(), PutMode::Create.into()).await {
                Ok(_) => return Ok(object),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(Error::Contended { crowd: name.to_owned() })
    }

    /// The users of a kept set who are not deleted; `None`: there is none of that name, or nobody can
    /// read its ordinals any more.
    ///
    /// # Errors
    /// Of the catalog and the store; [`Error::Corrupt`].
    pub async fn kept_set(&self, app: &AppId, name: &str) -> Result<Option<CrowdMembers>> {
        let state = self.asked(app).await?;
        let Some(pointer) = self.catalog.pointer(POINTER_KIND, app, name).await? else {
            return Ok(None);
        };
        let kept = read(name, pointer.value)?;
        let generation = kept.version.generation;
        let Some(dictionary) = self.dictionary.view(app, generation) else { return Ok(None) };
        let set = self.set_of(&kept).await?;
        let deleted = state.deleted(generation);
        let (app, version) = (app.clone(), kept.version);
        blocking(move || {
            let set = set.bitmap_without(deleted.as_ref())?;
            Ok(Some(CrowdMembers::of_kept(app, version, set, dictionary)))
        })
        .await
    }

    async fn set_of(&self, kept: &KeptSet) -> Result<LoadedSet> {
        let bytes = match self.store.get(&ObjectPath::from(kept.object.as_str())).await {
            Ok(found) => self.loaded.bytes_of(found).await?,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::corrupt(&kept.object, "it is missing"));
            }
            Err(e) => return Err(e.into()),
        };
        let (object, size) = (kept.object.clone(), kept.version.size);
        blocking(move || LoadedSet::read(&object, bytes, size)).await
    }

    /// The changes that let go of the sets of these names. Their objects go with
    /// [`Crowds::sweep_sets`].
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn let_go_of_sets<'n>(
        &self,
        app: &AppId,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for name in names {
            let Some(pointer) = self.catalog.pointer(POINTER_KIND, app, name).await? else {
                continue;
            };
            let (kind, app, name) = (POINTER_KIND.to_owned(), app.clone(), name.to_owned());
            changes.push(Change::DeletePointer { kind, app, name, expected: pointer.revision });
        }
        Ok(changes)
    }

    /// Deletes the objects of sets that nothing names any more and whose names begin like this. Nobody
    /// else may be writing such a set, nor hold [`Numbering`].
    ///
    /// # Errors
    /// Of the catalog and the store.
    pub async fn sweep_sets(&self, app: &AppId, prefix: &str) -> Result<()> {
        // What a renumbering has written is named once it is committed.
        let _numbering = self.numbering(app).await;
        let mut named = BTreeSet::new();
        for (name, pointer) in self.catalog.pointers(POINTER_KIND, app).await? {
            named.insert(read(&name, pointer.value)?.object);
        }
        let folder = ObjectPath::from(folder(app));
        let objects: Vec<ObjectPath> = self
            .store
            .list(Some(&folder))
            .try_filter_map(|found| {
                let is_ours =
                    found.location.filename().is_some_and(|name| name.starts_with(prefix));
                let is_gone = is_ours && !named.contains(found.location.as_ref());
                std::future::ready(Ok(is_gone.then_some(found.location)))
            })
            .try_collect()
            .await?;
        for object in objects {
            self.delete(object.as_ref()).await;
        }
        Ok(())
    }

    /// Writes the kept sets of a generation with the ordinals of the next.
    pub(crate) async fn renumber_sets(
        &self,
        app: &AppId,
        from: u64,
        to: u64,
        renumber: &Edit,
        all: &mut Renumbered,
    ) -> Result<()> {
        for (name, pointer) in self.catalog.pointers(POINTER_KIND, app).await? {
            let kept = read(&name, pointer.value)?;
            if kept.version.generation != from {
                continue;
            }
            let set = self.set_of(&kept).await?;
            let edit = renumber.clone();
            let (size, bytes) = blocking::<_, Error>(move || {
                let before = set.bitmap_without(None)?;
                let after = edit(&before).map_or(before, Arc::new);
                Ok((after.len(), after.to_bytes()?))
            })
            .await?;
            let object = self.write_set(app, &name, bytes.into()).await?;
            all.written(object.clone());
            all.replaced(kept.object);
            let version = CrowdVersion { size, generation: to, without_deleted: 0, ..kept.version };
            all.changes.push(put(
                app,
                &name,
                Some(pointer.revision),
                &KeptSet { object, version },
            )?);
        }
        Ok(())
    }
}

fn folder(app: &AppId) -> String {
    format!("kept_sets/{app}")
}

fn read(name: &str, value: serde_json::Value) -> Result<KeptSet> {
    serde_json::from_value(value)
        .map_err(|e| Error::corrupt(format!("the record of the kept set {name}"), e))
}

fn put(app: &AppId, name: &str, expected: Option<u64>, kept: &KeptSet) -> Result<Change> {
    let value = serde_json::to_value(kept).map_err(|e| Error::BrokeOff(e.to_string()))?;
    let (kind, app, name) = (POINTER_KIND.to_owned(), app.clone(), name.to_owned());
    Ok(Change::PutPointer { kind, app, name, expected, value })
}
