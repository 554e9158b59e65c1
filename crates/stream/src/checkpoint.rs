//! Where the stream stands: one pointer of the catalog, at the files of all states and the log
//! position that they hold.

use crate::landed_files::Lacking;
use crate::page::PAGE_VERSION;
use crate::plan::{Part, StreamPlan};
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
use taghouse_ingest::FileBatches;
use taghouse_model::{AppId, TimestampMs};
use taghouse_rules::Definitions;

const KIND: &str = "stream";
const NAME: &str = "state";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    /// Of the states' bytes.
    version: u8,
    /// The hashes of the tags whose states they are, ascending.
    tags: Vec<u64>,
    /// Of the pages' bytes.
    #[serde(default)]
    page_version: u8,
    generation: u64,
    position: u64,
    /// The states may hold links up to here.
    #[serde(default)]
    linked_through: u64,
    /// Who is in the live crowds is still to be compared with them.
    #[serde(default)]
    uncompared: bool,
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

/// States from a checkpoint.
pub(crate) struct Opened {
    pub(crate) build: u64,
    pub(crate) state: AppState,
    /// Files have landed that they lack.
    pub(crate) more_files: bool,
}

/// What a checkpoint must go with, to be of use.
pub(crate) struct Wanted {
    /// Of the dictionary.
    pub(crate) generation: u64,
    /// Up to here the log has landed, and may be gone.
    pub(crate) landed: u64,
    /// The batches of files that the lake has of each source. They tell of files that landed just
    /// before a process was killed, so that its states lack them.
    pub(crate) batches: BTreeMap<String, FileBatches>,
    /// Bytes of pages to keep in memory.
    pub(crate) budget_bytes: u64,
}

impl Wanted {
    /// Whether the rows of files that the states lack can be taken in by them.
    fn takes_files(&self, saved: &Saved) -> bool {
        let Lacking { files, replaced } = Lacking::of(&saved.batches, &self.batches);
        // What has not landed is decided again, and otherwise where a file has brought its message or
        // made its id known. Nobody knows whether the states have seen such.
        let seen = saved.position.max(saved.linked_through);
        !files || (!replaced && seen == self.landed)
    }
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
    /// users and the log. Of tags that are new or others than then there are none among them.
    ///
    /// # Errors
    /// Of the catalog and the object store; `Damaged`.
    pub(crate) async fn open(
        &self,
        definitions: &Arc<Definitions>,
        wanted: &Wanted,
    ) -> Result<Option<Opened>> {
        let Some(saved) = self.read().await? else { return Ok(None) };
        self.feeds.begin_behind(&self.app, saved.feed_id).await?;
        let held: HashSet<u64> = saved.tags.iter().copied().collect();
        let plan = StreamPlan::of(definitions, Part::Only(&held))?;
        let Some(plan) = plan.filter(|plan| plan.with_states() > 0) else { return Ok(None) };
        let fits = saved.version == STATE_VERSION
            && saved.page_version == PAGE_VERSION
            && saved.generation == wanted.generation
            && saved.position >= wanted.landed
            && wanted.takes_files(&saved);
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
        state.linked_through = saved.linked_through;
        state.uncompared = saved.uncompared;
        state.load().await?;
        let tags = state.plan.all_hashes();
        state.keep_states_of(&tags);
        state.pass(saved.now_ms);
        let more_files = Lacking::of(&state.batches, &wanted.batches).files;
        Ok(Some(Opened { build: saved.build, state, more_files }))
    }

    /// Saves the states: their files first, then the pointer.
    ///
    /// # Errors
    /// Of the object store and the catalog; the former checkpoint stands then.
    pub(crate) async fn save(&self, build: u64, state: &mut AppState) -> Result<()> {
        state.save().await?;
        let saved = Saved {
            version: STATE_VERSION,
            tags: sorted(state.plan.hashes()),
            page_version: PAGE_VERSION,
            generation: state.generation,
            position: state.position,
            linked_through: state.linked_through,
            uncompared: state.uncompared,
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

    /// Removes all objects but those that hold pages of the store; `None`: all.
    ///
    /// # Errors
    /// Of the object store.
    pub(crate) async fn sweep_others(&self, store: Option<&PageStore>) -> Result<()> {
        let named: HashSet<&str> = store.into_iter().flat_map(PageStore::names).collect();
        self.sweep(|object| named.contains(object)).await
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

fn sorted(hashes: HashSet<u64>) -> Vec<u64> {
    let mut hashes: Vec<u64> = hashes.into_iter().collect();
    hashes.sort_unstable();
    hashes
}
