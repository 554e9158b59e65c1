use crate::apps::{Apps, Known};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::live::{Live, LiveOptions};
use crate::local::Local;
use crate::manifest::{Manifest, TagEntry, UsersEntry};
use crate::pointer::ATTEMPTS;
use crate::segment::Segment;
use crate::snapshot::{Cut, Snapshot, Users};
use crate::store::Objects;
use crate::tag::{Open, Tag, TagInfo};
use object_store::ObjectStore;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Catalog;
use taghouse_model::{AppId, Name};
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;

/// Objects read and checked concurrently.
const LOADS_AT_ONCE: usize = 8;

/// How long background work that failed waits before it says so.
pub(crate) const BEFORE_COMPLAINT: Duration = Duration::from_millis(100);

/// The indexes of all apps: publishes them, and gives snapshots of them.
pub struct Index {
    pub(crate) objects: Objects,
    segments: Segments,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) apps: Apps,
    pub(crate) live: Option<Live>,
}

/// Held by long work with the ordinals of one generation, such as a production, and by whatever
/// renumbers the users.
pub struct Numbering(
    #[expect(dead_code, reason = "dropping it lets the next one go on")] OwnedMutexGuard<()>,
);

/// Where segments are read from.
enum Segments {
    /// Whole objects in memory, from the first snapshot on.
    Whole,
    /// Local files, mapped when first needed.
    Local(Arc<Local>),
    /// Remote objects; a local cache keeps the parts that were read.
    Cached(Arc<dyn Open>),
}

impl Index {
    /// Objects are in `store`, under `index/`; `catalog` has the pointer to the current ones.
    /// Segments are kept in memory.
    pub fn new(store: Arc<dyn ObjectStore>, catalog: Arc<dyn Catalog>) -> Self {
        Self {
            objects: Objects(store),
            segments: Segments::Whole,
            catalog,
            apps: Apps::default(),
            live: None,
        }
    }

    /// The objects of the store are local files below `root`: segments are mapped instead of kept
    /// in memory, so the index may be several times larger than memory.
    #[must_use]
    pub fn local(self, root: PathBuf) -> Self {
        Self { segments: Segments::Local(Arc::new(Local { root })), ..self }
    }

    /// The store is remote: the parts of segments that are read are fetched into files in `folder`,
    /// which take about `limit_bytes` at most (what is being read may exceed that). Call it within
    /// a multi-threaded tokio runtime, which then runs the requests.
    #[must_use]
    pub fn cached(self, folder: PathBuf, limit_bytes: u64) -> Self {
        let cache = Cache::new(self.objects.clone(), Handle::current(), folder, limit_bytes);
        Self { segments: Segments::Cached(Arc::new(cache)), ..self }
    }

    /// Where the store's objects are files of this machine.
    pub(crate) fn root(&self) -> Option<PathBuf> {
        if let Segments::Local(local) = &self.segments { Some(local.root.clone()) } else { None }
    }

    /// Enables live changes, which are logged in the local `folder`. No other process may have it
    /// open.
    #[must_use]
    pub fn with_live(self, folder: PathBuf, options: LiveOptions) -> Self {
        Self { live: Some(Live::new(folder, options)), ..self }
    }

    /// The current cut over all tags, or `None` when nothing was published for the app. From
    /// memory, without a lock: publications of this process and live changes put the next
    /// snapshot there. Only the first one is loaded, which asks the catalog and reads objects.
    ///
    /// Publications of other processes become visible with [`Index::refresh`].
    ///
    /// # Errors
    /// `Corrupt` names an object that is missing or damaged; `Store` and `Catalog` when those do
    /// not answer.
    pub async fn snapshot(&self, app: &AppId) -> Result<Option<Arc<Snapshot>>> {
        match self.apps.shown(app) {
            Some(shown) => Ok(shown),
            None => self.load_shown(app).await,
        }
    }

    async fn load_shown(&self, app: &AppId) -> Result<Option<Arc<Snapshot>>> {
        let state = self.apps.get(app);
        let _one = state.loading.lock().await;
        let mut missing: Option<(Option<u64>, String)> = None;
        for _ in 0..ATTEMPTS {
            if let Some(shown) = state.shown.get() {
                return Ok(shown);
            }
            let known =
                if missing.is_none() { self.known(app).await? } else { self.ask(app).await? };
            if known.revision.is_none() {
                state.shown.set_nothing();
                continue;
            }
            // An object that is gone was deleted by a later publication, unless the pointer still
            // leads to it.
            if let Some((before, object)) = missing.take()
                && before == known.revision
            {
                state.forget();
                return Err(Error::corrupt(&object, "it is missing"));
            }
            missing = self.show(app, &known).await?.map(|object| (known.revision, object));
        }
        state.shown.get().ok_or_else(|| {
            Error::Internal(format!(
                "the index of app {app} was published {ATTEMPTS} times while it was being read"
            ))
        })
    }

    /// Shows readers what is published. Returns the path of an object that no longer exists.
    pub(crate) async fn show(&self, app: &AppId, known: &Known) -> Result<Option<String>> {
        let state = self.apps.get(app);
        let before = state.shown.cut();
        match self
            .load(known.revision.unwrap_or_default(), &known.manifest, before.as_deref())
            .await?
        {
            Loaded::Missing(object) => Ok(Some(object)),
            Loaded::Cut(cut) => {
                let cut = Arc::new(cut);
                state.give(&cut);
                self.put_beneath(app, &state, cut).await?;
                Ok(None)
            }
        }
    }

    /// Shows readers what other processes have published, if anything. Asks the catalog for one
    /// number.
    ///
    /// # Errors
    /// As [`Index::snapshot`]; readers then still see the previous state.
    pub async fn refresh(&self, app: &AppId) -> Result<()> {
        let state = self.apps.get(app);
        let revision = self.revision(app).await?;
        if state.known().is_some_and(|known| known.revision >= revision)
            && state.shown.get().is_some()
        {
            return Ok(());
        }
        let _one = state.loading.lock().await;
        for _ in 0..ATTEMPTS {
            let known = self.ask(app).await?;
            if known.revision.is_none() {
                state.shown.set_nothing();
                return Ok(());
            }
            let Some(object) = self.show(app, &known).await? else { return Ok(()) };
            if self.revision(app).await? == known.revision {
                return Err(Error::corrupt(&object, "it is missing"));
            }
        }
        Err(Error::Internal(format!(
            "the index of app {app} was published {ATTEMPTS} times while it was being read"
        )))
    }

    /// Follows in the background what other processes publish for the apps in use, while the index
    /// lives.
    pub fn follow_in_background(self: &Arc<Self>, every: Duration) {
        let index = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(index) = index.upgrade() else { return };
                for (app, seen) in index.apps.known() {
                    let outcome = match index.revision(&app).await {
                        Ok(revision) if revision <= seen => Ok(()),
                        Ok(_) => index.refresh(&app).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = outcome {
                        tokio::time::sleep(BEFORE_COMPLAINT).await;
                        tracing::warn!(%error, %app, "what is published for the app cannot be read; questions are answered from what was read before");
                    }
                }
            }
        });
    }

    /// The right to rely on an app's ordinals for a long time, or to change them all. Productions
    /// and compactions take turns, in the order of their calls.
    pub async fn numbering(&self, app: &AppId) -> Numbering {
        Numbering(self.apps.get(app).numbering.clone().lock_owned().await)
    }

    /// The current publication, without opening any segment; from memory after the first call.
    /// `None` when nothing was published for the app.
    ///
    /// # Errors
    /// `Catalog` when that does not answer, `Corrupt` when its record or the manifest that it leads
    /// to cannot be read.
    pub async fn published(&self, app: &AppId) -> Result<Option<Published>> {
        let Known { revision, manifest, .. } = self.known(app).await?;
        Ok(revision.map(|revision| Published {
            revision,
            generation: manifest.generation,
            users: manifest.users.count,
            tags: manifest.tags.keys().cloned().collect(),
        }))
    }

    async fn load(
        &self,
        revision: u64,
        manifest: &Manifest,
        before: Option<&Cut>,
    ) -> Result<Loaded> {
        let generation = manifest.generation;
        let users = match before.filter(|before| before.users.object == manifest.users.object) {
            Some(before) => before.users.clone(),
            None => match load_users(&self.objects, &manifest.users).await? {
                Some(users) => users,
                None => return Ok(Loaded::Missing(manifest.users.object.clone())),
            },
        };
        let mut tags = BTreeMap::new();
        let mut loads = JoinSet::new();
        let mut entries = manifest.tags.iter();
        loop {
            while loads.len() < LOADS_AT_ONCE
                && let Some((name, entry)) = entries.next()
            {
                // An equal object may be known under another entry: what a publication says of a
                // tag is part of it.
                let known = before
                    .and_then(|before| before.tags.get(name))
                    .filter(|tag| is_of(&tag.info, entry));
                let tag = match (known, &self.segments) {
                    (Some(tag), _) => tag.clone(),
                    (None, Segments::Whole) => {
                        loads.spawn(load_tag(self.objects.clone(), info_of(name, entry)));
                        continue;
                    }
                    (None, Segments::Local(opener)) => {
                        Arc::new(Tag::kept(info_of(name, entry), opener.clone()))
                    }
                    (None, Segments::Cached(opener)) => {
                        Arc::new(Tag::shared(info_of(name, entry), opener.clone()))
                    }
                };
                tags.insert(name.clone(), tag);
            }
            match loads.join_next().await {
                None => return Ok(Loaded::Cut(Cut { revision, generation, users, tags })),
                Some(joined) => match joined.map_err(|e| Error::Internal(e.to_string()))?? {
                    Ok(tag) => tags.insert(tag.info.name.clone(), Arc::new(tag)),
                    Err(object) => return Ok(Loaded::Missing(object)),
                },
            };
        }
    }
}

/// The current cut without its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Rises with every publication.
    pub revision: u64,
    /// The dictionary's generation that the ordinals are of.
    pub generation: u64,
    /// How many users exist.
    pub users: u64,
    /// The tags, by name.
    pub tags: Vec<Name>,
}

enum Loaded {
    Cut(Cut),
    /// The object of this path does not exist.
    Missing(String),
}

/// `None` when the object does not exist.
pub(crate) async fn load_users(objects: &Objects, entry: &UsersEntry) -> Result<Option<Users>> {
    let object = entry.object.clone();
    let Some(bytes) = objects.read(&object).await? else {
        return Ok(None);
    };
    let bitmap = Bitmap::from_bytes(bytes).map_err(|e| Error::of_bitmap(&object, e))?;
    if bitmap.len() != entry.count {
        return Err(Error::corrupt(
            &object,
            format!("it holds {} users, the catalog says {}", bitmap.len(), entry.count),
        ));
    }
    Ok(Some(Users { object, bitmap: Arc::new(bitmap) }))
}

/// The path is the inner error when the object does not exist.
async fn load_tag(objects: Objects, info: TagInfo) -> Result<std::result::Result<Tag, String>> {
    let Some(bytes) = objects.read(&info.object).await? else {
        return Ok(Err(info.object));
    };
    let segment = Segment::open(&info.object, bytes)?;
    Tag::of(info, segment).map(Ok)
}

fn info_of(name: &Name, entry: &TagEntry) -> TagInfo {
    let TagEntry { object, value_type, as_of_ms, users, definition, flushed_through } =
        entry.clone();
    TagInfo { name: name.clone(), value_type, as_of_ms, users, definition, object, flushed_through }
}

fn is_of(info: &TagInfo, entry: &TagEntry) -> bool {
    info.object == entry.object
        && info.flushed_through == entry.flushed_through
        && (info.value_type, info.as_of_ms, info.users)
            == (entry.value_type, entry.as_of_ms, entry.users)
        && info.definition == entry.definition
}
