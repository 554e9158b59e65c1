//! Gathers logged changes into the next overlay, which readers see, and restores the overlay from
//! the log at open.
//!
//! This is the memtable of a log-structured merge-tree: O'Neil, Cheng, Gawlick and O'Neil, "The
//! log-structured merge-tree (LSM-tree)" (Acta Informatica 33, 1996,
//! <https://doi.org/10.1007/s002360050048>). Each tick adds a sorted run for each changed tag, and
//! runs of similar size are merged (`TagOverlay::with`). So an entry is merged O(log n) times, and
//! a reader looks at O(log n) runs.

use super::codec::Item;
use super::entry::Entry;
use super::overlay::{Overlay, TagOverlay};
use super::tag_log::TagLog;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use taghouse_bitmap::Bitmap;
use taghouse_model::{Name, Ordinal, ValueType};

/// Changes replayed at open before they are gathered into the overlay.
const REPLAY_AT_ONCE: usize = 1 << 20;

/// What is logged and not in the overlay yet.
#[derive(Default)]
pub(crate) struct Pending {
    /// The position of the last change logged.
    pub(crate) position: u64,
    entries: usize,
    /// Entries that left here and are not in the overlay yet.
    pub(crate) moving: usize,
    pub(crate) tags: HashMap<Name, (Arc<TagLog>, Vec<Entry>)>,
    pub(crate) added: Vec<Ordinal>,
    pub(crate) deleted: Vec<Ordinal>,
    pub(crate) published: Option<Published>,
}

/// What a revision of the index contains.
pub(crate) struct Published {
    pub(crate) revision: u64,
    /// The users that exist.
    pub(crate) users: Arc<Bitmap>,
    /// Its tags, and up to which position the changes of each are in the segment.
    pub(crate) flushed_through: BTreeMap<Name, u64>,
}

impl Pending {
    /// Nothing pending after `position`.
    pub(crate) fn at(position: u64) -> Self {
        Self { position, ..Self::default() }
    }

    /// Takes everything, to bring it into the overlay. Until then it counts as moving.
    pub(crate) fn take(&mut self) -> Self {
        let next = Self { moving: self.entries, ..Self::at(self.position) };
        std::mem::replace(self, next)
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// Adds entries, the first of which gets position `next`. Gives the position after the last.
    pub(crate) fn push(&mut self, tag: Arc<TagLog>, entries: Vec<Entry>, next: u64) -> u64 {
        let after = next + entries.len() as u64;
        self.entries += entries.len();
        let entries = entries.into_iter().zip(next..).map(|(entry, position)| entry.at(position));
        match self.tags.get_mut(&tag.name) {
            Some((known, all)) if Arc::ptr_eq(known, &tag) => all.extend(entries),
            _ => {
                // Values of a type that the tag no longer has are void; users that they created
                // stay.
                if let Some((_, void)) =
                    self.tags.insert(tag.name.clone(), (tag, entries.collect()))
                {
                    self.added.extend(
                        void.iter().filter(|entry| entry.gives()).map(|entry| entry.ordinal),
                    );
                }
            }
        }
        after
    }
}

impl Overlay {
    /// The next overlay: this one with the pending changes, and without those that a publication
    /// includes. Costs O(p log p) for p pending entries, plus the merges of runs.
    pub(crate) fn gather(&self, pending: Pending) -> Self {
        let Pending { position, tags: changed, mut added, deleted, published, .. } = pending;
        let mut next = self.clone();

        // 1. The state of the index that the overlay lies on.
        next.position = position;
        if let Some(published) = &published {
            next.revision = self.revision.max(published.revision);
            next.users = Some(published.users.clone());
        }

        // 2. Deleted users disappear from all tags.
        if !deleted.is_empty() {
            next.deleted = Arc::new(self.deleted.or(&deleted.into_iter().collect()));
            next.tags.values_mut().for_each(|tag| *tag = Arc::new(tag.without(&next.deleted)));
        }

        // 3. A sorted run for each changed tag. Users who get a value exist from now on.
        let exists =
            |ordinal: Ordinal| next.users.as_ref().is_some_and(|users| users.contains(ordinal));
        for (name, (tag, mut entries)) in changed {
            if !next.deleted.is_empty() {
                entries.retain(|entry| !next.deleted.contains(entry.ordinal));
            }
            added.extend(
                entries
                    .iter()
                    .filter(|entry| entry.gives() && !exists(entry.ordinal))
                    .map(|entry| entry.ordinal),
            );
            let after = match next.tags.get(&name).filter(|before| Arc::ptr_eq(&before.tag, &tag)) {
                Some(before) => before.with(entries),
                None => TagOverlay::new(tag).with(entries),
            };
            next.tags.insert(name, Arc::new(after));
        }

        // 4. Changes that the published segments include leave the overlay.
        if let Some(Published { flushed_through, .. }) = published {
            next.tags.retain(|name, tag| {
                let Some(through) = flushed_through.get(name) else { return false };
                if tag.first() <= *through {
                    *tag = Arc::new(tag.after(*through));
                }
                !tag.is_empty()
            });
        }

        // 5. New users, except those that the index knows by now and those that were deleted.
        let added = if added.is_empty() {
            self.added.clone()
        } else {
            Arc::new(self.added.or(&added.into_iter().collect()))
        };
        let unknown = match &next.users {
            Some(users) if !added.is_empty() => Arc::new(added.and_not(users)),
            _ => added,
        };
        next.added = if next.deleted.is_empty() || unknown.is_empty() {
            unknown
        } else {
            Arc::new(unknown.and_not(&next.deleted))
        };
        next
    }
}

/// The log as it is read back at open.
pub(crate) struct RestoredChanges {
    pub(crate) tags: HashMap<Name, Arc<TagLog>>,
    pub(crate) pending: Pending,
    pub(crate) gathered: Overlay,
    /// See [`TagLog::new`].
    pub(crate) text_bytes: Arc<AtomicU64>,
}

impl RestoredChanges {
    pub(crate) fn take_checkpoint(&mut self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Added(users) => self.gathered.added = Arc::new(users.into_iter().collect()),
                Item::Deleted(users) => {
                    self.gathered.deleted = Arc::new(users.into_iter().collect())
                }
                Item::Tag { name, value_type, texts, entries } => {
                    let (tag, entries) = self.resolve(&name, value_type, &texts, entries);
                    self.gathered.tags.insert(name, Arc::new(TagOverlay::new(tag).with(entries)));
                }
            }
        }
    }

    pub(crate) fn take(&mut self, mut next: u64, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Added(users) => {
                    next += users.len() as u64;
                    self.pending.added.extend(users);
                }
                Item::Deleted(users) => {
                    next += users.len() as u64;
                    self.pending.deleted.extend(users);
                }
                Item::Tag { name, value_type, texts, entries } => {
                    let (tag, entries) = self.resolve(&name, value_type, &texts, entries);
                    next = self.pending.push(tag, entries, next);
                }
            }
        }
        self.pending.position = next - 1;
        if self.pending.entries >= REPLAY_AT_ONCE {
            let position = self.pending.position;
            let pending = std::mem::replace(&mut self.pending, Pending::at(position));
            self.gathered = self.gathered.gather(pending);
        }
    }

    /// The entries, with the codes that their texts have in this process.
    fn resolve(
        &mut self,
        name: &Name,
        value_type: ValueType,
        texts: &[Arc<str>],
        mut entries: Vec<Entry>,
    ) -> (Arc<TagLog>, Vec<Entry>) {
        let known = self.tags.get(name).filter(|tag| tag.value_type == value_type).cloned();
        let tag = known.unwrap_or_else(|| {
            let tag = Arc::new(TagLog::new(name.clone(), value_type, self.text_bytes.clone()));
            self.tags.insert(name.clone(), tag.clone());
            tag
        });
        if tag.has_texts() {
            // Texts of a log were checked before they were written.
            let codes: Vec<i64> =
                texts.iter().map(|text| tag.code(text).unwrap_or(Entry::NONE)).collect();
            for entry in entries.iter_mut().filter(|entry| entry.value != Entry::NONE) {
                entry.value = codes[entry.value as usize];
            }
        }
        (tag, entries)
    }
}
