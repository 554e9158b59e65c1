use crate::error::{Error, Result};
use crate::manifest::{Manifest, TagEntry, UsersEntry};
use crate::segment::Segment;
use crate::snapshot::{Snapshot, Tag, TagInfo, Users};
use crate::store::Objects;
use object_store::ObjectStore;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Catalog;
use taghouse_model::{AppId, Name};
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
    pub(crate) catalog: Arc<dyn Catalog>,
    /// By app. A slot's lock makes readers of one app wait for one load instead of loading each.
    latest: Mutex<HashMap<AppId, Slot>>,
}

impl Index {
    /// Objects go to and come from `store`, under `index/`; what is current stands in `catalog`.
    pub fn new(store: Arc<dyn ObjectStore>, catalog: Arc<dyn Catalog>) -> Self {
        Self { objects: Objects(store), catalog, latest: Mutex::default() }
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
            if let Some(same) = latest.as_ref().filter(|snapshot| snapshot.revision == revision) {
                return Ok(Some(same.clone()));
            }
            // An object that is gone was deleted by a later publication, unless the pointer still leads to it.
            if let Some((before, object)) = missing.take()
                && before == revision
            {
                return Err(Error::corrupt(&object, "it is missing"));
            }
            match self.load(revision, manifest, latest.as_deref()).await? {
                Loaded::Snapshot(snapshot) => {
                    let snapshot = Arc::new(snapshot);
                    *latest = Some(snapshot.clone());
                    return Ok(Some(snapshot));
                }
                Loaded::Missing(object) => missing = Some((revision, object)),
            }
        }
        Err(Error::Internal(format!("the index of app {app} was published {ATTEMPTS} times while it was being read")))
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

    async fn load(&self, revision: u64, manifest: Manifest, before: Option<&Snapshot>) -> Result<Loaded> {
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
                let known = before.and_then(|before| before.tags.get(&name)).filter(|tag| tag.info.object == entry.object);
                if let Some(tag) = known {
                    tags.insert(name.clone(), Tag { info: info_of(name, entry), segment: tag.segment.clone() });
                } else {
                    loads.spawn(load_tag(self.objects.clone(), name, entry));
                }
            }
            match loads.join_next().await {
                None => return Ok(Loaded::Snapshot(Snapshot { revision, generation, users, tags })),
                Some(joined) => match joined.map_err(|e| Error::Internal(e.to_string()))?? {
                    Ok(tag) => tags.insert(tag.info.name.clone(), tag),
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
    Snapshot(Snapshot),
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
async fn load_tag(objects: Objects, name: Name, entry: TagEntry) -> Result<std::result::Result<Tag, String>> {
    let Some(bytes) = objects.read(&entry.object).await? else {
        return Ok(Err(entry.object));
    };
    let object = entry.object.clone();
    // Verifying checksums takes a core, which is not the I/O threads' work.
    let segment =
        tokio::task::spawn_blocking(move || Segment::open(&object, bytes)).await.map_err(|e| Error::Internal(e.to_string()))??;
    if segment.value_type() != entry.value_type || segment.users() != entry.users {
        let found = format!(
            "it holds {} users' {} values, the catalog says {} and {}",
            segment.users(),
            segment.value_type(),
            entry.users,
            entry.value_type
        );
        return Err(Error::corrupt(&entry.object, found));
    }
    Ok(Ok(Tag { info: info_of(name, entry), segment }))
}

fn info_of(name: Name, entry: TagEntry) -> TagInfo {
    let TagEntry { object, value_type, as_of_ms, users, definition } = entry;
    TagInfo { name, value_type, as_of_ms, users, definition, object }
}
