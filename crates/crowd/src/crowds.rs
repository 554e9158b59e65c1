use crate::loaded::{LoadedSet, LoadedSets};
use crate::{CrowdSummary, CrowdVersion, CrowdVersions, Error, Result};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use taghouse_catalog::{Catalog, Pointer};
use taghouse_dictionary::{Dictionary, View};
use taghouse_index::{Index, Snapshot};
use taghouse_model::{AppId, Clock, Name, TimestampMs};
use taghouse_rules::CheckError;

/// The kind of the catalog's pointers to crowds.
pub(crate) const POINTER_KIND: &str = "crowd";

/// A pointer read from the catalog is trusted this long; only another process can have moved it.
pub const POINTER_AGE_MS: i64 = 1000;

/// Sets of versions are kept in memory up to this many bytes.
const LOADED_BYTES: u64 = 256 << 20;

/// All apps' crowds. Share it in an `Arc`.
pub struct Crowds {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) index: Arc<Index>,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) loaded: LoadedSets,
    pointers: RwLock<HashMap<AppId, HashMap<String, Known>>>,
    /// Held by computations; by whoever makes users vanish, alone.
    pub(crate) computing: tokio::sync::RwLock<()>,
}

/// A crowd's versions as last read.
struct Known {
    versions: Arc<CrowdVersions>,
    revision: u64,
    read_ms: TimestampMs,
}

impl Crowds {
    /// Crowds whose objects lie in `store` under `crowds/`, and whose pointers lie in `catalog`.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        catalog: Arc<dyn Catalog>,
        index: Arc<Index>,
        dictionary: Arc<Dictionary>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            catalog,
            index,
            dictionary,
            clock,
            loaded: LoadedSets::new(LOADED_BYTES),
            pointers: RwLock::default(),
            computing: tokio::sync::RwLock::default(),
        }
    }

    /// The crowds that were computed at least once, by name.
    ///
    /// # Errors
    /// Of the catalog; [`Error::Corrupt`].
    pub async fn list(&self, app: &AppId) -> Result<Vec<CrowdSummary>> {
        let mut crowds = Vec::new();
        for (name, pointer) in self.catalog.pointers(POINTER_KIND, app).await? {
            let current = self.remember(app, &name, pointer)?.current()?.clone();
            let name = Name::new(&name).map_err(|e| Error::corrupt(format!("the record of crowd {name}"), e))?;
            crowds.push(CrowdSummary { name, current });
        }
        crowds.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(crowds)
    }

    /// The kept versions of a crowd.
    ///
    /// # Errors
    /// [`Error::UnknownCrowd`], [`Error::NotComputed`]; of the catalog; [`Error::Corrupt`].
    pub async fn versions(&self, app: &AppId, crowd: &str) -> Result<CrowdVersions> {
        match self.catalog.pointer(POINTER_KIND, app, crowd).await? {
            Some(pointer) => Ok(self.remember(app, crowd, pointer)?.as_ref().clone()),
            None => Err(self.absent(app, crowd).await?),
        }
    }

    /// The versions as known here, or as read anew if that is too long ago.
    pub(crate) async fn known_versions(&self, app: &AppId, crowd: &str) -> Result<Arc<CrowdVersions>> {
        let now = self.clock.now_ms();
        if let Some(known) = self.pointers.read().unwrap_or_else(PoisonError::into_inner).get(app).and_then(|crowds| crowds.get(crowd))
            && (0..POINTER_AGE_MS).contains(&(now - known.read_ms))
        {
            return Ok(Arc::clone(&known.versions));
        }
        match self.catalog.pointer(POINTER_KIND, app, crowd).await? {
            Some(pointer) => self.remember(app, crowd, pointer),
            None => Err(self.absent(app, crowd).await?),
        }
    }

    /// Notes a pointer read or moved just now. One that is older than what is known is passed over: readers never go back.
    pub(crate) fn remember(&self, app: &AppId, crowd: &str, pointer: Pointer) -> Result<Arc<CrowdVersions>> {
        let mut apps = self.pointers.write().unwrap_or_else(PoisonError::into_inner);
        let crowds = apps.entry(app.clone()).or_default();
        let read_ms = self.clock.now_ms();
        if let Some(known) = crowds.get_mut(crowd)
            && known.revision >= pointer.revision
        {
            known.read_ms = read_ms;
            return Ok(Arc::clone(&known.versions));
        }
        let versions: CrowdVersions =
            serde_json::from_value(pointer.value).map_err(|e| Error::corrupt(format!("the record of crowd {crowd}"), e))?;
        let versions = Arc::new(versions);
        crowds.insert(crowd.to_owned(), Known { versions: Arc::clone(&versions), revision: pointer.revision, read_ms });
        Ok(versions)
    }

    /// Makes the next readers of all the app's crowds ask the catalog.
    pub(crate) fn forget_all(&self, app: &AppId) {
        self.pointers.write().unwrap_or_else(PoisonError::into_inner).remove(app);
    }

    /// Makes the next reader ask the catalog.
    pub(crate) fn forget(&self, app: &AppId, crowd: &str) {
        if let Some(crowds) = self.pointers.write().unwrap_or_else(PoisonError::into_inner).get_mut(app) {
            crowds.remove(crowd);
        }
    }

    /// Why there is no pointer to a crowd.
    async fn absent(&self, app: &AppId, crowd: &str) -> Result<Error> {
        let defined = self.catalog.definitions(app).await?;
        let names: Vec<&str> = defined.iter().filter(|d| d.kind == "crowd").map(|d| d.name.as_str()).collect();
        if names.contains(&crowd) {
            return Ok(Error::NotComputed { crowd: crowd.to_owned() });
        }
        let unknown = CheckError { message: format!("there is no crowd `{crowd}` in app {app}"), leaf: 0, unknown: Some(crowd.to_owned()) };
        let computed = self.catalog.pointers(POINTER_KIND, app).await?;
        let names = names.into_iter().chain(computed.iter().map(|(name, _)| name.as_str()));
        Ok(Error::UnknownCrowd(unknown.suggest(names).message))
    }

    /// The set of a version, from memory or the store.
    pub(crate) async fn set(&self, app: &AppId, crowd: &str, version: &CrowdVersion) -> Result<Arc<LoadedSet>> {
        self.view_of(app, crowd, version)?;
        if let Some(set) = self.loaded.get(&version.object) {
            return Ok(set);
        }
        let bytes = match self.store.get(&ObjectPath::from(version.object.as_str())).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Err(Error::corrupt(&version.object, "it is missing")),
            Err(e) => return Err(e.into()),
        };
        let size_bytes = bytes.len() as u64;
        let (object, size) = (version.object.clone(), version.size);
        let set = off_thread(move || LoadedSet::read(&object, bytes, size)).await?;
        let set = Arc::new(set);
        self.loaded.insert(&version.object, Arc::clone(&set), size_bytes);
        Ok(set)
    }

    /// The version of a crowd that answers now, its members, and the dictionary that their ordinals are of.
    pub(crate) async fn current(&self, app: &AppId, crowd: &str) -> Result<(CrowdVersion, Arc<LoadedSet>, View)> {
        let mut versions = self.known_versions(app, crowd).await?;
        if self.view_of(app, crowd, versions.current()?).is_err() {
            // What is known of the crowd may be from before the users were numbered anew.
            self.forget(app, crowd);
            versions = self.known_versions(app, crowd).await?;
        }
        if matches!(self.set(app, crowd, versions.current()?).await, Err(Error::Corrupt { .. })) {
            // Its object may have been written anew, without a user who was deleted.
            self.forget(app, crowd);
            versions = self.known_versions(app, crowd).await?;
        }
        let current = versions.current()?;
        let view = self.view_of(app, crowd, current)?;
        Ok((current.clone(), self.set(app, crowd, current).await?, view))
    }

    /// The dictionary as of the generation that a version's ordinals are of.
    pub(crate) fn view_of(&self, app: &AppId, crowd: &str, version: &CrowdVersion) -> Result<View> {
        let old = || Error::OldGeneration { crowd: crowd.to_owned(), version: version.version };
        self.dictionary.view(app, version.generation).ok_or_else(old)
    }

    /// The newest snapshot of the index.
    pub(crate) async fn snapshot(&self, app: &AppId) -> Result<Arc<Snapshot>> {
        let snapshot = self.index.snapshot(app).await?.ok_or_else(|| Error::NoTags { app: app.clone() })?;
        self.dictionary_of(app, &snapshot)?;
        Ok(snapshot)
    }

    /// The dictionary as of the generation that a snapshot's ordinals are of.
    pub(crate) fn dictionary_of(&self, app: &AppId, snapshot: &Snapshot) -> Result<View> {
        self.dictionary.view(app, snapshot.generation()).ok_or_else(|| Error::OldIndex { app: app.clone() })
    }
}

/// Runs work that computes or reads files for more than microseconds off the threads that answer requests.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::BrokeOff(e.to_string()))?
}
