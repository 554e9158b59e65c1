//! How many users each part of a rule holds for, noted with each version: so that it can be told
//! which condition moved the size of a crowd, when the values from before are gone.

use crate::leaves::OtherCrowds;
use crate::version::CrowdVersion;
use crate::{Result, anonymous};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use taghouse_index::Snapshot;
use taghouse_model::{TimestampMs, ValueType};
use taghouse_rules::{ParsedPredicate, Predicate};

/// Of rules with more parts nothing is noted.
const MAX_PARTS: usize = 64;

/// A part of a rule, and for how many users it held in two versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartChange {
    /// How deep it stands in the rule; 0: the whole rule.
    pub depth: usize,
    /// What it says, in the crowd language.
    pub text: String,
    /// The tags that it asks itself, not by its parts.
    pub tags: Vec<String>,
    /// The crowds that it asks so.
    pub crowds: Vec<String>,
    /// For how many users it held in the version that is compared with.
    pub from: u64,
    /// For how many it held in the version that is compared.
    pub to: u64,
}

/// On which values parts are counted.
pub(crate) struct Ground<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) others: &'a OtherCrowds,
    /// The instant that dates relative to now are held against.
    pub(crate) now_ms: TimestampMs,
    pub(crate) zone: &'a TimeZone,
}

struct Placed<'p> {
    depth: usize,
    part: &'p Predicate,
}

/// The parts of a rule, each before its own parts.
fn placed(rule: &Predicate) -> Vec<Placed<'_>> {
    fn add<'p>(part: &'p Predicate, depth: usize, all: &mut Vec<Placed<'p>>) {
        all.push(Placed { depth, part });
        match part {
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter().for_each(|part| add(part, depth + 1, all));
            }
            Predicate::Not(part) => add(part, depth + 1, all),
            _ => {}
        }
    }
    let mut all = Vec::new();
    add(rule, 0, &mut all);
    all
}

/// For how many users each part of a rule holds, in the order of its text; nothing of a rule with too
/// many parts, or conditions on computed values. `whole`: for how many the rule does.
///
/// # Errors
/// Of the index.
pub(crate) fn part_sizes(rule: &Predicate, whole: u64, on: &Ground<'_>) -> Result<Vec<u64>> {
    let parts = placed(rule);
    if parts.len() > MAX_PARTS {
        return Ok(Vec::new());
    }
    let types =
        |name: &str| -> Option<ValueType> { on.snapshot.info(name).map(|tag| tag.value_type) };
    // A condition on computed values is asked of the users alone whom the others leave. Of everybody it
    // may take minutes.
    let is_computed = |placed: &Placed<'_>| {
        let checked = placed.part.check(&types, &|_| true, on.zone);
        checked.is_ok_and(|part| part.is_computed())
    };
    if parts.iter().any(is_computed) {
        return Ok(Vec::new());
    }
    let size = |placed: &Placed<'_>| {
        if placed.depth == 0 {
            return Ok(whole);
        }
        let checked = placed
            .part
            .check(&types, &|_| true, on.zone)
            .map_err(taghouse_rules::Error::from)?
            .as_of(on.now_ms, on.zone);
        Ok(anonymous::query(on.snapshot, &checked, on.others, None)?.count()?)
    };
    parts.iter().map(size).collect()
}

/// The parts of two versions' rule with their sizes; nothing where their rules differ, or where nothing
/// was noted of one.
pub(crate) fn part_changes(from: &CrowdVersion, to: &CrowdVersion) -> Vec<PartChange> {
    if from.expression != to.expression || from.parts.is_empty() {
        return Vec::new();
    }
    let Ok(rule) = ParsedPredicate::parse(&to.expression) else { return Vec::new() };
    let parts = placed(rule.tree());
    if parts.len() != from.parts.len() || parts.len() != to.parts.len() {
        return Vec::new();
    }
    let is_leaf = |part: &Predicate| {
        !matches!(part, Predicate::And(_) | Predicate::Or(_) | Predicate::Not(_))
    };
    let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
    let change = |(number, Placed { depth, part }): (usize, &Placed<'_>)| PartChange {
        depth: *depth,
        text: part.to_string(),
        tags: if is_leaf(part) { owned(part.names()) } else { Vec::new() },
        crowds: if is_leaf(part) { owned(part.crowds()) } else { Vec::new() },
        from: from.parts[number],
        to: to.parts[number],
    };
    parts.iter().enumerate().map(change).collect()
}
