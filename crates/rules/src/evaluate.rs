//! One row at a time: pure, total, and the reference model of every faster way.

use crate::compute::compare;
use crate::{CompareOp, Computed, Predicate, Rational, Scalar, Test, like};
use std::cmp::Ordering;
use taghouse_model::Value;

/// From so many literals on a list is searched by halves: [`Predicate::check`] puts them in order.
const MANY_LITERALS: usize = 32;

impl Predicate<Value> {
    /// Whether it holds for a row. `values` gives a name's value; a crowd is asked for as
    /// `crowd:name` and holds if that is true.
    pub fn matches(&self, values: &dyn Fn(&str) -> Option<Value>) -> bool {
        match self {
            Self::And(operands) => operands.iter().all(|p| p.matches(values)),
            Self::Or(operands) => operands.iter().any(|p| p.matches(values)),
            Self::Not(inner) => !inner.matches(values),
            // A checked condition names the tag in its place.
            Self::Happened(_) => false,
            Self::Crowd { name } => values(&format!("crowd:{name}")) == Some(Value::Bool(true)),
            Self::Differs(inner) => inner.truth(values) == Some(false),
            condition => condition.truth(values) == Some(true),
        }
    }

    /// Of a condition on a value; `None` where the value is missing.
    fn truth(&self, values: &dyn Fn(&str) -> Option<Value>) -> Option<bool> {
        match self {
            Self::Compare { name, op, literal } => Some(compares(&values(name)?, *op, literal)),
            Self::In { name, literals } => Some(is_one_of(&values(name)?, literals)),
            Self::Between { name, low, high } => {
                let value = values(name)?;
                Some(
                    compares(&value, CompareOp::GreaterOrEqual, low)
                        && compares(&value, CompareOp::LessOrEqual, high),
                )
            }
            Self::Like { name, pattern } => Some(is_like(&values(name)?, pattern)),
            // What is relative to now is made a range before it is asked.
            Self::Moving { .. } => None,
            Self::IsSet { name } => Some(values(name).is_some()),
            Self::Has { name, all, literals } => Some(has(&values(name)?, *all, literals)),
            Self::Test { value, test } => test.truth(value, values),
            Self::And(_)
            | Self::Or(_)
            | Self::Not(_)
            | Self::Crowd { .. }
            | Self::Happened(_)
            | Self::Differs(_) => Some(self.matches(values)),
        }
    }
}

impl Test<Value> {
    fn truth(&self, value: &Scalar<Value>, values: &dyn Fn(&str) -> Option<Value>) -> Option<bool> {
        let value = value.compute(values);
        let compares = |op: CompareOp, with: &Scalar<Value>| match with.compute(values) {
            Computed::Nothing | Computed::Beyond(_) => None,
            with => Some(computed_compares(&value, op, &with)),
        };
        if let Self::IsSet = self {
            return Some(value != Computed::Nothing);
        }
        match &value {
            Computed::Nothing | Computed::Beyond(_) => return None,
            Computed::Number(_) | Computed::Value(_) => {}
        }
        match self {
            Self::IsSet => Some(true),
            Self::Holds => Some(value == Computed::Value(Value::Bool(true))),
            Self::Compare { op, with } => compares(*op, with),
            Self::Between { low, high } => Some(
                compares(CompareOp::GreaterOrEqual, low)? & compares(CompareOp::LessOrEqual, high)?,
            ),
            Self::In { literals } => Some(match &value {
                Computed::Number(number) => found(literals, |literal| {
                    Rational::of(literal).map(|literal| literal.cmp(number))
                }),
                Computed::Value(value) => is_one_of(value, literals),
                Computed::Nothing | Computed::Beyond(_) => false,
            }),
            Self::Like { pattern } => {
                Some(matches!(&value, Computed::Value(value) if is_like(value, pattern)))
            }
            Self::Has { all, literals } => {
                Some(matches!(&value, Computed::Value(value) if has(value, *all, literals)))
            }
        }
    }
}

fn computed_compares(value: &Computed, op: CompareOp, with: &Computed) -> bool {
    match (value, with) {
        (Computed::Value(value), Computed::Value(with)) => compares(value, op, with),
        _ => compare(value, with).is_some_and(|order| op.fits(order)),
    }
}

fn compares(value: &Value, op: CompareOp, literal: &Value) -> bool {
    if let (Value::Set(members), Value::Text(member)) = (value, literal) {
        return match op {
            CompareOp::Equal => members.contains(member),
            CompareOp::NotEqual => !members.contains(member),
            _ => false,
        };
    }
    order(value, literal).is_some_and(|order| op.fits(order))
}

fn is_one_of(value: &Value, literals: &[Value]) -> bool {
    match value {
        Value::Set(members) if literals.len() >= MANY_LITERALS => members
            .iter()
            .any(|member| found(literals, |literal| order(literal, &Value::Text(member.clone())))),
        Value::Set(_) => literals.iter().any(|literal| compares(value, CompareOp::Equal, literal)),
        value => found(literals, |literal| order(literal, value)),
    }
}

/// Whether one of the literals is equal; `order` is a literal's with what is looked for.
fn found(literals: &[Value], order: impl Fn(&Value) -> Option<Ordering>) -> bool {
    if literals.len() < MANY_LITERALS {
        return literals.iter().any(|literal| order(literal).is_some_and(Ordering::is_eq));
    }
    literals.binary_search_by(|literal| order(literal).unwrap_or(Ordering::Less)).is_ok()
}

fn is_like(value: &Value, pattern: &str) -> bool {
    match value {
        Value::Text(text) => like(pattern, text),
        Value::Set(members) => members.iter().any(|m| like(pattern, m)),
        _ => false,
    }
}

fn has(value: &Value, all: bool, literals: &[Value]) -> bool {
    let Value::Set(members) = value else { return false };
    let mut held = literals
        .iter()
        .map(|literal| matches!(literal, Value::Text(text) if members.contains(text)));
    if all { held.all(|held| held) } else { held.any(|held| held) }
}

impl CompareOp {
    /// Whether two values in this order compare so.
    pub(crate) fn fits(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// The order of two values of one kind; ints and decimals are one kind.
pub(crate) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    use rust_decimal::Decimal;
    match (a, b) {
        (Value::Int(a), Value::Decimal(b)) => Some(Decimal::from(*a).cmp(b)),
        (Value::Decimal(a), Value::Int(b)) => Some(a.cmp(&Decimal::from(*b))),
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Puts checked literals in the order in which lists are searched, each once.
pub(crate) fn in_order(mut literals: Vec<Value>) -> Vec<Value> {
    let order = |a: &Value, b: &Value| order(a, b).unwrap_or_else(|| a.cmp(b));
    literals.sort_by(order);
    literals.dedup_by(|a, b| order(a, b).is_eq());
    literals
}
