//! A condition on one tag, as it holds with the live changes.

use super::overlay::{Layer, TagOverlay};
use super::run::Fitting;
use super::view::TagView;
use crate::error::Result;
use crate::number::{Units, joined};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_bitmap::{Edits, Formula, Stored};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{CompareOp, Predicate, like};

/// Live changes that a condition depends on.
pub(crate) enum Changed {
    /// Any change of the tag may matter.
    Tag(Arc<TagOverlay>),
    /// Those of one member of a set.
    Member(Arc<Edits>),
}

impl Changed {
    /// At most so many users are changed by it.
    pub(crate) fn most(&self) -> u64 {
        match self {
            Self::Tag(overlay) => overlay.len() as u64,
            Self::Member(edits) => edits.users().len() as u64,
        }
    }
}

/// `stored` is the formula of the condition on the segment, which has checked that the condition
/// can be asked. Whoever is deleted may be in the result: the caller takes them away once, from the
/// whole. `changed` gets the changes that the result depends on.
pub(crate) fn live_leaf(
    view: &TagView,
    condition: &Predicate<Value>,
    stored: Formula,
    changed: &mut Vec<Changed>,
) -> Result<Formula> {
    let Some(overlay) = view.overlay() else { return Ok(stored) };
    if view.value_type() == ValueType::Set {
        return SetLeaf { view, overlay, changed }.formula(condition);
    }
    changed.push(Changed::Tag(overlay.clone()));
    Ok(layered(stored, overlay.layers(&fitting(overlay, condition))))
}

/// The runs on top of what is stored, the oldest first. Nothing is put together beforehand: each
/// run's bitmaps are made once in its life, a combination would be made again at every tick.
fn layered(stored: Formula, layers: Vec<Layer>) -> Formula {
    layers.into_iter().fold(stored, |before, Layer { drop, add }| {
        let kept = Formula::and(vec![before, Formula::owned(drop).not()]);
        Formula::or(std::iter::once(kept).chain(add.into_iter().map(Formula::owned)).collect())
    })
}

/// The live values for which a condition holds.
fn fitting(overlay: &TagOverlay, condition: &Predicate<Value>) -> Fitting {
    let ty = overlay.tag.value_type;
    if matches!(condition, Predicate::IsSet { .. }) {
        return Fitting::Any;
    }
    if ty.is_number() {
        let clamped = |units: i128| units.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        // In order, so that each change is looked up by halves.
        let ranges = joined(ranges_of(condition, ty)).into_iter().filter(|(low, high)| {
            low <= high && *low <= i128::from(i64::MAX) && *high >= i128::from(i64::MIN)
        });
        return Fitting::Ranges(ranges.map(|(low, high)| (clamped(low), clamped(high))).collect());
    }
    let codes: BTreeSet<i64> = match condition {
        Predicate::Compare { op: CompareOp::Equal, literal: Value::Text(text), .. } => {
            overlay.tag.known_code(text).into_iter().collect()
        }
        Predicate::In { literals, .. } if ty == ValueType::Text => {
            let texts = literals.iter().filter_map(|literal| {
                if let Value::Text(text) = literal { Some(text) } else { None }
            });
            texts.filter_map(|text| overlay.tag.known_code(text)).collect()
        }
        _ => {
            let holds = |code: &i64| {
                overlay
                    .tag
                    .value_of(*code)
                    .is_some_and(|value| condition.matches(&|_| Some(value.clone())))
            };
            overlay.values().iter().copied().filter(holds).collect()
        }
    };
    Fitting::Values(codes.into_iter().collect())
}

/// The units of a number for which a condition holds, both ends included.
fn ranges_of(condition: &Predicate<Value>, ty: ValueType) -> Vec<(i128, i128)> {
    let range =
        |op: CompareOp, literal: &Value| Units::of(literal, ty).map(|units| units.range(op));
    match condition {
        Predicate::Compare { op: CompareOp::NotEqual, literal, .. } => {
            range(CompareOp::Less, literal)
                .into_iter()
                .chain(range(CompareOp::Greater, literal))
                .collect()
        }
        Predicate::Compare { op, literal, .. } => range(*op, literal).into_iter().collect(),
        Predicate::In { literals, .. } => {
            literals.iter().filter_map(|literal| range(CompareOp::Equal, literal)).collect()
        }
        Predicate::Between { low, high, .. } => {
            let ends =
                range(CompareOp::GreaterOrEqual, low).zip(range(CompareOp::LessOrEqual, high));
            ends.map(|((from, _), (_, to))| (from, to)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A set's users change by member: what is stored of one member counts but for those cleared, and
/// those who lost it.
struct SetLeaf<'a> {
    view: &'a TagView,
    overlay: &'a Arc<TagOverlay>,
    changed: &'a mut Vec<Changed>,
}

impl SetLeaf<'_> {
    fn formula(&mut self, condition: &Predicate<Value>) -> Result<Formula> {
        match condition {
            Predicate::Compare { op: CompareOp::Equal, literal: Value::Text(text), .. } => {
                Ok(self.member(text))
            }
            Predicate::Compare { op: CompareOp::NotEqual, literal: Value::Text(text), .. } => {
                Ok(Formula::and(vec![self.existence()?, self.member(text).not()]))
            }
            Predicate::In { literals, .. } => Ok(Formula::or(self.members(literals))),
            Predicate::Has { all: false, literals, .. } => Ok(Formula::or(self.members(literals))),
            Predicate::Has { literals, .. } => Ok(Formula::and(self.members(literals))),
            Predicate::Like { pattern, .. } => Ok(self.like(pattern)),
            Predicate::IsSet { .. } => self.existence(),
            _ => Ok(Formula::empty()),
        }
    }

    fn existence(&mut self) -> Result<Formula> {
        self.changed.push(Changed::Tag(self.overlay.clone()));
        let stored = Formula::stored(self.view.segment().existence().clone());
        let kept = Formula::and(vec![stored, Formula::owned(self.view.hidden()).not()]);
        Ok(Formula::or(vec![kept, Formula::owned(Arc::new(self.view.live_users()?))]))
    }

    fn members(&mut self, literals: &[Value]) -> Vec<Formula> {
        let member = |literal: &Value| {
            if let Value::Text(text) = literal { self.member(text) } else { Formula::empty() }
        };
        literals.iter().map(member).collect()
    }

    /// Those who have one member.
    fn member(&mut self, text: &Arc<str>) -> Formula {
        self.edited(self.view.segment().stored_of(text), self.overlay.tag.known_code(text))
    }

    /// `code` is the member's in the live changes, if it has one.
    fn edited(&mut self, stored: Option<Stored>, code: Option<i64>) -> Formula {
        let edits = self.overlay.edits(code);
        if !edits.is_empty() {
            self.changed.push(Changed::Member(edits.clone()));
        }
        Formula::edited(stored, edits)
    }

    fn like(&mut self, pattern: &str) -> Formula {
        let mut any = Vec::new();
        for (text, stored) in self.view.segment().stored_like(pattern) {
            let code = self.overlay.tag.known_code(text);
            any.push(self.edited(Some(stored), code));
        }
        let segment = self.view.segment();
        let live = self.overlay.values().iter().copied();
        let new: Vec<i64> = live
            .filter(|code| {
                self.overlay
                    .tag
                    .text(*code)
                    .is_some_and(|text| like(pattern, &text) && segment.stored_of(&text).is_none())
            })
            .collect();
        any.extend(new.into_iter().map(|code| self.edited(None, Some(code))));
        Formula::or(any)
    }
}
