use crate::known::{AppCrowds, KnownCrowd, KnownVersion, versions_of};
use crate::live::LiveCrowds;
use crate::loaded_set::LoadedSet;
use crate::loaded_sets::LoadedSets;
use crate::{CrowdSummary, CrowdVersion, CrowdVersions, Error, Result};
use arc_swap::ArcSwap;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Catalog;
use taghouse_dictionary::{Dictionary, View};
use taghouse_disk::blocking;
use taghouse_identities::{AppIdentities, Identities};
use taghouse_index::{Index, Snapshot};
use taghouse_model::{AppId, Clock, Name, Ordinal};
use taghouse_rules::did_you_mean;

/// The kind of the catalog's pointers to crowds.
pub(crate) const POINTER_KIND: &str = "crowd";

/// Sets of versions are kept in memory up to this many bytes.
const LOADED_BYTES: u64 = 1 << 30;

/// How long the catalog may take to answer. Questions about a known crowd do not wait for it.
pub(crate) const CATALOG_WAIT: Duration = Duration::from_secs(5);

/// How often a reader tries again when versions change meanwhile.
const ATTEMPTS: usize = 5;

/// All apps' crowds. Share it in an `Arc`.
pub struct Crowds {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) index: Arc<Index>,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) loaded: Arc<LoadedSets>,
    /// Whose ids are whose; without it each is its own user's.
    identities: Option<Arc<Identities>>,
    apps: ArcSwap<HashMap<AppId, Arc<AppCrowds>>>,
    pub(crate) live: ArcSwap<HashMap<AppId, Arc<LiveCrowds>>>,
}

/// A version, its members as stored, and the deleted users among them.
pub(crate) struct Answering {
    pub(crate) known: Arc<KnownVersion>,
    pub(crate) set: Arc<LoadedSet>,
    /// The dictionary that the ordinals are of.
    pub(crate) dictionary: View,
    pub(crate) deleted: Option<Arc<Bitmap>>,
}

impl Answering {
    /// Whether a user is in it.
    pub(crate) fn contains(&self, ordinal: Ordinal) -> Result<bool> {
        Ok(self.set.contains(ordinal)?
            && !self.deleted.as_ref().is_some_and(|deleted| deleted.contains(ordinal)))
    }

    /// Its members: not on a thread that answers requests.
    pub(crate) fn bitmap(&self) -> Result<Arc<Bitmap>> {
        self.set.bitmap_without(self.known.may_contain(self.deleted.as_ref()))
    }
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
            loaded: Arc::new(LoadedSets::new(LOADED_BYTES)),
            identities: None,
            apps: ArcSwap::default(),
            live: ArcSwap::default(),
        }
    }

    /// Takes any id of a user for the user.
    #[must_use]
    pub fn resolving(self, identities: Arc<Identities>) -> Self {
        Self { identities: Some(identities), ..self }
    }

    /// Whose ids are whose in an app, if anybody's are.
    pub(crate) async fn identities_of(&self, app: &AppId) -> Result<Option<Arc<AppIdentities>>> {
        match &self.identities {
            Some(identities) => Ok(Some(identities.of(app).await?)),
            None => Ok(None),
        }
    }

    /// The user whose id this is.
    pub(crate) async fn user_of<'i>(&self, app: &AppId, id: &'i str) -> Cow<'i, str> {
        match &self.identities {
            Some(identities) => identities.user_of(app, id).await,
            None => Cow::Borrowed(id),
        }
    }

    /// The crowds that were computed at least once and the live ones, by name, with the sizes that
    /// they have now.
    ///
    /// # Errors
    /// Of the catalog and the store; [`Error::Corrupt`].
    pub async fn list(&self, app: &AppId) -> Result<Vec<CrowdSummary>> {
        let state = self.asked(app).await?;
        let mut crowds = Vec::new();
        for (name, known) in state.all().iter() {
            // What was computed before it became live answers no more.
            if self.live_crowd(app, name).is_some() {
                continue;
            }
            // None answers where each waits to be published.
            if known.versions.current == 0 {
                continue;
            }
            let current = self.counted(app, &state, known.current()?).await?;
            let name = Name::new(name)
                .map_err(|e| Error::corrupt(format!("the record of crowd {name}"), e))?;
            crowds.push(CrowdSummary { name, current });
        }
        crowds.extend(self.list_live(app).await?);
        crowds.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(crowds)
    }

    /// The records of the crowds that were computed at least once, by name, with the sizes that
    /// versions had when they were computed.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn records(&self, app: &AppId) -> Result<HashMap<String, Arc<CrowdVersions>>> {
        let state = self.asked(app).await?;
        let record =
            |(name, known): (&String, &Arc<KnownCrowd>)| (name.clone(), known.versions.clone());
        Ok(state.all().iter().map(record).collect())
    }

    /// The kept versions of a crowd, with the sizes that they have now. Those of a live crowd are from
    /// before it was live, and none is current.
    ///
    /// # Errors
    /// [`Error::UnknownCrowd`], [`Error::NotComputed`]; of the catalog and the store;
    /// [`Error::Corrupt`].
    pub async fn versions(&self, app: &AppId, crowd: &str) -> Result<CrowdVersions> {
        let is_live = self.live_crowd(app, crowd).is_some();
        let (state, known) = match self.known(app, crowd).await {
            Err(Error::NotComputed { .. }) if is_live => {
                return Ok(CrowdVersions::none(0));
            }
            known => known?,
        };
        let mut versions = known.versions.as_ref().clone();
        if is_live {
            versions.current = 0;
        }
        for (version, known) in versions.versions.iter_mut().zip(&known.kept) {
            *version = self.counted(app, &state, known).await?;
        }
        Ok(versions)
    }

    /// A version with its present number of members. Its set is read only if it may contain a
    /// deleted user.
    async fn counted(
        &self,
        app: &AppId,
        state: &AppCrowds,
        known: &KnownVersion,
    ) -> Result<CrowdVersion> {
        let mut version = known.version.clone();
        let deleted = state.deleted(version.generation);
        if let Some(deleted) = known.may_contain(deleted.as_ref()).cloned() {
            let set = match self.set(known).await {
                // An older version whose object is lost is still a version.
                Err(error @ Error::Corrupt { .. }) => {
                    tracing::warn!(%error, %app, "the size of a version is shown as it was before users were deleted");
                    return Ok(version);
                }
                outcome => outcome?,
            };
            version.size = blocking(move || set.len_without(Some(&deleted))).await?;
        }
        Ok(version)
    }

    /// What is known of an app's crowds, which may be nothing yet.
    pub(crate) fn state(&self, app: &AppId) -> Arc<AppCrowds> {
        if let Some(state) = self.apps.load().get(app) {
            return state.clone();
        }
        let new = Arc::new(AppCrowds::default());
        self.apps.rcu(|apps| {
            let mut next = HashMap::clone(apps);
            next.entry(app.clone()).or_insert_with(|| new.clone());
            next
        });
        // Somebody else may have been first.
        self.apps.load().get(app).cloned().unwrap_or(new)
    }

    /// The apps of which anything is known.
    pub fn apps(&self) -> Vec<AppId> {
        self.apps.load().keys().cloned().collect()
    }

    /// What is known of an app's crowds, after asking the catalog the first time.
    pub(crate) async fn asked(&self, app: &AppId) -> Result<Arc<AppCrowds>> {
        let state = self.state(app);
        if state.confirmed_ms().is_none() {
            self.ask(app, &state).await?;
        }
        self.open_deletions(app, &state).await?;
        Ok(state)
    }

    async fn open_deletions(&self, app: &AppId, state: &AppCrowds) -> Result<()> {
        if state.deletions.get().is_none() {
            let opened = state.deletions.get_or_try_init(async || self.index.deletions(app).await);
            let unread = |detail: String| Error::Unread { app: app.clone(), detail };
            match tokio::time::timeout(CATALOG_WAIT, opened).await {
                Ok(Ok(_)) => {}
                Ok(Err(taghouse_index::Error::Catalog(error))) => {
                    return Err(unread(error.to_string()));
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(unread("the deletions are still being read".to_owned())),
            }
        }
        Ok(())
    }

    /// Asks the catalog for all crowds of an app. Of concurrent callers one asks, and the others
    /// wait for its answer.
    pub(crate) async fn ask(&self, app: &AppId, state: &AppCrowds) -> Result<()> {
        let before = state.answers();
        let mut refusal = state.asking.lock().await;
        if state.answers() != before {
            return refusal.as_ref().map_or(Ok(()), |detail| {
                Err(Error::Unread { app: app.clone(), detail: detail.clone() })
            });
        }
        let (known, now_ms) = (state.all(), self.clock.now_ms());
        let answer = self.catalog_answers(app, self.catalog.pointers(POINTER_KIND, app)).await;
        *refusal = answer.as_ref().err().map(|error| {
            if let Error::Unread { detail, .. } = error {
                detail.clone()
            } else {
                error.to_string()
            }
        });
        if let Ok(pointers) = &answer {
            state.replace(&known, pointers);
            state.confirm(now_ms);
        }
        state.answered();
        answer.map(drop)
    }

    /// Waits for the catalog, for a limited time. Its errors are turned into what they mean for a
    /// caller who waits for a judgment.
    pub(crate) async fn catalog_answers<T>(
        &self,
        app: &AppId,
        answer: impl Future<Output = taghouse_catalog::Result<T>>,
    ) -> Result<T> {
        let unread = |detail: String| Error::Unread { app: app.clone(), detail };
        match tokio::time::timeout(CATALOG_WAIT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error @ taghouse_catalog::Error::Corrupt(_))) => Err(error.into()),
            Ok(Err(error)) => Err(unread(error.to_string())),
            Err(_) => Err(unread(format!("it did not answer within {} s", CATALOG_WAIT.as_secs()))),
        }
    }

    /// A crowd's versions as known here. The catalog is asked only about an unknown crowd.
    pub(crate) async fn known(
        &self,
        app: &AppId,
        crowd: &str,
    ) -> Result<(Arc<AppCrowds>, Arc<KnownCrowd>)> {
        let state = self.state(app);
        if let Some(known) = state.get(crowd) {
            self.open_deletions(app, &state).await?;
            return Ok((state, known));
        }
        self.ask(app, &state).await?;
        self.open_deletions(app, &state).await?;
        match state.get(crowd) {
            Some(known) => Ok((state, known)),
            None => Err(self.absent(app, crowd).await?),
        }
    }

    /// Why there are no versions of a crowd.
    async fn absent(&self, app: &AppId, crowd: &str) -> Result<Error> {
        if let Some(pointer) = self.catalog.pointer(POINTER_KIND, app, crowd).await? {
            // It is there and could not be read, or was published just now.
            return Ok(versions_of(crowd, pointer.value)
                .err()
                .unwrap_or_else(|| Error::Contended { crowd: crowd.to_owned() }));
        }
        let defined = self.catalog.definitions(app).await?;
        let names: Vec<&str> =
            defined.iter().filter(|d| d.kind == "crowd").map(|d| d.name.as_str()).collect();
        if names.contains(&crowd) {
            return Ok(Error::NotComputed { crowd: crowd.to_owned() });
        }
        let computed = self.state(app).all();
        let names = names.into_iter().chain(computed.keys().map(String::as_str));
        Ok(Error::UnknownCrowd(format!(
            "there is no crowd `{crowd}` in app {app}{}",
            did_you_mean(crowd, names)
        )))
    }

    /// The set of a version, from memory or the store. Of concurrent callers one reads it.
    pub(crate) async fn set(&self, known: &KnownVersion) -> Result<Arc<LoadedSet>> {
        if let Some(set) = self.loaded.get(&known.slot) {
            return Ok(set);
        }
        let _loading = known.slot.loading.lock().await;
        if let Some(set) = self.loaded.get(&known.slot) {
            return Ok(set);
        }
        let version = &known.version;
        let found = match self.store.get(&ObjectPath::from(version.object.as_str())).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::corrupt(&version.object, "it is missing"));
            }
            Err(e) => return Err(e.into()),
        };
        let bytes = self.loaded.bytes_of(found).await?;
        let kept_bytes = bytes.kept_bytes();
        let (object, size) = (version.object.clone(), version.size);
        let set = Arc::new(blocking(move || LoadedSet::read(&object, bytes, size)).await?);
        self.loaded.insert(&known.slot, set.clone(), kept_bytes);
        Ok(set)
    }

    /// The current version of a crowd. If it is in memory, this takes no lock, no request and no
    /// copy.
    pub(crate) async fn current(&self, app: &AppId, crowd: &str) -> Result<Answering> {
        if let Some(live) = self.live_crowd(app, crowd) {
            return self.live_answering(app, &live).await;
        }
        self.chosen(app, crowd, &|known| known.current().cloned()).await
    }

    /// The version that `choose` takes.
    pub(crate) async fn chosen(
        &self,
        app: &AppId,
        crowd: &str,
        choose: &(dyn Fn(&KnownCrowd) -> Result<Arc<KnownVersion>> + Sync),
    ) -> Result<Answering> {
        let mut asked = false;
        for _ in 0..ATTEMPTS {
            let (state, known) = self.known(app, crowd).await?;
            let error = match self.answering(app, crowd, &state, &choose(&known)?).await {
                // Its object was rewritten since, or the users were renumbered; or another process
                // did it, which is not known here yet.
                Err(error @ (Error::Corrupt { .. } | Error::OldGeneration { .. })) => error,
                outcome => return outcome,
            };
            let moved = state.get(crowd).is_none_or(|now| !Arc::ptr_eq(&now, &known));
            if moved {
                continue;
            }
            if asked || self.ask(app, &state).await.is_err() {
                return Err(error);
            }
            asked = true;
        }
        Err(Error::Contended { crowd: crowd.to_owned() })
    }

    async fn answering(
        &self,
        app: &AppId,
        crowd: &str,
        state: &AppCrowds,
        known: &Arc<KnownVersion>,
    ) -> Result<Answering> {
        let dictionary = self.view_of(app, crowd, &known.version)?;
        let set = self.set(known).await?;
        Ok(Answering {
            known: known.clone(),
            set,
            dictionary,
            deleted: state.deleted(known.version.generation),
        })
    }

    /// The dictionary as of the generation that a version's ordinals are of.
    pub(crate) fn view_of(&self, app: &AppId, crowd: &str, version: &CrowdVersion) -> Result<View> {
        let old = || Error::OldGeneration { crowd: crowd.to_owned(), version: version.version };
        self.dictionary.view(app, version.generation).ok_or_else(old)
    }

    /// How long ago the catalog last said that the crowds known here are the current ones, in ms.
    pub(crate) fn age_ms(&self, state: &AppCrowds) -> u64 {
        let age = state.confirmed_ms().map_or(0, |confirmed| self.clock.now_ms() - confirmed);
        u64::try_from(age).unwrap_or(0)
    }

    /// The newest snapshot of the index.
    pub(crate) async fn snapshot(&self, app: &AppId) -> Result<Arc<Snapshot>> {
        let snapshot =
            self.index.snapshot(app).await?.ok_or_else(|| Error::NoTags { app: app.clone() })?;
        self.dictionary_of(app, &snapshot)?;
        Ok(snapshot)
    }

    /// The dictionary as of the generation that a snapshot's ordinals are of.
    pub(crate) fn dictionary_of(&self, app: &AppId, snapshot: &Snapshot) -> Result<View> {
        self.dictionary
            .view(app, snapshot.generation())
            .ok_or_else(|| Error::OldIndex { app: app.clone() })
    }
}
