//! States from the lake: at the first start, for tags that are new or others than before, after files
//! landed or users were renumbered.
//!
//! States merge in any order. So the lake is read as it was at one log position, while rows behind
//! that position are taken in by the same states as they are admitted: there is no gap, and nothing
//! counts twice. Meanwhile the former states, if there are any, go on to serve.

use crate::draft::Draft;
use crate::gone::{Gone, Rows};
use crate::intake::{Intake, Selected, text, times};
use crate::links::by_user;
use crate::plan::{LiveKind, LiveTag, Part, StreamPlan};
use crate::segments::USERS_AT_ONCE;
use crate::slot::{Serving, Slot};
use crate::state::AppState;
use crate::stream::{Stream, StreamParts};
use crate::{Error, Result};
use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::{FutureExt, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use taghouse_ingest::{FileBatches, Landing};
use taghouse_lake::{BatchStream, Table, layout};
use taghouse_model::AppId;
use taghouse_rules::Definitions;

/// Changed pages that may be in memory before they are written to a file.
const UNWRITTEN_BYTES: u64 = 128 << 20;

/// How long it takes until states are computed again that could not be computed.
const RETRY_AFTER_MS: i64 = 5_000;

/// The columns of attributes that states are made of.
const ATTRIBUTE_COLUMNS: [&str; 6] =
    ["user_id", "name", "value", "time", "message_id", "received_at"];

/// The columns of events that every tag needs, and who finds out which rows count.
const EVENT_COLUMNS: [&str; 4] = ["user_id", "event", "time", "received_at"];

/// The tables as they were at one moment.
pub(crate) struct Lake {
    events: Option<Table>,
    attributes: Option<Table>,
    changes: Option<Table>,
    /// The batches of files that are in them.
    pub(crate) batches: BTreeMap<String, FileBatches>,
}

/// A computation that has begun.
struct Begun {
    build: u64,
    /// Whether it is of some tags, for states that go on.
    is_part: bool,
    tables: TablesToRead,
}

pub(crate) struct TablesToRead {
    pub(crate) events: Option<ToRead>,
    pub(crate) attributes: Option<ToRead>,
    /// Changes by hand: who is named in them exists.
    pub(crate) changes: Option<Table>,
}

pub(crate) struct ToRead {
    pub(crate) table: Table,
    pub(crate) columns: Vec<String>,
}

/// Which table a batch is of.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Events,
    Attributes,
}

impl Lake {
    /// The last batch of each source.
    pub(crate) fn landed(&self) -> BTreeMap<String, u64> {
        self.batches.iter().map(|(source, batches)| (source.clone(), batches.landed)).collect()
    }

    /// What the plan's states are made of. Of all states that is every row: its user exists.
    pub(crate) fn to_read(&self, plan: &StreamPlan, is_part: bool) -> TablesToRead {
        let events = self.events.clone().filter(|_| !is_part || plan.fold.tags() > 0);
        let events = events.map(|table| {
            let own = plan.fold.columns();
            let known = |name: &&str| table.arrow_schema().column_with_name(name).is_some();
            let columns = distinct(EVENT_COLUMNS.into_iter().chain(own.into_iter().filter(known)));
            ToRead { columns, table }
        });
        let of_attribute = |tag: &LiveTag| matches!(tag.kind, LiveKind::Attribute { .. });
        let attributes = self.attributes.clone();
        let attributes = attributes.filter(|_| !is_part || plan.tags.iter().any(of_attribute));
        let columns = distinct(ATTRIBUTE_COLUMNS.into_iter());
        TablesToRead {
            events,
            attributes: attributes.map(|table| ToRead { table, columns }),
            changes: self.changes.clone().filter(|_| !is_part),
        }
    }
}

impl Stream {
    /// Computes an app's states from the lake and puts their values in the index. Rows that are
    /// admitted meanwhile are in them.
    ///
    /// # Errors
    /// `Renumbered` when the users were meanwhile; of the lake, the fold, the object store and the
    /// index. The next [`Stream::tick`] says that it is to be tried again. Not to be dropped
    /// before its end: no other computation would begin.
    pub async fn rebuild(&self, definitions: &Arc<Definitions>, landing: &Landing) -> Result<()> {
        let app = &definitions.app.id;
        // A defect of ours must not keep the states from being computed ever again.
        let outcome = AssertUnwindSafe(self.computed(definitions, landing))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Error::Task("computing the states panicked".to_owned())));
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        slot.rebuilding = false;
        slot.serving.iter_mut().for_each(|serving| serving.state.touched = None);
        if let Err(error) = &outcome {
            slot.building = None;
            slot.taking_files = false;
            slot.stale |= slot.serving.is_none() || !slot.spares_serving;
            slot.problem = Some(error.to_string());
            if !matches!(error, Error::Renumbered | Error::Superseded) {
                slot.not_before_ms = self.parts.clock.steady_ms() + RETRY_AFTER_MS;
            }
        }
        outcome
    }

    async fn computed(&self, definitions: &Arc<Definitions>, landing: &Landing) -> Result<()> {
        let takes_files = {
            let slot = self.slot(&definitions.app.id);
            let mut slot = slot.lock().await;
            slot.spares_serving = true;
            slot.more_files && !slot.stale && slot.serving.is_some()
        };
        if takes_files {
            // Whatever else is to be done is done by the next turn.
            return self.take_files(definitions).await;
        }
        self.rebuilt(definitions, landing).await
    }

    async fn rebuilt(&self, definitions: &Arc<Definitions>, landing: &Landing) -> Result<()> {
        let app = &definitions.app.id;

        // 1. At one moment: the position that has landed, the tables that hold just that, and
        //    empty states that take in every row behind it.
        let Some(begun) = self.begin(definitions, landing).await? else { return Ok(()) };
        let Begun { build, is_part, tables } = begun;

        // 2. What has landed, into the same states.
        if let Some(ToRead { table, columns }) = &tables.events {
            self.read(app, build, Source::Events, table, columns).await?;
        }
        if let Some(ToRead { table, columns }) = &tables.attributes {
            self.read(app, build, Source::Attributes, table, columns).await?;
        }
        if let Some(table) = &tables.changes {
            self.read_named(app, build, table).await?;
        }

        // 3. Their values into the index; from then on they serve.
        let draft = self.draft(definitions, landing, build, is_part).await?;
        match is_part {
            true => self.finish_part(definitions, landing, build, draft).await,
            false => self.finish(app, build, draft).await,
        }
    }

    async fn begin(
        &self,
        definitions: &Arc<Definitions>,
        landing: &Landing,
    ) -> Result<Option<Begun>> {
        let app = &definitions.app.id;
        let restarted = landing.restart(app).await?;
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        let users = self.parts.users.share(app).await;
        let lake = self.lake_now(definitions).await?;
        let batches = lake.landed();
        let goes_on = |state: &&AppState| {
            slot.lacking && !slot.stale && state.generation == users.generation()
        };
        let former = slot.serving.as_ref().map(|serving| &serving.state).filter(goes_on);
        if former.is_some_and(|state| state.batches != batches) {
            // First the files, so that all states are of the same.
            slot.more_files = true;
            return Ok(None);
        }
        let held = former.map(|state| state.plan.hashes());
        let part = held.as_ref().map_or(Part::All, Part::StatesBut);
        let Some(plan) = StreamPlan::of(definitions, part)? else { return Ok(None) };
        let is_part = held.is_some();
        let tables = lake.to_read(&plan, is_part);

        let build = self.next_build(&mut slot);
        let store = self.checkpoints(app).begin(build, self.parts.budget_bytes);
        let mut state = AppState::new(plan, users.generation(), restarted.landed, store);
        state.batches = batches;
        state.pass(self.parts.clock.now_ms());
        slot.gone = Gone::of(&self.parts.lake, app).await?;
        slot.searched = false;
        slot.building = Some(Serving { build, state, saved: None });
        slot.stale = false;
        slot.more_files = false;
        // They are to be replaced by all means where all are computed.
        slot.spares_serving = is_part;
        Ok(Some(Begun { build, is_part, tables }))
    }

    /// The two tables, with what is in them.
    pub(crate) async fn lake_now(&self, definitions: &Arc<Definitions>) -> Result<Lake> {
        let (app, StreamParts { catalog, lake, .. }) = (&definitions.app.id, &self.parts);
        loop {
            let batches = FileBatches::of_sources(catalog.as_ref(), definitions).await?;
            let events = lake.table(app, layout::EVENTS).await?;
            let attributes = lake.table(app, layout::ATTRIBUTES).await?;
            let changes = lake.table(app, layout::USER_CHANGES).await?;
            // Tables and batches move by one commit: with none in between they are of one moment.
            if FileBatches::of_sources(catalog.as_ref(), definitions).await? == batches {
                return Ok(Lake { events, attributes, changes, batches });
            }
        }
    }

    async fn read(
        &self,
        app: &AppId,
        build: u64,
        source: Source,
        table: &Table,
        columns: &[String],
    ) -> Result<()> {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let batches: Vec<BatchStream> = table.scan(&columns).plan(1).await?.partitions();
        for mut batches in batches {
            while let Some(batch) = batches.next().await {
                self.take_landed(app, build, source, &batch?).await?;
            }
        }
        Ok(())
    }

    /// Lets the states know of users who may have no row but a change by hand.
    async fn read_named(&self, app: &AppId, build: u64, table: &Table) -> Result<()> {
        let columns = ["user_id", "tag", "time", "position"];
        for mut batches in table.scan(&columns).plan(1).await?.partitions() {
            while let Some(batch) = batches.next().await {
                self.take_named(app, build, &batch?).await?;
            }
        }
        Ok(())
    }

    async fn take_named(&self, app: &AppId, build: u64, batch: &RecordBatch) -> Result<()> {
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        let users = self.parts.users.share(app).await;
        self.find_gone(&mut slot, app).await?;
        let identities = self.parts.identities.of(app).await?;
        let Slot { building, gone, .. } = &mut *slot;
        let Serving { state, .. } = ours(building, build)?;
        let (ids, tags) = (text(batch, "user_id")?, text(batch, "tag")?);
        let times = times(batch, "time")?;
        let positions =
            batch.column_by_name("position").and_then(|column| column.as_primitive_opt());
        let positions: &PrimitiveArray<Int64Type> =
            positions.ok_or_else(|| taghouse_fold::Error::Missing("position".to_owned()))?;
        let stands = |row: &usize| {
            let position = u64::try_from(positions.value(*row)).unwrap_or(0);
            let (id, time_ms) = (ids.value(*row), times.value(*row).div_euclid(1000));
            // Deletions have no tag. Who was deleted since is not to come back by this.
            tags.is_valid(*row) && !gone.hides(id, position) && !gone.went_since(id, time_ms)
        };
        let named: BTreeSet<_> = (0..batch.num_rows())
            .filter(stands)
            .map(|row| identities.user_of(ids.value(row)))
            .collect();
        let named = named.iter().map(AsRef::as_ref).collect();
        state.take_in(&users, Intake { named, ..Intake::default() }).await?;
        Ok(())
    }

    async fn take_landed(
        &self,
        app: &AppId,
        build: u64,
        source: Source,
        batch: &RecordBatch,
    ) -> Result<()> {
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        let users = self.parts.users.share(app).await;
        self.find_gone(&mut slot, app).await?;
        let identities = self.parts.identities.of(app).await?;
        let Slot { building, gone, .. } = &mut *slot;
        let Serving { state, .. } = ours(building, build)?;
        let all = Rows { batch, positions: None, from: 0 };
        let rows = gone.visible(&all)?;
        let selected = Selected { batch: &by_user(batch, &identities)?, rows };
        let intake = match source {
            Source::Events => Intake { events: Some(selected), ..Intake::default() },
            Source::Attributes => Intake { attributes: Some(selected), ..Intake::default() },
        };
        state.take_in(&users, intake).await?;
        if state.store.dirty_bytes() > UNWRITTEN_BYTES {
            state.store.flush().await?;
        }
        Ok(())
    }

    async fn finish(&self, app: &AppId, build: u64, mut draft: Option<Draft>) -> Result<()> {
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        let users = self.parts.users.share(app).await;
        ours(&mut slot.building, build)?;
        // Nobody else gets the slot for as long as segments are written.
        self.tell(app, &slot);
        let Some(mut built) = slot.building.take() else { return Err(superseded()) };
        if users.generation() != built.state.generation {
            return Err(Error::Renumbered);
        }
        self.retire_linked(app, &users).await?;
        let state = &mut built.state;
        state.linked_through = self.parts.log.end(app).await?;
        let deleted = users.deleted().await?;
        state.erase(&deleted).await?;
        state.pass(self.parts.clock.now_ms());
        while state.is_behind() {
            state.advance(USERS_AT_ONCE).await?;
        }
        // They are among those who are touched, or were moved before the values were computed.
        state.moved.clear();
        // No value is shown by the former states any more: the segments hold all of them.
        let mut former = slot.serving.take();
        if let Some(draft) = &mut draft {
            draft.take_touched(state);
            former.iter_mut().for_each(|former| draft.take_touched(&mut former.state));
        }
        // Before its first user an app has no generation. What is published of none would be in
        // the way of that user's values; the tags become known to the index with them.
        let slot = &mut *slot;
        let tags: Vec<usize> = (0..state.plan.without_crowds()).collect();
        slot.computed += tags.len() as u64;
        // Who is in the live crowds is compared once the states have seen what the log holds.
        slot.members.wait(self.parts.log.end(app).await?, true);
        if state.generation > 0 {
            self.publish(state, &mut slot.members, &users, &tags, draft).await?;
        }
        // States that lack rows of files are not worth a checkpoint.
        if !slot.stale {
            self.save(app, &mut built, &mut slot.members).await?;
        }
        slot.lacking = false;
        slot.problem = None;
        drop(former);
        let serving = slot.serving.insert(built);
        self.checkpoints(app).sweep_others(Some(&serving.state.store)).await
    }
}

/// The states of this computation, unless another took its place.
pub(crate) fn ours(building: &mut Option<Serving>, build: u64) -> Result<&mut Serving> {
    building.as_mut().filter(|building| building.build == build).ok_or_else(superseded)
}

pub(crate) fn superseded() -> Error {
    Error::Superseded
}

/// The columns, each once.
fn distinct<'c>(columns: impl Iterator<Item = &'c str>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for column in columns {
        if !all.iter().any(|known| known == column) {
            all.push(column.to_owned());
        }
    }
    all
}
