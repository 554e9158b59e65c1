//! All apps' streams: told of rows as they are admitted, and of time as it goes by.

use crate::by_hand::ByHand;
use crate::checkpoint::{Checkpoints, Opened, Wanted};
use crate::emission::Shown;
use crate::gone::Gone;
use crate::intake::{TakenIn, take_rows};
use crate::members::Members;
use crate::plan::StreamPlan;
use crate::returned::Returned;
use crate::slot::{Serving, Slot};
use crate::state::AppState;
use crate::{Error, Result, Status};
use object_store::ObjectStore;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::Catalog;
use taghouse_feed::Feeds;
use taghouse_identities::Identities;
use taghouse_index::Index;
use taghouse_ingest::{Admitted, FileBatches, landed};
use taghouse_lake::Lake;
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock, TimestampMs};
use taghouse_rules::Definitions;
use taghouse_users::{SharedUsers, Users};

/// Values that change by time alone are worked off in slices of so many, so that events do not
/// wait for midnight.
const SLICE: usize = 20_000;

/// So many slices are worked off before events are looked at again.
const SLICES_AT_ONCE: usize = 4;

/// How long somebody who asks how a stream is doing waits for whoever works on it.
const STATUS_WAIT: Duration = Duration::from_millis(200);

/// What the stream works with.
pub struct StreamParts {
    /// Its checkpoints' pointers.
    pub catalog: Arc<dyn Catalog>,
    /// Where live calls are until they land.
    pub log: Arc<dyn EventLog>,
    /// From which states are computed at first.
    pub lake: Arc<Lake>,
    /// Where values go.
    pub index: Arc<Index>,
    /// Who is told of changes.
    pub feeds: Arc<Feeds>,
    /// Who has values.
    pub users: Arc<Users>,
    /// Whose ids are whose.
    pub identities: Arc<Identities>,
    /// Where states are kept.
    pub objects: Arc<dyn ObjectStore>,
    /// A folder of this machine, for what is made on its way to the index.
    pub scratch: PathBuf,
    /// By which time goes on.
    pub clock: Arc<dyn Clock>,
    /// Bytes of states that an app keeps in memory.
    pub budget_bytes: u64,
}

/// The streams of all apps with live tags. It is told of rows by the landing
/// ([`taghouse_ingest::Landing::follow`]), and of time by [`Stream::tick`].
pub struct Stream {
    pub(crate) parts: StreamParts,
    apps: Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<Slot>>>>,
    /// What was said last of each app.
    told: Mutex<HashMap<AppId, Status>>,
    /// The instant that each app's values are as of.
    as_of_ms: Mutex<HashMap<AppId, TimestampMs>>,
    /// The log position up to which calls are in each app's values.
    shown: Mutex<HashMap<AppId, u64>>,
}

/// Whether [`Stream::tick`] found that an app's states are to be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// All is as it should be.
    Done,
    /// Call [`Stream::rebuild`].
    Rebuild,
}

impl Stream {
    /// No app is known yet.
    pub fn new(parts: StreamParts) -> Self {
        Self {
            parts,
            apps: Mutex::default(),
            told: Mutex::default(),
            as_of_ms: Mutex::default(),
            shown: Mutex::default(),
        }
    }

    pub(crate) fn slot(&self, app: &AppId) -> Arc<tokio::sync::Mutex<Slot>> {
        Arc::clone(self.apps.lock().entry(app.clone()).or_default())
    }

    pub(crate) fn checkpoints(&self, app: &AppId) -> Checkpoints {
        let StreamParts { catalog, objects, feeds, .. } = &self.parts;
        let (catalog, objects, feeds) = (catalog.clone(), objects.clone(), feeds.clone());
        Checkpoints { catalog, objects, feeds, app: app.clone() }
    }

    /// Lets time go on for an app: values change whose window is another now.
    ///
    /// # Errors
    /// Of the index and the object store; the states are computed again then.
    pub async fn tick(&self, definitions: &Arc<Definitions>) -> Result<Tick> {
        let app = &definitions.app.id;
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        self.go_on(&mut slot, definitions).await?;
        let now_ms = self.parts.clock.steady_ms();
        let rebuild = slot.has_more() && !slot.rebuilding && slot.not_before_ms <= now_ms;
        slot.rebuilding |= rebuild;
        Ok(if rebuild { Tick::Rebuild } else { Tick::Done })
    }

    /// What a tick does, but for saying that states are to be computed.
    pub(crate) async fn go_on(
        &self,
        slot: &mut Slot,
        definitions: &Arc<Definitions>,
    ) -> Result<()> {
        let app = &definitions.app.id;
        if let Err(error) = self.prepare(slot, definitions).await {
            slot.fail(app, &error);
            self.note_shown(app, slot);
            return Err(error);
        }
        self.note_shown(app, slot);
        let Slot { serving, members, emitted, lacking, .. } = slot;
        if let Some(Serving { state, .. }) = serving {
            let users = self.parts.users.share(app).await;
            let passed = async {
                self.find_by_hand(definitions, members, &users).await?;
                self.pass_time(state, members, &users, *lacking).await
            };
            match passed.await {
                Ok(more) => *emitted += more,
                // The users were renumbered: nothing failed, and it is known what to do.
                Err(error @ Error::Renumbered) => slot.fail(app, &error),
                Err(error) => {
                    slot.fail(app, &error);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether the app's live tags have values of the definitions seen last.
    pub async fn is_serving(&self, app: &AppId) -> bool {
        let slot = self.slot(app);
        let slot = slot.lock().await;
        slot.serving.is_some() && !slot.has_more() && !slot.rebuilding
    }

    async fn pass_time(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        lacking: bool,
    ) -> Result<u64> {
        let count = self.advance(state, members, users).await?;
        // Crowds of tags that are still to be computed are not there to be looked at.
        if !lacking {
            self.fill_members(state, members, users).await?;
        }
        self.as_of_ms.lock().insert(users.app().clone(), state.now_ms);
        Ok(count)
    }

    /// Shows what time changes, of some users; how many values.
    pub(crate) async fn advance(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
    ) -> Result<u64> {
        if state.generation != users.generation() && !state.users().is_empty() {
            return Err(Error::Renumbered);
        }
        state.pass(self.parts.clock.now_ms());
        let mut count = 0;
        for _ in 0..SLICES_AT_ONCE {
            let mut changed = state.advance(SLICE).await?;
            state.derive(&mut changed, &[]).await?;
            let shown = Shown { changed, fresh: Vec::new(), position: state.position };
            count += self.emit(state, members, users, shown).await?;
            if !state.is_behind() {
                break;
            }
        }
        Ok(count)
    }

    /// Makes the slot one of these definitions: opens a checkpoint, or says that states are to be
    /// computed.
    pub(crate) async fn prepare(
        &self,
        slot: &mut Slot,
        definitions: &Arc<Definitions>,
    ) -> Result<()> {
        let app = &definitions.app.id;
        if slot.follows(definitions) {
            return Ok(());
        }
        let Some(plan) = StreamPlan::new(definitions)? else {
            return self.leave(slot, app).await;
        };
        if slot.watch.is_none() {
            // Watched first: what is deleted meanwhile is in one of the two.
            let watch = self.parts.users.watch_deletions(app);
            slot.gone = Gone::of(&self.parts.lake, app).await?;
            slot.watch = Some(watch);
        }
        let fingerprint = plan.fingerprint.clone();
        if let Some(building) = &mut slot.building
            && building.state.plan.fingerprint != fingerprint
        {
            slot.building = None;
        }
        if let Some(Serving { state, .. }) = &mut slot.serving {
            // With tags that the states are not of, the former definitions go on to serve.
            slot.lacking = !plan.hashes().is_subset(&state.plan.hashes());
            if !slot.lacking {
                state.replan(plan);
            }
            return Ok(());
        }
        if !std::mem::replace(&mut slot.opened, true) {
            slot.members = self.open_members(app).await?;
            if let Some(Opened { build, mut state, more_files }) = self.open(definitions).await? {
                // With rows of files that the states lack, more was shown than the log tells of.
                if more_files {
                    state.shown_unknown = u64::MAX;
                }
                slot.members.wait(state.shown_unknown, state.uncompared);
                slot.lacking = state.plan.hashes() != plan.hashes();
                slot.more_files = more_files;
                slot.serving = Some(Serving { build, saved: Some(state.position), state });
            }
            slot.stale = slot.serving.is_none();
            slot.searched = false;
        } else if slot.building.is_none() {
            slot.stale = true;
        }
        Ok(())
    }

    async fn open(&self, definitions: &Arc<Definitions>) -> Result<Option<Opened>> {
        let app = &definitions.app.id;
        let users = self.parts.users.share(app).await;
        let wanted = Wanted {
            generation: users.generation(),
            landed: landed(self.parts.catalog.as_ref(), app).await?,
            batches: FileBatches::of_sources(self.parts.catalog.as_ref(), definitions).await?,
            budget_bytes: self.parts.budget_bytes,
        };
        let opened = self.checkpoints(app).open(definitions, &wanted).await?;
        let Some(mut opened) = opened else { return Ok(None) };
        // A start makes deletions again that had not settled, and with them goes a user who had
        // come back since. What came of that user is behind the checkpoint, and is not read again.
        let deleted = users.deleted().await?;
        if opened.state.lacks_deletions(&deleted) {
            return Ok(None);
        }
        opened.state.shown_unknown = self.parts.log.end(app).await?;
        opened.state.opened_ms = self.parts.clock.now_ms();
        Ok(Some(opened))
    }

    /// The app has no live tags any more.
    async fn leave(&self, slot: &mut Slot, app: &AppId) -> Result<()> {
        if slot.watch.is_some() || !slot.opened {
            self.checkpoints(app).forget().await?;
            self.forget_members(app).await?;
            self.checkpoints(app).sweep_others(None).await?;
        }
        *slot = Slot { opened: true, ..Slot::default() };
        Ok(())
    }

    /// Takes rows in, and shows what changed.
    pub(crate) async fn take(&self, slot: &mut Slot, rows: &Admitted<'_>) -> Result<()> {
        self.prepare(slot, rows.definitions).await?;
        if slot.serving.is_none() && slot.building.is_none() {
            // Nobody notes who is changed by hand meanwhile.
            slot.members.by_hand = ByHand::default();
            return Ok(());
        }
        if !rows.changed.is_empty() {
            // What was noted of changes by hand is made by then.
            self.parts.users.settled(rows.app, self.parts.log.as_ref()).await?;
        }
        let users = self.parts.users.share(rows.app).await;
        self.find_gone(slot, rows.app).await?;
        self.find_by_hand(rows.definitions, &mut slot.members, &users).await?;
        let Slot { gone, members, .. } = &mut *slot;
        self.note_by_hand(members, &users, rows, gone).await?;
        slot.gone.read(rows.gone);
        let deleted = users.deleted().await?;
        let now_ms = self.parts.clock.now_ms();
        for serving in [&mut slot.serving, &mut slot.building].into_iter().flatten() {
            serving.state.pass(now_ms);
            serving.state.erase(&deleted).await?;
        }
        let noting = [&mut slot.serving, &mut slot.building].into_iter().flatten();
        self.touch_hands(noting.map(|serving| &mut serving.state), &users, rows).await?;
        slot.members.erase(&deleted);
        let Slot { serving, building, members, .. } = slot;
        // Before what is shown: who was deleted and came back is another user.
        let mut returned = Returned::default();
        if let Some(Serving { state, .. }) = serving.as_ref().or(building.as_ref()) {
            let deleted = self.tell_of_calls(state, members, &users, rows).await?;
            returned = Returned::of(deleted, state, members, &users).await?;
        }
        self.follow_links(slot, &users, rows).await?;
        let identities = self.parts.identities.of(rows.app).await?;
        let Slot { serving, gone, members, emitted, .. } = slot;
        if let Some(Serving { state, .. }) = serving {
            let TakenIn { changed, fresh } =
                take_rows(state, &users, gone, &identities, rows).await?;
            let shown = Shown { changed, fresh, position: rows.through };
            *emitted += self.emit(state, members, &users, shown).await?;
            state.position = state.position.max(rows.through);
            // Not who was noted above: a link may have given an id another ordinal since.
            let by_hand = self.note_by_hand(members, &users, rows, gone).await?;
            self.tell_by_hand(state, members, &users, &by_hand).await?;
            self.tell_returned(state, members, &users, returned).await?;
        }
        self.note_shown(rows.app, slot);
        let Slot { building, gone, .. } = slot;
        if let Some(Serving { state, .. }) = building {
            take_rows(state, &users, gone, &identities, rows).await?;
            state.position = state.position.max(rows.through);
        }
        Ok(())
    }

    /// Learns of users who are deleted already, while the records of that are still to be read.
    /// The caller shares the users: no deletion goes on meanwhile.
    pub(crate) async fn find_gone(&self, slot: &mut Slot, app: &AppId) -> Result<()> {
        slot.members.unread = slot.gone.unread();
        let more = slot.watch.as_ref().is_some_and(|watch| !watch.take().is_empty());
        if slot.searched && !more {
            return Ok(());
        }
        let positions = [&slot.serving, &slot.building].into_iter().flatten();
        let Some(from) = positions.map(|serving| serving.state.position).min() else {
            return Ok(());
        };
        slot.gone.find(self.parts.log.as_ref(), app, from).await?;
        slot.searched = true;
        Ok(())
    }

    /// Saves the states of an app, if they have seen anything since the last time.
    pub(crate) async fn save(
        &self,
        app: &AppId,
        serving: &mut Serving,
        members: &mut Members,
    ) -> Result<()> {
        if serving.saved == Some(serving.state.position) {
            return Ok(());
        }
        // What is not shown again after a crash must not be missing in the feed.
        if let Err(error) = self.parts.feeds.flush(app).await {
            tracing::warn!(%app, %error, "the states of live tags are not saved");
            return Ok(());
        }
        self.save_members(app, members).await?;
        serving.state.uncompared = members.pending.is_some();
        self.checkpoints(app).save(serving.build, &mut serving.state).await?;
        // A computation from the lake begins behind what has landed.
        let landed = landed(self.parts.catalog.as_ref(), app).await?;
        members.told_deleted.retain(|_, position| *position > landed);
        serving.saved = Some(serving.state.position);
        Ok(())
    }

    /// The number of a computation that begins now: higher than all before it.
    pub(crate) fn next_build(&self, slot: &mut Slot) -> u64 {
        let now = u64::try_from(self.parts.clock.now_ms()).unwrap_or(0);
        let serving = slot.serving.as_ref().map_or(0, |serving| serving.build);
        slot.last_build = now.max(serving + 1).max(slot.last_build + 1);
        slot.last_build
    }

    /// How an app's stream is doing; `None`: it has no live tags, or was not looked at yet. While
    /// it is worked on for longer than a moment, what was known before.
    pub async fn status(&self, app: &AppId) -> Option<Status> {
        let slot = self.apps.lock().get(app).cloned()?;
        match tokio::time::timeout(STATUS_WAIT, slot.lock()).await {
            Ok(slot) => self.tell(app, &slot),
            Err(_) => self.told.lock().get(app).cloned(),
        }
    }

    /// How the slot is doing, for those too who ask while it is worked on.
    pub(crate) fn tell(&self, app: &AppId, slot: &Slot) -> Option<Status> {
        let status = slot.status();
        let mut told = self.told.lock();
        match &status {
            Some(status) => told.insert(app.clone(), status.clone()),
            None => told.remove(app),
        };
        status
    }

    /// The instant that the values of an app's live tags are as of; `None`: nothing let time go on
    /// in this process yet.
    pub fn as_of_ms(&self, app: &AppId) -> Option<TimestampMs> {
        self.as_of_ms.lock().get(app).copied()
    }

    /// Up to here calls are in the values that the states serve.
    fn note_shown(&self, app: &AppId, slot: &Slot) {
        let position = slot.serving.as_ref().map(|serving| serving.state.position);
        let mut shown = self.shown.lock();
        match position {
            Some(position) => shown.insert(app.clone(), position),
            None => shown.remove(app),
        };
    }

    /// The log position up to which calls are in the values of an app's live tags, as the index has
    /// logged them; `None`: there are no states that serve. Takes a lock for a moment only.
    pub fn shown_position(&self, app: &AppId) -> Option<u64> {
        self.shown.lock().get(app).copied()
    }

    /// The log position of an app's checkpoint; `None`: it has none.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn saved_position(&self, app: &AppId) -> Result<Option<u64>> {
        self.checkpoints(app).position().await
    }
}
