//! Values of all users for a publication, computed while rows go on to come.
//!
//! Going through all users takes a while. So the slot is held for some of them at a time, and
//! everybody else gets it in between. Whose states something came to meanwhile is noted
//! ([`AppState::touched`]): their values are shown again, over what was published.

use crate::emission::Shown;
use crate::members::Members;
use crate::rebuild::ours;
use crate::segments::{Loading, Segments};
use crate::state::{AppState, Changed, ChangedTags};
use crate::stream::Stream;
use crate::{Error, Result};
use std::collections::BTreeSet;
use taghouse_index::{Bitmap, Pin, Publication, SegmentSource, TagPublication};
use taghouse_model::{AppId, Name, Ordinal};
use taghouse_users::SharedUsers;

/// About so many values are computed while the slot is held; but of so many users at least.
const VALUES_AT_ONCE: usize = 1 << 17;
const LEAST_USERS: usize = 1 << 10;

/// Users whose values are shown again at once.
const SHOWN_AT_ONCE: usize = 1 << 14;

/// What is to be published.
pub(crate) struct Draft {
    pub(crate) segments: Segments,
    /// Whose values are in the segments.
    pub(crate) users: Bitmap,
    /// From before the first value was computed: what was changed since stays on top.
    pub(crate) pin: Pin,
    /// To whose states something came since.
    pub(crate) touched: Bitmap,
}

impl Draft {
    /// The same of tags with other numbers.
    pub(crate) fn numbered(self, number: impl Fn(usize) -> Option<usize>) -> Self {
        Self { segments: self.segments.numbered(number), ..self }
    }

    /// Ends the noting of what comes to states.
    pub(crate) fn take_touched(&mut self, state: &mut AppState) {
        let touched = state.touched.take().unwrap_or_default();
        self.touched = self.touched.or(&touched);
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
        app: &AppId,
        build: u64,
        is_part: bool,
    ) -> Result<Option<Draft>> {
        let slot = self.slot(app);

        // 1. From here on it is noted what comes.
        let (everybody, pin, mut loading) = {
            let mut slot = slot.lock().await;
            let users = self.parts.users.share(app).await;
            let serving = slot.serving.iter_mut();
            serving.for_each(|serving| serving.state.touched = Some(Bitmap::new()));
            let state = &mut ours(&mut slot.building, build)?.state;
            if state.generation == 0 {
                return Ok(None);
            }
            state.touched = Some(Bitmap::new());
            state.pass(self.parts.clock.now_ms());
            let deleted = users.deleted().await?;
            let everybody = state.users().and_not(&deleted);
            let plan = &state.plan;
            let end = if is_part { plan.with_states() } else { plan.without_crowds() };
            let tags: Vec<usize> = (0..end).collect();
            let pin = self.parts.index.pin(app).await?;
            let loading = Loading::new(state, everybody.max(), &tags, &self.parts.scratch, app)?;
            (everybody, pin, loading)
        };

        // 2. Some users after others.
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
            loading.push(state, &some).await?;
        }

        // 3. Without the slot: what was collected becomes files.
        let segments = loading.finish().await?;
        Ok(Some(Draft { segments, users: everybody, pin, touched: Bitmap::new() }))
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
        let everybody: Vec<Ordinal> = existing.iter().collect();

        // 1. The segments.
        let mut draft = match draft {
            Some(draft) => draft,
            None => Draft {
                segments: Segments::none(&self.parts.scratch, app),
                users: Bitmap::new(),
                pin: self.parts.index.pin(app).await?,
                touched: Bitmap::new(),
            },
        };
        draft.segments.widen(state, &everybody).await?;
        let lacking = |tag: &usize| !draft.segments.has(*tag);
        let others: Vec<usize> = tags.iter().copied().filter(lacking).collect();
        let scratch = &self.parts.scratch;
        let mut others = Segments::of(state, &everybody, &others, scratch, app).await?;

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
        self.show_touched(state, members, users, &draft.touched, tags).await
    }

    /// Shows again what users have of these tags who were touched while values were computed.
    ///
    /// # Errors
    /// Of the states, the users, the index and the feed.
    async fn show_touched(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        touched: &Bitmap,
        tags: &[usize],
    ) -> Result<()> {
        let deleted = users.deleted().await?;
        let touched: Vec<Ordinal> = touched.and_not(&deleted).iter().collect();
        for some in touched.chunks(SHOWN_AT_ONCE) {
            let changed = state.now_of(some, tags).await?;
            let shown = Shown { changed, fresh: Vec::new(), position: state.position };
            self.emit(state, members, users, shown).await?;
        }
        Ok(())
    }
}

impl AppState {
    /// Notes that something came to these users' states, if anybody asks.
    pub(crate) fn touch(&mut self, users: impl Iterator<Item = Ordinal>) {
        if let Some(touched) = &mut self.touched {
            users.for_each(|user| {
                touched.insert(user);
            });
        }
    }

    /// The values that users, ascending, have of these tags.
    pub(crate) async fn now_of(
        &mut self,
        users: &[Ordinal],
        tags: &[usize],
    ) -> Result<ChangedTags> {
        let wanted: BTreeSet<usize> = tags.iter().copied().collect();
        let with_states = self.plan.with_states();
        let mut values = ChangedTags::new();
        if wanted.range(with_states..).next().is_some() {
            values = self.derive_all(users).await?;
            values.retain(|tag, _| wanted.contains(tag));
        }
        for tag in wanted.range(..with_states) {
            let of_tag = self.values(*tag, users).await?;
            let changed = users.iter().zip(of_tag).map(|(user, value)| Changed::to(*user, value));
            values.insert(*tag, changed.collect());
        }
        Ok(values)
    }
}
