use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::live::{Live, LiveOptions};
use crate::local::Local;
use crate::manifest::{Manifest, TagEntry, UsersEntry};
use crate::segment::Segment;
use crate::snapshot::{Cut, Snapshot, TagInfo, Users};
use crate::store::Objects;
use crate::tag::{Open, Tag};
use object_store::ObjectStore;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Catalog;
use taghouse_model::{AppId, Name};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

pub(crate) const POINTER_KIND: &str = "index";
pub(crate) const POINTER_NAME: &str = "current";
/// Objects being read and checked at a time.
const LOADS_AT_ONCE: usize = 8;
/// How often a reader follows the pointer anew when objects vanish under it.
const ATTEMPTS: usize = 5;

/// The last snapshot of one app.
type Slot = Arc<Mutex<Option<Arc<Snapshot>>>>;

/// All apps' indexes: publishes them and gives snapshots of them.
pub struct Index {
    pub(crate) objects: Objects,
    segments: Segments,
    pub(crate) catalog: Arc<dyn Catalog>,
    /// By app. A slot's lock makes readers of one app wait for one load instead of loading each.
    latest: Mutex<HashMap<AppId, Slot>>,
    /// Those that may still be read, so that their objects stay.
    given: std::sync::Mutex<Vec<(AppId, Weak<Cut>)>>,
    pub(crate) live: Option<Live>,
}

/// Where segments are read from.
enum Segments {
    /// Whole objects, held in memory from the first snapshot on.
    Whole,
    /// Files of this machine, mapped when they are first asked for.
    Local(Arc<Local>),
    /// Objects elsewhere, of which a cache of this machine holds the parts asked for.
    Cached(Arc<dyn Open>),
}

impl Index {
    /// Objects go to and come from `store`, under `index/`; what is current stands in `catalog`. Segments are held in memory whole.
    pub fn new(store: Arc<dyn ObjectStore>, catalog: Arc<dyn Catalog>) -> Self {
        let (latest, given) = (Mutex::default(), std::sync::Mutex::default());
        Self { objects: Objects(store), segments: Segments::Whole, catalog, latest, given, live: None }
    }

    /// The store's objects are files below `root` on this machine: segments are mapped instead of being held in memory, so that the index
    /// may be several times as large as that.
    #[must_use]
    pub fn local(self, root: PathBuf) -> Self {
        Self { segments: Segments::Local(Arc::new(Local { root })), ..self }
    }

    /// The store is elsewhere: of segments the parts asked for are fetched into files in `folder`, which take about `limit_bytes` at most (what
    /// is being read may go beyond). Call it within a tokio runtime of several threads, which then runs the requests.
    #[must_use]
    pub fn cached(self, folder: PathBuf, limit_bytes: u64) -> Self {
        let cache = Cache::new(self.objects.clone(), Handle::current(), folder, limit_bytes);
        Self { segments: Segments::Cached(Arc::new(cache)), ..self }
    }

    /// Where the store's objects are files of this machine.
    pub(crate) fn root(&self) -> Option<PathBuf> {
        if let Segments::Local(local) = &self.segments { Some(local.root.clone()) } else { None }
    }

    /// Takes live changes, which are kept in `folder` on this machine: no other process may have it open.
    #[must_use]
    pub fn with_live(self, folder: PathBuf, options: LiveOptions) -> Self {
        Self { live: Some(Live::new(folder, options)), ..self }
    }

    /// The current cut over all tags, or `None` when nothing was published for the app. Costs one look into the catalog while nothing
    /// changes, and else reads the objects that are new.
    ///
    /// # Errors
    /// `Corrupt` names an object that is missing or damaged; `Store` and `Catalog` when those do not answer.
    pub async fn snapshot(&self, app: &AppId) -> Result<Option<Arc<Snapshot>>> {
        let slot = self.latest.lock().await.entry(app.clone()).or_default().clone();
        let mut latest = slot.lock().await;
        let mut missing: Option<(u64, String)> = None;
        for _ in 0..ATTEMPTS {
            let Some((revision, manifest)) = self.manifest(app).await? else {
                *latest = None;
                return Ok(None);
            };
            if let Some(same) = latest.as_ref().filter(|snapshot| snapshot.revision() == revision) {
                match self.on_top(app, same.cut.clone(), false).await? {
                    Some(snapshot) => return Ok(Some(renew(&mut latest, snapshot))),
                    None => continue,
                }
            }
            // An object that is gone was deleted by a later publication, unless the pointer still leads to it.
            if let Some((before, object)) = missing.take()
                && before == revision
            {
                return Err(Error::corrupt(&object, "it is missing"));
            }
            match self.load(revision, manifest, latest.as_deref().map(|snapshot| snapshot.cut.as_ref())).await? {
                Loaded::Cut(cut) => {
                    let cut = Arc::new(cut);
                    self.give(app, &cut);
                    if let Some(snapshot) = self.on_top(app, cut, true).await? {
                        return Ok(Some(renew(&mut latest, snapshot)));
                    }
                }
                Loaded::Missing(object) => missing = Some((revision, object)),
            }
        }
        Err(Error::Internal(format!("the index of app {app} was published {ATTEMPTS} times while it was being read")))
    }

    /// Notes a cut that may be read from now on.
    fn give(&self, app: &AppId, cut: &Arc<Cut>) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|(_, cut)| cut.strong_count() > 0);
        given.push((app.clone(), Arc::downgrade(cut)));
    }

    /// The objects of snapshots that somebody may still read.
    pub(crate) fn in_use(&self, app: &AppId) -> BTreeSet<String> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = given.iter().filter(|(owner, _)| owner == app).filter_map(|(_, cut)| cut.upgrade());
        alive.flat_map(|cut| cut.objects().cloned().collect::<Vec<_>>()).collect()
    }

    /// The current revision and cut.
    pub(crate) async fn manifest(&self, app: &AppId) -> Result<Option<(u64, Manifest)>> {
        let Some(pointer) = self.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await? else {
            return Ok(None);
        };
        let manifest = serde_json::from_value(pointer.value)
            .map_err(|e| Error::corrupt(&format!("pointer {POINTER_KIND}/{app}/{POINTER_NAME} of the catalog"), e.to_string()))?;
        Ok(Some((pointer.revision, manifest)))
    }

    /// What is published, as the catalog says it: no object is read. `None` when nothing was published for the app.
    ///
    /// # Errors
    /// `Catalog` when that does not answer, `Corrupt` when its record cannot be read.
    pub async fn published(&self, app: &AppId) -> Result<Option<Published>> {
        let current = self.manifest(app).await?;
        Ok(current.map(|(revision, manifest)| Published {
            revision,
            generation: manifest.generation,
            users: manifest.users.count,
            tags: manifest.tags.into_keys().collect(),
        }))
    }

    async fn load(&self, revision: u64, manifest: Manifest, before: Option<&Cut>) -> Result<Loaded> {
        let generation = manifest.generation;
        let users = match before.filter(|before| before.users.object == manifest.users.object) {
            Some(before) => before.users.clone(),
            None => match load_users(&self.objects, &manifest.users).await? {
                Some(users) => users,
                None => return Ok(Loaded::Missing(manifest.users.object)),
            },
        };
        let mut tags = BTreeMap::new();
        let mut loads = JoinSet::new();
        let mut entries = manifest.tags.into_iter();
        loop {
            while loads.len() < LOADS_AT_ONCE
                && let Some((name, entry)) = entries.next()
            {
                let known = before.and_then(|before| before.tags.get(&name)).filter(|tag| tag.info == info_of(name.clone(), entry.clone()));
                match (known, &self.segments) {
                    (Some(tag), _) => drop(tags.insert(name, tag.clone())),
                    (None, Segments::Whole) => drop(loads.spawn(load_tag(self.objects.clone(), info_of(name, entry)))),
                    (None, Segments::Local(opener)) => {
                        tags.insert(name.clone(), Arc::new(Tag::kept(info_of(name, entry), opener.clone())));
                    }
                    (None, Segments::Cached(opener)) => {
                        tags.insert(name.clone(), Arc::new(Tag::shared(info_of(name, entry), opener.clone())));
                    }
                }
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

/// The snapshot to give, the one given before if nothing differs.
fn renew(latest: &mut Option<Arc<Snapshot>>, snapshot: Snapshot) -> Arc<Snapshot> {
    match latest {
        Some(same) if same.is(&snapshot) => same.clone(),
        _ => latest.insert(Arc::new(snapshot)).clone(),
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
    /// The object of this path is not there.
    Missing(String),
}

/// `None` when the object is not there.
pub(crate) async fn load_users(objects: &Objects, entry: &UsersEntry) -> Result<Option<Users>> {
    let object = entry.object.clone();
    let Some(bytes) = objects.read(&object).await? else {
        return Ok(None);
    };
    let bitmap = Bitmap::from_bytes(bytes).map_err(|e| Error::of_bitmap(&object, e))?;
    if bitmap.len() != entry.count {
        return Err(Error::corrupt(&object, format!("it holds {} users, the catalog says {}", bitmap.len(), entry.count)));
    }
    Ok(Some(Users { object, bitmap: Arc::new(bitmap) }))
}

/// The path as the inner error when the object is not there.
async fn load_tag(objects: Objects, info: TagInfo) -> Result<std::result::Result<Tag, String>> {
    let Some(bytes) = objects.read(&info.object).await? else {
        return Ok(Err(info.object));
    };
    let segment = Segment::open(&info.object, bytes)?;
    Tag::of(info, segment).map(Ok)
}

fn info_of(name: Name, entry: TagEntry) -> TagInfo {
    let TagEntry { object, value_type, as_of_ms, users, definition, subsumes } = entry;
    TagInfo { name, value_type, as_of_ms, users, definition, object, subsumes }
}
