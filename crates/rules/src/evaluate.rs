//! One row at a time: pure, total, and the naive twin of everything faster.

use crate::{ArithmeticOp, CompareOp, Function, Predicate, Scalar, like};
use rust_decimal::{Decimal, RoundingStrategy};
use std::cmp::Ordering;
use taghouse_model::{MAX_TEXT_BYTES, Value, ValueType};

/// Digits after the point that arithmetic keeps exactly; a result that would lose one of them is no value.
const KEPT_DIGITS: u32 = 12;

impl Predicate<Value> {
    /// Whether it holds for a row. `values` gives a name's value; a crowd is asked for as `crowd:name` and holds if that is true.
    pub fn holds(&self, values: &dyn Fn(&str) -> Option<Value>) -> bool {
        match self {
            Self::And(operands) => operands.iter().all(|p| p.holds(values)),
            Self::Or(operands) => operands.iter().any(|p| p.holds(values)),
            Self::Not(inner) => !inner.holds(values),
            Self::Compare { name, op, literal } => values(name).is_some_and(|v| compares(&v, *op, literal)),
            Self::In { name, literals } => values(name).is_some_and(|v| literals.iter().any(|l| compares(&v, CompareOp::Equal, l))),
            Self::Between { name, low, high } => {
                values(name).is_some_and(|v| compares(&v, CompareOp::GreaterOrEqual, low) && compares(&v, CompareOp::LessOrEqual, high))
            }
            Self::Like { name, pattern } => match values(name) {
                Some(Value::Text(text)) => like(pattern, &text),
                Some(Value::Set(members)) => members.iter().any(|m| like(pattern, m)),
                _ => false,
            },
            Self::IsSet { name } => values(name).is_some(),
            Self::Crowd { name } => values(&format!("crowd:{name}")) == Some(Value::Bool(true)),
        }
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
    let Some(order) = order(value, literal) else { return false };
    match op {
        CompareOp::Equal => order.is_eq(),
        CompareOp::NotEqual => order.is_ne(),
        CompareOp::Less => order.is_lt(),
        CompareOp::LessOrEqual => order.is_le(),
        CompareOp::Greater => order.is_gt(),
        CompareOp::GreaterOrEqual => order.is_ge(),
    }
}

/// The order of two values of one kind; ints and decimals are one kind.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Decimal(b)) => Some(Decimal::from(*a).cmp(b)),
        (Value::Decimal(a), Value::Int(b)) => Some(a.cmp(&Decimal::from(*b))),
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => Some(a.cmp(b)),
        _ => None,
    }
}

impl Scalar<Value> {
    /// The value for a row, of the type that `check` gave, except that a decimal may have more digits where there is a division or
    /// a product of more than 12 digits: see [`fit`].
    pub fn value(&self, values: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Name(name) => values(name),
            Self::Negate(inner) => match inner.value(values)? {
                Value::Int(v) => v.checked_neg().map(Value::Int),
                Value::Decimal(v) => Some(Value::Decimal(-v)),
                _ => None,
            },
            Self::Binary { op, left, right } => arithmetic(*op, left.value(values)?, right.value(values)?),
            Self::Call { function, arguments } => call(*function, arguments, values),
            Self::If { condition, then, otherwise } => if condition.holds(values) { then } else { otherwise }.value(values),
        }
    }
}

fn arithmetic(op: ArithmeticOp, left: Value, right: Value) -> Option<Value> {
    if let (Value::Int(a), Value::Int(b)) = (&left, &right) {
        match op {
            ArithmeticOp::Add => return a.checked_add(*b).map(Value::Int),
            ArithmeticOp::Subtract => return a.checked_sub(*b).map(Value::Int),
            ArithmeticOp::Multiply => return a.checked_mul(*b).map(Value::Int),
            ArithmeticOp::Divide => {}
        }
    }
    // Normalised, so that the digits asked for below are those that matter.
    let (a, b) = (decimal(&left)?.normalize(), decimal(&right)?.normalize());
    let (result, digits) = match op {
        ArithmeticOp::Add => (a.checked_add(b)?, a.scale().max(b.scale())),
        ArithmeticOp::Subtract => (a.checked_sub(b)?, a.scale().max(b.scale())),
        ArithmeticOp::Multiply => (a.checked_mul(b)?, a.scale() + b.scale()),
        ArithmeticOp::Divide => return a.checked_div(b).map(Value::Decimal),
    };
    // rust_decimal drops digits rather than fail when 96 bits do not hold them all.
    let exact = result.is_zero() || result.scale() >= digits.min(KEPT_DIGITS);
    exact.then_some(Value::Decimal(result))
}

fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Int(v) => Some(Decimal::from(*v)),
        Value::Decimal(v) => Some(*v),
        _ => None,
    }
}

fn call(function: Function, arguments: &[Scalar<Value>], values: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
    let mut all = arguments.iter().map(|a| a.value(values));
    match function {
        Function::Coalesce => all.flatten().next(),
        Function::Least => all.flatten().reduce(|a, b| if order(&b, &a).is_some_and(Ordering::is_lt) { b } else { a }),
        Function::Greatest => all.flatten().reduce(|a, b| if order(&b, &a).is_some_and(Ordering::is_gt) { b } else { a }),
        Function::Abs => match all.next()?? {
            Value::Int(v) => v.checked_abs().map(Value::Int),
            Value::Decimal(v) => Some(Value::Decimal(v.abs())),
            _ => None,
        },
        Function::Round => match (all.next()??, all.next()??) {
            (Value::Int(v), _) => Some(Value::Int(v)),
            (Value::Decimal(v), Value::Int(0)) => i64::try_from(rounded(v, 0)).ok().map(Value::Int),
            (Value::Decimal(v), Value::Int(digits)) => Some(Value::Decimal(rounded(v, u32::try_from(digits).ok()?))),
            _ => None,
        },
        Function::Lower => text(all.next()??, |t| t.to_lowercase()),
        Function::Upper => text(all.next()??, |t| t.to_uppercase()),
        Function::Trim => text(all.next()??, |t| t.trim().to_owned()),
    }
}

fn text(value: Value, change: impl Fn(&str) -> String) -> Option<Value> {
    let Value::Text(text) = value else { return None };
    let changed = change(&text);
    // Upper case can be longer than what it was made of.
    (changed.len() <= MAX_TEXT_BYTES).then(|| Value::text(&changed))
}

fn rounded(value: Decimal, digits: u32) -> Decimal {
    value.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero)
}

/// A computed value as one of type `ty`: a decimal is rounded (half away from zero) to its scale, an int becomes a decimal where
/// `ty` is one. `None` if it is of another type.
pub fn fit(value: Value, ty: ValueType) -> Option<Value> {
    match (value, ty) {
        (Value::Decimal(v), ValueType::Decimal { scale }) => Some(Value::Decimal(rounded(v, u32::from(scale)))),
        (Value::Int(v), ValueType::Decimal { .. }) => Some(Value::Decimal(Decimal::from(v))),
        (value, ty) if value.is_of(ty) => Some(value),
        _ => None,
    }
}
