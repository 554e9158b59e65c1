//! Live calls from the log into the lake.
//!
//! The position through which the log has landed is moved in the catalog transaction that publishes the rows, and stands in the snapshot's
//! summary too. So after a crash a record has landed or will land, and never is its own duplicate.

use crate::live_rows::{Landed, LiveRows};
use crate::record::LogRecord;
use crate::seen::SeenIds;
use crate::writers::{Files, Tables, Writers};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use taghouse_catalog::{Catalog, Change, Pointer};
use taghouse_lake::Lake;
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock};
use taghouse_rules::Definitions;

/// Records that land by one commit.
const LANDED_AT_ONCE: usize = 50_000;

/// The catalog's pointer at the position through which the log has landed: value `{"position": n}`.
const POINTER_KIND: &str = "log";
const POINTER_NAME: &str = "landed";

/// The key of a snapshot's summary with the log position that it holds.
pub const LOG_POSITION: &str = "taghouse.log-position";

/// Lands live calls.
pub struct Landing {
    catalog: Arc<dyn Catalog>,
    lake: Arc<Lake>,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    /// One landing of an app at a time, with what it remembers.
    apps: Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<Memory>>>>,
}

#[derive(Default)]
struct Memory {
    /// `None`: to be read from the lake.
    seen: Option<SeenIds>,
    trimmed: u64,
}

impl Landing {
    /// `clock`: not later than which ids are remembered from when the memory is built.
    pub fn new(catalog: Arc<dyn Catalog>, lake: Arc<Lake>, log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, lake, log, clock, apps: Mutex::default() }
    }

    /// Lands what the log holds, and trims it. Cheap where there is nothing to land: then nothing changes.
    ///
    /// # Errors
    /// [`Error::LogBehind`], [`Error::Record`]; the lake's, the catalog's and the log's, `Conflict` among them if another process landed
    /// meanwhile. What was committed before the error stays, and the next call goes on from there.
    pub async fn land(&self, app: &AppId, definitions: &Definitions) -> Result<Landed> {
        let memory = Arc::clone(self.apps.lock().unwrap_or_else(PoisonError::into_inner).entry(app.clone()).or_default());
        let mut memory = memory.lock().await;
        let outcome = self.land_all(app, definitions, &mut memory).await;
        if outcome.is_err() {
            // Whether a failed commit holds may be unknown: what is remembered must be read anew.
            memory.seen = None;
        }
        outcome
    }

    async fn land_all(&self, app: &AppId, definitions: &Definitions, memory: &mut Memory) -> Result<Landed> {
        let mut pointer = self.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?;
        let mut total = Landed { position: position(pointer.as_ref()), ..Landed::default() };
        let end = self.log.end(app).await?;
        if end < total.position {
            return Err(Error::LogBehind { app: app.to_string(), end, landed: total.position });
        }
        while total.position < end {
            let records = self.log.read(app, total.position, LANDED_AT_ONCE).await?;
            let Some((last, _)) = records.last() else { break };
            let last = *last;
            let landed = self.land_some(app, definitions, memory, &records, pointer.as_ref()).await?;
            total.events += landed.events;
            total.attributes += landed.attributes;
            total.rejected += landed.rejected;
            total.filtered += landed.filtered;
            total.duplicates += landed.duplicates;
            total.position = last;
            pointer = self.catalog.pointer(POINTER_KIND, app, POINTER_NAME).await?;
        }
        if memory.trimmed < total.position {
            self.log.trim(app, total.position).await?;
            memory.trimmed = total.position;
        }
        Ok(total)
    }

    async fn land_some(
        &self,
        app: &AppId,
        definitions: &Definitions,
        memory: &mut Memory,
        records: &[(u64, Vec<u8>)],
        pointer: Option<&Pointer>,
    ) -> Result<Landed> {
        let mut decoded = Vec::with_capacity(records.len());
        for (position, bytes) in records {
            let wrong = |e: serde_json::Error| Error::Record { app: app.to_string(), position: *position, detail: e.to_string() };
            decoded.push((*position, LogRecord::decode(bytes).map_err(wrong)?));
        }
        let now_ms = self.clock.now_ms();
        let first_ms = decoded.iter().map(|(_, record)| record.received_at_ms).fold(now_ms, i64::min);
        let tables = Tables::ensure(&self.lake, app, definitions).await?;
        let mut seen = match memory.seen.take() {
            Some(seen) => seen,
            None => SeenIds::load(&self.lake, app, definitions, first_ms).await?,
        };
        let mut rows = LiveRows::new(definitions, tables.schemas())?;
        for (position, record) in &decoded {
            rows.push(*position, record, &mut seen);
        }
        let (accepted, rejected, landed) = rows.finish()?;
        let mut writers = Writers::new(&tables);
        writers.write(accepted.events, accepted.attributes, rejected).await?;
        let mut files = Files::default();
        if let Err(e) = writers.close(&mut files).await {
            files.discard(&self.lake).await;
            return Err(e);
        }
        let last = records.last().map_or(position(pointer), |(position, _)| *position);
        let mut commit = self.lake.begin(app);
        files.append(&mut commit, &tables);
        commit.summary(LOG_POSITION, &last.to_string());
        commit.also(Change::PutPointer {
            kind: POINTER_KIND.to_owned(),
            app: app.clone(),
            name: POINTER_NAME.to_owned(),
            expected: pointer.map(|p| p.revision),
            value: serde_json::json!({ "position": last }),
        });
        commit.commit().await?;
        seen.settle();
        memory.seen = Some(seen);
        Ok(landed)
    }
}

fn position(pointer: Option<&Pointer>) -> u64 {
    pointer.and_then(|p| p.value.get("position")?.as_u64()).unwrap_or(0)
}
