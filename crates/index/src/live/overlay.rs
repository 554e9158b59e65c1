//! The live changes that readers see on top of the segments: immutable, a few sorted runs a tag, each about four times the next newer.

use super::entry::{Entry, Op, merge, normalise};
use super::tag_log::TagLog;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use taghouse_bitmap::Bitmap;
use taghouse_model::{Name, Ordinal};

/// A run not so many times the size of the next newer one is merged with it.
const TIER: usize = 4;

/// All live changes of an app up to one position of its log.
#[derive(Clone, Default)]
pub(crate) struct Overlay {
    /// The dictionary's generation that the ordinals are of.
    pub(crate) generation: u64,
    /// Every change up to here is in it, or in the segments of index revision `revision`.
    pub(crate) position: u64,
    /// Read on top of an older revision of the index it would lack what was folded since.
    pub(crate) revision: u64,
    pub(crate) tags: BTreeMap<Name, Arc<TagOverlay>>,
    /// The index's users, as far as they were told.
    pub(crate) users: Option<Arc<Bitmap>>,
    /// Users that came and may not be among the index's users yet.
    pub(crate) came: Arc<Bitmap>,
    /// Users that are deleted, as long as the generation lasts: a late writer must not bring them back.
    pub(crate) deleted: Arc<Bitmap>,
}

/// The live changes of one tag.
pub(crate) struct TagOverlay {
    pub(crate) tag: Arc<TagLog>,
    /// The newest last.
    runs: Vec<Arc<Run>>,
    touched: OnceLock<Arc<Bitmap>>,
}

/// Changes in the order of their users, of each user (and member of a set) the last.
struct Run {
    entries: Vec<Entry>,
    /// The least position of an entry.
    first: u64,
    touched: OnceLock<Arc<Bitmap>>,
}

/// What the live changes do to one member of a set. The users who have it are (those stored − `removes` − those cleared) + `adds`.
pub(crate) struct MemberChanges {
    pub(crate) adds: Bitmap,
    pub(crate) removes: Bitmap,
}

impl Overlay {
    /// How many entries it holds.
    pub(crate) fn len(&self) -> usize {
        self.tags.values().map(|tag| tag.len()).sum()
    }
}

impl Run {
    fn new(entries: Vec<Entry>) -> Arc<Self> {
        let first = entries.iter().map(Entry::position).min().unwrap_or(u64::MAX);
        Arc::new(Self { entries, first, touched: OnceLock::new() })
    }

    fn touched(&self) -> &Arc<Bitmap> {
        self.touched.get_or_init(|| Arc::new(self.users(|_| true)))
    }

    /// The users of the entries that `fits` takes.
    fn users(&self, fits: impl Fn(&Entry) -> bool) -> Bitmap {
        let mut users: Vec<Ordinal> = self.entries.iter().filter(|entry| fits(entry)).map(|entry| entry.ordinal).collect();
        users.dedup();
        Bitmap::from_sorted(&users)
    }

    fn of(&self, ordinal: Ordinal) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.ordinal < ordinal);
        let rest = &self.entries[start..];
        &rest[..rest.iter().take_while(|entry| entry.ordinal == ordinal).count()]
    }
}

impl TagOverlay {
    /// No change yet.
    pub(crate) fn new(tag: Arc<TagLog>) -> Self {
        Self { tag, runs: Vec::new(), touched: OnceLock::new() }
    }

    /// With entries of later positions, in the order of those.
    pub(crate) fn with(&self, entries: Vec<Entry>) -> Self {
        self.with_normal(normalise(entries))
    }

    /// With a run that is normal already.
    pub(crate) fn with_normal(&self, entries: Vec<Entry>) -> Self {
        let mut runs = self.runs.clone();
        let mut newest = Run::new(entries);
        while let Some(older) = runs.pop_if(|older| older.entries.len() < TIER * newest.entries.len()) {
            newest = Run::new(merge(&older.entries, &newest.entries));
        }
        if !newest.entries.is_empty() {
            runs.push(newest);
        }
        Self { tag: self.tag.clone(), runs, touched: OnceLock::new() }
    }

    /// Only the changes that `keep` takes.
    fn filtered(&self, keep: impl Fn(&Entry) -> bool) -> Self {
        let runs = self.runs.iter().map(|run| {
            if run.entries.iter().all(&keep) { run.clone() } else { Run::new(run.entries.iter().copied().filter(&keep).collect()) }
        });
        let runs = runs.filter(|run| !run.entries.is_empty()).collect();
        Self { tag: self.tag.clone(), runs, touched: OnceLock::new() }
    }

    /// Only the changes later than `position`.
    pub(crate) fn after(&self, position: u64) -> Self {
        self.filtered(|entry| entry.position() > position)
    }

    /// Without the changes of some users.
    pub(crate) fn without(&self, users: &Bitmap) -> Self {
        self.filtered(|entry| !users.contains(entry.ordinal))
    }

    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.runs.iter().map(|run| run.entries.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The least position of a change; over all positions when there is none.
    pub(crate) fn first(&self) -> u64 {
        self.runs.iter().map(|run| run.first).min().unwrap_or(u64::MAX)
    }

    /// All changes as one run.
    pub(crate) fn merged(&self) -> Vec<Entry> {
        // From the newest on: the sizes grow with the age.
        let mut runs = self.runs.iter().rev();
        let newest = runs.next().map_or_else(Vec::new, |run| run.entries.clone());
        runs.fold(newest, |newer, older| merge(&older.entries, &newer))
    }

    /// The users whose values are not (only) those of the segment.
    pub(crate) fn touched(&self) -> &Arc<Bitmap> {
        self.touched.get_or_init(|| match &self.runs[..] {
            [only] => only.touched().clone(),
            runs => Arc::new(Bitmap::union(runs.iter().map(|run| run.touched().as_ref()))),
        })
    }

    /// Of a tag of one value: the users whose live value `fits`.
    pub(crate) fn matching(&self, fits: &dyn Fn(i64) -> bool) -> Bitmap {
        self.collect(&|entry| entry.op() == Op::Set && fits(entry.value))
    }

    /// Of a tag of one value: the users of the entries that `fits` takes, of each user the last.
    fn collect(&self, fits: &dyn Fn(&Entry) -> bool) -> Bitmap {
        let mut runs = self.runs.iter();
        let oldest = runs.next().map_or_else(Bitmap::new, |run| run.users(fits));
        runs.fold(oldest, |users, run| {
            let newer = run.users(fits);
            let kept = if users.is_empty() { users } else { users.and_not(run.touched()) };
            if newer.is_empty() { kept } else { kept.or(&newer) }
        })
    }

    /// Of a tag of one value: the last change of a user.
    pub(crate) fn latest(&self, ordinal: Ordinal) -> Option<Entry> {
        self.runs.iter().rev().find_map(|run| run.of(ordinal).first().copied())
    }

    /// Of a set: applies the changes of one user to the members stored.
    pub(crate) fn apply(&self, ordinal: Ordinal, members: &mut BTreeSet<Arc<str>>) {
        for entry in self.runs.iter().flat_map(|run| run.of(ordinal)) {
            match entry.op() {
                Op::Clear => members.clear(),
                Op::Add => {
                    members.extend(self.tag.text(entry.value));
                }
                _ => {
                    if let Some(text) = self.tag.text(entry.value) {
                        members.remove(&text);
                    }
                }
            }
        }
    }

    /// Of a set: the users whose stored members are all gone.
    pub(crate) fn cleared(&self) -> Bitmap {
        Bitmap::union(&self.runs.iter().map(|run| run.users(|entry| entry.op() == Op::Clear)).collect::<Vec<_>>())
    }

    /// Of a set: what happens to one member.
    pub(crate) fn member(&self, code: i64) -> MemberChanges {
        let mut changes = MemberChanges { adds: Bitmap::new(), removes: Bitmap::new() };
        for run in &self.runs {
            let removes = run.users(|entry| entry.op() == Op::Remove && entry.value == code);
            let adds = run.users(|entry| entry.op() == Op::Add && entry.value == code);
            if !changes.adds.is_empty() {
                let cleared = run.users(|entry| entry.op() == Op::Clear);
                changes.adds = changes.adds.and_not(&removes).and_not(&cleared);
            }
            changes.adds = changes.adds.or(&adds);
            changes.removes = changes.removes.or(&removes);
        }
        changes
    }

    /// The different values of its entries: of sets, the members added or removed.
    pub(crate) fn values(&self) -> BTreeSet<i64> {
        let named = self.runs.iter().flat_map(|run| &run.entries).filter(|entry| !matches!(entry.op(), Op::Unset | Op::Clear));
        named.map(|entry| entry.value).collect()
    }
}
