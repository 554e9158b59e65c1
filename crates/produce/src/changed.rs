//! Tags' values with the changes by hand on top: a change holds until a later event or value of its
//! tag comes, and nothing else takes its place.

use crate::by_hand::{Act, Change};
use crate::pass::Owned;
use crate::roster::Roster;
use crate::selection::inputs;
use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, UInt32Array};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_fold::{Calendar, ColumnBuilder, ColumnReader, Outcome, SkipReason, parse_attribute};
use taghouse_lake::layout;
use taghouse_model::{Name, TimestampMs, Value, ValueType};
use taghouse_rules::{Definitions, TagDefinition, TagKind};

/// The changes by hand of all users of a roster.
pub(crate) struct ByHand {
    changes: BTreeMap<String, Vec<Placed>>,
    workers: Vec<Worker>,
    calendar: Calendar,
    as_of_ms: TimestampMs,
}

/// A change of a user, with the user's place.
struct Placed {
    row: u32,
    worker: u32,
    change: Change,
}

/// What a worker noted of its first users.
struct Worker {
    latest_ms: BTreeMap<Name, Vec<TimestampMs>>,
    last_row_ms: Vec<TimestampMs>,
}

/// Values with the changes on top.
pub(crate) struct Changed {
    /// As of the production's time.
    pub(crate) values: ArrayRef,
    /// With changes that were made at or after that time, where there are some: what the index
    /// shows.
    pub(crate) shown: Option<ArrayRef>,
    /// Changes that the tag cannot hold any more, for its type is another than it was.
    pub(crate) skipped: BTreeMap<SkipReason, u64>,
}

/// A user's value after the changes.
struct Rewritten {
    row: u32,
    value: Option<Value>,
}

impl ByHand {
    /// Takes the workers' changes. Those of users who are not in the roster go.
    pub(crate) fn gather(
        found: &mut [Owned],
        roster: &Roster,
        calendar: Calendar,
        as_of_ms: TimestampMs,
    ) -> Self {
        let mut rows: Vec<Vec<Option<u32>>> =
            found.iter().map(|owned| vec![None; owned.hands.users()]).collect();
        let starts: Vec<u32> = found
            .iter()
            .scan(0u32, |next, owned| {
                let start = *next;
                *next += owned.users.len() as u32;
                Some(start)
            })
            .collect();
        if rows.iter().any(|rows| !rows.is_empty()) {
            for (row, place) in roster.places().enumerate() {
                let worker = starts.partition_point(|start| *start <= place) - 1;
                if let Some(slot) = rows[worker].get_mut((place - starts[worker]) as usize) {
                    *slot = Some(row as u32);
                }
            }
        }
        let (mut changes, mut workers): (BTreeMap<String, Vec<Placed>>, _) =
            (BTreeMap::new(), Vec::with_capacity(found.len()));
        for (worker, (owned, rows)) in found.iter_mut().zip(&rows).enumerate() {
            for (tag, of_tag) in std::mem::take(&mut owned.hands.changes) {
                let placed = of_tag.into_iter().filter_map(|change| {
                    let row = rows.get(change.user as usize).copied().flatten()?;
                    Some(Placed { row, worker: worker as u32, change })
                });
                changes.entry(tag).or_default().extend(placed);
            }
            let latest_ms = std::mem::take(&mut owned.hands.latest_ms);
            workers.push(Worker {
                latest_ms,
                last_row_ms: std::mem::take(&mut owned.hands.last_row_ms),
            });
        }
        changes.retain(|_, changes| !changes.is_empty());
        changes.values_mut().for_each(|changes| {
            changes.sort_unstable_by_key(|placed| (placed.row, placed.change.position))
        });
        Self { changes, workers, calendar, as_of_ms }
    }

    /// Nobody's.
    pub(crate) fn none(calendar: Calendar, as_of_ms: TimestampMs) -> Self {
        Self { changes: BTreeMap::new(), workers: Vec::new(), calendar, as_of_ms }
    }

    /// The rows, ascending, of users of whom a change of the tag holds.
    pub(crate) fn held(&self, definitions: &Definitions, tag: &TagDefinition) -> Vec<u32> {
        let changes = self.changes.get(tag.name.as_str()).map_or(&[][..], Vec::as_slice);
        let held = changes.chunk_by(|a, b| a.row == b.row).filter_map(|of_user| {
            let first = of_user.first()?;
            let since = self.latest_ms(definitions, tag, first);
            of_user.iter().any(|placed| placed.change.time_ms >= since).then_some(first.row)
        });
        held.collect()
    }

    /// When the last event or value came of what the tag is computed from, or a change of that by
    /// hand; before the as-of time all.
    fn latest_ms(
        &self,
        definitions: &Definitions,
        tag: &TagDefinition,
        of: &Placed,
    ) -> TimestampMs {
        let Some(worker) = self.workers.get(of.worker as usize) else { return TimestampMs::MIN };
        let user = of.change.user as usize;
        match &tag.kind {
            TagKind::Attribute { .. }
            | TagKind::Aggregate(_)
            | TagKind::Session(_)
            | TagKind::State(_)
            | TagKind::Sequence(_) => worker
                .latest_ms
                .get(&tag.name)
                .and_then(|latest| latest.get(user))
                .copied()
                .unwrap_or(TimestampMs::MIN),
            // What a query looks at only the query knows: it may be any row.
            TagKind::Sql { .. } => {
                worker.last_row_ms.get(user).copied().unwrap_or(TimestampMs::MIN)
            }
            TagKind::Cohort { .. } | TagKind::Expression(_) => {
                let tags = inputs(tag);
                let tags = tags.iter().filter_map(|name| definitions.tags.get(name.as_str()));
                tags.map(|input| {
                    self.latest_ms(definitions, input, of).max(self.changed_ms(input, of.row))
                })
                .max()
                .unwrap_or(TimestampMs::MIN)
            }
        }
    }

    /// When the tag was last changed by hand before the as-of time.
    fn changed_ms(&self, tag: &TagDefinition, row: u32) -> TimestampMs {
        let all = self.changes.get(tag.name.as_str()).map_or(&[][..], Vec::as_slice);
        let of_user = all[all.partition_point(|placed| placed.row < row)..]
            .iter()
            .take_while(|placed| placed.row == row);
        of_user
            .map(|placed| placed.change.time_ms)
            .filter(|time| *time < self.as_of_ms)
            .max()
            .unwrap_or(TimestampMs::MIN)
    }

    /// The tag's values, in the roster's order, with the changes on top; `None`: nobody changed it.
    pub(crate) fn apply(
        &self,
        definitions: &Definitions,
        tag: &TagDefinition,
        values: &ArrayRef,
    ) -> Result<Option<Changed>> {
        let Some(changes) = self.changes.get(tag.name.as_str()) else { return Ok(None) };
        let reader = ColumnReader::new(tag.name.as_str(), values, tag.value_type)?;
        let (mut of_table, mut of_index, mut skipped) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut is_shown_otherwise = false;
        for of_user in changes.chunk_by(|a, b| a.row == b.row) {
            let Some(first) = of_user.first() else { continue };
            let since = self.latest_ms(definitions, tag, first);
            let mut value = values
                .is_valid(first.row as usize)
                .then(|| reader.value(first.row as usize))
                .flatten();
            let mut shown = value.clone();
            for change in
                of_user.iter().map(|placed| &placed.change).filter(|change| change.time_ms >= since)
            {
                let make = |value: &mut Option<Value>| self.make(change, tag.value_type, value);
                let outcome = make(&mut shown);
                if change.time_ms < self.as_of_ms {
                    // It does the same to both.
                    let _ = make(&mut value);
                }
                if let Err(reason) = outcome {
                    *skipped.entry(reason).or_default() += 1;
                }
            }
            is_shown_otherwise |= shown != value;
            of_table.push(Rewritten { row: first.row, value });
            of_index.push(Rewritten { row: first.row, value: shown });
        }
        let shown =
            if is_shown_otherwise { Some(rewritten(tag, values, &of_index)?) } else { None };
        Ok(Some(Changed { values: rewritten(tag, values, &of_table)?, shown, skipped }))
    }

    fn make(
        &self,
        change: &Change,
        ty: ValueType,
        value: &mut Option<Value>,
    ) -> std::result::Result<(), SkipReason> {
        let text = change.value.as_deref().unwrap_or_default();
        match (change.act, ty) {
            (Act::Unset, _) => *value = None,
            (Act::Set, _) => match parse_attribute(text, ty, &self.calendar) {
                Outcome::Value(new) => *value = Some(new),
                Outcome::Nothing => *value = None,
                Outcome::Skipped(reason) => return Err(reason),
            },
            (Act::Add | Act::Remove, ValueType::Set) => {
                let mut members = match value.take() {
                    Some(Value::Set(members)) => members,
                    _ => BTreeSet::new(),
                };
                if change.act == Act::Add {
                    members.insert(Arc::from(text));
                } else {
                    members.remove(text);
                }
                *value = Outcome::of(Value::Set(members), ty).value();
            }
            (Act::Add | Act::Remove, _) => return Err(SkipReason::WrongType),
        }
        Ok(())
    }
}

/// The values with these in their places.
fn rewritten(tag: &TagDefinition, values: &ArrayRef, with: &[Rewritten]) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(tag.value_type);
    with.iter().for_each(|rewritten| builder.push(rewritten.value.as_ref()));
    let new = builder.finish();
    let mut places: Vec<u32> = (0..values.len() as u32).collect();
    for (number, rewritten) in with.iter().enumerate() {
        places[rewritten.row as usize] = (values.len() + number) as u32;
    }
    let failed = |error: arrow::error::ArrowError| Error::Rows {
        table: layout::tag_table(&tag.name),
        detail: error.to_string(),
    };
    let whole = arrow::compute::concat(&[values.as_ref(), new.as_ref()]).map_err(failed)?;
    arrow::compute::take(&whole, &UInt32Array::from(places), None).map_err(failed)
}
