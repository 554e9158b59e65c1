//! Computed values, one row at a time: exact to the end, rounded once.

use crate::evaluate::order;
use crate::{ArithmeticOp, Function, Rational, Scalar};
use rust_decimal::Decimal;
use std::cmp::Ordering;
use taghouse_model::{MAX_DECIMAL_UNITS, MAX_TEXT_BYTES, Value, ValueType};

/// The result of a computed value for one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Computed {
    /// Something was missing, or divided by zero.
    Nothing,
    /// It is there, and is larger than what is computed with.
    Beyond(Misfit),
    /// An exact number, not rounded yet.
    Number(Rational),
    /// A value of any other type.
    Value(Value),
}

/// Why a value cannot be one of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// A number beyond what the type holds.
    Number,
    /// A text over the limit.
    Text,
    /// It is of another type.
    Type,
}

impl Computed {
    /// As a value of type `ty`: a number is rounded here, once, half away from zero. `None` where
    /// there is no value.
    ///
    /// # Errors
    /// What is there and does not fit.
    pub fn fit(self, ty: ValueType) -> Result<Option<Value>, Misfit> {
        match self {
            Self::Nothing => Ok(None),
            Self::Beyond(misfit) => Err(misfit),
            Self::Number(number) => number_as(&number, ty).map(Some),
            Self::Value(Value::Text(text)) if text.len() > MAX_TEXT_BYTES => Err(Misfit::Text),
            Self::Value(value) if value.is_of(ty) => Ok(Some(value)),
            Self::Value(_) => Err(Misfit::Type),
        }
    }

    fn number(number: Option<Rational>) -> Self {
        number.map_or(Self::Beyond(Misfit::Number), Self::Number)
    }

    fn text(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Value(Value::Text(text)) => {
                let changed = change(&text);
                // Upper case can be longer than what it was made of.
                if changed.len() > MAX_TEXT_BYTES {
                    Self::Beyond(Misfit::Text)
                } else {
                    Self::Value(Value::text(&changed))
                }
            }
            other => other,
        }
    }
}

impl From<Value> for Computed {
    fn from(value: Value) -> Self {
        Rational::of(&value).map_or_else(|| Self::Value(value), Self::Number)
    }
}

fn number_as(number: &Rational, ty: ValueType) -> Result<Value, Misfit> {
    match ty {
        ValueType::Int => number
            .units(0)
            .and_then(|units| i64::try_from(units).ok())
            .map(Value::Int)
            .ok_or(Misfit::Number),
        ValueType::Decimal { scale } => {
            let units = number.units(scale).filter(|units| units.abs() <= MAX_DECIMAL_UNITS);
            let decimal = units
                .and_then(|units| Decimal::try_from_i128_with_scale(units, u32::from(scale)).ok());
            decimal.map(Value::Decimal).ok_or(Misfit::Number)
        }
        _ => Err(Misfit::Type),
    }
}

/// A value from anywhere as one of type `ty`: a decimal is rounded half away from zero to its
/// scale, an int becomes a decimal where `ty` is one.
///
/// # Errors
/// What does not fit.
pub fn fit(value: Value, ty: ValueType) -> Result<Value, Misfit> {
    Computed::from(value).fit(ty)?.ok_or(Misfit::Type)
}

impl Scalar<Value> {
    /// The value for a row, as one of type `ty`; see [`Computed::fit`]. `None` too where there is
    /// one that does not fit.
    pub fn value(&self, ty: ValueType, values: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
        self.compute(values).fit(ty).ok().flatten()
    }

    /// Its value for a row. Numbers are exact: only `round` rounds.
    pub fn compute(&self, values: &dyn Fn(&str) -> Option<Value>) -> Computed {
        match self {
            Self::Literal(value) => value.clone().into(),
            Self::Name(name) => values(name).map_or(Computed::Nothing, Into::into),
            Self::Negate(inner) => match inner.compute(values) {
                Computed::Number(number) => Computed::number(number.negated()),
                other => other,
            },
            Self::Binary { op, left, right } => {
                arithmetic(*op, left.compute(values), right.compute(values))
            }
            Self::Call { function, arguments } => call(*function, arguments, values),
            Self::If { condition, then, otherwise } => {
                if condition.matches(values) { then } else { otherwise }.compute(values)
            }
        }
    }
}

fn arithmetic(op: ArithmeticOp, left: Computed, right: Computed) -> Computed {
    match (left, right) {
        (Computed::Beyond(misfit), _) | (_, Computed::Beyond(misfit)) => Computed::Beyond(misfit),
        (Computed::Number(_), Computed::Number(zero))
            if op == ArithmeticOp::Divide && zero.is_zero() =>
        {
            Computed::Nothing
        }
        (Computed::Number(a), Computed::Number(b)) => Computed::number(match op {
            ArithmeticOp::Add => a.plus(&b),
            ArithmeticOp::Subtract => a.minus(&b),
            ArithmeticOp::Multiply => a.times(&b),
            ArithmeticOp::Divide => a.over(&b),
        }),
        _ => Computed::Nothing,
    }
}

fn call(
    function: Function,
    arguments: &[Scalar<Value>],
    values: &dyn Fn(&str) -> Option<Value>,
) -> Computed {
    let mut all = arguments.iter().map(|a| a.compute(values));
    let extreme = |wanted: Ordering, all: &mut dyn Iterator<Item = Computed>| {
        let mut best = Computed::Nothing;
        for next in all {
            match (&best, &next) {
                (_, Computed::Nothing) => {}
                (_, Computed::Beyond(_)) => return next,
                (Computed::Nothing, _) => best = next,
                (held, other) if compare(other, held) == Some(wanted) => best = next,
                _ => {}
            }
        }
        best
    };
    match function {
        Function::Coalesce => {
            all.find(|value| *value != Computed::Nothing).unwrap_or(Computed::Nothing)
        }
        Function::Least => extreme(Ordering::Less, &mut all),
        Function::Greatest => extreme(Ordering::Greater, &mut all),
        Function::Abs => match all.next() {
            Some(Computed::Number(number)) => Computed::number(number.abs()),
            other => other.unwrap_or(Computed::Nothing),
        },
        Function::Round => match (all.next(), arguments.get(1)) {
            (Some(Computed::Number(number)), Some(Scalar::Literal(Value::Int(digits)))) => {
                Computed::number(
                    u8::try_from(*digits).ok().and_then(|digits| number.rounded(digits)),
                )
            }
            (other, _) => other.unwrap_or(Computed::Nothing),
        },
        Function::Lower => all.next().unwrap_or(Computed::Nothing).text(|t| t.to_lowercase()),
        Function::Upper => all.next().unwrap_or(Computed::Nothing).text(|t| t.to_uppercase()),
        Function::Trim => all.next().unwrap_or(Computed::Nothing).text(|t| t.trim().to_owned()),
    }
}

/// The order of two values of one kind; all numbers are one kind.
pub(crate) fn compare(a: &Computed, b: &Computed) -> Option<Ordering> {
    match (a, b) {
        (Computed::Number(a), Computed::Number(b)) => Some(a.cmp(b)),
        (Computed::Value(a), Computed::Value(b)) => order(a, b),
        _ => None,
    }
}
