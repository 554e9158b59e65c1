//! The states of one app: what events, deletions and time do to them, and what that changes.

use crate::ahead::Ahead;
use crate::closed::ClosedMerges;
use crate::draft::Touched;
use crate::emission::NewValue;
use crate::intake::TakenIn;
use crate::page::{Page, page_of, rewrite};
use crate::plan::StreamPlan;
use crate::plan_states::StateOf;
use crate::store::{PageKey, PageKind, PageStore};
use crate::timers::{Due, Timers};
use crate::{Error, Result};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use taghouse_fold::{Absorb, Absorbed, Look, TileFold};
use taghouse_index::Bitmap;
use taghouse_model::{Ordinal, TimestampMs, Value};

/// The places of two sets of users, under no tag's number.
const DELETED: PageKey = PageKey { kind: PageKind::Timer, tag: u64::MAX, number: 0 };
const SEEN: PageKey = PageKey { kind: PageKind::Timer, tag: u64::MAX, number: 1 };

/// What a step adds to the states of one tag, by ordinal, ascending.
pub(crate) struct TagUpdates {
    pub(crate) tag: usize,
    pub(crate) updates: Vec<Update>,
}

pub(crate) struct Update {
    pub(crate) ordinal: Ordinal,
    pub(crate) more: Vec<u8>,
}

/// A value that a step changed.
pub(crate) struct Changed {
    /// The value before; `None`: it is not known.
    pub(crate) before: Option<Option<Value>>,
    pub(crate) now: NewValue,
}

impl Changed {
    /// A value of which it is not known what it was before.
    pub(crate) fn to(ordinal: Ordinal, value: Option<Value>) -> Self {
        Self { before: None, now: NewValue { ordinal, value } }
    }
}

/// When a user's value is another by time alone.
struct Move {
    at_ms: TimestampMs,
    ordinal: Ordinal,
}

/// What a step changed, by tag.
pub(crate) type ChangedTags = BTreeMap<usize, Vec<Changed>>;

/// The states of an app's live tags, in memory and in the store.
pub(crate) struct AppState {
    pub(crate) plan: StreamPlan,
    pub(crate) fold: TileFold,
    /// The generation of the ordinals.
    pub(crate) generation: u64,
    /// The log position up to which the states have seen everything.
    pub(crate) position: u64,
    /// What came up to this log position may have been shown by a process that was killed, which
    /// nobody knows: its values are shown again, whatever they were before.
    pub(crate) shown_unknown: u64,
    /// The members of live crowds were not compared with all that is in the states.
    pub(crate) uncompared: bool,
    /// Links up to this log position may be in the states, however far these have come: rows of the
    /// lake are read under the ids' users of now.
    pub(crate) linked_through: u64,
    /// How many batches of files the lake had of each source when the states were begun.
    pub(crate) batches: BTreeMap<String, u64>,
    /// By this instant a process before may have shown values, nobody knows which.
    pub(crate) opened_ms: TimestampMs,
    /// The states are asked for values as of this time. It never goes back.
    pub(crate) now_ms: TimestampMs,
    pub(crate) store: PageStore,
    pub(crate) timers: Timers,
    /// Users whose derived tags and live crowds time has changed, and that are to be computed.
    pub(crate) moved: BTreeMap<usize, Bitmap>,
    /// Users of whom something was shown as of now while other values were still to be looked at:
    /// what those were before says nothing of what is shown of others that follow from them.
    pub(crate) early: Bitmap,
    /// To whose states something came; `None`: nobody asks.
    pub(crate) touched: Option<Touched>,
    /// Rows that do not count yet.
    pub(crate) ahead: Ahead,
    closed: ClosedMerges,
    /// Whose states are erased.
    deleted: Bitmap,
    /// Who has values of the derived tags.
    seen: Bitmap,
    seen_more: bool,
}

impl AppState {
    /// No user has a state.
    pub(crate) fn new(plan: StreamPlan, generation: u64, position: u64, store: PageStore) -> Self {
        let fold = TileFold::new(plan.fold.clone());
        let tags = plan.all_hashes();
        let (timers, ahead) = (Timers::new(&tags), Ahead::new(&tags));
        Self {
            plan,
            fold,
            generation,
            position,
            shown_unknown: 0,
            uncompared: false,
            linked_through: 0,
            batches: BTreeMap::new(),
            opened_ms: i64::MIN,
            now_ms: i64::MIN,
            store,
            timers,
            moved: BTreeMap::new(),
            early: Bitmap::new(),
            touched: None,
            ahead,
            closed: ClosedMerges::new(),
            deleted: Bitmap::new(),
            seen: Bitmap::new(),
            seen_more: false,
        }
    }

    /// What a checkpoint has beside its pages.
    ///
    /// # Errors
    /// Of the object store; `Damaged`.
    pub(crate) async fn load(&mut self) -> Result<()> {
        let tags = self.plan.all_hashes();
        self.timers = Timers::load(&tags, &mut self.store).await?;
        self.ahead = Ahead::load(&tags, &mut self.store).await?;
        let mut sets = self.store.load(&[DELETED, SEEN]).await?;
        self.deleted = set_of(sets.remove(&DELETED))?;
        self.seen = set_of(sets.remove(&SEEN))?;
        Ok(())
    }

    /// Writes all that has changed into a file.
    ///
    /// # Errors
    /// Of the object store.
    pub(crate) async fn save(&mut self) -> Result<()> {
        self.timers.save(&mut self.store)?;
        self.ahead.save(&mut self.store);
        if std::mem::take(&mut self.seen_more) {
            self.store.put(SEEN, bytes_of(&self.seen)?);
        }
        self.store.flush().await
    }

    /// Those of the users who were not seen before; from now on they are.
    pub(crate) fn see(&mut self, users: impl Iterator<Item = Ordinal>) -> Vec<Ordinal> {
        let fresh: Vec<Ordinal> = users.filter(|user| self.seen.insert(*user)).collect();
        self.seen_more |= !fresh.is_empty();
        self.touch_seen(&fresh);
        fresh
    }

    /// Time goes on, and never back.
    pub(crate) fn pass(&mut self, now_ms: TimestampMs) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Merges a step's updates into the states; the values that change by it.
    ///
    /// # Errors
    /// Of the object store and the fold.
    pub(crate) async fn merge(&mut self, updates: Vec<TagUpdates>) -> Result<ChangedTags> {
        self.merge_over(updates, true).await
    }

    /// The same. `is_known`: what the states hold is what was shown, as far as this process knows.
    async fn merge_over(
        &mut self,
        updates: Vec<TagUpdates>,
        is_known: bool,
    ) -> Result<ChangedTags> {
        let mut changed = ChangedTags::new();
        for TagUpdates { tag, updates } in updates {
            let of_tag = self.merge_tag(tag, &updates, is_known).await?;
            if !of_tag.is_empty() {
                changed.insert(tag, of_tag);
            }
            tokio::task::yield_now().await;
        }
        Ok(changed)
    }

    async fn merge_tag(
        &mut self,
        tag: usize,
        updates: &[Update],
        is_known: bool,
    ) -> Result<Vec<Changed>> {
        let ordinals: Vec<Ordinal> = updates.iter().map(|update| update.ordinal).collect();
        self.touch(ordinals.iter().copied());
        // A value that time has changed already, and that is still to be shown, is not known.
        let settled = !self.timers.are_due(tag, self.now_ms);
        let known = is_known && settled && self.position >= self.shown_unknown;
        let how = Absorb { as_of_ms: self.now_ms, trims: settled, compares: known };
        let Self { plan, store, timers, closed, .. } = self;
        let mut changed = Vec::new();
        for pages in in_pages(&ordinals).chunks(PAGES_AT_ONCE) {
            let keys: Vec<PageKey> =
                pages.iter().map(|page| plan.states(tag, page.number)).collect();
            let loaded = store.load(&keys).await?;
            for (page, key) in pages.iter().zip(&keys) {
                let updates = &updates[page.first..page.first + page.ordinals.len()];
                let change = |number: usize, old: &[u8], new: &mut Vec<u8>| {
                    let Update { ordinal, more } = &updates[number];
                    let mut see = |at_ms| timers.add(tag, at_ms, *ordinal);
                    let of = StateOf { tag, user: *ordinal, closed };
                    let Absorbed { before, now } =
                        plan.absorb(of, old, more, how, new, &mut see)?;
                    now.next_ms.into_iter().for_each(see);
                    let (before, now) = (before.value(), now.outcome.value());
                    if !known || before != now {
                        let now = NewValue { ordinal: *ordinal, value: now };
                        changed.push(Changed { before: known.then_some(before), now });
                    }
                    Ok(())
                };
                let bytes = rewrite(page.number, &loaded[key], page.ordinals, change)?;
                store.put(*key, bytes);
            }
        }
        Ok(changed)
    }

    fn add_moves(&mut self, tag: usize, moves: Vec<Move>) {
        moves.into_iter().for_each(|Move { at_ms, ordinal }| self.timers.add(tag, at_ms, ordinal));
    }

    /// Whether time has gone past instants that are still to be looked at.
    pub(crate) fn is_behind(&self) -> bool {
        let mut tags = 0..self.plan.tags.len();
        tags.any(|tag| self.timers.are_due(tag, self.now_ms)) || self.ahead.is_due(self.now_ms)
    }

    /// What time alone changes, of about so many users at most: those whose instant came first.
    ///
    /// # Errors
    /// As [`AppState::merge`].
    pub(crate) async fn advance(&mut self, limit: usize) -> Result<ChangedTags> {
        // What was ahead of time first, so that timers see it.
        let mut changed = self.release().await?;
        let mut found = 0;
        while found < limit
            && let Some(due) = self.timers.due(self.now_ms, limit - found)
        {
            found += due.users.len().max(1);
            let tag = due.tag;
            self.touch(due.users.iter().copied());
            if tag >= self.plan.with_states() {
                let moved = self.moved.entry(tag).or_default();
                due.users.into_iter().for_each(|user| {
                    moved.insert(user);
                });
                continue;
            }
            let trimmed = self.trim(due).await?;
            match changed.get_mut(&tag) {
                Some(changed) => join(changed, trimmed),
                None if trimmed.is_empty() => {}
                None => {
                    changed.insert(tag, trimmed);
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(changed)
    }

    /// Takes in the rows that were ahead of time and are not any more.
    async fn release(&mut self) -> Result<ChangedTags> {
        // A process before may have shown them.
        let is_known = self.ahead.first_ms().is_none_or(|first_ms| first_ms > self.opened_ms);
        let mut updates = Vec::new();
        for (tag, mut of_tag) in self.ahead.release(self.now_ms) {
            of_tag.sort_by_key(|update| update.ordinal);
            let mut merged: Vec<Update> = Vec::with_capacity(of_tag.len());
            for update in of_tag {
                match merged.last_mut().filter(|last| last.ordinal == update.ordinal) {
                    Some(last) => {
                        last.more = self.plan.merged(tag, &last.more, &update.more)?;
                    }
                    None => merged.push(update),
                }
            }
            updates.push(TagUpdates { tag, updates: merged });
        }
        self.merge_over(updates, is_known).await
    }

    /// Drops the tiles of these users that time has gone past; their values that are others now.
    async fn trim(&mut self, Due { tag, at_ms, users }: Due) -> Result<Vec<Changed>> {
        let (plan, now_ms, early) = (&self.plan, self.now_ms, &self.early);
        // Until this instant the value was what it had been: each that comes between is due too.
        let is_known = at_ms > self.opened_ms;
        let mut changed = Vec::with_capacity(users.len());
        let mut moves = Vec::new();
        for pages in in_pages(&users).chunks(PAGES_AT_ONCE) {
            let keys: Vec<PageKey> =
                pages.iter().map(|page| self.plan.states(tag, page.number)).collect();
            let loaded = self.store.load(&keys).await?;
            for (page, key) in pages.iter().zip(&keys) {
                let trim = |number: usize, old: &[u8], out: &mut Vec<u8>| {
                    let ordinal = page.ordinals[number];
                    let mut new = old.to_vec();
                    // No further: what later instants took away they are still to show.
                    plan.fold.tag(tag).trim(&mut new, at_ms)?;
                    let Look { outcome, next_ms } = plan.look(tag, &new, now_ms)?;
                    moves.extend(next_ms.map(|at_ms| Move { at_ms, ordinal }));
                    let now = NewValue { ordinal, value: outcome.value() };
                    let known = is_known && !early.contains(ordinal);
                    let before = known.then(|| plan.value(tag, old, at_ms - 1)).transpose()?;
                    if before.as_ref() != Some(&now.value) {
                        changed.push(Changed { before, now });
                    }
                    out.extend_from_slice(&new);
                    Ok(())
                };
                let bytes = rewrite(page.number, &loaded[key], page.ordinals, trim)?;
                self.store.put(*key, bytes);
            }
        }
        self.add_moves(tag, moves);
        Ok(changed)
    }

    /// Erases the states of users who are deleted since the last time.
    ///
    /// # Errors
    /// As [`AppState::merge`].
    pub(crate) async fn erase(&mut self, deleted: &Bitmap) -> Result<()> {
        let newly = deleted.and_not(&self.deleted);
        if newly.is_empty() {
            return Ok(());
        }
        self.ahead.erase(&newly);
        let newly: Vec<Ordinal> = newly.iter().collect();
        for tag in 0..self.plan.with_states() {
            for pages in in_pages(&newly).chunks(PAGES_AT_ONCE) {
                let keys: Vec<PageKey> =
                    pages.iter().map(|page| self.plan.states(tag, page.number)).collect();
                let loaded = self.store.load(&keys).await?;
                for (page, key) in pages.iter().zip(&keys) {
                    if !loaded[key].is_empty() {
                        let none = |_: usize, _: &[u8], _: &mut Vec<u8>| Ok(());
                        let bytes = rewrite(page.number, &loaded[key], page.ordinals, none)?;
                        self.store.put(*key, bytes);
                    }
                }
            }
        }
        newly.iter().for_each(|user| {
            self.deleted.insert(*user);
        });
        self.store.put(DELETED, bytes_of(&self.deleted)?);
        Ok(())
    }

    /// The states of a user whose id turned out to be another's, into that one's; they are erased.
    /// What changes by it.
    ///
    /// # Errors
    /// As [`AppState::merge`].
    pub(crate) async fn adopt(&mut self, from: Ordinal, to: Ordinal) -> Result<TakenIn> {
        let mut updates = Vec::new();
        for tag in 0..self.plan.with_states() {
            let key = self.plan.states(tag, page_of(from));
            let pages = self.store.load(&[key]).await?;
            let more = Page::read(page_of(from), &pages[&key])?.find(from).to_vec();
            if !more.is_empty() {
                updates.push(TagUpdates { tag, updates: vec![Update { ordinal: to, more }] });
            }
        }
        self.ahead.adopt(from, to);
        self.erase(&Bitmap::from_sorted(&[from])).await?;
        let mut changed = self.merge(updates).await?;
        let fresh = self.see(std::iter::once(to));
        self.derive(&mut changed, &fresh).await?;
        Ok(TakenIn { changed, fresh })
    }

    /// The values of a tag with states, of users in ascending order.
    ///
    /// # Errors
    /// As [`AppState::merge`].
    pub(crate) async fn values(
        &mut self,
        tag: usize,
        users: &[Ordinal],
    ) -> Result<Vec<Option<Value>>> {
        let mut values = Vec::with_capacity(users.len());
        for pages in in_pages(users).chunks(PAGES_AT_ONCE) {
            let keys: Vec<PageKey> =
                pages.iter().map(|page| self.plan.states(tag, page.number)).collect();
            let loaded = self.store.load(&keys).await?;
            for (page, key) in pages.iter().zip(&keys) {
                let read = Page::read(page.number, &loaded[key])?;
                for ordinal in page.ordinals {
                    values.push(self.plan.value(tag, read.find(*ordinal), self.now_ms)?);
                }
            }
        }
        Ok(values)
    }

    /// Whether somebody who has states is among the deleted, and the states do not know it.
    pub(crate) fn lacks_deletions(&self, deleted: &Bitmap) -> bool {
        deleted.iter().any(|user| self.seen.contains(user) && !self.deleted.contains(user))
    }

    /// These were seen, too.
    pub(crate) fn see_all(&mut self, users: &Bitmap) {
        users.and_not(&self.seen).iter().for_each(|user| {
            self.seen.insert(user);
        });
    }

    /// Puts the sets of users into the store, as they are here.
    ///
    /// # Errors
    /// `Damaged`.
    pub(crate) fn save_sets(&mut self) -> Result<()> {
        self.store.put(DELETED, bytes_of(&self.deleted)?);
        self.store.put(SEEN, bytes_of(&self.seen)?);
        Ok(())
    }

    /// Empties the pages of all tags but these.
    pub(crate) fn keep_states_of(&mut self, tags: &[u64]) {
        let kept: HashSet<u64> = tags.iter().copied().chain([DELETED.tag]).collect();
        self.store.retain_tags(|tag| kept.contains(&tag));
    }

    /// Who was seen.
    pub(crate) fn users(&self) -> &Bitmap {
        &self.seen
    }
}

/// Adds changes of the same tag; of one user the later ones count.
fn join(changed: &mut Vec<Changed>, later: Vec<Changed>) {
    let mut places: HashMap<Ordinal, usize> =
        changed.iter().enumerate().map(|(at, changed)| (changed.now.ordinal, at)).collect();
    for change in later {
        match places.get(&change.now.ordinal) {
            Some(at) => changed[*at].now = change.now,
            None => {
                places.insert(change.now.ordinal, changed.len());
                changed.push(change);
            }
        }
    }
}

fn set_of(page: Option<Bytes>) -> Result<Bitmap> {
    match page {
        Some(page) if !page.is_empty() => {
            Bitmap::from_bytes(page).map_err(|e| Error::damaged(e.to_string()))
        }
        _ => Ok(Bitmap::new()),
    }
}

fn bytes_of(users: &Bitmap) -> Result<Vec<u8>> {
    users.to_bytes().map_err(|e| Error::damaged(e.to_string()))
}

/// Pages that are in memory at once, whatever the budget.
const PAGES_AT_ONCE: usize = 4096;

/// Ordinals that stand in one page.
struct InPage<'a> {
    number: u32,
    /// The place of the first among all.
    first: usize,
    ordinals: &'a [Ordinal],
}

fn in_pages(ordinals: &[Ordinal]) -> Vec<InPage<'_>> {
    let mut pages = Vec::new();
    let mut first = 0;
    for ordinals in ordinals.chunk_by(|a, b| page_of(*a) == page_of(*b)) {
        pages.push(InPage { number: page_of(ordinals[0]), first, ordinals });
        first += ordinals.len();
    }
    pages
}
