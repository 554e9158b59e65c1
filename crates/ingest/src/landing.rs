//! Live calls from the log into the lake.
//!
//! The position through which the log has landed is moved in the catalog transaction that publishes
//! the rows, and stands in the snapshot's summary too. So after a crash a record has landed or will
//! land, and never is its own duplicate.

use crate::ids::{MessageIds, NotedId, message_hash};
use crate::landed_ids::{DatedId, LandedIds};
use crate::live_rows::{Built, Landed, LiveRows};
use crate::log_record::{LogRecord, RecordBody};
use crate::seen::remember_landed;
use crate::table_writers::{Files, Tables, Writers};
use crate::turns::Turns;
use crate::waiting::{LandingTrigger, Waiting};
use crate::{Error, Result};
use arrow::array::RecordBatch;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use taghouse_catalog::{Catalog, Change, Pointer};
use taghouse_disk::blocking;
use taghouse_lake::{DataFile, Lake, Table, layout};
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock, TimestampMs};
use taghouse_rules::Definitions;
use tokio_util::sync::CancellationToken;

/// Records that land by one commit.
const LANDED_AT_ONCE: usize = 50_000;

/// The catalog's pointer at the position through which the log has landed: value `{"position": n,
/// "totals": …}`, see [`LiveTotals`].
const POINTER_KIND: &str = "log";
const POINTER_NAME: &str = "landed";

/// The key of a snapshot's summary with the log position that it holds.
pub const LOG_POSITION: &str = "taghouse.log-position";

/// What became of an app's live messages, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LiveTotals {
    /// How many messages there were in all.
    pub messages: u64,
    /// Those that gave rows of `events` or `attributes`, or only a user.
    pub accepted: u64,
    /// Rows of `rejected_events`: messages, and single fields of messages that landed without
    /// them.
    pub rejected: u64,
    /// Messages that a filter left out.
    pub filtered: u64,
    /// Messages dropped because their id had come in before.
    pub duplicates: u64,
    /// When the last landing was; `None`: never.
    pub landed_ms: Option<TimestampMs>,
    /// Messages of that landing.
    pub last_messages: u64,
    /// Rows of `rejected_events` of that landing.
    pub last_rejected: u64,
}

impl LiveTotals {
    fn of(pointer: Option<&Pointer>) -> Self {
        pointer
            .and_then(|p| serde_json::from_value(p.value.get("totals")?.clone()).ok())
            .unwrap_or_default()
    }

    /// With a landing of so many messages, of which `refused` gave nothing.
    fn and(self, landed: &Landed, messages: u64, refused: u64, now_ms: TimestampMs) -> Self {
        Self {
            messages: self.messages + messages,
            accepted: self.accepted
                + messages.saturating_sub(landed.filtered + landed.duplicates + refused),
            rejected: self.rejected + landed.rejected,
            filtered: self.filtered + landed.filtered,
            duplicates: self.duplicates + landed.duplicates,
            landed_ms: Some(now_ms),
            last_messages: messages,
            last_rejected: landed.rejected,
        }
    }
}

/// Lands live calls.
pub struct Landing {
    catalog: Arc<dyn Catalog>,
    lake: Arc<Lake>,
    log: Arc<dyn EventLog>,
    ids: Arc<MessageIds>,
    clock: Arc<dyn Clock>,
    /// One landing of an app at a time, with what it remembers.
    apps: Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<Memory>>>>,
    waiting: Waiting,
    /// What the lake's files hold.
    landed: LandedIds,
    pub(crate) turns: Arc<Turns>,
}

#[derive(Default)]
struct Memory {
    /// The ids remembered are those of the records that landed.
    settled: bool,
    trimmed: u64,
}

/// An app whose calls do not land meanwhile.
pub struct HeldLanding {
    _memory: tokio::sync::OwnedMutexGuard<Memory>,
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
            catalog,
            lake,
            log,
            ids,
            clock,
            apps: Mutex::default(),
            waiting: Waiting::default(),
            landed: LandedIds::default(),
            turns: Arc::default(),
        }
    }

    /// Lets landings of the app wait as long as the result lives. Waits for one that goes on.
    pub async fn hold(&self, app: &AppId) -> HeldLanding {
        HeldLanding { _memory: self.memory(app).lock_owned().await }
    }

    fn memory(&self, app: &AppId) -> Arc<tokio::sync::Mutex<Memory>> {
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
        Ok(LiveTotals::of(self.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?.as_ref()))
    }

    /// Lands what the log contains, and trims the log. Cheap if there is nothing to land: then
    /// nothing changes. After `stop` it lands what it has started with, 50,000 calls at most, and
    /// leaves the rest in the log. Await it to its end: if it is dropped, its work on other
    /// threads may collide with the next landing.
    ///
    /// # Errors
    /// [`Error::LogBehind`], [`Error::Record`], [`Error::Ids`]; the lake's, the catalog's and the
    /// log's, `Conflict` among them if another process landed meanwhile. What was committed
    /// before the error stays, and the next call goes on from there.
    pub async fn land(
        &self,
        app: &AppId,
        definitions: &Definitions,
        stop: &CancellationToken,
    ) -> Result<Landed> {
        let end = self.log.end(app).await?;
        self.land_through(app, definitions, end, stop).await
    }

    /// Like [`Self::land`], up to the position `end` of the log.
    ///
    /// # Errors
    /// As [`Landing::land`].
    pub async fn land_through(
        &self,
        app: &AppId,
        definitions: &Definitions,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<Landed> {
        let memory = self.memory(app);
        let mut memory = memory.lock().await;
        let outcome = self.land_all(app, definitions, &mut memory, end, stop).await;
        match &outcome {
            Ok(landed) => self.waiting.landed(app, landed.position),
            Err(_) => self.waiting.failed(app, self.clock.now_ms()),
        }
        if outcome.is_err() {
            // Whether a failed commit holds may be unknown.
            memory.settled = false;
        }
        outcome
    }

    async fn land_all(
        &self,
        app: &AppId,
        definitions: &Definitions,
        memory: &mut Memory,
        end: u64,
        stop: &CancellationToken,
    ) -> Result<Landed> {
        let mut pointer = self.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?;
        let mut total = Landed { position: position(pointer.as_ref()), ..Landed::default() };
        // Another landing may have gone further meanwhile.
        let there = if end < total.position { self.log.end(app).await? } else { end };
        if there < total.position {
            return Err(Error::LogBehind {
                app: app.to_string(),
                end: there,
                landed: total.position,
            });
        }
        if total.position < end {
            let (ids, of) = (self.ids.clone(), app.clone());
            blocking(move || ids.begin(&of)).await?;
        }
        while total.position < end && !stop.is_cancelled() {
            let mut records = self.log.read(app, total.position, LANDED_AT_ONCE).await?;
            records.retain(|(position, _)| *position <= end);
            let Some((last, _)) = records.last() else { break };
            let last = *last;
            self.waiting.sample(app, &records);
            let landed =
                self.land_some(app, definitions, memory, records, pointer.as_ref()).await?;
            total.events += landed.events;
            total.attributes += landed.attributes;
            total.rejected += landed.rejected;
            total.filtered += landed.filtered;
            total.replaced += landed.replaced;
            total.changes += landed.changes;
            total.duplicates += landed.duplicates;
            total.position = last;
            pointer = self.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?;
        }
        if memory.trimmed < total.position {
            self.log.trim(app, total.position).await?;
            memory.trimmed = total.position;
        }
        if total.position >= end {
            self.ids.caught_up(app)?;
        }
        Ok(total)
    }

    async fn land_some(
        &self,
        app: &AppId,
        definitions: &Definitions,
        memory: &mut Memory,
        records: Vec<(u64, Vec<u8>)>,
        pointer: Option<&Pointer>,
    ) -> Result<Landed> {
        let of = app.clone();
        let stretch = blocking(move || Stretch::decode(&of, &records)).await?;
        let tables = Tables::ensure(&self.lake, app, definitions).await?;
        if !memory.settled {
            self.settle(app, definitions, &stretch, position(pointer)).await?;
        }
        let rows = LiveRows::new(definitions, tables.schemas())?;
        // From the look-up to the commit, so that of a file and a call of one id only one lands.
        let _turn = self.turns.take(app).await;
        let elsewhere = self
            .landed
            .find(&self.lake, app, &stretch.dated(), rows.source(), self.clock.now_ms())
            .await?;
        let (ids, of) = (self.ids.clone(), app.clone());
        let messages =
            stretch.records.iter().filter(|(_, record)| record.is_message()).count() as u64;
        let Taken { built, refused, noted, last } =
            blocking(move || stretch.take(&of, &ids, &elsewhere, rows)).await?;
        let Built { accepted, rejected, changes, landed } = built;
        let changes = self.changes(app, changes).await?;
        let mut writers = Writers::new(&tables);
        writers.write(accepted.events, accepted.attributes, rejected).await?;
        let mut files = Files::default();
        if let Err(e) = writers.close(&mut files).await {
            files.discard(&self.lake).await;
            return Err(e);
        }
        // From here until the commit is known to hold, what is remembered is more than what landed.
        memory.settled = false;
        let (ids, of) = (self.ids.clone(), app.clone());
        if let Err(e) = blocking(move || ids.note(&of, &noted, last)).await {
            files.discard(&self.lake).await;
            return Err(e);
        }
        let totals = LiveTotals::of(pointer).and(&landed, messages, refused, self.clock.now_ms());
        let mut commit = self.lake.begin(app);
        files.append(&mut commit, &tables);
        if let Some((table, files)) = changes {
            commit.append(&table, files);
        }
        commit.summary(LOG_POSITION, &last.to_string());
        commit.also(Change::PutPointer {
            kind: POINTER_KIND.to_owned(),
            app: app.clone(),
            name: POINTER_NAME.to_owned(),
            expected: pointer.map(|p| p.revision),
            value: serde_json::json!({ "position": last, "totals": totals }),
        });
        commit.commit().await?;
        memory.settled = true;
        Ok(landed)
    }

    /// The table of changes by hand with the data files of these; it is made when there is the
    /// first.
    async fn changes(
        &self,
        app: &AppId,
        rows: RecordBatch,
    ) -> Result<Option<(Table, Vec<DataFile>)>> {
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let table = self.lake.ensure(app, &layout::user_changes()).await?;
        let mut writer = table.writer();
        writer.write(rows).await?;
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

/// A stretch of the log, decoded.
struct Stretch {
    records: Vec<(u64, LogRecord)>,
    /// When the first of its calls came in.
    first_ms: TimestampMs,
}

/// What a stretch becomes.
struct Taken {
    built: Built,
    /// Messages that were rejected whole.
    refused: u64,
    /// The ids that are new.
    noted: Vec<NotedId>,
    /// Its last position.
    last: u64,
}

impl Stretch {
    fn decode(app: &AppId, records: &[(u64, Vec<u8>)]) -> Result<Self> {
        let mut stretch =
            Self { records: Vec::with_capacity(records.len()), first_ms: TimestampMs::MAX };
        for (position, bytes) in records {
            let wrong = |e: serde_json::Error| Error::Record {
                app: app.to_string(),
                position: *position,
                detail: e.to_string(),
            };
            let record = LogRecord::decode(bytes).map_err(wrong)?;
            stretch.first_ms = stretch.first_ms.min(record.received_at_ms);
            stretch.records.push((*position, record));
        }
        Ok(stretch)
    }

    /// The ids of messages that give rows of events or attributes.
    fn dated(&self) -> Vec<DatedId> {
        let dated = |(_, record): &(u64, LogRecord)| match &record.body {
            RecordBody::Event { time_ms, .. } | RecordBody::Traits { time_ms, .. } => {
                Some(DatedId { id: message_hash(&record.message_id), time_ms: *time_ms })
            }
            RecordBody::Changed { .. } | RecordBody::Gone { .. } | RecordBody::Rejected { .. } => {
                None
            }
        };
        self.records.iter().filter_map(dated).collect()
    }

    /// Every id counts once, whatever became of its message: landed, rejected, or left out by a
    /// filter. `elsewhere`: ids that the lake holds beside those remembered.
    fn take(
        self,
        app: &AppId,
        ids: &MessageIds,
        elsewhere: &HashSet<u128>,
        mut rows: LiveRows,
    ) -> Result<Taken> {
        let hashes: Vec<u128> =
            self.records.iter().map(|(_, record)| message_hash(&record.message_id)).collect();
        let known = ids.known(app, &hashes)?;
        let mut fresh = HashSet::with_capacity(hashes.len());
        let mut noted = Vec::with_capacity(hashes.len());
        let mut last = 0;
        for ((id, known), (position, record)) in hashes.into_iter().zip(known).zip(&self.records) {
            let is_new =
                !record.is_message() || (!known && !elsewhere.contains(&id) && fresh.insert(id));
            if is_new && record.is_message() {
                noted.push(NotedId { id, position: *position });
            }
            rows.push(*position, record, is_new);
            last = *position;
        }
        let refused = rows.refused;
        Ok(Taken { built: rows.finish()?, refused, noted, last })
    }
}

/// The position through which an app's log has landed.
///
/// # Errors
/// Errors of the catalog.
pub async fn landed(catalog: &dyn Catalog, app: &AppId) -> taghouse_catalog::Result<u64> {
    Ok(position(catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?.as_ref()))
}

fn position(pointer: Option<&Pointer>) -> u64 {
    pointer.and_then(|p| p.value.get("position")?.as_u64()).unwrap_or(0)
}
