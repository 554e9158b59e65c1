//! Conditions → formulas over bitmaps. A formula matches exactly the users for whom
//! `Predicate::holds` is true; a property test compares the two.

use crate::error::{Error, Result};
use crate::live::{Changed, live_leaf};
use crate::number::{Units, joined};
use crate::segment::{Segment, Values};
use crate::snapshot::Snapshot;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, Bundle, Formula, Query, SHARD_SIZE};
use taghouse_model::{Ordinal, Value};
use taghouse_rules::{CompareOp, Predicate, like, like_prefix};

/// Up to this many ranges of numbers are evaluated one by one.
const MOST_RANGES: usize = 64;

/// Up to this many changed users of a shard are evaluated separately, on top of the segments…
const FEW_OF_SHARD: u64 = 256;
/// …and at most one in this many of all users. Beyond that, the whole formula reads the live
/// changes.
const FEW_SHARE: u64 = 16;

/// Compiles one condition over a snapshot.
struct Compiler<'a> {
    snapshot: &'a Snapshot,
    crowds: &'a dyn Fn(&str) -> Option<Arc<Bitmap>>,
    /// Whether to include the live changes, instead of the segments alone.
    live: bool,
    /// Collects the live changes that matter.
    changed: RefCell<Vec<Changed>>,
}

impl Snapshot {
    /// A query for a condition, ready to be counted, listed, or evaluated for one user. `crowds`
    /// gives the members of another crowd.
    ///
    /// # Errors
    /// `UnknownTag` and `UnknownCrowd` for what was never published, `Mismatch` for a literal that
    /// the tag's values in the index cannot be compared with; `Corrupt` and `Store` name an
    /// object that cannot be opened.
    pub fn evaluate(
        &self,
        predicate: &Predicate<Value>,
        crowds: &dyn Fn(&str) -> Option<Arc<Bitmap>>,
    ) -> Result<Query> {
        let stored = self.cut.users.bitmap.clone();
        let compiler =
            |live| Compiler { snapshot: self, crowds, live, changed: RefCell::default() };
        let formula = compiler(false).formula(predicate)?;
        let Some(live) = self.live() else { return Ok(Query::new(stored, formula)) };
        let compiler = compiler(true);
        let patch = compiler.formula(predicate)?;
        let changed = compiler.changed.into_inner();
        let most =
            changed.iter().map(Changed::most).sum::<u64>() + live.added.len() + live.deleted.len();
        if most == 0 {
            return Ok(Query::new(stored, formula));
        }
        // A change can remove a value of a user who does not exist. Leaves must be subsets of the
        // users asked all the same.
        let mut nonexistent = live.overlay.deleted.clone();
        let mut everybody = live.all.clone();
        let tags = || {
            changed.iter().filter_map(|changed| {
                if let Changed::Tag(tag) = changed { Some(tag.touched()) } else { None }
            })
        };
        for touched in tags().filter(|touched| !touched.is_subset(&live.all)) {
            nonexistent = Arc::new(nonexistent.or(&touched.and_not(&live.all)));
            everybody = Arc::new(everybody.or(touched));
        }
        let patch = Formula::and(vec![patch, Formula::owned(nonexistent).not()]);
        let (all, shards) = (live.all.len(), live.all.len().div_ceil(u64::from(SHARD_SIZE)));
        if most > (shards * FEW_OF_SHARD).min(all / FEW_SHARE) {
            return Ok(Query::new(everybody, patch));
        }
        let members = changed.iter().filter_map(|changed| {
            if let Changed::Member(edits) = changed { Some(edits.users()) } else { None }
        });
        let mut members: Vec<Ordinal> = members.flatten().copied().collect();
        // Stable, for it takes a few ascending runs as they are.
        members.sort();
        members.dedup();
        let members = Bitmap::from_sorted(&members);
        let changed = Bitmap::union(
            tags().chain([&live.added, &live.deleted]).map(AsRef::as_ref).chain([&members]),
        );
        Ok(Query::patched(stored, formula, Arc::new(changed), everybody, patch))
    }
}

impl Compiler<'_> {
    fn formula(&self, predicate: &Predicate<Value>) -> Result<Formula> {
        match predicate {
            Predicate::And(operands) => Ok(Formula::and(self.all(operands)?)),
            Predicate::Or(operands) => Ok(Formula::or(self.all(operands)?)),
            Predicate::Not(operand) => Ok(self.formula(operand)?.not()),
            Predicate::Compare { name, .. }
            | Predicate::In { name, .. }
            | Predicate::Between { name, .. }
            | Predicate::Like { name, .. }
            | Predicate::Has { name, .. }
            | Predicate::IsSet { name } => self.condition(name, predicate),
            Predicate::Differs(condition) => self.others(condition),
            Predicate::Moving { .. } => {
                Err(Error::Internal("a date relative to now was not made a range".to_owned()))
            }
            Predicate::Happened(_) => {
                Err(Error::Internal("a condition on what users did was not checked".to_owned()))
            }
            Predicate::Test { .. } => Err(Error::Internal(
                "a condition on a computed value was not answered beforehand".to_owned(),
            )),
            Predicate::Crowd { name } => {
                let members =
                    (self.crowds)(name).ok_or_else(|| Error::UnknownCrowd(name.clone()))?;
                let users =
                    if self.live { self.snapshot.users() } else { &self.snapshot.cut.users.bitmap };
                // A crowd may be older than the users, or imported: who does not exist is in no
                // crowd.
                Ok(Formula::owned(if members.is_subset(users) {
                    members
                } else {
                    Arc::new(members.and(users))
                }))
            }
        }
    }

    /// The users who have a value that does not satisfy the condition.
    fn others(&self, condition: &Predicate<Value>) -> Result<Formula> {
        let is_set = condition
            .names()
            .into_iter()
            .map(|name| self.formula(&Predicate::IsSet { name: name.to_owned() }));
        let mut operands = is_set.collect::<Result<Vec<_>>>()?;
        operands.push(self.formula(condition)?.not());
        Ok(Formula::and(operands))
    }

    fn all(&self, operands: &[Predicate<Value>]) -> Result<Vec<Formula>> {
        operands.iter().map(|operand| self.formula(operand)).collect()
    }

    /// A condition on one tag.
    fn condition(&self, tag: &str, condition: &Predicate<Value>) -> Result<Formula> {
        let view = self.snapshot.tag(tag)?.ok_or_else(|| Error::UnknownTag(tag.to_owned()))?;
        let stored = Leaf { tag, segment: view.segment() }.formula(condition)?;
        if self.live {
            return live_leaf(&view, condition, stored, &mut self.changed.borrow_mut());
        }
        Ok(stored)
    }
}

/// The tag of a condition.
struct Leaf<'a> {
    tag: &'a str,
    segment: &'a Segment,
}

impl Leaf<'_> {
    fn formula(&self, condition: &Predicate<Value>) -> Result<Formula> {
        match condition {
            Predicate::Compare { op, literal, .. } => self.compare(*op, literal),
            Predicate::In { literals, .. } => self.any_of(literals),
            Predicate::Between { low, high, .. } => self.between(low, high),
            Predicate::Like { pattern, .. } => self.like(pattern),
            Predicate::IsSet { .. } => Ok(Formula::stored(self.segment.existence().clone())),
            Predicate::Has { all: false, literals, .. } => self.any_of(literals),
            Predicate::Has { literals, .. } => Ok(Formula::and(
                literals
                    .iter()
                    .map(|literal| self.compare(CompareOp::Equal, literal))
                    .collect::<Result<_>>()?,
            )),
            _ => Err(Error::Internal("a condition on no tag".to_owned())),
        }
    }

    fn compare(&self, op: CompareOp, literal: &Value) -> Result<Formula> {
        if op == CompareOp::NotEqual {
            return Ok(self.others(self.compare(CompareOp::Equal, literal)?));
        }
        match &self.segment.values {
            Values::Numbers(slices) => {
                let (low, high) = self.units(literal)?.range(op);
                Ok(slices.between(low, high))
            }
            values if self.segment.value_type() == taghouse_model::ValueType::Set => {
                match (op, self.code(values, literal)?) {
                    (CompareOp::Equal, Ok(code)) => {
                        Ok(Formula::stored(bitmaps_of(values)?.get(code + 1)))
                    }
                    // A set has no order: as a missing value, it compares with nothing.
                    _ => Ok(Formula::empty()),
                }
            }
            values => {
                let place = self.code(values, literal)?;
                let (before, through) = match place {
                    Ok(code) => (code, code + 1),
                    Err(next) => (next, next),
                };
                let end = bitmaps_of(values)?.len() - 1;
                self.codes(match op {
                    CompareOp::Equal | CompareOp::NotEqual => before..through,
                    CompareOp::Less => 0..before,
                    CompareOp::LessOrEqual => 0..through,
                    CompareOp::Greater => through..end,
                    CompareOp::GreaterOrEqual => before..end,
                })
            }
        }
    }

    fn between(&self, low: &Value, high: &Value) -> Result<Formula> {
        match &self.segment.values {
            Values::Numbers(slices) => {
                let from = self.units(low)?.range(CompareOp::GreaterOrEqual).0;
                let to = self.units(high)?.range(CompareOp::LessOrEqual).1;
                Ok(slices.between(from, to))
            }
            values => {
                let (low, high) = (self.code(values, low)?, self.code(values, high)?);
                if self.segment.value_type() == taghouse_model::ValueType::Set {
                    return Ok(Formula::empty());
                }
                let from = low.unwrap_or_else(|next| next);
                let to = high.map_or_else(|next| next, |code| code + 1);
                self.codes(from..to.max(from))
            }
        }
    }

    fn any_of(&self, literals: &[Value]) -> Result<Formula> {
        if let (Values::Texts { bitmaps, .. } | Values::Bool(bitmaps), false) =
            (&self.segment.values, self.is_set())
        {
            let mut codes = Vec::with_capacity(literals.len());
            for literal in literals {
                codes.extend(self.code(&self.segment.values, literal)?.ok());
            }
            codes.sort_unstable();
            codes.dedup();
            return Ok(Formula::disjoint(codes.into_iter().map(|code| bitmaps.get(code + 1))));
        }
        if let Values::Numbers(slices) = &self.segment.values {
            let ranges = joined(
                literals
                    .iter()
                    .map(|literal| Ok(self.units(literal)?.range(CompareOp::Equal)))
                    .collect::<Result<_>>()?,
            );
            if ranges.len() <= MOST_RANGES {
                return Ok(Formula::or(
                    ranges.into_iter().map(|(low, high)| slices.between(low, high)).collect(),
                ));
            }
            // Each range is a pass over the slices; of many, one pass over all numbers costs less.
            let one_of = |units: i128| {
                let after = ranges.partition_point(|(low, _)| *low <= units);
                after.checked_sub(1).is_some_and(|at| units <= ranges[at].1)
            };
            let ordinals =
                slices.iter()?.filter(|(_, units)| one_of(*units)).map(|(ordinal, _)| ordinal);
            return Ok(Formula::owned(Arc::new(Bitmap::from_sorted_iter(ordinals))));
        }
        Ok(Formula::or(
            literals
                .iter()
                .map(|literal| self.compare(CompareOp::Equal, literal))
                .collect::<Result<_>>()?,
        ))
    }

    fn like(&self, pattern: &str) -> Result<Formula> {
        let Values::Texts { directory, bitmaps, .. } = &self.segment.values else {
            return Err(self.mismatch(format!("\"like\" asks for text (pattern {pattern:?})")));
        };
        let fitting = directory
            .with_prefix(&like_prefix(pattern))
            .filter(|code| directory.get(*code).is_some_and(|text| like(pattern, text)));
        let fitting = fitting.map(|code| bitmaps.get(code + 1));
        Ok(if self.is_set() {
            Formula::or(fitting.map(Formula::stored).collect())
        } else {
            Formula::disjoint(fitting)
        })
    }

    /// The users who have a value other than these.
    fn others(&self, these: Formula) -> Formula {
        Formula::and(vec![Formula::stored(self.segment.existence().clone()), these.not()])
    }

    /// The users of a range of values of a tag of one value. A range of more than half of the
    /// values is computed as the complement of the rest.
    fn codes(&self, range: Range<u32>) -> Result<Formula> {
        let bitmaps = bitmaps_of(&self.segment.values)?;
        let end = bitmaps.len() - 1;
        let of = |range: Range<u32>| Formula::disjoint(range.map(|code| bitmaps.get(code + 1)));
        if range.len() as u32 * 2 <= end {
            return Ok(of(range));
        }
        let rest = (0..range.start).chain(range.end..end).map(|code| bitmaps.get(code + 1));
        Ok(self.others(Formula::disjoint(rest)))
    }

    fn code(&self, values: &Values, literal: &Value) -> Result<std::result::Result<u32, u32>> {
        match (values, literal) {
            (Values::Bool(_), Value::Bool(value)) => Ok(Ok(u32::from(*value))),
            (Values::Texts { directory, .. }, Value::Text(text)) => Ok(directory.find(text)),
            _ => Err(self.cannot_compare(literal)),
        }
    }

    fn units(&self, literal: &Value) -> Result<Units> {
        Units::of(literal, self.segment.value_type()).ok_or_else(|| self.cannot_compare(literal))
    }

    fn is_set(&self) -> bool {
        self.segment.value_type() == taghouse_model::ValueType::Set
    }

    fn cannot_compare(&self, literal: &Value) -> Error {
        self.mismatch(format!("{literal} cannot be compared with them"))
    }

    fn mismatch(&self, problem: String) -> Error {
        Error::Mismatch { tag: self.tag.to_owned(), value_type: self.segment.value_type(), problem }
    }
}

fn bitmaps_of(values: &Values) -> Result<&Bundle> {
    match values {
        Values::Bool(bitmaps) | Values::Texts { bitmaps, .. } => Ok(bitmaps),
        Values::Numbers(_) => Err(Error::Internal("numbers have no values' bitmaps".to_owned())),
    }
}
