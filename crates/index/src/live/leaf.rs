//! A condition on one tag, as it holds of the users whose values were changed.

use super::overlay::TagOverlay;
use super::view::TagView;
use crate::error::Result;
use crate::number::Units;
use hashbrown::HashMap;
use std::cell::RefCell;
use std::sync::Arc;
use taghouse_bitmap::Formula;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{CompareOp, Predicate, like};

/// `stored` is the formula of the condition on the segment, which has checked that the condition can be asked.
pub(crate) fn live_leaf(view: &TagView, condition: &Predicate<Value>, stored: Formula) -> Result<Formula> {
    let away = Formula::owned(view.hidden());
    let Some(overlay) = view.overlay() else {
        return Ok(Formula::and(vec![stored, away.not()]));
    };
    if view.value_type() == ValueType::Set {
        return SetLeaf { view, overlay }.formula(condition);
    }
    let matching = if view.value_type().is_number() {
        let ranges = ranges_of(condition, view.value_type());
        overlay.matching(&|units| ranges.iter().any(|(low, high)| (*low..=*high).contains(&i128::from(units))))
    } else {
        // Of each different value it is asked once.
        let known: RefCell<HashMap<i64, bool>> = RefCell::default();
        let holds = |code| overlay.tag.value_of(code).is_some_and(|value| condition.holds(&|_| Some(value.clone())));
        overlay.matching(&|code| *known.borrow_mut().entry(code).or_insert_with(|| holds(code)))
    };
    Ok(Formula::or(vec![Formula::and(vec![stored, away.not()]), Formula::owned(Arc::new(matching))]))
}

/// The units of a number for which a condition holds, both ends included.
fn ranges_of(condition: &Predicate<Value>, ty: ValueType) -> Vec<(i128, i128)> {
    let range = |op: CompareOp, literal: &Value| Units::of(literal, ty).map(|units| units.range(op));
    match condition {
        Predicate::Compare { op: CompareOp::NotEqual, literal, .. } => {
            range(CompareOp::Less, literal).into_iter().chain(range(CompareOp::Greater, literal)).collect()
        }
        Predicate::Compare { op, literal, .. } => range(*op, literal).into_iter().collect(),
        Predicate::In { literals, .. } => literals.iter().filter_map(|literal| range(CompareOp::Equal, literal)).collect(),
        Predicate::Between { low, high, .. } => {
            let ends = range(CompareOp::GreaterOrEqual, low).zip(range(CompareOp::LessOrEqual, high));
            ends.map(|((from, _), (_, to))| (from, to)).into_iter().collect()
        }
        Predicate::IsSet { .. } => vec![(i128::MIN, i128::MAX)],
        _ => Vec::new(),
    }
}

/// A set's users change by member: what is stored of one member counts but for those cleared, and those who lost it.
struct SetLeaf<'a> {
    view: &'a TagView,
    overlay: &'a TagOverlay,
}

impl SetLeaf<'_> {
    fn formula(&self, condition: &Predicate<Value>) -> Result<Formula> {
        match condition {
            Predicate::Compare { op: CompareOp::Equal, literal: Value::Text(text), .. } => self.member(text),
            Predicate::Compare { op: CompareOp::NotEqual, literal: Value::Text(text), .. } => {
                Ok(Formula::and(vec![self.existence()?, self.member(text)?.not()]))
            }
            Predicate::In { literals, .. } => {
                let members = literals.iter().map(|literal| match literal {
                    Value::Text(text) => self.member(text),
                    _ => Ok(Formula::empty()),
                });
                Ok(Formula::or(members.collect::<Result<_>>()?))
            }
            Predicate::Like { pattern, .. } => self.like(pattern),
            Predicate::IsSet { .. } => self.existence(),
            _ => Ok(Formula::empty()),
        }
    }

    fn existence(&self) -> Result<Formula> {
        let stored = Formula::stored(self.view.segment().existence().clone());
        let kept = Formula::and(vec![stored, Formula::owned(self.view.hidden()).not()]);
        Ok(Formula::or(vec![kept, Formula::owned(Arc::new(self.view.live_users()?))]))
    }

    /// Those who have one member.
    fn member(&self, text: &Arc<str>) -> Result<Formula> {
        let stored = self.view.segment().stored_of(text).map_or_else(Formula::empty, Formula::stored);
        Ok(match self.overlay.tag.known_code(text) {
            Some(code) => self.changed(stored, code),
            None => Formula::and(vec![stored, self.away()]),
        })
    }

    fn changed(&self, stored: Formula, code: i64) -> Formula {
        let changes = self.overlay.member(code);
        let kept = Formula::and(vec![stored, self.away(), Formula::owned(Arc::new(changes.removes)).not()]);
        Formula::or(vec![kept, Formula::owned(Arc::new(changes.adds))])
    }

    /// All but those of whom no stored member counts.
    fn away(&self) -> Formula {
        Formula::owned(self.view.away_from_all()).not()
    }

    fn like(&self, pattern: &str) -> Result<Formula> {
        let mut any = Vec::new();
        let mut untouched = Vec::new();
        let live = self.overlay.values();
        for (text, stored) in self.view.segment().stored_like(pattern) {
            match self.overlay.tag.known_code(text).filter(|code| live.contains(code)) {
                Some(code) => any.push(self.changed(Formula::stored(stored), code)),
                None => untouched.push(Formula::stored(stored)),
            }
        }
        any.push(Formula::and(vec![Formula::or(untouched), self.away()]));
        for code in live {
            let new = self.overlay.tag.text(code).filter(|text| like(pattern, text) && self.view.segment().stored_of(text).is_none());
            if new.is_some() {
                any.push(self.changed(Formula::empty(), code));
            }
        }
        Ok(Formula::or(any))
    }
}
