//! Rows from ahead of time: a caller's clock is fast, or a date lies in the future. They count when
//! their time has come, as in a production; until then what they add to states waits here.

use crate::state::{TagUpdates, Update};
use crate::store::{PageKey, PageKind, PageStore};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use taghouse_index::Bitmap;
use taghouse_model::{Ordinal, TimestampMs};

/// What waits of an app.
#[derive(Default)]
pub(crate) struct Ahead {
    by_time: BTreeMap<TimestampMs, BTreeMap<u64, Vec<Update>>>,
    /// Instants and tags whose pages are not as they are here.
    changed: BTreeSet<(TimestampMs, u64)>,
    /// The tags' hashes, by which all is kept, and their numbers.
    numbers: HashMap<u64, usize>,
    hashes: Vec<u64>,
}

impl Ahead {
    /// Of tags with these hashes.
    pub(crate) fn new(tags: &[u64]) -> Self {
        let numbers = tags.iter().copied().zip(0..).collect();
        Self { numbers, hashes: tags.to_vec(), ..Self::default() }
    }

    /// What a checkpoint holds.
    pub(crate) async fn load(tags: &[u64], store: &mut PageStore) -> Result<Self> {
        let mut ahead = Self::new(tags);
        let keys = store.keys(PageKind::Ahead);
        for (key, page) in store.load(&keys).await? {
            if ahead.numbers.contains_key(&key.tag) {
                let updates = decode(&page).ok_or_else(|| Error::damaged("rows ahead of time"))?;
                ahead.by_time.entry(key.number).or_default().insert(key.tag, updates);
            }
        }
        Ok(ahead)
    }

    /// Goes on with other tags; what waits for those of the same hash goes on to wait.
    pub(crate) fn replan(&mut self, tags: &[u64]) {
        let former = std::mem::replace(self, Self::new(tags));
        self.changed = former.changed;
        self.by_time = former.by_time;
        for by_tag in self.by_time.values_mut() {
            by_tag.retain(|tag, _| self.numbers.contains_key(tag));
        }
    }

    /// Takes over what waits for tags that nothing waits for here.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (time_ms, by_tag) in other.by_time {
            self.changed.extend(by_tag.keys().map(|tag| (time_ms, *tag)));
            self.by_time.entry(time_ms).or_default().extend(by_tag);
        }
    }

    /// Updates of a tag that count from `time_ms` on.
    pub(crate) fn add(&mut self, time_ms: TimestampMs, updates: TagUpdates) {
        let TagUpdates { tag, updates } = updates;
        let tag = self.hashes[tag];
        self.by_time.entry(time_ms).or_default().entry(tag).or_default().extend(updates);
        self.changed.insert((time_ms, tag));
    }

    /// Whether the time of some has come.
    pub(crate) fn is_due(&self, now_ms: TimestampMs) -> bool {
        self.by_time.first_key_value().is_some_and(|(time_ms, _)| *time_ms < now_ms)
    }

    /// The updates whose time has come. One user may stand there several times.
    pub(crate) fn release(&mut self, now_ms: TimestampMs) -> BTreeMap<usize, Vec<Update>> {
        let waiting = self.by_time.split_off(&now_ms);
        let mut due: BTreeMap<usize, Vec<Update>> = BTreeMap::new();
        for (time_ms, by_tag) in std::mem::replace(&mut self.by_time, waiting) {
            for (tag, updates) in by_tag {
                self.changed.insert((time_ms, tag));
                if let Some(number) = self.numbers.get(&tag) {
                    due.entry(*number).or_default().extend(updates);
                }
            }
        }
        due
    }

    /// The earliest instant that rows wait for.
    pub(crate) fn first_ms(&self) -> Option<TimestampMs> {
        self.by_time.first_key_value().map(|(time_ms, _)| *time_ms)
    }

    /// Forgets users who are deleted.
    pub(crate) fn erase(&mut self, deleted: &Bitmap) {
        for (time_ms, by_tag) in &mut self.by_time {
            for (tag, updates) in by_tag {
                let before = updates.len();
                updates.retain(|update| !deleted.contains(update.ordinal));
                if updates.len() < before {
                    self.changed.insert((*time_ms, *tag));
                }
            }
        }
    }

    /// What waits of one user is another's.
    pub(crate) fn adopt(&mut self, from: Ordinal, to: Ordinal) {
        for (time_ms, by_tag) in &mut self.by_time {
            for (tag, updates) in by_tag {
                for update in updates.iter_mut().filter(|update| update.ordinal == from) {
                    update.ordinal = to;
                    self.changed.insert((*time_ms, *tag));
                }
            }
        }
    }

    /// How many updates wait.
    pub(crate) fn len(&self) -> u64 {
        self.by_time.values().flat_map(BTreeMap::values).map(|updates| updates.len() as u64).sum()
    }

    /// Puts what has changed into the store.
    pub(crate) fn save(&mut self, store: &mut PageStore) {
        for (time_ms, tag) in std::mem::take(&mut self.changed) {
            let updates = self.by_time.get(&time_ms).and_then(|by_tag| by_tag.get(&tag));
            let key = PageKey { kind: PageKind::Ahead, tag, number: time_ms };
            store.put(key, updates.map(|updates| encode(updates)).unwrap_or_default());
        }
    }
}

/// For each update: ordinal 4 bytes, length 4, what it adds; little-endian.
fn encode(updates: &[Update]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Update { ordinal, more } in updates {
        bytes.extend_from_slice(&ordinal.to_le_bytes());
        bytes.extend_from_slice(&(more.len() as u32).to_le_bytes());
        bytes.extend_from_slice(more);
    }
    bytes
}

fn decode(mut page: &[u8]) -> Option<Vec<Update>> {
    let mut updates = Vec::new();
    while !page.is_empty() {
        let (ordinal, rest) = page.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (more, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let ordinal: Ordinal = u32::from_le_bytes(*ordinal);
        updates.push(Update { ordinal, more: more.to_vec() });
        page = rest;
    }
    Some(updates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(ordinal: Ordinal, more: &[u8]) -> Update {
        Update { ordinal, more: more.to_vec() }
    }

    #[test]
    fn updates_count_after_their_instant_and_not_at_it() {
        let mut ahead = Ahead::new(&[70, 71]);
        ahead.add(100, TagUpdates { tag: 1, updates: vec![update(7, b"a"), update(8, b"b")] });
        ahead.add(200, TagUpdates { tag: 0, updates: vec![update(7, b"c")] });
        assert!(ahead.release(100).is_empty());
        ahead.erase(&Bitmap::from_sorted(&[8]));
        let due = ahead.release(101);
        assert_eq!(due.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(due[&1].iter().map(|update| update.ordinal).collect::<Vec<_>>(), [7]);
        assert_eq!(ahead.len(), 1);
    }

    #[test]
    fn what_waits_comes_back_from_its_page() {
        let page = encode(&[update(1, b"x"), update(u32::MAX, b"")]);
        let read = decode(&page).unwrap();
        let read: Vec<_> = read.iter().map(|u| (u.ordinal, u.more.as_slice())).collect();
        assert_eq!(read, [(1, b"x".as_slice()), (u32::MAX, b"")]);
        assert!((1..page.len()).all(|end| end == 9 || decode(&page[..end]).is_none()));
    }
}
