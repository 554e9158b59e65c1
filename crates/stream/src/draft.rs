//! Values of all users for a publication, computed while rows go on to come.
//!
//! Going through all users takes a while. So the slot is held for some of them at a time, and
//! everybody else gets it in between. Whose states something came to meanwhile is noted
//! ([`AppState::touched`]): their values are shown again, over what was published.

use crate::by_hand::columns;
use crate::emission::Shown;
use crate::hands::{HandPair, Hands};
use crate::members::Members;
use crate::rebuild::ours;
use crate::segments::{Loading, Segments};
use crate::state::{AppState, Changed, ChangedTags};
use crate::stream::Stream;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_index::{Bitmap, Pin, Publication, SegmentSource, Snapshot, TagPublication};
use taghouse_ingest::Landing;
use taghouse_model::{AppId, Name, Ordinal, Value};
use taghouse_rules::Definitions;
use taghouse_users::SharedUsers;

/// About so many values are computed while the slot is held; but of so many users at least.
const VALUES_AT_ONCE: usize = 1 << 17;
const LEAST_USERS: usize = 1 << 10;

/// What is to be published.
pub(crate) struct Draft {
    pub(crate) segments: Segments,
    /// Whose values are in the segments.
    pub(crate) users: Bitmap,
    /// From before the first value was computed: what was changed since stays on top.
    pub(crate) pin: Pin,
    pub(crate) touched: Touched,
    /// Values by hand, in the place of the states'.
    pub(crate) hands: Hands,
}

/// Whose values of which tags are shown again.
#[derive(Clone, Copy)]
struct Again<'a> {
    draft: &'a Draft,
    snapshot: &'a Arc<Snapshot>,
    who: &'a Bitmap,
    tags: &'a [usize],
}

/// Who is to be shown again.
#[derive(Default)]
pub(crate) struct Touched {
    /// To whose states something came.
    states: Bitmap,
    /// Who was seen for the first time.
    seen: Bitmap,
    /// What was changed by hand meanwhile: that is shown already.
    pub(crate) hands: BTreeSet<HandPair>,
}

impl Draft {
    /// The same of tags with other numbers.
    pub(crate) fn numbered(self, number: impl Fn(usize) -> Option<usize>) -> Self {
        Self { segments: self.segments.numbered(number), ..self }
    }

    /// Ends the noting of what comes to states.
    pub(crate) fn take_touched(&mut self, state: &mut AppState) {
        let Touched { states, seen, hands } = state.touched.take().unwrap_or_default();
        self.touched.states = self.touched.states.or(&states);
        self.touched.seen = self.touched.seen.or(&seen);
        self.touched.hands.extend(hands);
    }
}

impl Stream {
    /// Computes the values of all users for states that are being built, of all their tags but
    /// crowds; of a part of an app's tags those with states, for the others have inputs elsewhere.
    /// `None`: nobody has states.
    ///
    /// # Errors
    /// `Superseded`, `Renumbered`; of the states, the index and the folder for scratch.
    pub(crate) async fn draft(
        &self,
        definitions: &Arc<Definitions>,
        landing: &Landing,
        build: u64,
        is_part: bool,
    ) -> Result<Option<Draft>> {
        let app = &definitions.app.id;
        let slot = self.slot(app);

        // 1. What came due while the lake was read is over before anybody notes it.
        while self.catch_up_in_time(app, build).await? {}

        // 2. From here on it is noted what comes.
        let pin = {
            let mut slot = slot.lock().await;
            let _users = self.parts.users.share(app).await;
            let serving = slot.serving.iter_mut();
            serving.for_each(|serving| serving.state.touched = Some(Touched::default()));
            let state = &mut ours(&mut slot.building, build)?.state;
            if state.generation == 0 {
                return Ok(None);
            }
            state.touched = Some(Touched::default());
            // All derived values are computed now.
            state.moved.clear();
            self.parts.index.pin(app).await?
        };

        // 3. What holds by hand.
        let hands = self.hands(definitions, landing, build).await?;

        let (everybody, mut loading) = {
            let mut slot = slot.lock().await;
            let users = self.parts.users.share(app).await;
            let state = &ours(&mut slot.building, build)?.state;
            if state.generation != users.generation() {
                return Err(Error::Renumbered);
            }
            let deleted = users.deleted().await?;
            let everybody = state.users().or(&hands.users()).and_not(&deleted);
            let plan = &state.plan;
            let end = if is_part { plan.with_states() } else { plan.without_crowds() };
            let tags: Vec<usize> = (0..end).collect();
            let loading = Loading::new(state, everybody.max(), &tags, &self.parts.scratch, app)?;
            (everybody, loading)
        };

        // 4. Some users after others.
        let at_once = (VALUES_AT_ONCE / loading.tags().max(1)).max(LEAST_USERS);
        let mut from = Some(0);
        while let Some(first) = from {
            let some: Vec<Ordinal> = everybody.page(first, at_once);
            from = some.last().and_then(|last| last.checked_add(1));
            let mut slot = slot.lock().await;
            let users = self.parts.users.share(app).await;
            let state = &mut ours(&mut slot.building, build)?.state;
            if state.generation != users.generation() {
                return Err(Error::Renumbered);
            }
            loading.push(state, &some, &hands).await?;
        }

        // 5. Without the slot: what was collected becomes files.
        let segments = loading.finish().await?;
        Ok(Some(Draft { segments, users: everybody, pin, touched: Touched::default(), hands }))
    }

    /// Works off some of what time has changed in states that are being built; whether there is more.
    async fn catch_up_in_time(&self, app: &AppId, build: u64) -> Result<bool> {
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        let state = &mut ours(&mut slot.building, build)?.state;
        state.pass(self.parts.clock.now_ms());
        state.advance(LEAST_USERS).await?;
        Ok(state.is_behind())
    }

    /// Puts the values that all users have of these tags into the index, and tells of it: those that
    /// are computed already, and the others now.
    ///
    /// # Errors
    /// Of the states, the index, the users, the catalog and the feed.
    pub(crate) async fn publish(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        tags: &[usize],
        draft: Option<Draft>,
    ) -> Result<()> {
        let app = users.app();
        let deleted = users.deleted().await?;
        let existing = state.users().and_not(&deleted);

        // 1. The segments.
        let mut draft = match draft {
            Some(draft) => draft,
            None => Draft {
                segments: Segments::none(&self.parts.scratch, app),
                users: Bitmap::new(),
                pin: self.parts.index.pin(app).await?,
                touched: Touched::default(),
                hands: Hands::default(),
            },
        };
        let everybody: Vec<Ordinal> =
            existing.or(&draft.hands.users().and_not(&deleted)).iter().collect();
        draft.segments.widen(state, &everybody, &draft.hands).await?;
        let lacking = |tag: &usize| !draft.segments.has(*tag);
        let others: Vec<usize> = tags.iter().copied().filter(lacking).collect();
        let scratch = &self.parts.scratch;
        let mut others = Segments::of(state, &everybody, &others, scratch, &draft).await?;

        let drafted = draft.segments.take();

        // 2. What is published of them.
        let stored = self.parts.catalog.definitions(app).await?;
        let body = |name: &Name| {
            let own = stored.iter().find(|d| d.kind == "tag" && d.name == name.as_str());
            own.map(|definition| definition.body.clone()).unwrap_or_default()
        };
        let publish = |(number, segment): (usize, SegmentSource)| {
            let tag = &state.plan.tags[number];
            TagPublication {
                definition: body(&tag.name),
                name: tag.name.clone(),
                value_type: tag.value_type,
                as_of_ms: state.now_ms,
                segment,
                flushed_through: Some(draft.pin.position()),
            }
        };
        let publication = Publication {
            generation: state.generation,
            users: existing.or(&draft.users),
            tags: drafted.into_iter().chain(others.take()).map(publish).collect(),
            drop: Vec::new(),
        };
        self.parts.index.publish(app, publication, Vec::new()).await?;
        self.tell_published(state, users, tags).await?;

        // 3. What came meanwhile.
        draft.touched.hands.extend(self.unread_hands(app, state, users).await?);
        self.show_touched(state, members, users, &draft, tags).await
    }

    /// Shows again what users have of these tags who were touched while values were computed, where
    /// something else is shown.
    async fn show_touched(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        draft: &Draft,
        tags: &[usize],
    ) -> Result<()> {
        let Draft { touched, .. } = draft;
        let deleted = users.deleted().await?;
        let touched_states = touched.states.and_not(&deleted);
        let everybody = touched.states.or(&touched.seen).and_not(&deleted);
        let Some(snapshot) = self.snapshot(state, users).await? else { return Ok(()) };
        let has_states = |tag: &usize| *tag < state.plan.with_states();
        let (with_states, derived): (Vec<usize>, Vec<usize>) =
            tags.iter().copied().partition(has_states);
        // Of who was only named, a value of a tag with states was set by hand.
        for (who, tags) in [(touched_states, with_states), (everybody, derived)] {
            let again = Again { draft, snapshot: &snapshot, who: &who, tags: &tags };
            self.show_differing(state, members, users, again).await?;
        }
        Ok(())
    }

    async fn show_differing(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        again: Again<'_>,
    ) -> Result<()> {
        let Again { draft, snapshot, who, tags } = again;
        let names: BTreeMap<usize, String> =
            tags.iter().map(|tag| (*tag, state.plan.tags[*tag].name.as_str().to_owned())).collect();
        let at_once = (VALUES_AT_ONCE / tags.len().max(1)).max(LEAST_USERS);
        let mut from = Some(0).filter(|_| !tags.is_empty());
        while let Some(first) = from {
            let some: Vec<Ordinal> = who.page(first, at_once);
            from = some.last().and_then(|last| last.checked_add(1));
            let (snapshot, wanted, people) = (snapshot.clone(), names.clone(), some.clone());
            let shown = blocking(move || columns(&snapshot, &wanted, &people)).await?;
            let mut held = draft.hands.now_of(state, &some, tags).await?;
            let mut changed = ChangedTags::new();
            for (tag, column) in shown {
                let name = &state.plan.tags[tag].name;
                let by_hand = |user: &Ordinal| draft.touched.hands.contains(&(*user, name.clone()));
                let of_tag = held.remove(&tag).into_iter().flatten().map(|changed| changed.now);
                let mut of_tag: HashMap<Ordinal, Option<Value>> =
                    of_tag.map(|now| (now.ordinal, now.value)).collect();
                let differing: Vec<Changed> = some
                    .iter()
                    .zip(column.now)
                    .map(|(user, shown)| (*user, shown, of_tag.remove(user).flatten()))
                    .filter(|(user, shown, now)| shown != now && !by_hand(user))
                    .map(|(user, _, now)| Changed::to(user, now))
                    .collect();
                if !differing.is_empty() {
                    changed.insert(tag, differing);
                }
            }
            let shown = Shown { changed, fresh: Vec::new(), position: state.position };
            self.emit(state, members, users, shown).await?;
        }
        Ok(())
    }
}

impl AppState {
    /// Notes that something came to these users' states, if anybody asks.
    pub(crate) fn touch(&mut self, users: impl Iterator<Item = Ordinal>) {
        if let Some(Touched { states, .. }) = &mut self.touched {
            users.for_each(|user| {
                states.insert(user);
            });
        }
    }

    /// Notes that these users were seen for the first time.
    pub(crate) fn touch_seen(&mut self, users: &[Ordinal]) {
        if let Some(Touched { seen, .. }) = &mut self.touched {
            users.iter().for_each(|user| {
                seen.insert(*user);
            });
        }
    }

    /// The values that users, ascending, have of these tags.
    pub(crate) async fn now_of(
        &mut self,
        users: &[Ordinal],
        tags: &[usize],
    ) -> Result<ChangedTags> {
        let states = self.plan.with_states();
        let (with_states, derived): (Vec<usize>, Vec<usize>) =
            tags.iter().copied().partition(|tag| *tag < states);
        let derived: BTreeSet<usize> = derived.into_iter().collect();
        let mut values = match derived.is_empty() {
            true => ChangedTags::new(),
            false => self.derive_some_tags(users, &derived).await?,
        };
        for tag in with_states {
            let of_tag = self.values(tag, users).await?;
            let changed = users.iter().zip(of_tag).map(|(user, value)| Changed::to(*user, value));
            values.insert(tag, changed.collect());
        }
        Ok(values)
    }
}
