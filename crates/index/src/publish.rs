use crate::error::{Error, Result};
use crate::index::{Index, POINTER_KIND, POINTER_NAME, load_users};
use crate::live::blocking;
use crate::manifest::{Manifest, TagEntry, UsersEntry};
use crate::segment::Segment;
use crate::store::{map_file, path_of, sync_files};
use bytes::Bytes;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Change;
use taghouse_model::{AppId, Name, TimestampMs, ValueType};
use tokio::task::JoinSet;

/// The users' folder beside the tags' folders; no tag can be called so.
const USERS_FOLDER: &str = "users-bitmap";

/// Objects being written at a time.
const WRITES_AT_ONCE: usize = 8;

/// An object to write: its path and its content.
type Written = (String, Content);

/// What an object is made of.
enum Content {
    Bytes(Vec<u8>),
    /// A file of this machine, which may become the object itself.
    File(PathBuf),
}

/// What becomes visible at once. Tags that it does not name stay as they are, if they are of the same generation.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The dictionary's generation that the ordinals are of. Another one than before leaves nothing of what was published.
    pub generation: u64,
    /// All users that exist; the segments' users are among them. Users that existed before (in this generation) go on to exist.
    pub users: Bitmap,
    /// New versions of tags.
    pub tags: Vec<TagPublication>,
    /// Tags to be forgotten.
    pub drop: Vec<Name>,
}

/// A new version of one tag.
#[derive(Debug, Clone)]
pub struct TagPublication {
    /// The tag.
    pub name: Name,
    /// The segment's type.
    pub value_type: ValueType,
    /// The instant its values speak of.
    pub as_of_ms: TimestampMs,
    /// The definition it was produced by; handed back in [`crate::TagInfo`].
    pub definition: Json,
    /// What [`crate::SegmentBuilder`] made.
    pub segment: Vec<u8>,
    /// Live changes up to this position of their log are in the segment, and are dropped; later ones stay on top. `None`: whatever live
    /// changes have not been folded stay on top.
    pub subsumes: Option<u64>,
}

/// A new version of one tag whose segment is in a file that a [`crate::Loader`] has written. The rest is as in [`TagPublication`].
#[derive(Debug, Clone)]
pub struct LoadedTag {
    /// The tag.
    pub name: Name,
    /// The segment's type.
    pub value_type: ValueType,
    /// The instant its values speak of.
    pub as_of_ms: TimestampMs,
    /// The definition it was produced by.
    pub definition: Json,
    /// [`crate::LoadedSegment::path`]. Nobody writes to the file any more.
    pub file: PathBuf,
    /// As in [`TagPublication`].
    pub subsumes: Option<u64>,
}

impl Index {
    /// Publishes: writes the objects, then moves the catalog's pointer from the revision read at the beginning, together with `also`.
    /// Objects that only the revision before the last one read are deleted afterwards, as far as that works.
    ///
    /// # Errors
    /// `Catalog` of kind `Conflict` when somebody else published meanwhile (nothing is visible then; call again), or when a condition of
    /// `also` does not hold; `Publication` for a segment of another type, or with users that are not among `users`.
    pub async fn publish(&self, app: &AppId, publication: Publication, also: Vec<Change>) -> Result<u64> {
        self.publish_at(app, None, publication, &Bitmap::new(), also).await
    }

    /// As [`Index::publish`], with `loaded` beside the publication's tags. Their files become the store's: where its objects are files of
    /// this machine (see [`Index::local`]) they are moved, which copies nothing within one file system, and else read and removed. After
    /// a failure some may be gone.
    ///
    /// # Errors
    /// As [`Index::publish`], and `Store` naming a file that cannot be read.
    pub async fn publish_loaded(&self, app: &AppId, publication: Publication, loaded: Vec<LoadedTag>, also: Vec<Change>) -> Result<u64> {
        self.publish_all(app, None, publication, loaded, &Bitmap::new(), also).await
    }

    /// Publishes on top of revision `at`, if that is given, and takes `remove` away from the users that exist.
    pub(crate) async fn publish_at(
        &self,
        app: &AppId,
        at: Option<u64>,
        publication: Publication,
        remove: &Bitmap,
        also: Vec<Change>,
    ) -> Result<u64> {
        self.publish_all(app, at, publication, Vec::new(), remove, also).await
    }

    async fn publish_all(
        &self,
        app: &AppId,
        at: Option<u64>,
        mut publication: Publication,
        loaded: Vec<LoadedTag>,
        remove: &Bitmap,
        also: Vec<Change>,
    ) -> Result<u64> {
        let current = self.manifest(app).await?;
        let (expected, before) = current.map_or((None, Manifest::default()), |(revision, manifest)| (Some(revision), manifest));
        if let Some(at) = at.filter(|at| expected != Some(*at)) {
            let (expected, found) = (at.to_string(), expected.map_or_else(|| "none".to_owned(), |found| found.to_string()));
            return Err(taghouse_catalog::Error::Conflict { what: format!("the index of app {app}"), expected, found }.into());
        }
        let next = expected.unwrap_or(0) + 1;
        if let Some(users) = self.users_before(&before, publication.generation).await? {
            publication.users = publication.users.or(&users).and_not(remove);
        }
        let log_end = match self.log(app).await? {
            // So that no reader meets the new segments under an overlay that has not come so far.
            Some(log) => blocking(move || Ok(log.tick().position)).await?,
            None => 0,
        };
        let (owner, base) = (app.clone(), before.clone());
        let read = self.in_use(app);
        // Verifying and copying segments takes a core, which is not the I/O threads' work.
        let (manifest, contents) = blocking(move || plan(&owner, next, &base, &read, log_end, publication, loaded)).await?;
        let written: BTreeSet<String> = contents.iter().map(|(object, _)| object.clone()).collect();
        let result = self.write_and_commit(app, expected, &manifest, contents, also).await;
        if let Err(error) = result {
            self.discard(app, &written).await;
            return Err(error);
        }
        let still_read = &manifest.objects() | &manifest.retired;
        self.objects.delete(before.retired.difference(&still_read)).await;
        // Live changes are checked against the types of the last snapshot.
        if self.live.is_some()
            && let Err(error) = self.snapshot(app).await
        {
            tracing::warn!(%app, %error, "the index was published and cannot be read");
        }
        match expected {
            Some(_) => Ok(next),
            // Where there was an index once and no more, revisions go on from its last one.
            None => Ok(self.manifest(app).await?.map_or(next, |(revision, _)| revision)),
        }
    }

    async fn write_and_commit(
        &self,
        app: &AppId,
        expected: Option<u64>,
        manifest: &Manifest,
        contents: Vec<Written>,
        also: Vec<Change>,
    ) -> Result<()> {
        let mut writes = JoinSet::new();
        let mut outcome = Ok(());
        let written: Vec<String> = contents.iter().map(|(object, _)| object.clone()).collect();
        for (object, content) in contents {
            if writes.len() >= WRITES_AT_ONCE {
                outcome = outcome.and(join(writes.join_next().await));
            }
            let (objects, root) = (self.objects.clone(), self.root());
            writes.spawn(async move {
                match content {
                    Content::Bytes(bytes) => objects.write(&object, bytes).await,
                    Content::File(file) => objects.take(&object, file, root).await,
                }
            });
        }
        // All of them end before the first failure is told: what was written is then cleared away.
        while !writes.is_empty() {
            outcome = outcome.and(join(writes.join_next().await));
        }
        outcome?;
        if let Some(root) = self.root() {
            blocking(move || sync_files(&root, &written)).await?;
        }
        let value = serde_json::to_value(manifest).map_err(|e| Error::Internal(e.to_string()))?;
        let (kind, name) = (POINTER_KIND.to_owned(), POINTER_NAME.to_owned());
        let mut changes = vec![Change::PutPointer { kind, app: app.clone(), name, expected, value }];
        changes.extend(also);
        Ok(self.catalog.commit(changes).await?)
    }

    /// The users that existed before, if their ordinals mean the same. Users that cannot be read are passed over: publishing mends that.
    async fn users_before(&self, before: &Manifest, generation: u64) -> Result<Option<Bitmap>> {
        if before.users.object.is_empty() || before.generation != generation {
            return Ok(None);
        }
        match load_users(&self.objects, &before.users).await {
            Ok(users) => Ok(users.map(|users| users.bitmap.as_ref().clone())),
            Err(error @ Error::Corrupt { .. }) => {
                tracing::warn!(%error, "the users that existed before cannot be read, those of this publication take their place");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes what a failed publication wrote, unless the cut that won reads the same objects, or nobody can tell.
    async fn discard(&self, app: &AppId, written: &BTreeSet<String>) {
        let in_use = match self.manifest(app).await {
            Ok(current) => current.map(|(_, manifest)| &manifest.objects() | &manifest.retired).unwrap_or_default(),
            Err(_) => return,
        };
        self.objects.delete(written.difference(&in_use)).await;
    }
}

fn join(joined: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    joined.map_or(Ok(()), |joined| joined.map_err(|e| Error::Internal(e.to_string()))?)
}

/// The next cut, and the objects to write for it. Objects that are `read` by older snapshots stay for another publication.
fn plan(
    app: &AppId,
    next: u64,
    before: &Manifest,
    read: &BTreeSet<String>,
    log_end: u64,
    publication: Publication,
    loaded: Vec<LoadedTag>,
) -> Result<(Manifest, Vec<Written>)> {
    let Publication { generation, users, tags, drop } = publication;
    let carried = if before.generation == generation { before.tags.clone() } else { BTreeMap::new() };
    let mut manifest = Manifest { generation, tags: carried, ..Manifest::default() };
    let mut contents = Vec::with_capacity(tags.len() + loaded.len() + 1);
    drop.iter().for_each(|name| {
        manifest.tags.remove(name);
    });
    let content = users.to_bytes().map_err(|e| Error::Internal(e.to_string()))?;
    let object = path_of(app, USERS_FOLDER, next, "bitmap", &content);
    manifest.users = UsersEntry { object: object.clone(), count: users.len() };
    contents.push((object, Content::Bytes(content)));
    let loaded = loaded.into_iter().map(|LoadedTag { name, value_type, as_of_ms, definition, file, subsumes }| {
        (TagPublication { name, value_type, as_of_ms, definition, segment: Vec::new(), subsumes }, Some(file))
    });
    for (tag, file) in tags.into_iter().map(|tag| (tag, None)).chain(loaded) {
        let subsumes = subsumes(&manifest, log_end, &tag)?;
        let TagPublication { name, value_type, as_of_ms, definition, segment, .. } = tag;
        let content = match &file {
            None => Bytes::from(segment),
            Some(file) => map_file(file)?,
        };
        let object = path_of(app, name.as_str(), next, "seg", &content);
        let opened = Segment::open(&object, content.clone())?;
        let refuse = |problem: String| Err(Error::Publication { tag: name.to_string(), problem });
        if opened.value_type() != value_type {
            return refuse(format!("its segment holds {} values instead of {value_type}", opened.value_type()));
        }
        if !opened.existence().is_subset(&users)? {
            let strangers = opened.existence().to_bitmap()?.and_not(&users);
            let first = strangers.min().unwrap_or_default();
            return refuse(format!("{} of its users are not among the users that exist, such as ordinal {first}", strangers.len()));
        }
        let entry = TagEntry { object: object.clone(), value_type, as_of_ms, users: opened.users(), definition, subsumes };
        std::mem::drop(opened);
        manifest.tags.insert(name, entry);
        // No copy: nobody else holds the bytes any more.
        contents.push((object, file.map_or_else(|| Content::Bytes(content.into()), Content::File)));
    }
    let in_use = manifest.objects();
    let earlier = before.retired.intersection(read).cloned();
    manifest.retired = before.objects().into_iter().chain(earlier).filter(|object| !in_use.contains(object)).collect();
    Ok((manifest, contents))
}

/// Up to which position of the log a tag's new segment holds the live changes, or makes them void.
fn subsumes(before: &Manifest, log_end: u64, tag: &TagPublication) -> Result<u64> {
    let refuse = |problem: String| Error::Publication { tag: tag.name.to_string(), problem };
    let Some(known) = before.tags.get(&tag.name).filter(|known| known.value_type == tag.value_type) else {
        // What was logged for a tag of another type, or for one that was dropped since, is not for this one.
        return Ok(log_end);
    };
    match tag.subsumes {
        None => Ok(known.subsumes),
        Some(position) if position > log_end => Err(refuse(format!("it holds live changes up to {position}, the log ends at {log_end}"))),
        Some(position) if position < known.subsumes => {
            Err(Error::Outdated { tag: tag.name.to_string(), subsumes: position, folded: known.subsumes })
        }
        Some(position) => Ok(position),
    }
}
