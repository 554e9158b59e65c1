use crate::compile::Compiler;
use crate::error::Result;
use crate::live::{Changed, Overlay, TagView};
use crate::tag::Tag;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, Formula, Query, SHARD_SIZE};
use taghouse_model::{Name, Ordinal, TimestampMs, Value, ValueType};
use taghouse_rules::Predicate;

/// Up to so many changed users of a shard are asked one by one, on top of what the segments say…
const FEW_OF_SHARD: u64 = 256;
/// …and no more than one in so many of all. Of more the whole formula reads the live changes.
const FEW_SHARE: u64 = 16;

/// One cut over all tags of an app: it stays readable whatever is published afterwards, and its objects stay as long as it lives.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) cut: Arc<Cut>,
    live: Option<LiveCut>,
}

/// What one revision of the index holds.
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
    /// The users of the cut, those that came, and all who were deleted: leaves must lie within them, for segments hold the deleted yet, and so
    /// do runs of changes those who came and were deleted before any fold.
    all: Arc<Bitmap>,
    /// The users that exist.
    users: Arc<Bitmap>,
    /// Users that exist and are not in the cut.
    pub(crate) came: Arc<Bitmap>,
    /// Users of the cut who are deleted.
    pub(crate) gone: Arc<Bitmap>,
}

#[derive(Debug, Clone)]
pub(crate) struct Users {
    pub(crate) object: String,
    pub(crate) bitmap: Arc<Bitmap>,
}

/// What is known of a tag in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct TagInfo {
    /// The tag.
    pub name: Name,
    /// The type of its values.
    pub value_type: ValueType,
    /// The instant its values speak of.
    pub as_of_ms: TimestampMs,
    /// How many users have a value.
    pub users: u64,
    /// The definition it was produced by, as given to `publish`.
    pub definition: Json,
    /// The segment's path in the object store.
    pub object: String,
    /// Live changes up to this position of their log are in the segment.
    pub subsumes: u64,
}

impl Cut {
    /// The objects that reading it takes.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &String> {
        self.tags.values().map(|tag| &tag.info.object).chain(std::iter::once(&self.users.object))
    }
}

impl Snapshot {
    /// `overlay` is of the cut's generation, and holds whatever the cut's segments do not.
    pub(crate) fn new(cut: Arc<Cut>, overlay: Option<Arc<Overlay>>) -> Self {
        let live = overlay.map(|overlay| {
            let users = &cut.users.bitmap;
            let share = |set: &Arc<Bitmap>, result: &dyn Fn() -> Bitmap| if set.is_empty() { set.clone() } else { Arc::new(result()) };
            let came = share(&overlay.came, &|| overlay.came.and_not(users));
            let gone = share(&overlay.deleted, &|| overlay.deleted.and(users));
            let alive = if came.is_empty() { users.clone() } else { Arc::new(users.or(&came)) };
            let all = if overlay.deleted.is_empty() { alive.clone() } else { Arc::new(alive.or(&overlay.deleted)) };
            let users = if gone.is_empty() { alive } else { Arc::new(alive.and_not(&gone)) };
            LiveCut { overlay, all, users, came, gone }
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

    /// How many users were deleted in this generation so far: sets of it hold none of them.
    pub fn deleted(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.overlay.deleted.len())
    }

    /// All tags, by name.
    pub fn tags(&self) -> impl Iterator<Item = &TagInfo> {
        self.cut.tags.values().map(|tag| &tag.info)
    }

    /// What is known of one tag.
    pub fn info(&self, tag: &str) -> Option<&TagInfo> {
        self.cut.tags.get(tag).map(|tag| &tag.info)
    }

    /// One tag's values, live changes among them; `None` for a tag that was never published. The segment is opened when it is first asked
    /// for.
    ///
    /// # Errors
    /// `Corrupt` and `Store` name the object that cannot be opened.
    pub fn tag(&self, tag: &str) -> Result<Option<TagView>> {
        self.cut.tags.get(tag).map(|tag| self.view(tag)).transpose()
    }

    /// All tags with their values: what a profile goes through.
    pub fn segments(&self) -> impl Iterator<Item = (&TagInfo, Result<TagView>)> {
        self.cut.tags.values().map(|tag| (&tag.info, self.view(tag)))
    }

    fn view(&self, tag: &Tag) -> Result<TagView> {
        let segment = tag.segment()?;
        let Some(live) = &self.live else { return Ok(TagView::new(segment, None, Arc::default())) };
        let overlay = live.overlay.tags.get(&tag.info.name).map(|overlay| {
            // Just published: the next overlay will leave out what the segment holds.
            if overlay.first() <= tag.info.subsumes { Arc::new(overlay.after(tag.info.subsumes)) } else { overlay.clone() }
        });
        Ok(TagView::new(segment, overlay, live.gone.clone()))
    }

    pub(crate) fn live(&self) -> Option<&LiveCut> {
        self.live.as_ref()
    }

    /// The tags' types, as the check of an expression wants them.
    pub fn types(&self) -> BTreeMap<Name, ValueType> {
        self.cut.tags.iter().map(|(name, tag)| (name.clone(), tag.info.value_type)).collect()
    }

    /// A condition, ready to be counted, listed or asked of one user. `crowds` gives the members of another crowd.
    ///
    /// # Errors
    /// `UnknownTag` and `UnknownCrowd` for what was never published, `Mismatch` for a literal that the tag's values in the index cannot be
    /// compared with; `Corrupt` and `Store` name an object that cannot be opened.
    pub fn evaluate(&self, predicate: &Predicate<Value>, crowds: &dyn Fn(&str) -> Option<Arc<Bitmap>>) -> Result<Query> {
        let stored = self.cut.users.bitmap.clone();
        let compiler = |live| Compiler { snapshot: self, crowds, live, changed: RefCell::default() };
        let formula = compiler(false).formula(predicate)?;
        let Some(live) = &self.live else { return Ok(Query::new(stored, formula)) };
        let compiler = compiler(true);
        let patch = compiler.formula(predicate)?;
        let changed = compiler.changed.into_inner();
        let most = changed.iter().map(Changed::most).sum::<u64>() + live.came.len() + live.gone.len();
        if most == 0 {
            return Ok(Query::new(stored, formula));
        }
        // Of somebody who does not exist a value can be taken away; leaves must lie within those who are asked all the same.
        let mut strangers = live.overlay.deleted.clone();
        let mut everybody = live.all.clone();
        let tags = || changed.iter().filter_map(|changed| if let Changed::Tag(tag) = changed { Some(tag.touched()) } else { None });
        for touched in tags().filter(|touched| !touched.is_subset(&live.all)) {
            strangers = Arc::new(strangers.or(&touched.and_not(&live.all)));
            everybody = Arc::new(everybody.or(touched));
        }
        let patch = Formula::and(vec![patch, Formula::owned(strangers).not()]);
        let (all, shards) = (live.all.len(), live.all.len().div_ceil(u64::from(SHARD_SIZE)));
        if most > (shards * FEW_OF_SHARD).min(all / FEW_SHARE) {
            return Ok(Query::new(everybody, patch));
        }
        let members = changed.iter().filter_map(|changed| if let Changed::Member(edits) = changed { Some(edits.users()) } else { None });
        let mut members: Vec<Ordinal> = members.flatten().copied().collect();
        // Stable, for it takes a few ascending runs as they are.
        members.sort();
        members.dedup();
        let members = Bitmap::from_sorted(&members);
        let changed = Bitmap::union(tags().chain([&live.came, &live.gone]).map(AsRef::as_ref).chain([&members]));
        Ok(Query::patched(stored, formula, Arc::new(changed), everybody, patch))
    }
}

impl std::fmt::Debug for LiveCut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveCut").field("position", &self.overlay.position).field("users", &self.users).finish()
    }
}
