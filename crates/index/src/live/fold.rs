//! Live changes into new segments, in the background: readers and writers go on.

use super::app_log::Hold;
use super::blocking;
use super::view::TagView;
use crate::builder::SegmentBuilder;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::publish::{Publication, TagPublication};
use crate::snapshot::{Snapshot, TagInfo};
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, Members, overlap};
use taghouse_catalog::Change;
use taghouse_model::{AppId, ErrorKind, Name, Ordinal, Value};

/// How often a fold begins anew because somebody else published meanwhile.
const ATTEMPTS: usize = 16;
/// The users of the segments of one publication, about: they are in memory together.
const USERS_AT_ONCE: u64 = 64 << 20;

/// Gives each ordinal its new one; `None` for users who are no more.
pub type Renaming = Arc<dyn Fn(Ordinal) -> Option<Ordinal> + Send + Sync>;

/// What a deletion took away.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedUsers {
    /// The position of the deletion in the log.
    pub position: u64,
    /// The values that the users had, by tag and user.
    pub values: Vec<(Name, Ordinal, Value)>,
}

impl Index {
    /// Folds all live changes of an app that are visible now, deletions too. How many tags got a new segment.
    ///
    /// # Errors
    /// Those of [`Index::snapshot`] and [`Index::publish`]; `NoLog` for an index without live changes.
    pub async fn fold(&self, app: &AppId) -> Result<usize> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        blocking(move || Ok(log.tick())).await?;
        self.fold_where(app, Arc::new(|_, _| true)).await
    }

    /// Folds the tags that have grown over the threshold, and deletions. How many tags got a new segment.
    ///
    /// # Errors
    /// As [`Index::fold`].
    pub async fn fold_due(&self, app: &AppId) -> Result<usize> {
        let options = self.live.as_ref().ok_or(Error::NoLog)?.options.clone();
        let due = move |changes: usize, users: u64| changes >= options.fold_changes && changes as u64 >= users / options.fold_share;
        self.fold_where(app, Arc::new(due)).await
    }

    /// Folds the tags of which `due` says so, of (live changes, users of the segment).
    async fn fold_where(&self, app: &AppId, due: Arc<dyn Fn(usize, u64) -> bool + Send + Sync>) -> Result<usize> {
        let mut folded = 0;
        for _ in 0..ATTEMPTS {
            let Some(snapshot) = self.snapshot(app).await? else { return Ok(folded) };
            let (base, due) = (snapshot.clone(), due.clone());
            let Some(fold) = blocking(move || Fold::of(&base, &*due)).await? else { return Ok(folded) };
            let (tags, complete) = (fold.publication.tags.len(), fold.complete);
            match self.publish_at(app, Some(snapshot.revision()), fold.publication, &fold.remove, vec![]).await {
                Ok(_) if complete => {
                    // The next overlay leaves out what is in the segments now.
                    self.snapshot(app).await?;
                    return Ok(folded + tags);
                }
                Ok(_) => folded += tags,
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Internal(format!("the index of app {app} was published {ATTEMPTS} times while it was being folded")))
    }

    /// Deletes users: gone from every tag and from the users that exist when this returns, from all files at the next fold. Their ordinals
    /// never come back within the generation, whatever is written or published later. What they had is told for a receipt.
    ///
    /// # Errors
    /// Those of [`Index::change`].
    pub async fn delete_users(&self, app: &AppId, generation: u64, users: &[Ordinal]) -> Result<DeletedUsers> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        let ticking = log.clone();
        blocking(move || Ok(ticking.tick())).await?;
        let values = match self.snapshot(app).await? {
            Some(snapshot) => {
                let users = users.to_vec();
                blocking(move || values_of(&snapshot, &users)).await?
            }
            None => Vec::new(),
        };
        let (changes, deleted) = (super::Changes { generation, ..super::Changes::default() }, users.to_vec());
        let changing = log.clone();
        let answer = blocking(move || changing.change(&changes, &deleted)).await?;
        let position = answer.await.map_err(|_| Error::Internal("the thread that logs changes has ended".to_owned()))??;
        blocking(move || Ok(log.tick())).await?;
        Ok(DeletedUsers { position, values })
    }

    /// Gives all users new ordinals under another generation of the dictionary: folds everything, rewrites every segment, and lets writers
    /// wait meanwhile. Who has no new ordinal is gone.
    ///
    /// # Errors
    /// Those of [`Index::fold`]; `Conflict` when somebody else published meanwhile (call again).
    pub async fn remap(&self, app: &AppId, generation: u64, renaming: Renaming) -> Result<u64> {
        let Some(held) = self.hold(app).await? else { return Ok(0) };
        let publication = held.renamed(generation, renaming).await?;
        self.publish_renamed(app, held, publication, vec![]).await
    }

    /// Lets writers of live changes wait as long as the result lives, and folds what they have written. `None` when nothing was published.
    ///
    /// # Errors
    /// Those of [`Index::fold`].
    pub async fn hold(&self, app: &AppId) -> Result<Option<HeldIndex>> {
        let log = self.log(app).await?.ok_or(Error::NoLog)?;
        let hold = blocking(move || Ok(log.hold())).await?;
        self.fold_where(app, Arc::new(|_, _| true)).await?;
        Ok(self.snapshot(app).await?.map(|snapshot| HeldIndex { snapshot, _hold: hold }))
    }

    /// Publishes what [`HeldIndex::renamed`] made, together with `also`, and lets writers go on.
    ///
    /// # Errors
    /// Those of [`Index::publish`].
    pub async fn publish_renamed(&self, app: &AppId, held: HeldIndex, publication: Publication, also: Vec<Change>) -> Result<u64> {
        // The log begins anew with the first snapshot of the new generation, which publishing takes, before writers go on.
        self.publish_at(app, Some(held.snapshot.revision()), publication, &Bitmap::new(), also).await
    }
}

/// An index that nobody changes.
pub struct HeldIndex {
    snapshot: Arc<Snapshot>,
    _hold: Hold,
}

impl HeldIndex {
    /// Its cut, in which all live changes are folded.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The same users and values under another generation of the dictionary. Who has no new ordinal is left out.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be read.
    pub async fn renamed(&self, generation: u64, renaming: Renaming) -> Result<Publication> {
        let base = self.snapshot.clone();
        blocking(move || renamed(&base, generation, &*renaming)).await
    }
}

fn values_of(snapshot: &Snapshot, users: &[Ordinal]) -> Result<Vec<(Name, Ordinal, Value)>> {
    let mut values = Vec::new();
    for (tag, view) in snapshot.segments() {
        let view = view?;
        for ordinal in users {
            values.extend(view.value_of(*ordinal)?.map(|value| (tag.name.clone(), *ordinal, value)));
        }
    }
    Ok(values)
}

/// One publication of a fold.
struct Fold {
    publication: Publication,
    /// Users who exist no more: no tag holds them any longer.
    remove: Bitmap,
    /// Nothing is left to fold.
    complete: bool,
}

impl Fold {
    /// `None` when there is nothing to fold.
    fn of(snapshot: &Snapshot, due: &dyn Fn(usize, u64) -> bool) -> Result<Option<Self>> {
        let Some(live) = snapshot.live() else { return Ok(None) };
        let (mut tags, mut users, mut complete) = (Vec::new(), 0, true);
        for info in snapshot.tags() {
            let name = info.name.as_str();
            let changes = live.overlay.tags.get(name).map_or(0, |tag| tag.len());
            let due = changes > 0 && due(changes, info.users);
            if !due && live.gone.is_empty() {
                continue;
            }
            let Some(view) = snapshot.tag(name)? else { continue };
            if !(due && view.is_changed() || holds(&view, &live.gone)?) {
                continue;
            }
            if users >= USERS_AT_ONCE {
                complete = false;
                break;
            }
            users += info.users;
            tags.push(published(info, built(&view, None)?, live.overlay.position));
        }
        let remove = if complete { live.gone.as_ref().clone() } else { Bitmap::new() };
        let came = !live.came.is_empty() && due(live.came.len() as usize, snapshot.cut.users.bitmap.len());
        if tags.is_empty() && remove.is_empty() && !came {
            return Ok(None);
        }
        let users = snapshot.users().as_ref().clone();
        // As long as other tags hold them the deleted stay among the users, unseen.
        let users = if complete { users } else { users.or(&live.gone) };
        let publication = Publication { generation: snapshot.generation(), users, tags, drop: Vec::new() };
        Ok(Some(Self { publication, remove, complete }))
    }
}

/// Whether the segment has a value of one of these users.
fn holds(view: &TagView, users: &Arc<Bitmap>) -> Result<bool> {
    if users.is_empty() {
        return Ok(false);
    }
    let existence = Members::Stored(view.segment().existence().clone());
    Ok(overlap(&[Members::Owned(users.clone())], &[existence], None)?.iter().any(|shared| *shared > 0))
}

fn published(info: &TagInfo, segment: Vec<u8>, subsumes: u64) -> TagPublication {
    TagPublication {
        name: info.name.clone(),
        value_type: info.value_type,
        as_of_ms: info.as_of_ms,
        definition: info.definition.clone(),
        segment,
        subsumes: Some(subsumes),
    }
}

/// A segment of what a tag holds with its live changes, and of each user's new ordinal if they are renamed.
fn built(view: &TagView, renaming: Option<&dyn Fn(Ordinal) -> Option<Ordinal>>) -> Result<Vec<u8>> {
    let value_type = view.value_type();
    if value_type.is_number() {
        let mut builder = SegmentBuilder::new(value_type);
        for (ordinal, units) in view.pairs()? {
            if let Some(ordinal) = renaming.map_or(Some(ordinal), |renaming| renaming(ordinal)) {
                builder.add_units(ordinal, units)?;
            }
        }
        return builder.finish();
    }
    let mut values = Vec::new();
    for (value, members) in view.sets()? {
        let users = members.to_bitmap()?;
        values.push((value, renaming.map_or_else(|| users.as_ref().clone(), |renaming| users.iter().filter_map(renaming).collect())));
    }
    SegmentBuilder::from_values(value_type, values)
}

fn renamed(snapshot: &Snapshot, generation: u64, renaming: &dyn Fn(Ordinal) -> Option<Ordinal>) -> Result<Publication> {
    let mut tags = Vec::new();
    for (info, view) in snapshot.segments() {
        tags.push(TagPublication { subsumes: None, ..published(info, built(&view?, Some(renaming))?, 0) });
    }
    let users = snapshot.users().iter().filter_map(renaming).collect();
    Ok(Publication { generation, users, tags, drop: Vec::new() })
}
