//! The live changes that readers see on top of the segments: immutable, a few sorted runs a tag,
//! each at least twice the next newer.

use super::entry::{Entry, Op};
use super::run::{ChangeRun, Fitting};
use super::tag_log::TagLog;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use taghouse_bitmap::{Bitmap, Edits};
use taghouse_model::{Name, Ordinal, ValueType};

/// A run not so many times the size of the next newer one is merged with it. A question pays for
/// each run, a change for each merge: after 150 ticks with as many changes each there are 3.5 runs
/// on average, and a change was merged 6.5 times; with 8 these are 1.9 and 11.3.
const TIER: usize = 2;

/// Who shows readers the live changes.
pub(crate) trait ShowsOverlay: Send + Sync {
    /// Other live changes.
    fn set_overlay(&self, overlay: Arc<Overlay>);
}

/// All live changes of an app up to one position of its log.
#[derive(Clone, Default)]
pub(crate) struct Overlay {
    /// The dictionary's generation that the ordinals are of.
    pub(crate) generation: u64,
    /// Every change up to here is in it, or in the segments of index revision `revision`.
    pub(crate) position: u64,
    /// Read on top of an older revision of the index it would lack what was flushed since.
    pub(crate) revision: u64,
    pub(crate) tags: BTreeMap<Name, Arc<TagOverlay>>,
    /// The index's users, as far as they were told.
    pub(crate) users: Option<Arc<Bitmap>>,
    /// Added users who may not be among the users of the index yet.
    pub(crate) added: Arc<Bitmap>,
    /// Users that are deleted, as long as the generation lasts: a late writer must not bring them
    /// back.
    pub(crate) deleted: Arc<Bitmap>,
}

/// The live changes of one tag.
pub(crate) struct TagOverlay {
    pub(crate) tag: Arc<TagLog>,
    /// The newest last.
    runs: Vec<Arc<ChangeRun>>,
    touched: OnceLock<Arc<Bitmap>>,
    values: OnceLock<BTreeSet<i64>>,
    /// By member of a set; `Entry::NONE` for one that no change names.
    edits: Mutex<HashMap<i64, Arc<Edits>>>,
}

/// What one run does to the users of a condition: it takes some away, then adds others.
pub(crate) struct Layer {
    /// Who is not in it any more, whatever was before.
    pub(crate) drop: Arc<Bitmap>,
    /// Who is in it from now on.
    pub(crate) add: Vec<Arc<Bitmap>>,
}

impl Overlay {
    /// How many entries it holds.
    pub(crate) fn len(&self) -> usize {
        self.tags.values().map(|tag| tag.len()).sum()
    }

    /// Makes what questions will read, so that none of them has to.
    pub(crate) fn prepare(&self) {
        for tag in self.tags.values() {
            tag.runs.iter().for_each(|run| run.prepare(tag.tag.value_type == ValueType::Set));
        }
    }
}

impl TagOverlay {
    /// No change yet.
    pub(crate) fn new(tag: Arc<TagLog>) -> Self {
        Self::of(tag, Vec::new())
    }

    fn of(tag: Arc<TagLog>, runs: Vec<Arc<ChangeRun>>) -> Self {
        Self {
            tag,
            runs,
            touched: OnceLock::new(),
            values: OnceLock::new(),
            edits: Mutex::default(),
        }
    }

    /// With entries of later positions, in the order of those.
    pub(crate) fn with(&self, entries: Vec<Entry>) -> Self {
        self.with_run(ChangeRun::of(entries))
    }

    fn with_run(&self, mut newest: Arc<ChangeRun>) -> Self {
        let mut runs = self.runs.clone();
        while let Some(older) = runs.pop_if(|older| older.len() < TIER * newest.len()) {
            newest = older.merged(&newest);
        }
        if newest.len() > 0 {
            runs.push(newest);
        }
        self.of_runs(runs)
    }

    fn of_runs(&self, runs: Vec<Arc<ChangeRun>>) -> Self {
        Self::of(self.tag.clone(), runs)
    }

    /// Only the changes that `keep` takes.
    fn filtered(&self, keep: impl Fn(&Entry) -> bool) -> Self {
        let runs = self.runs.iter().map(|run| run.filtered(&keep));
        self.of_runs(runs.filter(|run| run.len() > 0).collect())
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
        self.runs.iter().map(|run| run.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The least position of a change; over all positions when there is none.
    pub(crate) fn first(&self) -> u64 {
        self.runs.iter().map(|run| run.first()).min().unwrap_or(u64::MAX)
    }

    /// All changes as one run.
    pub(crate) fn merged(&self) -> Vec<Entry> {
        // From the newest on: the sizes grow with the age.
        let mut runs = self.runs.iter().rev();
        let newest = runs.next().map_or_else(Vec::new, |run| run.entries().to_vec());
        runs.fold(newest, |newer, older| older.merged_with(&newer))
    }

    /// The users whose values are not (only) those of the segment.
    pub(crate) fn touched(&self) -> &Arc<Bitmap> {
        self.touched.get_or_init(|| match &self.runs[..] {
            [only] => only.touched().clone(),
            runs => Arc::new(Bitmap::union(runs.iter().map(|run| run.touched().as_ref()))),
        })
    }

    /// Of a tag of one value: what the runs do to the users of a condition, the oldest first.
    pub(crate) fn layers(&self, fitting: &Fitting) -> Vec<Layer> {
        self.runs
            .iter()
            .map(|run| Layer { drop: run.touched().clone(), add: run.fitting(fitting) })
            .collect()
    }

    /// Of a set: the users who got a member or lost it since it was stored; `None` for a member
    /// that no change names, which only those lost whose set was cleared.
    pub(crate) fn edits(&self, code: Option<i64>) -> Arc<Edits> {
        let code = code.unwrap_or(Entry::NONE);
        if let Some(known) = self.edits.lock().get(&code) {
            return known.clone();
        }
        let mut edits = Vec::new();
        // Whoever is named later counts. Within a run, what was added before a clearing is deleted.
        for run in &self.runs {
            edits.extend(run.members_of(Op::Clear, Entry::NONE).iter().map(|user| (*user, false)));
            if code != Entry::NONE {
                edits.extend(run.members_of(Op::Remove, code).iter().map(|user| (*user, false)));
                edits.extend(run.members_of(Op::Add, code).iter().map(|user| (*user, true)));
            }
        }
        let edits = Arc::new(Edits::new(edits));
        self.edits.lock().insert(code, edits.clone());
        edits
    }

    /// Of a tag of one value: the touched users who have a value.
    pub(crate) fn having(&self) -> Bitmap {
        self.layers(&Fitting::Any).iter().fold(Bitmap::new(), |before, Layer { drop, add }| {
            let kept = if before.is_empty() { before } else { before.and_not(drop) };
            Bitmap::union(std::iter::once(&kept).chain(add.iter().map(AsRef::as_ref)))
        })
    }

    /// Of a tag of one value: the last change of a user.
    pub(crate) fn latest(&self, ordinal: Ordinal) -> Option<Entry> {
        self.runs.iter().rev().find_map(|run| run.of_user(ordinal).first().copied())
    }

    /// Of a set: applies the changes of one user to the members stored.
    pub(crate) fn apply(&self, ordinal: Ordinal, members: &mut BTreeSet<Arc<str>>) {
        for entry in self.runs.iter().flat_map(|run| run.of_user(ordinal)) {
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

    /// Of a set: the users whose stored members are all deleted.
    pub(crate) fn cleared(&self) -> Bitmap {
        let mut cleared: Vec<Ordinal> = self
            .runs
            .iter()
            .flat_map(|run| run.members_of(Op::Clear, Entry::NONE))
            .copied()
            .collect();
        cleared.sort();
        cleared.dedup();
        Bitmap::from_sorted(&cleared)
    }

    /// The different values of its entries: of sets, the members added or removed.
    pub(crate) fn values(&self) -> &BTreeSet<i64> {
        self.values.get_or_init(|| self.runs.iter().flat_map(|run| run.values()).collect())
    }
}
