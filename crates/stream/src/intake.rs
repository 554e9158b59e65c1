//! Rows of live calls, or of the lake, as updates of states.

use crate::gone::{Gone, Rows};
use crate::links::by_user;
use crate::plan::{LiveKind, StreamPlan};
use crate::state::{AppState, ChangedTags, TagUpdates, Update};
use crate::{Error, Result};
use arrow::array::{Array, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_fold::{AttributeFold, AttributeRow, EventBatch, TagDeltas};
use taghouse_identities::AppIdentities;
use taghouse_ingest::Admitted;
use taghouse_model::{Ordinal, TimestampMs};
use taghouse_users::SharedUsers;

/// Some rows of batches of the two tables.
#[derive(Default)]
pub(crate) struct Intake<'a> {
    pub(crate) events: Option<Selected<'a>>,
    pub(crate) attributes: Option<Selected<'a>>,
    /// Users who are named without a row.
    pub(crate) named: Vec<&'a str>,
}

/// Rows of a batch.
pub(crate) struct Selected<'a> {
    pub(crate) batch: &'a RecordBatch,
    pub(crate) rows: Vec<u32>,
}

/// What rows came to.
pub(crate) struct TakenIn {
    pub(crate) changed: ChangedTags,
    /// Users who were not seen before.
    pub(crate) fresh: Vec<Ordinal>,
}

/// The users of an intake, numbered as they are first seen.
#[derive(Default)]
struct LocalUsers<'a> {
    numbers: HashMap<&'a str, u32>,
    ids: Vec<String>,
}

impl<'a> LocalUsers<'a> {
    fn number(&mut self, id: &'a str) -> u32 {
        let next = self.ids.len() as u32;
        *self.numbers.entry(id).or_insert_with(|| {
            self.ids.push(id.to_owned());
            next
        })
    }
}

/// What rows add to the states, by the users' local numbers.
struct Steps {
    ids: Arc<Vec<String>>,
    due: Vec<(usize, LocalUpdates)>,
    ahead: Vec<AheadStep>,
}

/// What the rows of one instant add that is still to come.
struct AheadStep {
    time_ms: TimestampMs,
    by_tag: Vec<(usize, LocalUpdates)>,
}

/// Rows of a batch that count now, and those of each instant that is still to come.
#[derive(Default)]
struct ByTime {
    due: Vec<u32>,
    ahead: BTreeMap<TimestampMs, Vec<u32>>,
}

impl ByTime {
    fn of(selected: &Selected<'_>, now_ms: TimestampMs) -> Result<Self> {
        let times = times(selected.batch, "time")?;
        let mut rows = Self::default();
        for row in &selected.rows {
            let time_ms = times.value(*row as usize).div_euclid(1000);
            if time_ms < now_ms {
                rows.due.push(*row);
            } else {
                rows.ahead.entry(time_ms).or_default().push(*row);
            }
        }
        Ok(rows)
    }
}

enum LocalUpdates {
    Events(TagDeltas),
    Attributes(BTreeMap<u32, Vec<u8>>),
}

impl LocalUpdates {
    fn is_empty(&self) -> bool {
        match self {
            Self::Events(deltas) => deltas.is_empty(),
            Self::Attributes(states) => states.is_empty(),
        }
    }

    fn by_ordinal(&self, ordinals: &[Ordinal]) -> Vec<Update> {
        let update = |(local, more): (u32, &[u8])| Update {
            ordinal: ordinals[local as usize],
            more: more.to_vec(),
        };
        let mut updates: Vec<Update> = match self {
            Self::Events(deltas) => deltas.iter().map(update).collect(),
            Self::Attributes(states) => {
                states.iter().map(|(local, more)| update((*local, more.as_slice()))).collect()
            }
        };
        updates.sort_unstable_by_key(|update| update.ordinal);
        updates
    }
}

impl AppState {
    /// Takes rows in: steps the folds, gives new users their ordinals, merges the states, and
    /// computes what follows from them.
    ///
    /// # Errors
    /// `Renumbered` when the ordinals are of another generation than the states: nothing has
    /// changed then. Of the fold, the users and the object store.
    pub(crate) async fn take_in(
        &mut self,
        users: &SharedUsers<'_>,
        intake: Intake<'_>,
    ) -> Result<TakenIn> {
        let Steps { ids, due, ahead } = self.step(intake)?;
        if ids.is_empty() {
            return Ok(TakenIn { changed: ChangedTags::new(), fresh: Vec::new() });
        }
        let assigned = users.assign(ids).await?;
        if self.users().is_empty() {
            // With its first user an app gets its first generation.
            self.generation = assigned.generation;
        }
        if assigned.generation != self.generation {
            return Err(Error::Renumbered);
        }
        for AheadStep { time_ms, by_tag } in ahead {
            for updates in updates(by_tag, &assigned.ordinals) {
                self.ahead.add(time_ms, updates);
            }
        }
        let mut changed = self.merge(updates(due, &assigned.ordinals)).await?;
        let fresh = self.see(assigned.ordinals.into_iter());
        self.derive(&mut changed, &fresh).await?;
        Ok(TakenIn { changed, fresh })
    }

    fn step(&mut self, intake: Intake<'_>) -> Result<Steps> {
        let mut users = LocalUsers::default();
        let mut due = Vec::new();
        let mut ahead: BTreeMap<TimestampMs, Vec<(usize, LocalUpdates)>> = BTreeMap::new();
        if let Some(selected) = &intake.events {
            let rows = ByTime::of(selected, self.now_ms)?;
            due.extend(self.events(selected.batch, &rows.due, &mut users)?);
            for (time_ms, rows) in rows.ahead {
                let updates = self.events(selected.batch, &rows, &mut users)?;
                ahead.entry(time_ms).or_default().extend(updates);
            }
        }
        if let Some(selected) = &intake.attributes {
            let rows = ByTime::of(selected, self.now_ms)?;
            due.extend(attributes(&self.plan, selected.batch, &rows.due, &mut users)?);
            for (time_ms, rows) in rows.ahead {
                let updates = attributes(&self.plan, selected.batch, &rows, &mut users)?;
                ahead.entry(time_ms).or_default().extend(updates);
            }
        }
        for id in intake.named {
            users.number(id);
        }
        let step = |(time_ms, by_tag)| AheadStep { time_ms, by_tag };
        let ahead = ahead.into_iter().map(step).collect();
        Ok(Steps { ids: Arc::new(users.ids), due, ahead })
    }

    fn events<'a>(
        &mut self,
        batch: &'a RecordBatch,
        rows: &[u32],
        users: &mut LocalUsers<'a>,
    ) -> Result<Vec<(usize, LocalUpdates)>> {
        let ids = text(batch, "user_id")?;
        let numbers: Vec<u32> =
            rows.iter().map(|row| users.number(ids.value(*row as usize))).collect();
        self.fold.step_batch(&EventBatch::new(&self.plan.fold, batch)?, rows, &numbers);
        Ok(self.fold.take().into_iter().map(LocalUpdates::Events).enumerate().collect())
    }
}

/// The updates by ordinals, of the tags that have any.
fn updates(by_tag: Vec<(usize, LocalUpdates)>, ordinals: &[Ordinal]) -> Vec<TagUpdates> {
    by_tag
        .into_iter()
        .filter(|(_, updates)| !updates.is_empty())
        .map(|(tag, updates)| TagUpdates { tag, updates: updates.by_ordinal(ordinals) })
        .collect()
}

fn attributes<'a>(
    plan: &StreamPlan,
    batch: &'a RecordBatch,
    rows: &[u32],
    users: &mut LocalUsers<'a>,
) -> Result<Vec<(usize, LocalUpdates)>> {
    let (ids, names) = (text(batch, "user_id")?, text(batch, "name")?);
    let (values, message_ids) = (text(batch, "value")?, text(batch, "message_id")?);
    let times = times(batch, "time")?;
    let mut by_tag = BTreeMap::new();
    for row in rows.iter().map(|row| *row as usize) {
        let user = users.number(ids.value(row));
        let read = AttributeRow {
            time_ms: times.value(row).div_euclid(1000),
            message_id: message_ids.value(row),
            value: values.is_valid(row).then(|| values.value(row)),
        };
        for (tag, live) in plan.tags.iter().enumerate() {
            let LiveKind::Attribute { attribute, fold } = &live.kind else { continue };
            if attribute.as_str() != names.value(row) {
                continue;
            }
            let states: &mut BTreeMap<u32, Vec<u8>> = by_tag.entry(tag).or_default();
            let state = states.entry(user).or_default();
            *state = fold.merge(state, &AttributeFold::state(read))?;
        }
    }
    Ok(by_tag.into_iter().map(|(tag, states)| (tag, LocalUpdates::Attributes(states))).collect())
}

/// A text column of a batch.
pub(crate) fn text<'b>(batch: &'b RecordBatch, column: &str) -> Result<&'b StringArray> {
    let array = batch.column_by_name(column).and_then(|array| array.as_string_opt());
    array.ok_or_else(|| taghouse_fold::Error::Missing(column.to_owned()).into())
}

/// A column of instants, in microseconds.
pub(crate) fn times<'b>(
    batch: &'b RecordBatch,
    column: &str,
) -> Result<&'b TimestampMicrosecondArray> {
    let array = batch
        .column_by_name(column)
        .and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
    array.ok_or_else(|| taghouse_fold::Error::Missing(column.to_owned()).into())
}

/// The rows that the states have not seen, into them.
pub(crate) async fn take_rows(
    state: &mut AppState,
    users: &SharedUsers<'_>,
    gone: &Gone,
    identities: &AppIdentities,
    rows: &Admitted<'_>,
) -> Result<TakenIn> {
    // A deletion hides what came under the id; what is not hidden is the user's.
    let visible = |batch, positions: &[u64]| -> Result<Vec<u32>> {
        let from = positions.partition_point(|at| *at <= state.position);
        gone.visible(&Rows { batch, positions: Some(positions), from })
    };
    let events = Selected {
        rows: visible(rows.events, rows.event_positions)?,
        batch: &by_user(rows.events, identities)?,
    };
    let attributes = Selected {
        rows: visible(rows.attributes, rows.attribute_positions)?,
        batch: &by_user(rows.attributes, identities)?,
    };
    let unseen = rows.changed.iter().filter(|change| {
        change.position > state.position && !gone.hides(&change.user_id, change.position)
    });
    let named: Vec<_> = unseen.map(|change| identities.user_of(&change.user_id)).collect();
    let intake = Intake {
        events: Some(events),
        attributes: Some(attributes),
        named: named.iter().map(AsRef::as_ref).collect(),
    };
    state.take_in(users, intake).await
}
