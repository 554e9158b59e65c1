//! When values change by time alone: for each tag and instant the users of whom a tile comes into
//! the window or leaves it then, as one bitmap. Ten million timers of a day cost about a megabyte.

use crate::store::{PageKey, PageKind, PageStore};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use taghouse_index::Bitmap;
use taghouse_model::{Ordinal, TimestampMs};

/// Timers that are read at once.
const TIMERS_AT_ONCE: usize = 4096;

#[derive(Default)]
struct Timer {
    users: Bitmap,
    /// Users below it are done.
    from: Ordinal,
    changed: bool,
}

/// The timers of an app's tags.
pub(crate) struct Timers {
    /// By the tag's number.
    by_tag: Vec<OfTag>,
    /// Timers that are done, and not yet taken from the store.
    done: Vec<PageKey>,
}

struct OfTag {
    hash: u64,
    timers: BTreeMap<TimestampMs, Timer>,
}

impl OfTag {
    fn new(hash: u64) -> Self {
        Self { hash, timers: BTreeMap::new() }
    }
}

/// Users of whom a tag's value may have changed by time.
pub(crate) struct Due {
    pub(crate) tag: usize,
    /// When.
    pub(crate) at_ms: TimestampMs,
    pub(crate) users: Vec<Ordinal>,
}

impl Timers {
    /// Of tags with these hashes.
    pub(crate) fn new(tags: &[u64]) -> Self {
        Self { by_tag: tags.iter().copied().map(OfTag::new).collect(), done: Vec::new() }
    }

    /// Those that a checkpoint holds.
    pub(crate) async fn load(tags: &[u64], store: &mut PageStore) -> Result<Self> {
        let mut timers = Self::new(tags);
        let numbers: HashMap<u64, usize> = tags.iter().copied().zip(0..).collect();
        for keys in store.keys(PageKind::Timer).chunks(TIMERS_AT_ONCE) {
            for (key, page) in store.load(keys).await? {
                let Some(number) = numbers.get(&key.tag) else { continue };
                let users = Bitmap::from_bytes(page).map_err(|e| Error::damaged(e.to_string()))?;
                let timer = Timer { users, ..Timer::default() };
                timers.by_tag[*number].timers.insert(key.number, timer);
            }
        }
        Ok(timers)
    }

    /// Goes on with other tags; those of the same hash keep their timers.
    pub(crate) fn replan(&mut self, tags: &[u64]) {
        let former = std::mem::replace(self, Self::new(tags));
        self.done = former.done;
        self.take(former.by_tag);
    }

    /// Takes over the timers of tags that have none here.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        let timers = other.by_tag.iter_mut().flat_map(|of| of.timers.values_mut());
        timers.for_each(|timer| timer.changed = true);
        self.take(other.by_tag);
    }

    fn take(&mut self, former: Vec<OfTag>) {
        let mut former: HashMap<u64, OfTag> = former.into_iter().map(|of| (of.hash, of)).collect();
        for of_tag in &mut self.by_tag {
            if let Some(own) = former.remove(&of_tag.hash) {
                of_tag.timers.extend(own.timers);
            }
        }
    }

    /// The user's value of the tag may change at the instant.
    pub(crate) fn add(&mut self, tag: usize, at_ms: TimestampMs, user: Ordinal) {
        let timer = self.by_tag[tag].timers.entry(at_ms).or_default();
        timer.changed |= timer.users.insert(user);
        // It may have been passed already, in a slice before.
        timer.from = timer.from.min(user);
    }

    /// Whose values to look at as of now, at most `limit` users: the earliest first.
    pub(crate) fn due(&mut self, now_ms: TimestampMs, limit: usize) -> Option<Due> {
        let first = |(tag, of): (usize, &OfTag)| {
            of.timers.first_key_value().map(|(at_ms, _)| (*at_ms, tag))
        };
        let (at_ms, tag) = self.by_tag.iter().enumerate().filter_map(first).min()?;
        if at_ms > now_ms {
            return None;
        }
        let OfTag { hash, timers } = &mut self.by_tag[tag];
        let timer = timers.get_mut(&at_ms)?;
        let users = timer.users.page(timer.from, limit);
        match users.last() {
            Some(last) if users.len() == limit => timer.from = last.saturating_add(1),
            _ => {
                timers.remove(&at_ms);
                self.done.push(key(*hash, at_ms));
            }
        }
        Some(Due { tag, at_ms, users })
    }

    /// Whether values of the tag are to be looked at as of now.
    pub(crate) fn are_due(&self, tag: usize, now_ms: TimestampMs) -> bool {
        self.by_tag[tag].timers.first_key_value().is_some_and(|(at_ms, _)| *at_ms <= now_ms)
    }

    /// Those of the users whose values of the tag are still to be looked at as of now.
    pub(crate) fn due_among(
        &self,
        tag: usize,
        now_ms: TimestampMs,
        users: &[Ordinal],
    ) -> BTreeSet<Ordinal> {
        let due = || self.by_tag[tag].timers.range(..=now_ms).map(|(_, timer)| timer);
        let waits =
            |user: &Ordinal| due().any(|timer| *user >= timer.from && timer.users.contains(*user));
        users.iter().copied().filter(waits).collect()
    }

    /// Those of the users of whom a value of any tag is still to be looked at as of now.
    pub(crate) fn due_of_any(&self, now_ms: TimestampMs, users: &BTreeSet<Ordinal>) -> Bitmap {
        let mut found = Bitmap::new();
        let due = self.by_tag.iter().flat_map(|of| of.timers.range(..=now_ms));
        for (_, timer) in due {
            let mut see = |user: Ordinal| {
                if user >= timer.from && timer.users.contains(user) && users.contains(&user) {
                    found.insert(user);
                }
            };
            match timer.users.len() < users.len() as u64 {
                true => timer.users.iter().for_each(&mut see),
                false => users.iter().copied().for_each(&mut see),
            }
        }
        found
    }

    /// How many users wait for how many instants.
    pub(crate) fn pending(&self) -> u64 {
        self.pending_until(TimestampMs::MAX)
    }

    /// The same of instants up to this one.
    pub(crate) fn pending_until(&self, now_ms: TimestampMs) -> u64 {
        let waiting = |of: &OfTag| -> u64 {
            of.timers.range(..=now_ms).map(|(_, timer)| timer.users.len()).sum()
        };
        self.by_tag.iter().map(waiting).sum()
    }

    /// Puts what has changed into the store.
    pub(crate) fn save(&mut self, store: &mut PageStore) -> Result<()> {
        for done in self.done.drain(..) {
            store.put(done, Vec::new());
        }
        for OfTag { hash, timers } in &mut self.by_tag {
            for (at_ms, timer) in timers.iter_mut().filter(|(_, timer)| timer.changed) {
                let bytes = timer.users.to_bytes().map_err(|e| Error::damaged(e.to_string()))?;
                store.put(key(*hash, *at_ms), bytes);
                timer.changed = false;
            }
        }
        Ok(())
    }
}

fn key(tag: u64, at_ms: TimestampMs) -> PageKey {
    PageKey { kind: PageKind::Timer, tag, number: at_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_due_in_slices_the_earliest_instant_first() {
        let mut timers = Timers::new(&[70, 71]);
        (0..5).for_each(|user| timers.add(1, 100, user));
        timers.add(0, 200, 9);
        let mut slices = Vec::new();
        while let Some(Due { tag, users, .. }) = timers.due(150, 2) {
            slices.push((tag, users));
        }
        assert_eq!(slices, [(1, vec![0, 1]), (1, vec![2, 3]), (1, vec![4])]);
        assert_eq!(timers.pending(), 1);
        assert!(timers.due(199, 2).is_none());
        assert_eq!(timers.due(200, 2).map(|due| due.users), Some(vec![9]));
    }

    #[test]
    fn tags_keep_their_timers_whatever_their_numbers() {
        let mut timers = Timers::new(&[70, 71]);
        timers.add(0, 100, 1);
        timers.add(1, 100, 2);
        timers.replan(&[72, 71]);
        let mut more = Timers::new(&[72]);
        more.add(0, 50, 3);
        timers.absorb(more);
        let all: Vec<_> =
            std::iter::from_fn(|| timers.due(100, 9)).map(|due| (due.tag, due.users)).collect();
        assert_eq!(all, [(0, vec![3]), (1, vec![2])]);
    }

    #[test]
    fn a_user_who_is_added_while_the_instant_is_worked_off_is_not_missed() {
        let mut timers = Timers::new(&[70]);
        [5, 6, 7].into_iter().for_each(|user| timers.add(0, 100, user));
        assert_eq!(timers.due(100, 2).map(|due| due.users), Some(vec![5, 6]));
        timers.add(0, 100, 1);
        let rest: Vec<Ordinal> =
            std::iter::from_fn(|| timers.due(100, 2)).flat_map(|due| due.users).collect();
        assert!(rest.contains(&1) && rest.contains(&7), "{rest:?}");
    }
}
