//! Live tags that are computed from others: what a step changes of them.

use crate::Result;
use crate::emission::NewValue;
use crate::plan::{self, Derived, LiveKind};
use crate::state::{AppState, Changed, ChangedTags};
use crate::watches::Watches;
use arrow::array::ArrayRef;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use taghouse_fold::{ColumnBuilder, ColumnReader, DerivedFold};
use taghouse_index::Bitmap;
use taghouse_model::{Ordinal, Value, ValueType};

/// About so many values are computed at a time, whatever the number of tags and crowds; but of so
/// many users at least.
const CELLS: usize = 1 << 20;
const LEAST_USERS: usize = 256;

/// Values of one tag, one for each user at hand.
pub(crate) struct Column {
    /// `None` where the value before is not known.
    before: Vec<Option<Option<Value>>>,
    pub(crate) now: Vec<Option<Value>>,
}

impl Column {
    /// Values of which it is not known what they were before.
    pub(crate) fn of(now: Vec<Option<Value>>) -> Self {
        Self { before: vec![None; now.len()], now }
    }
}

impl AppState {
    /// Adds the derived tags that change with these. `fresh`: users who were not seen before, and
    /// have a value of every derived tag that gives one without its inputs. They are in no crowd.
    ///
    /// # Errors
    /// Of the object store and the fold.
    pub(crate) async fn derive(
        &mut self,
        changed: &mut ChangedTags,
        fresh: &[Ordinal],
    ) -> Result<()> {
        // What a process that was killed said of them nobody knows.
        let are_known = self.position >= self.shown_unknown;
        self.note_early(changed);
        let watches = self.plan.watches.clone();
        self.derive_for(changed, fresh, are_known, &watches).await?;
        self.derive_watched(changed, fresh, are_known, &watches).await
    }

    /// Values are computed as of now. With one that changes by time alone, and is still to be looked
    /// at, nobody knows what was shown before of all that follows from it: of such users it is shown
    /// again, whatever it was.
    fn note_early(&mut self, changed: &mut ChangedTags) {
        if !self.is_behind() {
            // Whatever was shown early is as it is shown.
            self.early = Bitmap::new();
            return;
        }
        let changing = changed.values().flatten().map(|changed| changed.now.ordinal);
        let moving = self.moved.values().flat_map(Bitmap::iter);
        let users: BTreeSet<Ordinal> = changing.chain(moving).collect();
        let early = self.timers.due_of_any(self.now_ms, &users);
        if early.is_empty() {
            return;
        }
        let of_early = changed.values_mut().flatten();
        let of_early = of_early.filter(|changed| early.contains(changed.now.ordinal));
        of_early.for_each(|changed| changed.before = None);
        early.iter().for_each(|user| {
            self.early.insert(user);
        });
    }

    /// The values that all derived tags and live crowds have for these users.
    ///
    /// # Errors
    /// As [`AppState::derive`].
    pub(crate) async fn derive_all(&mut self, users: &[Ordinal]) -> Result<ChangedTags> {
        let mut derived = ChangedTags::new();
        self.derive_for(&mut derived, users, false, &Watches::default()).await?;
        Ok(derived)
    }

    /// The values that some derived tags have for users, ascending.
    ///
    /// # Errors
    /// As [`AppState::derive`].
    pub(crate) async fn derive_some_tags(
        &mut self,
        users: &[Ordinal],
        tags: &BTreeSet<usize>,
    ) -> Result<ChangedTags> {
        let step = Step {
            needed: self.with_inputs(tags.clone()),
            moved: BTreeMap::new(),
            fresh: users.iter().copied().collect(),
            are_outside: false,
        };
        let mut derived = ChangedTags::new();
        for some in users.chunks((CELLS / step.needed.derived.len().max(1)).max(LEAST_USERS)) {
            self.derive_some(&step, some, &mut derived).await?;
            tokio::task::yield_now().await;
        }
        derived.retain(|tag, _| tags.contains(tag));
        Ok(derived)
    }

    async fn derive_for(
        &mut self,
        changed: &mut ChangedTags,
        fresh: &[Ordinal],
        are_outside: bool,
        watches: &Watches,
    ) -> Result<()> {
        let moved = std::mem::take(&mut self.moved);
        let needed = self.needed(changed, &moved, !fresh.is_empty(), watches);
        if needed.derived.is_empty() {
            return Ok(());
        }
        let fresh: BTreeSet<Ordinal> = fresh.iter().copied().collect();
        let changing = changed.values().flatten().map(|changed| changed.now.ordinal);
        let moving = moved.values().flat_map(Bitmap::iter);
        let users: BTreeSet<Ordinal> =
            changing.chain(fresh.iter().copied()).chain(moving).collect();
        let users: Vec<Ordinal> = users.into_iter().collect();
        let step = Step { needed, moved, fresh, are_outside };
        for some in users.chunks((CELLS / step.needed.derived.len()).max(LEAST_USERS)) {
            self.derive_some(&step, some, changed).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The same of some users, ascending.
    async fn derive_some(
        &mut self,
        step: &Step,
        users: &[Ordinal],
        changed: &mut ChangedTags,
    ) -> Result<()> {
        let Step { needed, moved, fresh, are_outside } = step;
        let mut columns: BTreeMap<usize, Column> = BTreeMap::new();
        for tag in needed.inputs.iter().copied() {
            let now = self.values(tag, users).await?;
            let mut before = before(users, &now, changed.get(&tag));
            for (before, _) in
                before.iter_mut().zip(users).filter(|(_, user)| fresh.contains(*user))
            {
                *before = None;
            }
            columns.insert(tag, Column { before, now });
        }
        for tag in needed.derived.iter().copied() {
            let LiveKind::Derived(derived) = &self.plan.tags[tag].kind else { continue };
            let now_ms = self.now_ms;
            let zone = &self.plan.definitions.app.time_zone;
            let mut column = self.column(tag, derived, &columns, users.len())?;
            if let Some(kind) = &derived.moving {
                for (row, user) in users.iter().enumerate() {
                    let value = |name: &str| {
                        let (_, at) = derived.inputs.iter().find(|(input, _)| input == name)?;
                        columns.get(at)?.now[row].clone()
                    };
                    let next = kind.next_move(&value, now_ms, zone);
                    next.into_iter().for_each(|at_ms| self.timers.add(tag, at_ms, *user));
                    if moved.get(&tag).is_some_and(|moved| moved.contains(*user)) {
                        column.before[row] = None;
                    }
                }
            }
            let new = column.before.iter().zip(&column.now).zip(users);
            let is_crowd = self.plan.tags[tag].is_crowd;
            // Who is new and does not enter: with thousands of crowds that is most of it.
            let stays_out = |now: &Option<Value>, user: &Ordinal| {
                is_crowd && *are_outside && *now != Some(Value::Bool(true)) && fresh.contains(user)
            };
            let of_tag: Vec<Changed> = new
                .filter(|((before, now), user)| {
                    before.as_ref() != Some(*now) && !stays_out(now, user)
                })
                .map(|((before, now), ordinal)| Changed {
                    before: before.clone(),
                    now: NewValue { ordinal: *ordinal, value: now.clone() },
                })
                .collect();
            columns.insert(tag, column);
            if !of_tag.is_empty() {
                changed.entry(tag).or_default().extend(of_tag);
            }
        }
        Ok(())
    }

    /// The values of a derived tag, from those of its inputs.
    pub(crate) fn column(
        &self,
        tag: usize,
        derived: &Derived,
        inputs: &BTreeMap<usize, Column>,
        users: usize,
    ) -> Result<Column> {
        let value_type = self.plan.tags[tag].value_type;
        let types: Vec<ValueType> =
            derived.inputs.iter().map(|(_, at)| self.plan.tags[*at].value_type).collect();
        let zone = &self.plan.definitions.app.time_zone;
        let resolved = derived.moving.as_ref().and_then(|kind| {
            plan::derived(&self.plan.definitions, value_type, &kind.as_of(self.now_ms, zone))
        });
        let fold = resolved.as_ref().unwrap_or(&derived.fold);
        compute(derived, fold, value_type, &types, inputs, users)
    }

    /// All derived tags that depend on what changed, but those of the watches, and the tags with
    /// states that those need.
    fn needed(
        &self,
        changed: &ChangedTags,
        moved: &BTreeMap<usize, Bitmap>,
        all: bool,
        watches: &Watches,
    ) -> Needed {
        let mut touched: BTreeSet<usize> = changed.keys().copied().collect();
        let mut derived = Vec::new();
        for (number, tag) in self.plan.tags.iter().enumerate() {
            if let LiveKind::Derived(kind) = &tag.kind
                && !watches.has(number)
                && (all
                    || moved.contains_key(&number)
                    || kind.inputs.iter().any(|(_, input)| touched.contains(input)))
            {
                touched.insert(number);
                derived.push(number);
            }
        }
        self.with_inputs(derived.into_iter().collect())
    }

    /// Derived tags with all that they need: what is derived and did not change is computed too.
    fn with_inputs(&self, mut wanted: BTreeSet<usize>) -> Needed {
        for number in (0..self.plan.tags.len()).rev() {
            if let LiveKind::Derived(kind) = &self.plan.tags[number].kind
                && wanted.contains(&number)
            {
                wanted.extend(kind.inputs.iter().map(|(_, input)| *input));
            }
        }
        let states = self.plan.with_states();
        let (inputs, derived) = wanted.into_iter().partition(|number| *number < states);
        Needed { inputs, derived }
    }
}

/// What is computed in a step, and why.
struct Step {
    needed: Needed,
    /// Users whom time has moved.
    moved: BTreeMap<usize, Bitmap>,
    /// Users who were not seen before.
    fresh: BTreeSet<Ordinal>,
    /// The fresh ones are in no crowd.
    are_outside: bool,
}

struct Needed {
    inputs: Vec<usize>,
    /// In the order of dependency.
    derived: Vec<usize>,
}

/// The values before a step: those of now, but for the users whose value changed.
fn before(
    users: &[Ordinal],
    now: &[Option<Value>],
    changed: Option<&Vec<Changed>>,
) -> Vec<Option<Option<Value>>> {
    let range = users.first().copied().unwrap_or(0)..=users.last().copied().unwrap_or(0);
    let known: HashMap<Ordinal, &Option<Option<Value>>> = changed
        .into_iter()
        .flatten()
        .filter(|changed| range.contains(&changed.now.ordinal))
        .map(|changed| (changed.now.ordinal, &changed.before))
        .collect();
    let of_user = |(user, now): (&Ordinal, &Option<Value>)| match known.get(user) {
        Some(before) => (*before).clone(),
        None => Some(now.clone()),
    };
    users.iter().zip(now).map(of_user).collect()
}

fn compute(
    derived: &Derived,
    fold: &DerivedFold,
    value_type: ValueType,
    types: &[ValueType],
    columns: &BTreeMap<usize, Column>,
    users: usize,
) -> Result<Column> {
    let arrays = |of: &dyn Fn(&Column, usize) -> Option<Value>| -> Vec<ArrayRef> {
        let array = |((_, at), ty): (&(String, usize), &ValueType)| {
            let mut builder = ColumnBuilder::new(*ty);
            let column = columns.get(at);
            (0..users).for_each(|row| {
                builder.push(column.and_then(|column| of(column, row)).as_ref());
            });
            builder.finish()
        };
        derived.inputs.iter().zip(types).map(array).collect()
    };
    let values = |arrays: Vec<ArrayRef>| -> Result<Vec<Option<Value>>> {
        let place = |name: &str| derived.inputs.iter().position(|(input, _)| input == name);
        let values = fold.values(0..users, &|name| arrays.get(place(name)?))?;
        let reader = ColumnReader::new("value", &values.array, value_type)?;
        Ok((0..users).map(|row| reader.value(row)).collect())
    };
    let now = values(arrays(&|column, row| column.now[row].clone()))?;
    let then = values(arrays(&|column, row| column.before[row].clone().flatten()))?;
    let known = |row: usize| {
        let of = |at: &usize| columns.get(at).is_none_or(|column| column.before[row].is_some());
        derived.inputs.iter().all(|(_, at)| of(at))
    };
    let before =
        then.into_iter().enumerate().map(|(row, value)| known(row).then_some(value)).collect();
    Ok(Column { before, now })
}
