//! The values of all tags: one column each, in the roster's order.

use crate::Result;
use crate::changed::ByHand;
use crate::pass::{Owned, goes_on};
use crate::producer::elapsed_ms;
use crate::roster::{Roster, check_text};
use arrow::array::ArrayRef;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;
use taghouse_fold::{ColumnBuilder, DerivedFold, Outcome, SkipReason};
use taghouse_model::{Name, Value};
use taghouse_rules::{Definitions, TagDefinition, TagKind};
use tokio_util::sync::CancellationToken;

/// A tag's values while they are made.
#[derive(Clone)]
pub(crate) struct Column {
    pub(crate) values: ArrayRef,
    /// What the index shows, where it is not the same.
    pub(crate) shown: Option<ArrayRef>,
    pub(crate) skipped: BTreeMap<SkipReason, u64>,
    pub(crate) elapsed_ms: u64,
}

/// What the query of an `sql` tag gave.
pub(crate) struct Queried {
    pub(crate) tag: TagDefinition,
    pub(crate) values: HashMap<String, Value>,
    pub(crate) spent_ms: u64,
}

impl Column {
    /// Puts the changes by hand on top.
    fn change(
        &mut self,
        by_hand: &ByHand,
        definitions: &Definitions,
        tag: &TagDefinition,
    ) -> Result<()> {
        let Some(changed) = by_hand.apply(definitions, tag, &self.values)? else { return Ok(()) };
        (self.values, self.shown) = (changed.values, changed.shown);
        for (reason, count) in changed.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        Ok(())
    }
}

/// The workers' values of each tag, in the roster's order. A worker's part is let go of as soon as
/// it is in its place.
pub(crate) fn align(
    roster: &Roster,
    found: Vec<Owned>,
    stop: &CancellationToken,
) -> Result<BTreeMap<Name, Column>> {
    let mut workers: Vec<_> = found.into_iter().map(|owned| owned.values.into_iter()).collect();
    let mut columns = BTreeMap::new();
    loop {
        let began = Instant::now();
        let (mut name, mut parts, mut skipped) =
            (None, Vec::with_capacity(workers.len()), BTreeMap::new());
        for (tag, values) in workers.iter_mut().filter_map(Iterator::next) {
            for (reason, count) in values.skipped {
                *skipped.entry(reason).or_default() += count;
            }
            parts.push(values.array);
            name = Some(tag);
        }
        let Some(name) = name else { return Ok(columns) };
        goes_on(stop)?;
        let values = roster.align(&name, parts)?;
        columns
            .insert(name, Column { values, shown: None, skipped, elapsed_ms: elapsed_ms(began) });
    }
}

/// All tags' values: with those of queries and those computed from others, and with the changes by
/// hand on top.
pub(crate) fn complete(
    definitions: &Definitions,
    computed: &[TagDefinition],
    sql: Vec<Queried>,
    mut columns: BTreeMap<Name, Column>,
    roster: &Roster,
    by_hand: &ByHand,
    stop: &CancellationToken,
) -> Result<BTreeMap<Name, Column>> {
    for Queried { tag, values, spent_ms } in sql {
        goes_on(stop)?;
        columns.insert(tag.name.clone(), place(roster, &tag, values, spent_ms)?);
    }
    // In order of dependency, so that a tag is computed from values with the changes on top.
    for tag in computed {
        goes_on(stop)?;
        if let Some(column) = derive(definitions, tag, &columns, roster.len())? {
            columns.insert(tag.name.clone(), column);
        }
        if let Some(column) = columns.get_mut(&tag.name) {
            column.change(by_hand, definitions, tag)?;
        }
    }
    Ok(columns)
}

/// The values of an `sql` tag, in the roster's order. Users that the lake does not know are passed
/// over and counted.
fn place(
    roster: &Roster,
    tag: &TagDefinition,
    values: HashMap<String, Value>,
    spent_ms: u64,
) -> Result<Column> {
    let bytes = values.values().map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Set(members) => members.iter().map(|member| member.len()).sum(),
        _ => 0,
    });
    check_text(|| format!("the values of tag {}", tag.name), bytes.sum())?;
    let mut builder = ColumnBuilder::new(tag.value_type);
    let (mut known, mut skipped) = (0, BTreeMap::new());
    for id in roster.ids.iter().flatten() {
        let value = values.get(id);
        known += u64::from(value.is_some());
        let outcome =
            value.map_or(Outcome::Nothing, |value| Outcome::of(value.clone(), tag.value_type));
        if let Outcome::Skipped(reason) = outcome {
            *skipped.entry(reason).or_default() += 1;
        }
        builder.push(outcome.value().as_ref());
    }
    let unknown = values.len() as u64 - known;
    if unknown > 0 {
        skipped.insert(SkipReason::UnknownUser, unknown);
    }
    Ok(Column { values: builder.finish(), shown: None, skipped, elapsed_ms: spent_ms })
}

/// The values of a cohort or expression, from those of other tags; none for other kinds.
fn derive(
    definitions: &Definitions,
    tag: &TagDefinition,
    columns: &BTreeMap<Name, Column>,
    users: usize,
) -> Result<Option<Column>> {
    let began = Instant::now();
    let types = |name: &str| definitions.tag_type(name);
    let fold = match &tag.kind {
        TagKind::Cohort { rules, otherwise } => {
            DerivedFold::cohort(rules, otherwise.as_ref(), tag.value_type, &types)
        }
        TagKind::Expression(expression) => {
            DerivedFold::expression(expression, tag.value_type, &types)
        }
        TagKind::Attribute { .. }
        | TagKind::Aggregate(_)
        | TagKind::Session(_)
        | TagKind::State(_)
        | TagKind::Sequence(_)
        | TagKind::Sql { .. } => return Ok(None),
    };
    let values = fold.values(0..users, &|name| columns.get(name).map(|column| &column.values))?;
    Ok(Some(Column {
        values: values.array,
        shown: None,
        skipped: values.skipped,
        elapsed_ms: elapsed_ms(began),
    }))
}
