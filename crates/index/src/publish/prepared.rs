//! Writes the objects of a publication, before anything points to them.

use super::{Publication, SegmentSource, TagPublication};
use crate::error::{Error, Result};
use crate::index::{Index, load_users};
use crate::manifest::TagEntry;
use crate::segment::Segment;
use crate::snapshot::Cut;
use crate::store::{map_file, path_of};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Objects being written at a time.
const WRITES_AT_ONCE: usize = 8;

/// An object to write.
pub(super) struct ObjectToWrite {
    /// Its path in the store.
    pub(super) object: String,
    pub(super) source: SegmentSource,
}

/// A publication whose objects are written.
pub(crate) struct Prepared {
    pub(crate) generation: u64,
    /// Users who exist, beside those who did before.
    pub(crate) users: Arc<Bitmap>,
    pub(crate) tags: Vec<PreparedTag>,
    /// Tags to drop.
    pub(crate) drop: Vec<Name>,
    pub(crate) scope: Scope,
    /// Whose paths begin with the same number; see [`crate::apps::App::publication`].
    pub(crate) publication: u64,
    /// The objects written for it. Nobody else knows them.
    pub(crate) written: BTreeSet<String>,
}

/// A tag's new version.
pub(crate) struct PreparedTag {
    pub(crate) name: Name,
    /// Its `flushed_through` is settled when it is merged.
    pub(crate) entry: TagEntry,
    pub(crate) flushed_through: Option<u64>,
    pub(crate) onto: Onto,
}

/// A tag whose objects are to be written.
pub(crate) struct TagToWrite {
    pub(crate) publication: TagPublication,
    pub(crate) onto: Onto,
}

/// What a new version may replace. If that is not there, the version is left out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Onto {
    /// Whatever is there.
    Anything,
    /// This object, of which it is made.
    Object(String),
    /// A tag that is not there yet.
    Nothing,
}

/// The users of a publication.
pub(crate) enum Scope {
    /// Of all that exist, as a batch that went through them knows them.
    Batch,
    /// It adds to what is there, and takes some users away whom nothing holds once its tags are
    /// those of `basis`.
    Flush { basis: Arc<Cut>, remove: Bitmap },
    /// No change.
    Declaration,
}

impl Prepared {
    pub(crate) fn new(
        publication: u64,
        generation: u64,
        users: Bitmap,
        drop: Vec<Name>,
        scope: Scope,
    ) -> Self {
        Self {
            generation,
            users: Arc::new(users),
            tags: Vec::new(),
            drop,
            scope,
            publication,
            written: BTreeSet::new(),
        }
    }
}

impl Index {
    /// Checks and writes the objects of a publication.
    pub(crate) async fn prepare(&self, app: &AppId, publication: Publication) -> Result<Prepared> {
        let Publication { generation, users, tags, drop } = publication;
        let mut prepared =
            Prepared::new(self.apps.get(app).publication(), generation, users, drop, Scope::Batch);
        let tags = tags
            .into_iter()
            .map(|publication| TagToWrite { publication, onto: Onto::Anything })
            .collect();
        if let Err(error) = self.write_tags(app, &mut prepared, tags).await {
            self.objects.delete(&prepared.written).await;
            return Err(error);
        }
        Ok(prepared)
    }

    /// Adds tags to what is prepared, and writes their objects.
    pub(crate) async fn write_tags(
        &self,
        app: &AppId,
        prepared: &mut Prepared,
        tags: Vec<TagToWrite>,
    ) -> Result<()> {
        let known = self.known_for(app, prepared.generation).await?;
        let users_before = match &known.manifest.users {
            users
                if users.object.is_empty() || known.manifest.generation != prepared.generation =>
            {
                None
            }
            users => Some(users.clone()),
        };
        let (objects, runtime) = (self.objects.clone(), Handle::current());
        let mut check = Check {
            app: app.clone(),
            revision: known.revision.unwrap_or(0) + 1,
            publication: prepared.publication,
            users: prepared.users.clone(),
            // Users that cannot be read are passed over: publishing puts that right.
            users_before: Box::new(move || {
                let entry = users_before.as_ref()?;
                runtime
                    .block_on(load_users(&objects, entry))
                    .ok()
                    .flatten()
                    .map(|users| users.bitmap)
            }),
        };
        // Verifying and copying segments takes a core, which is not the I/O threads' work.
        let checked = blocking::<_, Error>(move || {
            let checked = tags.into_iter().map(|tag| check.tag(tag)).collect::<Result<Vec<_>>>()?;
            Ok((checked, check.users))
        });
        let (checked, users) = checked.await?;
        prepared.users = users;
        let mut objects = Vec::with_capacity(checked.len());
        for (tag, source) in checked {
            prepared.written.insert(tag.entry.object.clone());
            objects.push(ObjectToWrite { object: tag.entry.object.clone(), source });
            prepared.tags.push(tag);
        }
        self.write_objects(objects).await
    }

    /// Writes objects, on disk when this returns.
    pub(super) async fn write_objects(&self, to_write: Vec<ObjectToWrite>) -> Result<()> {
        let mut writes = JoinSet::new();
        let mut outcome = Ok(());
        for ObjectToWrite { object, source } in to_write {
            if writes.len() >= WRITES_AT_ONCE {
                outcome = outcome.and(join(writes.join_next().await));
            }
            let (objects, root) = (self.objects.clone(), self.root());
            writes.spawn(async move {
                match source {
                    SegmentSource::Bytes(bytes) => objects.write(&object, bytes).await,
                    SegmentSource::File(file) => objects.take(&object, file, root).await,
                }
            });
        }
        // All of them end before the first failure is told: what was written is then cleared away.
        while !writes.is_empty() {
            outcome = outcome.and(join(writes.join_next().await));
        }
        outcome
    }
}

fn join(joined: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    joined.map_or(Ok(()), |joined| joined.map_err(|e| Error::Internal(e.to_string()))?)
}

/// What the tags of a publication are checked against.
struct Check {
    app: AppId,
    revision: u64,
    publication: u64,
    users: Arc<Bitmap>,
    users_before: Box<dyn Fn() -> Option<Arc<Bitmap>> + Send>,
}

impl Check {
    /// A tag's new version and what its object is made of.
    fn tag(&mut self, tag: TagToWrite) -> Result<(PreparedTag, SegmentSource)> {
        let TagToWrite { publication, onto } = tag;
        let TagPublication { name, value_type, as_of_ms, definition, segment, flushed_through } =
            publication;
        let (content, file) = match segment {
            SegmentSource::Bytes(bytes) => (Bytes::from(bytes), None),
            SegmentSource::File(file) => (map_file(&file)?, Some(file)),
        };
        let object =
            path_of(&self.app, name.as_str(), self.revision, self.publication, "seg", &content);
        let opened = Segment::open(&object, content.clone())?;
        let refuse = |problem: String| Err(Error::Publication { tag: name.to_string(), problem });
        if opened.value_type() != value_type {
            return refuse(format!(
                "its segment holds {} values instead of {value_type}",
                opened.value_type()
            ));
        }
        if !opened.existence().is_subset(&self.users)? {
            let others = opened.existence().to_bitmap()?.and_not(&self.users);
            let unknown = (self.users_before)()
                .map_or_else(|| others.clone(), |before| others.and_not(&before));
            if let Some(first) = unknown.min() {
                return refuse(format!(
                    "{} of its users are not among the users that exist, such as ordinal {first}",
                    unknown.len()
                ));
            }
            // Whoever of them is deleted before this is published stays hidden as long as the
            // segment holds them.
            self.users = Arc::new(self.users.or(&others));
        }
        let entry = TagEntry {
            object,
            value_type,
            as_of_ms,
            users: opened.users(),
            definition,
            flushed_through: 0,
        };
        std::mem::drop(opened);
        // No copy: nobody else holds the bytes any more.
        let source = file.map_or_else(|| SegmentSource::Bytes(content.into()), SegmentSource::File);
        Ok((PreparedTag { name, entry, flushed_through, onto }, source))
    }
}
