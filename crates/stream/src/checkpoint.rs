//! Where the stream stands: one pointer of the catalog, at the files of all states and the log
//! position that they hold.

use crate::plan::StreamPlan;
use crate::state::AppState;
use crate::store::{PageStore, SavedFile, remove};
use crate::{Error, Result};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use taghouse_catalog::{Catalog, Change};
use taghouse_feed::Feeds;
use taghouse_fold::STATE_VERSION;
use taghouse_model::{AppId, TimestampMs};

const KIND: &str = "stream";
const NAME: &str = "state";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    /// Of the states' bytes.
    version: u8,
    fingerprint: String,
    generation: u64,
    position: u64,
    now_ms: TimestampMs,
    /// Which computation from the lake it began with.
    build: u64,
    files: Vec<SavedFile>,
    /// How many batches of files the lake had of each source when that began.
    #[serde(default)]
    batches: BTreeMap<String, u64>,
    /// The last record of the change feed before it was saved.
    #[serde(default)]
    feed_id: u64,
}

/// What a checkpoint must go with, to be of use.
pub(crate) struct Wanted {
    /// Of the dictionary.
    pub(crate) generation: u64,
    /// Up to here the log has landed, and may be gone.
    pub(crate) landed: u64,
    /// How many batches of files the lake has of each source. It tells of files that landed just
    /// before a process was killed, so that it could not forget its states.
    pub(crate) batches: BTreeMap<String, u64>,
    /// Bytes of pages to keep in memory.
    pub(crate) budget_bytes: u64,
}

/// The objects and the pointer of one app's states.
#[derive(Clone)]
pub(crate) struct Checkpoints {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Whose ids are not given again where its files are lost.
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) app: AppId,
}

impl Checkpoints {
    fn prefix(&self, build: u64) -> String {
        format!("{KIND}/{}/{build:08}-", self.app)
    }

    /// An empty store for the states of a computation.
    pub(crate) fn begin(&self, build: u64, budget_bytes: u64) -> PageStore {
        PageStore::new(self.objects.clone(), self.prefix(build), budget_bytes)
    }

    /// The states as they were saved; `None`: there are none that go with the definitions, the
    /// users and the log.
    ///
    /// # Errors
    /// Of the catalog and the object store; `Damaged`.
    pub(crate) async fn open(
        &self,
        plan: StreamPlan,
        wanted: &Wanted,
    ) -> Result<Option<(u64, AppState)>> {
        let Some(saved) = self.read().await? else { return Ok(None) };
        self.feeds.begin_behind(&self.app, saved.feed_id).await?;
        let fits = saved.version == STATE_VERSION
            && saved.fingerprint == plan.fingerprint
            && saved.generation == wanted.generation
            && saved.position >= wanted.landed
            && wanted.batches.iter().all(|(source, n)| saved.batches.get(source) == Some(n));
        if !fits {
            return Ok(None);
        }
        let named: HashSet<&str> = saved.files.iter().map(SavedFile::name).collect();
        self.sweep(|object| named.contains(object)).await?;
        let prefix = self.prefix(saved.build);
        let mut store = PageStore::new(self.objects.clone(), prefix, wanted.budget_bytes);
        store.open(saved.files).await?;
        let mut state = AppState::new(plan, saved.generation, saved.position, store);
        state.batches = saved.batches;
        state.load().await?;
        state.pass(saved.now_ms);
        Ok(Some((saved.build, state)))
    }

    /// Saves the states: their files first, then the pointer.
    ///
    /// # Errors
    /// Of the object store and the catalog; the former checkpoint stands then.
    pub(crate) async fn save(&self, build: u64, state: &mut AppState) -> Result<()> {
        state.save().await?;
        let saved = Saved {
            version: STATE_VERSION,
            fingerprint: state.plan.fingerprint.clone(),
            generation: state.generation,
            position: state.position,
            now_ms: state.now_ms,
            build,
            files: state.store.files(),
            batches: state.batches.clone(),
            feed_id: self.feeds.extent(&self.app).await?.end,
        };
        let before = self.catalog.pointer(KIND, &self.app, NAME).await?;
        let expected = before.map(|pointer| pointer.revision);
        let value = serde_json::to_value(&saved).map_err(|e| Error::Task(e.to_string()))?;
        let pointer = Change::PutPointer {
            kind: KIND.to_owned(),
            app: self.app.clone(),
            name: NAME.to_owned(),
            expected,
            value,
        };
        self.catalog.commit(vec![pointer]).await?;
        state.store.remove_obsolete().await;
        Ok(())
    }

    /// Forgets the states: the next start computes them from the lake.
    ///
    /// # Errors
    /// Of the catalog.
    pub(crate) async fn forget(&self) -> Result<()> {
        let Some(pointer) = self.catalog.pointer(KIND, &self.app, NAME).await? else {
            return Ok(());
        };
        let (kind, name) = (KIND.to_owned(), NAME.to_owned());
        let expected = pointer.revision;
        let gone = Change::DeletePointer { kind, app: self.app.clone(), name, expected };
        Ok(self.catalog.commit(vec![gone]).await?)
    }

    /// Removes the objects of all computations but this one; `None`: of all.
    ///
    /// # Errors
    /// Of the object store.
    pub(crate) async fn sweep_others(&self, build: Option<u64>) -> Result<()> {
        let own = build.map(|build| self.prefix(build));
        self.sweep(|object| own.as_ref().is_some_and(|own| object.starts_with(own))).await
    }

    /// The log position of the checkpoint; `None`: there is none.
    ///
    /// # Errors
    /// Of the catalog.
    pub(crate) async fn position(&self) -> Result<Option<u64>> {
        Ok(self.read().await?.map(|saved| saved.position))
    }

    async fn read(&self) -> Result<Option<Saved>> {
        let pointer = self.catalog.pointer(KIND, &self.app, NAME).await?;
        // One of another version is as good as none.
        Ok(pointer.and_then(|pointer| serde_json::from_value(pointer.value).ok()))
    }

    /// Removes the app's objects that are not to be kept: killed processes left them.
    async fn sweep(&self, keep: impl Fn(&str) -> bool) -> Result<()> {
        let folder = format!("{KIND}/{}", self.app);
        let failed = |detail: String| Error::Store { object: folder.clone(), detail };
        let path = ObjectPath::parse(&folder).map_err(|e| failed(e.to_string()))?;
        let there: Vec<String> = self
            .objects
            .list(Some(&path))
            .map_ok(|object| object.location.to_string())
            .try_collect()
            .await
            .map_err(|e| failed(e.to_string()))?;
        for object in there.iter().filter(|object| !keep(object)) {
            remove(&self.objects, object).await;
        }
        Ok(())
    }
}
