//! Live calls from the log into the lake, in two stages: they are admitted (checked, decided, and
//! built into rows that wait in memory), and they land.
//!
//! The position through which the log has landed is moved in the catalog transaction that publishes
//! the rows, and stands in the snapshot's summary too. So after a crash a record has landed or will
//! land, and never is its own duplicate.

use crate::admitted::{Followed, Follower};
use crate::ids::MessageIds;
use crate::landed_ids::LandedIds;
use crate::landing_memory::Memory;
use crate::linking::link_files;
use crate::live_rows::Landed;
use crate::live_totals::{
    ADMITTED_AT_ONCE, LANDED_AT_ONCE, LiveTotals, POINTER_KIND, POINTER_NAME, landed_value,
    position,
};
use crate::pending::{Batches, Pending, identified};
use crate::seen::remember_landed;
use crate::stretch::Stretch;
use crate::suppressed::Suppressions;
use crate::table_writers::{Files, Tables, Writers};
use crate::turns::Turns;
use crate::waiting::{LandingTrigger, Waiting};
use crate::{Error, Result};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_catalog::{Catalog, Change, Pointer};
use taghouse_disk::blocking;
use taghouse_identities::Identities;
use taghouse_lake::{DataFile, Lake, Table, layout};
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock};
use taghouse_rules::Definitions;
use tokio_util::sync::CancellationToken;

/// The key of a snapshot's summary with the log position that it holds.
pub const LOG_POSITION: &str = "taghouse.log-position";

/// Lands live calls.
pub struct Landing {
    catalog: Arc<dyn Catalog>,
    lake: Arc<Lake>,
    log: Arc<dyn EventLog>,
    ids: Arc<MessageIds>,
    pub(crate) clock: Arc<dyn Clock>,
    /// One landing of an app at a time, with what it remembers.
    apps: Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<Memory>>>>,
    waiting: Waiting,
    /// What the lake's files hold.
    landed: LandedIds,
    pub(crate) turns: Arc<Turns>,
    pub(crate) followed: Followed,
    pub(crate) identities: Arc<Identities>,
    pub(crate) suppressions: Arc<Suppressions>,
}

/// What ends the admission of records.
#[derive(PartialEq, Eq)]
enum Filled {
    /// All are admitted that are there, or were to be; or it was told to stop.
    All,
    /// No more may wait in memory.
    Full,
}

impl Landing {
    /// `ids`: which messages came in before. `clock` says from when they are read from the lake
    /// where that memory is missing.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        lake: Arc<Lake>,
        log: Arc<dyn EventLog>,
        ids: Arc<MessageIds>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            identities: Arc::new(Identities::new(lake.clone())),
            suppressions: Arc::new(Suppressions::new(catalog.clone())),
            catalog,
            lake,
            log,
            ids,
            clock,
            apps: Mutex::default(),
            waiting: Waiting::default(),
            landed: LandedIds::default(),
            turns: Arc::default(),
            followed: Followed::default(),
        }
    }

    /// Which ids are whose: those that others ask, too.
    #[must_use]
    pub fn sharing(self, identities: Arc<Identities>) -> Self {
        Self { identities, ..self }
    }

    /// Tells the follower of all that is admitted from here on. There is one; a second is not told.
    pub fn follow(&self, follower: Arc<dyn Follower>) {
        let _ = self.followed.set(follower);
    }

    pub(crate) async fn pointer(&self, app: &AppId) -> Result<Option<Pointer>> {
        Ok(self.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?)
    }

    pub(crate) fn memory(&self, app: &AppId) -> Arc<tokio::sync::Mutex<Memory>> {
        Arc::clone(self.apps.lock().entry(app.clone()).or_default())
    }

    /// Whether the app's calls have waited long enough, or are enough, to be landed.
    ///
    /// # Errors
    /// Errors of the log.
    pub async fn is_due(&self, app: &AppId, trigger: &LandingTrigger) -> Result<bool> {
        let end = self.log.end(app).await?;
        Ok(self.waiting.is_due(app, end, self.clock.now_ms(), trigger))
    }

    /// What became of the app's messages, ever.
    ///
    /// # Errors
    /// Errors of the catalog.
    pub async fn totals(&self, app: &AppId) -> Result<LiveTotals> {
        Ok(LiveTotals::of(self.pointer(app).await?.as_ref()))
    }

    /// Admits what the log holds up to the position `end`: decides what counts, builds the rows, keeps
    /// them in memory and tells the follower. Nothing is written, unless more than lands by one
    /// commit would wait, or other definitions come: then what waits lands first. After `stop` it
    /// admits no more. Gives the position admitted through.
    ///
    /// # Errors
    /// As [`Landing::land`]. Where it fails to land what waits, that is dropped, and the next call
    /// admits it again.
    pub async fn admit(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<u64> {
        let memory = self.memory(app);
        let mut memory = memory.lock().await;
        // Asked many times a second, mostly in vain.
        if memory.holds(definitions, end) {
            return Ok(end);
        }
        let outcome = self.admit_all(app, definitions, &mut memory, end, stop).await;
        if outcome.is_err() {
            memory.unsettle();
        }
        outcome
    }

    async fn admit_all(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        memory: &mut Memory,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<u64> {
        self.land_others(app, definitions, memory).await?;
        let landed = self.landed_through(app, memory, end).await?;
        while self.fill(app, definitions, memory, end, stop).await? == Filled::Full {
            self.land_pending(app, memory).await?;
        }
        Ok(memory.pending.as_ref().map_or(memory.landed.unwrap_or(landed), |p| p.through))
    }

    /// Lands what is admitted and what the log holds besides, and trims it. Cheap where there is
    /// nothing to land: then nothing changes. After `stop` it lands what it has begun with,
    /// 200,000 calls at most, and leaves the rest in the log. See it to its end: dropped, it may leave work
    /// on other threads that meets the next landing's. What [`Landing::admit`] had to land since
    /// the last call counts to this one.
    ///
    /// # Errors
    /// [`Error::LogBehind`], [`Error::Record`], [`Error::Ids`]; the lake's, the catalog's and the
    /// log's, `Conflict` among them if another process landed meanwhile. What was committed
    /// before the error stays, and the next call goes on from there.
    pub async fn land(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        stop: &CancellationToken,
    ) -> Result<Landed> {
        let end = self.log.end(app).await?;
        self.land_through(app, definitions, end, stop).await
    }

    /// The same, up to the position `end` of the log, or further where more is admitted.
    ///
    /// # Errors
    /// As [`Landing::land`].
    pub async fn land_through(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<Landed> {
        let memory = self.memory(app);
        let mut memory = memory.lock().await;
        self.land_noted(app, definitions, &mut memory, end, stop).await
    }

    /// Lands, and notes when what fails is tried again.
    pub(crate) async fn land_noted(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        memory: &mut Memory,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<Landed> {
        let outcome = self.land_all(app, definitions, memory, end, stop).await;
        match &outcome {
            Ok(landed) => self.waiting.landed(app, landed.position),
            Err(_) => {
                self.waiting.failed(app, self.clock.now_ms());
                memory.unsettle();
            }
        }
        outcome
    }

    async fn land_all(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        memory: &mut Memory,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<Landed> {
        self.land_others(app, definitions, memory).await?;
        let mut landed = self.landed_through(app, memory, end).await?;
        while memory.pending.is_some() || (landed < end && !stop.is_cancelled()) {
            let _turn = self.turns.take(app).await;
            self.decide_again(app, memory).await?;
            let filled = self.fill(app, definitions, memory, end, stop).await?;
            self.commit(app, memory).await?;
            landed = memory.landed.unwrap_or(landed);
            if filled == Filled::All {
                break;
            }
        }
        self.trim(app, memory, landed).await?;
        if landed >= end {
            self.ids.caught_up(app)?;
        }
        Ok(Landed { position: landed, ..std::mem::take(&mut memory.unreported) })
    }

    /// Lands what waits and was built under other definitions.
    async fn land_others(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        memory: &mut Memory,
    ) -> Result<()> {
        match &memory.pending {
            Some(pending) if !Arc::ptr_eq(&pending.definitions, definitions) => {
                self.land_pending(app, memory).await
            }
            _ => Ok(()),
        }
    }

    /// Lands what waits, and no more.
    async fn land_pending(&self, app: &AppId, memory: &mut Memory) -> Result<()> {
        {
            let _turn = self.turns.take(app).await;
            self.decide_again(app, memory).await?;
            self.commit(app, memory).await?;
        }
        if let Some(landed) = memory.landed {
            self.waiting.landed(app, landed);
            self.trim(app, memory, landed).await?;
        }
        Ok(())
    }

    async fn trim(&self, app: &AppId, memory: &mut Memory, landed: u64) -> Result<()> {
        if memory.trimmed < landed {
            self.log.trim(app, landed).await?;
            memory.trimmed = landed;
        }
        Ok(())
    }

    /// The position through which calls landed, held against `end` of the log.
    async fn landed_through(&self, app: &AppId, memory: &mut Memory, end: u64) -> Result<u64> {
        let landed = match &memory.pending {
            Some(pending) => position(pending.pointer.as_ref()),
            None => position(self.pointer(app).await?.as_ref()),
        };
        // Another landing may have gone further meanwhile.
        let there = if end < landed { self.log.end(app).await? } else { end };
        if there < landed {
            return Err(Error::LogBehind { app: app.to_string(), end: there, landed });
        }
        memory.landed = Some(landed);
        Ok(landed)
    }

    /// Admits records up to `end` as long as more may wait.
    async fn fill(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        memory: &mut Memory,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<Filled> {
        while !stop.is_cancelled() {
            let (after, room, pointer) = match &memory.pending {
                Some(pending) => (pending.through, pending.room(), None),
                None => {
                    let pointer = self.pointer(app).await?;
                    (position(pointer.as_ref()), LANDED_AT_ONCE, pointer)
                }
            };
            if after >= end {
                break;
            }
            if room == 0 {
                return Ok(Filled::Full);
            }
            let (ids, of) = (self.ids.clone(), app.clone());
            blocking(move || ids.begin(&of)).await?;
            let mut records = self.log.read(app, after, room.min(ADMITTED_AT_ONCE)).await?;
            records.retain(|(position, _)| *position <= end);
            if records.is_empty() {
                break;
            }
            self.admit_some(app, definitions, memory, pointer, records).await?;
        }
        Ok(Filled::All)
    }

    /// Admits these records behind what waits; where nothing does, `pointer` is the catalog's. If
    /// the lake or the memory of ids fails, what waits is dropped.
    async fn admit_some(
        &self,
        app: &AppId,
        definitions: &Arc<Definitions>,
        memory: &mut Memory,
        pointer: Option<Pointer>,
        records: Vec<(u64, Vec<u8>)>,
    ) -> Result<()> {
        let of = app.clone();
        let stretch = blocking(move || Stretch::decode(&of, &records)).await?;
        let identities = self.identities.of(app).await?;
        if definitions.app.identities.is_some() && stretch.claims() {
            self.identities.read_known(app).await?;
        }
        let pending = match memory.pending.take() {
            Some(pending) => pending,
            None => {
                let schemas = Tables::ensure(&self.lake, app, definitions).await?.schemas();
                let suppressed = self.suppressions.of(app).await?;
                Pending::new(definitions, pointer, schemas, identities, suppressed)?
            }
        };
        let (mut pending, stretch) = identified(pending, stretch).await?;
        if !memory.settled {
            let landed = position(pending.pointer.as_ref());
            self.settle(app, &pending.definitions, &stretch, landed).await?;
            memory.settled = true;
        }
        let (live, now_ms) = (pending.rows.live_sources(), self.clock.now_ms());
        let elsewhere = self.landed.find(&self.lake, app, &stretch.dated(), &live, now_ms).await?;
        let taken = elsewhere.iter().filter(|id| memory.told.remove(id)).count();
        let (ids, of, before) = (self.ids.clone(), app.clone(), pending.dated.len());
        let take = move || {
            let told = pending.take(&of, stretch, &ids, &elsewhere)?;
            Ok::<_, Error>((pending, told))
        };
        let (pending, told) = blocking(take).await?;
        let dated = pending.dated[before..].iter().map(|dated| dated.id);
        if let Some(follower) = self.followed.get() {
            memory.told.extend(dated);
            memory.pending = Some(pending);
            let other_links = memory.tell_links(&told);
            if taken > 0 || other_links {
                follower.taken_back(app).await;
            }
            told.tell(app, follower.as_ref()).await;
        } else {
            memory.pending = Some(pending);
        }
        Ok(())
    }

    /// Once it is the app's turn: what waits was decided before it. Where a file has brought one of
    /// its ids meanwhile, all is decided again.
    async fn decide_again(&self, app: &AppId, memory: &mut Memory) -> Result<()> {
        let Some(Pending { dated, rows, definitions, through, .. }) = &memory.pending else {
            return Ok(());
        };
        let (live, now_ms) = (rows.live_sources(), self.clock.now_ms());
        if self.landed.find(&self.lake, app, dated, &live, now_ms).await?.is_empty() {
            return Ok(());
        }
        let (definitions, through) = (Arc::clone(definitions), *through);
        memory.pending = None;
        let on = CancellationToken::new();
        self.fill(app, &definitions, memory, through, &on).await.map(drop)
    }

    /// Lands what waits, in the app's turn. If it fails, what waits is dropped.
    async fn commit(&self, app: &AppId, memory: &mut Memory) -> Result<()> {
        let Some(pending) = memory.pending.take() else { return Ok(()) };
        let through = pending.through;
        self.waiting.sample(app, pending.records, pending.bytes);
        if let Some(follower) = self.followed.get() {
            follower.landing(app, through).await;
        }
        let tables = Tables::ensure(&self.lake, app, &pending.definitions).await?;
        let (calls, now_ms) = (pending.landed_calls(), self.clock.now_ms());
        let changes = self.changes(app, pending.changes).await?;
        let links = link_files(&self.lake, app, &pending.links).await?;
        let mut writers = Writers::new(&tables);
        writers.write_admitted(pending.events, pending.attributes, pending.rejected).await?;
        let mut files = Files::default();
        if let Err(e) = writers.close(&mut files).await {
            files.discard(&self.lake).await;
            return Err(e);
        }
        // From here until the commit is known to hold, what is remembered is more than what landed.
        memory.settled = false;
        let (ids, of, noted) = (self.ids.clone(), app.clone(), pending.noted);
        if let Err(e) = blocking(move || ids.note(&of, &noted, through)).await {
            files.discard(&self.lake).await;
            return Err(e);
        }
        let (pointer, landed, mut topics) = (pending.pointer, pending.landed, pending.topics);
        let totals =
            LiveTotals::of(pointer.as_ref()).and(&calls, pending.messages, pending.refused, now_ms);
        topics.add(&pending.topic_totals, now_ms);
        let mut commit = self.lake.begin(app);
        files.append(&mut commit, &tables);
        for (table, files) in changes.into_iter().chain(links) {
            commit.append(&table, files);
        }
        commit.summary(LOG_POSITION, &through.to_string());
        commit.also(Change::PutPointer {
            kind: POINTER_KIND.to_owned(),
            app: app.clone(),
            name: POINTER_NAME.to_owned(),
            expected: pointer.map(|p| p.revision),
            value: landed_value(through, &totals, &topics),
        });
        commit.commit().await?;
        memory.settled = true;
        memory.landed = Some(through);
        memory.told.clear();
        memory.told_links.clear();
        memory.unreported.add(&landed);
        self.identities.add_known(app, pending.linker.into_seen());
        Ok(())
    }

    /// The table of changes by hand with the data files of these; it is made when there is the
    /// first.
    async fn changes(&self, app: &AppId, rows: Batches) -> Result<Option<(Table, Vec<DataFile>)>> {
        let rows = rows.into_inner();
        if rows.is_empty() {
            return Ok(None);
        }
        let table = self.lake.ensure(app, &layout::user_changes()).await?;
        let mut writer = table.writer();
        for batch in rows {
            writer.write(batch).await?;
        }
        let files = writer.close().await?;
        Ok(Some((table, files)))
    }

    /// Makes the ids remembered those of the records up to `landed`, be it from the lake.
    async fn settle(
        &self,
        app: &AppId,
        definitions: &Definitions,
        stretch: &Stretch,
        landed: u64,
    ) -> Result<()> {
        let (ids, of) = (self.ids.clone(), app.clone());
        if blocking(move || ids.settle(&of, landed)).await? {
            return Ok(());
        }
        let first_ms = stretch.first_ms.min(self.clock.now_ms());
        remember_landed(&self.ids, &self.lake, app, definitions, first_ms).await?;
        let (ids, of) = (self.ids.clone(), app.clone());
        blocking(move || ids.restored(&of, landed)).await
    }
}
