//! Rows of files that landed, into the states that serve: those are not computed again.
//!
//! States merge in any order, so the rows may be older than what the states have seen. Three things
//! stand against it, and then all states are computed from the lake: a file that took the place of
//! another, for nothing is taken out of a state; a file that brought a message which the states have
//! of a call already ([`taghouse_ingest::Follower::taken_back`]); and more rows than are shown well
//! one by one.

use crate::emission::Shown;
use crate::gone::Rows;
use crate::intake::{Intake, Selected, TakenIn, text};
use crate::links::by_user;
use crate::rebuild::{Lake, Source, ToRead};
use crate::slot::{Serving, Slot};
use crate::stream::Stream;
use crate::{Error, Result};
use arrow::array::{Array, RecordBatch};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use taghouse_ingest::{FileBatches, LandedFile};
use taghouse_lake::BatchStream;
use taghouse_model::{AppId, Value};
use taghouse_rules::Definitions;

/// With more rows all states are computed again, and their values published at once.
const ROWS_AT_MOST: u64 = 2_000_000;

/// What states lack of the files that landed.
pub(crate) struct Lacking {
    /// There are such files.
    pub(crate) files: bool,
    /// Some took the place of others.
    pub(crate) replaced: bool,
}

impl Lacking {
    /// `held`: the last batch of each source that the states have.
    pub(crate) fn of(held: &BTreeMap<String, u64>, there: &BTreeMap<String, FileBatches>) -> Self {
        let (mut files, mut replaced) = (false, false);
        for (source, batches) in there {
            let held = held.get(source).copied().unwrap_or(0);
            files |= batches.landed != held;
            replaced |= batches.replaced > held || batches.landed < held;
        }
        Self { files, replaced }
    }
}

/// The files whose rows are to be taken in.
struct NewFiles {
    names: HashMap<String, HashSet<String>>,
    /// When they landed: all rows of a file have one time of receipt.
    received: Vec<Value>,
}

impl NewFiles {
    fn of(files: &[LandedFile]) -> Self {
        let mut names: HashMap<String, HashSet<String>> = HashMap::new();
        for LandedFile { source, file } in files {
            names.entry(source.to_string()).or_default().insert(file.name.clone());
        }
        let received: BTreeSet<i64> = files.iter().map(|landed| landed.file.ingested_ms).collect();
        Self { names, received: received.into_iter().map(Value::Time).collect() }
    }

    /// Those of the rows that the files brought.
    fn rows(&self, batch: &RecordBatch, rows: Vec<u32>) -> Result<Vec<u32>> {
        let (sources, files) = (text(batch, "source")?, text(batch, "source_file")?);
        let is_theirs = |row: &u32| {
            let row = *row as usize;
            let names = self.names.get(sources.value(row));
            names.is_some_and(|names| files.is_valid(row) && names.contains(files.value(row)))
        };
        Ok(rows.into_iter().filter(is_theirs).collect())
    }
}

impl Stream {
    /// Takes in the files that the states lack, or says that all states are to be computed.
    ///
    /// # Errors
    /// As [`Stream::rebuild`].
    pub(crate) async fn take_files(&self, definitions: &Arc<Definitions>) -> Result<()> {
        let app = &definitions.app.id;

        // 1. Which ones, and the tables that hold them.
        let Some((lake, files)) = self.begin_files(definitions).await? else { return Ok(()) };

        // 2. Their rows, batch by batch: calls go on in between.
        self.read_files(app, &lake, &files).await?;

        // 3. They count as taken in by the next checkpoint; until then a start takes them in again.
        let end = self.parts.log.end(app).await?;
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        let Some(serving) = &mut slot.serving else { return Err(Error::Superseded) };
        serving.state.batches = lake.landed();
        serving.state.linked_through = end;
        serving.state.shown_unknown = serving.state.shown_unknown.min(end);
        serving.saved = None;
        let pending = slot.members.pending.iter_mut();
        pending.for_each(|pending| pending.position = pending.position.min(end));
        slot.taking_files = false;
        Ok(())
    }

    async fn begin_files(
        &self,
        definitions: &Arc<Definitions>,
    ) -> Result<Option<(Lake, NewFiles)>> {
        let app = &definitions.app.id;
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        // Of files that land from here on it is told once the slot is free.
        let lake = self.lake_now(definitions).await?;
        let Slot { serving: Some(serving), .. } = &mut *slot else {
            slot.stale = true;
            return Ok(None);
        };
        let lacking = Lacking::of(&serving.state.batches, &lake.batches);
        if !lacking.files {
            slot.more_files = false;
            return Ok(None);
        }
        let held = &serving.state.batches;
        let files = LandedFile::behind(self.parts.catalog.as_ref(), definitions, held).await?;
        let rows: u64 = files.iter().map(|landed| landed.file.accepted).sum();
        if lacking.replaced || rows > ROWS_AT_MOST {
            slot.stale = true;
            return Ok(None);
        }
        slot.more_files = false;
        slot.taking_files = true;
        // What is taken in cannot be taken out.
        slot.spares_serving = false;
        Ok(Some((lake, NewFiles::of(&files))))
    }

    async fn read_files(&self, app: &AppId, lake: &Lake, files: &NewFiles) -> Result<()> {
        let to_read = {
            let slot = self.slot(app);
            let slot = slot.lock().await;
            let serving = slot.serving.as_ref().ok_or(Error::Superseded)?;
            lake.to_read(&serving.state.plan, false)
        };
        let sources = [(Source::Events, to_read.events), (Source::Attributes, to_read.attributes)];
        for (source, to_read) in sources {
            let Some(ToRead { table, columns }) = to_read else { continue };
            let columns: Vec<&str> =
                columns.iter().map(String::as_str).chain(["source", "source_file"]).collect();
            let scan = table.scan(&columns).any_of("received_at", files.received.clone())?;
            let batches: Vec<BatchStream> = scan.plan(1).await?.partitions();
            for mut batches in batches {
                while let Some(batch) = batches.next().await {
                    self.take_of_files(app, source, &batch?, files).await?;
                }
            }
        }
        Ok(())
    }

    async fn take_of_files(
        &self,
        app: &AppId,
        source: Source,
        batch: &RecordBatch,
        files: &NewFiles,
    ) -> Result<()> {
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        let users = self.parts.users.share(app).await;
        self.find_gone(&mut slot, app).await?;
        let identities = self.parts.identities.of(app).await?;
        let Slot { serving, gone, members, emitted, file_rows, stale, .. } = &mut *slot;
        let Some(Serving { state, .. }) = serving.as_mut().filter(|_| !*stale) else {
            return Err(Error::Superseded);
        };
        let visible = gone.visible(&Rows { batch, positions: None, from: 0 })?;
        let rows = files.rows(batch, visible)?;
        if rows.is_empty() {
            return Ok(());
        }
        *file_rows += rows.len() as u64;
        let selected = Selected { batch: &by_user(batch, &identities)?, rows };
        let intake = match source {
            Source::Events => Intake { events: Some(selected), ..Intake::default() },
            Source::Attributes => Intake { attributes: Some(selected), ..Intake::default() },
        };
        let TakenIn { changed, fresh } = state.take_in(&users, intake).await?;
        let shown = Shown { changed, fresh, position: state.position };
        *emitted += self.emit(state, members, &users, shown).await?;
        Ok(())
    }
}
