//! Flushes live changes into new segments, in the background, while readers and writers continue.

use crate::builder::SegmentBuilder;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::live::{Changes, Hold, TagView, Weight, write_checkpoint};
use crate::publish::{Onto, Prepared, Publication, Scope, TagPublication, TagToWrite, Turn};
use crate::room::least_to_flush;
use crate::snapshot::Snapshot;
use crate::tag::TagInfo;
use std::path::Path;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, UserSet, overlap};
use taghouse_catalog::Change;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name, Ordinal, Value};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// The users of the segments of one publication, about: they are in memory together.
const USERS_AT_ONCE: u64 = 64 << 20;

/// Users renamed between two checks whether to stop.
const RENAMED_AT_ONCE: usize = 1 << 16;

/// Maps each ordinal to its new one; `None` for users who are removed.
pub type Renaming = Arc<dyn Fn(Ordinal) -> Option<Ordinal> + Send + Sync>;

/// What a deletion removed.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedUsers {
    /// The position of the deletion in the log.
    pub position: u64,
    /// The values that the users had, by tag and user.
    pub values: Vec<(Name, Ordinal, Value)>,
}

impl Index {
    /// Flushes all live changes of an app that are visible now, deletions too. Returns the number
    /// of tags with a new segment.
    ///
    /// # Errors
    /// Those of [`Index::snapshot`] and [`Index::publish`]; `NoLog` for an index without live
    /// changes.
    pub async fn flush(&self, app: &AppId) -> Result<usize> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        blocking::<_, Error>(move || Ok(log.tick())).await?;
        self.flush_where(app, Arc::new(|_, _| true)).await
    }

    /// Flushes the tags that have grown over the threshold, and deletions; near the limit of
    /// changes in memory the tags that have the most. Returns the number of tags with a new
    /// segment.
    ///
    /// # Errors
    /// As [`Index::flush`].
    pub async fn flush_due(&self, app: &AppId) -> Result<usize> {
        let options = self.live.as_ref().ok_or(Error::NoLog)?.options.clone();
        let state = self.apps.get(app);
        let _flushing = state.flushing.lock().await;
        if let Some(log) = self.log(app).await?
            && (log.held() >= options.limit_changes / 2
                || log.text_bytes() >= options.limit_text_bytes / 2)
        {
            return self.flush_the_most(app, Weight::default()).await;
        }
        let due = move |changes: usize, users: u64| {
            changes >= options.flush_changes && changes as u64 >= users / options.flush_share
        };
        self.flush_held(app, Arc::new(due), Turn::Flushing).await
    }

    /// Flushes the tags that have the most changes, so that a quarter of the limit is left at most,
    /// and room for so much more; all tags where texts take half of what they may. The caller makes
    /// sure that nobody else flushes.
    pub(crate) async fn flush_the_most(&self, app: &AppId, room: Weight) -> Result<usize> {
        let options = &self.live.as_ref().ok_or(Error::NoLog)?.options;
        let (limit, limit_text_bytes) = (options.limit_changes, options.limit_text_bytes);
        if let Some(log) = self.log(app).await?
            && (log.text_bytes() >= limit_text_bytes / 2
                || log.text_bytes() + room.text_bytes > limit_text_bytes)
        {
            return self.flush_texts(app, &log).await;
        }
        let Some(snapshot) = self.snapshot(app).await? else { return Ok(0) };
        let Some(least) =
            least_to_flush(&snapshot, (limit / 4).min(limit.saturating_sub(room.changes)))
        else {
            return Ok(0);
        };
        self.flush_held(app, Arc::new(move |changes, _| changes >= least), Turn::Flushing).await
    }

    /// Flushes all tags. The caller makes sure that nobody else flushes.
    pub(crate) async fn flush_all(&self, app: &AppId) -> Result<usize> {
        self.flush_held(app, Arc::new(|_, _| true), Turn::Flushing).await
    }

    /// Flushes the tags that are `due`, given (live changes, users of the segment).
    async fn flush_where(&self, app: &AppId, due: Due) -> Result<usize> {
        let state = self.apps.get(app);
        let _flushing = state.flushing.lock().await;
        self.flush_held(app, due, Turn::Flushing).await
    }

    /// As [`Index::flush_where`]; the caller holds the locks of `turn`. A tag that somebody
    /// publishes meanwhile is left for another flush.
    async fn flush_held(&self, app: &AppId, due: Due, turn: Turn) -> Result<usize> {
        let mut flushed = 0;
        loop {
            let Some(snapshot) = self.snapshot(app).await? else { return Ok(flushed) };
            let (base, due) = (snapshot.clone(), due.clone());
            let Some(flush) = blocking(move || Flush::of(&base, &*due)).await? else {
                return Ok(flushed);
            };
            let Flush { users, tags, remove, complete } = flush;
            flushed += tags.len();
            let scope = Scope::Flush { basis: snapshot.cut.clone(), remove };
            let number = self.apps.get(app).publication();
            let mut prepared =
                Prepared::new(number, snapshot.generation(), users, Vec::new(), scope);
            if let Err(error) = self.write_tags(app, &mut prepared, tags).await {
                self.objects.delete(&prepared.written).await;
                return Err(error);
            }
            self.publish_prepared(app, prepared, Vec::new(), turn).await?;
            if complete {
                return Ok(flushed);
            }
        }
    }

    /// Deletes users. On return they are removed from every tag and from the users that exist; the
    /// next flush removes them from the files. Their ordinals do not return within the generation,
    /// whatever is written or published later. Returns the values that they had, for a receipt.
    ///
    /// # Errors
    /// Those of [`Index::change`].
    pub async fn delete_users(
        &self,
        app: &AppId,
        generation: u64,
        users: &[Ordinal],
    ) -> Result<DeletedUsers> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        let ticking = log.clone();
        blocking::<_, Error>(move || Ok(ticking.tick())).await?;
        let values = match self.snapshot(app).await? {
            Some(snapshot) => {
                let users = users.to_vec();
                blocking(move || values_of(&snapshot, &users)).await?
            }
            None => Vec::new(),
        };
        let (changes, deleted) = (Changes { generation, ..Changes::default() }, users.to_vec());
        let changing = log.clone();
        let answer = blocking(move || changing.change(&changes, &deleted)).await?;
        let position = answer
            .await
            .map_err(|_| Error::Internal("the thread that logs changes has ended".to_owned()))??;
        blocking::<_, Error>(move || Ok(log.tick())).await?;
        Ok(DeletedUsers { position, values })
    }

    /// Makes writers of live changes and publishers wait while the result lives, and flushes what
    /// was written. `None` when nothing was published.
    ///
    /// # Errors
    /// Those of [`Index::flush`].
    pub async fn hold(&self, app: &AppId) -> Result<Option<HeldIndex>> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        let state = self.apps.get(app);
        let flushing = state.flushing.clone().lock_owned().await;
        let swapping = state.swapping.clone().lock_owned().await;
        let hold = blocking::<_, Error>(move || Ok(log.hold())).await?;
        self.flush_held(app, Arc::new(|_, _| true), Turn::Alone).await?;
        let snapshot = self.snapshot(app).await?;
        Ok(snapshot.map(|snapshot| HeldIndex { snapshot, hold, _locks: [swapping, flushing] }))
    }

    /// Publishes the result of [`HeldIndex::renamed`], together with `also`, and lets writers and
    /// publishers continue.
    ///
    /// # Errors
    /// Those of [`Index::publish`].
    pub async fn publish_renamed(
        &self,
        app: &AppId,
        held: HeldIndex,
        publication: Publication,
        also: Vec<Change>,
    ) -> Result<u64> {
        let prepared = self.prepare(app, publication).await?;
        // The log begins again with the first snapshot of the new generation, which publishing
        // shows, before writers go on.
        let published = self.publish_prepared(app, prepared, also, Turn::Alone).await;
        drop(held);
        published
    }
}

/// While it lives, nobody changes the index of an app.
pub struct HeldIndex {
    snapshot: Arc<Snapshot>,
    hold: Hold,
    _locks: [OwnedMutexGuard<()>; 2],
}

/// Whether a tag is to be flushed, given (live changes, users of the segment).
type Due = Arc<dyn Fn(usize, u64) -> bool + Send + Sync>;

impl HeldIndex {
    /// Its cut, in which all live changes are flushed.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Writes a checkpoint into `folder`, from which a log of live changes can continue at the
    /// position of this one. It contains no changes, for all are flushed: only the position
    /// matters.
    ///
    /// # Errors
    /// `Disk` when the folder cannot be written.
    pub async fn copy_live_to(&self, folder: &Path) -> Result<()> {
        let (overlay, folder) = (self.hold.overlay(), folder.to_owned());
        blocking(move || {
            taghouse_disk::make_folder(&folder).map_err(|e| Error::disk(&folder, &e))?;
            write_checkpoint(&folder, &overlay)
        })
        .await
    }

    /// The same users and values under another generation of the dictionary. Users without a new
    /// ordinal are left out.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read; `Stopped` soon after `stop`.
    pub async fn renamed(
        &self,
        generation: u64,
        renaming: Renaming,
        stop: &CancellationToken,
    ) -> Result<Publication> {
        let (base, stop) = (self.snapshot.clone(), stop.clone());
        blocking(move || renamed(&base, generation, &Renamer { renaming: &*renaming, stop: &stop }))
            .await
    }
}

fn values_of(snapshot: &Snapshot, users: &[Ordinal]) -> Result<Vec<(Name, Ordinal, Value)>> {
    let mut values = Vec::new();
    for (tag, view) in snapshot.segments() {
        let view = view?;
        for ordinal in users {
            values
                .extend(view.value_of(*ordinal)?.map(|value| (tag.name.clone(), *ordinal, value)));
        }
    }
    Ok(values)
}

/// One publication of a flush.
struct Flush {
    users: Bitmap,
    tags: Vec<TagToWrite>,
    /// Users who no longer exist, and are in no tag.
    remove: Bitmap,
    /// Whether nothing is left to flush.
    complete: bool,
}

impl Flush {
    /// `None` when there is nothing to flush.
    fn of(snapshot: &Snapshot, due: &dyn Fn(usize, u64) -> bool) -> Result<Option<Self>> {
        let Some(live) = snapshot.live() else { return Ok(None) };
        let (mut tags, mut users, mut complete) = (Vec::new(), 0, true);
        for info in snapshot.tags() {
            let name = info.name.as_str();
            let changes = live.overlay.tags.get(name).map_or(0, |tag| tag.len());
            let due = changes > 0 && due(changes, info.users);
            if !due && live.deleted.is_empty() {
                continue;
            }
            let Some(view) = snapshot.tag(name)? else { continue };
            // A flush that only removes deleted users leaves the changes on top, and keeps the
            // position, so that a batch that began before them still counts as current.
            let (view, position) = match view.overlay() {
                Some(_) if due => (view, live.overlay.position),
                _ if has_values_of(&view, &live.deleted)? => {
                    (view.without_changes(), info.flushed_through)
                }
                _ => continue,
            };
            if users >= USERS_AT_ONCE {
                complete = false;
                break;
            }
            users += info.users;
            let onto = Onto::Object(info.object.clone());
            let publication = published(info, built(&view, None)?, position);
            tags.push(TagToWrite { publication, onto });
        }
        // While other tags still contain them, deleted users stay among the users, hidden.
        let remove = if complete { live.deleted.as_ref().clone() } else { Bitmap::new() };
        let added = !live.added.is_empty()
            && due(live.added.len() as usize, snapshot.cut.users.bitmap.len());
        if tags.is_empty() && remove.is_empty() && !added {
            return Ok(None);
        }
        Ok(Some(Self { users: snapshot.users().as_ref().clone(), tags, remove, complete }))
    }
}

/// Whether the segment has a value of one of these users.
fn has_values_of(view: &TagView, users: &Arc<Bitmap>) -> Result<bool> {
    if users.is_empty() {
        return Ok(false);
    }
    let existence = UserSet::Stored(view.segment().existence().clone());
    Ok(overlap(&[UserSet::Owned(users.clone())], &[existence], None)?
        .iter()
        .any(|shared| *shared > 0))
}

fn published(info: &TagInfo, segment: Vec<u8>, flushed_through: u64) -> TagPublication {
    TagPublication {
        name: info.name.clone(),
        value_type: info.value_type,
        as_of_ms: info.as_of_ms,
        definition: info.definition.clone(),
        segment: segment.into(),
        flushed_through: Some(flushed_through),
    }
}

/// How users are renamed, until stopped.
pub(crate) struct Renamer<'a> {
    renaming: &'a dyn Fn(Ordinal) -> Option<Ordinal>,
    stop: &'a CancellationToken,
}

impl Renamer<'_> {
    fn goes_on(&self) -> Result<()> {
        if self.stop.is_cancelled() { Err(Error::Stopped) } else { Ok(()) }
    }

    fn set(&self, users: &Bitmap) -> Result<Bitmap> {
        self.goes_on()?;
        Ok(users.iter().filter_map(self.renaming).collect())
    }
}

/// Builds a segment from a tag with its live changes, under new ordinals if users are renamed.
pub(crate) fn built(view: &TagView, renamer: Option<&Renamer<'_>>) -> Result<Vec<u8>> {
    let value_type = view.value_type();
    if value_type.is_number() {
        let mut builder = SegmentBuilder::new(value_type);
        for (number, (ordinal, units)) in view.pairs()?.into_iter().enumerate() {
            if number % RENAMED_AT_ONCE == 0 {
                renamer.map_or(Ok(()), Renamer::goes_on)?;
            }
            if let Some(ordinal) =
                renamer.map_or(Some(ordinal), |renamer| (renamer.renaming)(ordinal))
            {
                builder.add_units(ordinal, units)?;
            }
        }
        return builder.finish();
    }
    let mut values = Vec::new();
    for (value, members) in view.sets()? {
        let users = members.to_bitmap()?;
        values.push((
            value,
            renamer.map_or_else(|| Ok(users.as_ref().clone()), |renamer| renamer.set(&users))?,
        ));
    }
    SegmentBuilder::from_values(value_type, values)
}

fn renamed(snapshot: &Snapshot, generation: u64, renamer: &Renamer<'_>) -> Result<Publication> {
    let mut tags = Vec::new();
    for (info, view) in snapshot.segments() {
        renamer.goes_on()?;
        tags.push(TagPublication {
            flushed_through: None,
            ..published(info, built(&view?, Some(renamer))?, 0)
        });
    }
    let users = renamer.set(snapshot.users())?;
    Ok(Publication { generation, users, tags, drop: Vec::new() })
}
