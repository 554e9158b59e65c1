use crate::error::Result;
use crate::live::{Overlay, TagView};
use crate::tag::{Tag, TagInfo};
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_model::{Name, ValueType};

/// One cut over all tags of an app: it stays readable whatever is published afterwards, and its
/// objects stay as long as it lives.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) cut: Arc<Cut>,
    live: Option<LiveCut>,
}

/// The contents of one revision of the index.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) revision: u64,
    pub(crate) generation: u64,
    pub(crate) users: Users,
    pub(crate) tags: BTreeMap<Name, Arc<Tag>>,
}

/// The live changes on top of a cut.
pub(crate) struct LiveCut {
    pub(crate) overlay: Arc<Overlay>,
    /// The users of the cut, the added users, and all deleted users. Leaves are subsets of it, for
    /// segments still contain deleted users, and runs of changes contain users who were added and
    /// deleted before any flush.
    pub(crate) all: Arc<Bitmap>,
    /// The users that exist.
    pub(crate) users: Arc<Bitmap>,
    /// Users that exist and are not in the cut.
    pub(crate) added: Arc<Bitmap>,
    /// Users of the cut who are deleted.
    pub(crate) deleted: Arc<Bitmap>,
}

#[derive(Debug, Clone)]
pub(crate) struct Users {
    pub(crate) object: String,
    pub(crate) bitmap: Arc<Bitmap>,
}

impl Cut {
    /// The objects that a reader of it needs.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &String> {
        self.tags.values().map(|tag| &tag.info.object).chain(std::iter::once(&self.users.object))
    }
}

impl Snapshot {
    /// `overlay` is of the cut's generation, and holds whatever the cut's segments do not.
    pub(crate) fn new(cut: Arc<Cut>, overlay: Option<Arc<Overlay>>) -> Self {
        let live = overlay.map(|overlay| {
            let users = &cut.users.bitmap;
            let share = |set: &Arc<Bitmap>, result: &dyn Fn() -> Bitmap| {
                if set.is_empty() { set.clone() } else { Arc::new(result()) }
            };
            let added = share(&overlay.added, &|| overlay.added.and_not(users));
            let deleted = share(&overlay.deleted, &|| overlay.deleted.and(users));
            let alive = if added.is_empty() { users.clone() } else { Arc::new(users.or(&added)) };
            let all = if overlay.deleted.is_empty() {
                alive.clone()
            } else {
                Arc::new(alive.or(&overlay.deleted))
            };
            let users = if deleted.is_empty() { alive } else { Arc::new(alive.and_not(&deleted)) };
            LiveCut { overlay, all, users, added, deleted }
        });
        Self { cut, live }
    }

    /// The revision of the index; rises with every publication.
    pub fn revision(&self) -> u64 {
        self.cut.revision
    }

    /// The dictionary's generation that the ordinals are of: with another they mean nothing.
    pub fn generation(&self) -> u64 {
        self.cut.generation
    }

    /// Every live change up to this position of the log is in it; 0 without a log.
    pub fn position(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.overlay.position)
    }

    /// The users that exist.
    pub fn users(&self) -> &Arc<Bitmap> {
        self.live.as_ref().map_or(&self.cut.users.bitmap, |live| &live.users)
    }

    /// The number of users deleted in this generation so far.
    pub fn deleted(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.overlay.deleted.len())
    }

    /// All tags, by name.
    pub fn tags(&self) -> impl Iterator<Item = &TagInfo> {
        self.cut.tags.values().map(|tag| &tag.info)
    }

    /// The metadata of one tag.
    pub fn info(&self, tag: &str) -> Option<&TagInfo> {
        self.cut.tags.get(tag).map(|tag| &tag.info)
    }

    /// One tag's values, live changes among them; `None` for a tag that was never published. The
    /// segment is opened when it is first asked for.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be opened.
    pub fn tag(&self, tag: &str) -> Result<Option<TagView>> {
        self.cut.tags.get(tag).map(|tag| self.view(tag)).transpose()
    }

    /// All tags with their values, for a profile.
    pub fn segments(&self) -> impl Iterator<Item = (&TagInfo, Result<TagView>)> {
        self.cut.tags.values().map(|tag| (&tag.info, self.view(tag)))
    }

    fn view(&self, tag: &Tag) -> Result<TagView> {
        let segment = tag.segment()?;
        let Some(live) = &self.live else { return Ok(TagView::new(segment, None, Arc::default())) };
        let overlay = live.overlay.tags.get(&tag.info.name).map(|overlay| {
            // Just published: the next overlay will leave out what the segment holds.
            if overlay.first() <= tag.info.flushed_through {
                Arc::new(overlay.after(tag.info.flushed_through))
            } else {
                overlay.clone()
            }
        });
        Ok(TagView::new(segment, overlay, live.deleted.clone()))
    }

    pub(crate) fn live(&self) -> Option<&LiveCut> {
        self.live.as_ref()
    }

    /// The types of the tags, for checking expressions.
    pub fn types(&self) -> BTreeMap<Name, ValueType> {
        self.cut.tags.iter().map(|(name, tag)| (name.clone(), tag.info.value_type)).collect()
    }
}

impl std::fmt::Debug for LiveCut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveCut")
            .field("position", &self.overlay.position)
            .field("users", &self.users)
            .finish()
    }
}
