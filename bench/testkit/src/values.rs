//! Random values of every type, and literals on, between and beyond them.

use crate::dice::Dice;
use rust_decimal::Decimal;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{Value, ValueType};

/// Every type, with one scale.
pub const TYPES: [ValueType; 7] = [
    ValueType::Bool,
    ValueType::Text,
    ValueType::Set,
    ValueType::Int,
    ValueType::Decimal { scale: 2 },
    ValueType::Date,
    ValueType::Time,
];

/// One of about `values` different values; numbers are on both sides of zero.
pub fn value(ty: ValueType, values: u64, dice: &mut Dice) -> Value {
    let number = number(values, dice);
    of_number(ty, number, values, dice)
}

/// The same, and now and then a number at the ends of its type.
pub fn value_or_end(ty: ValueType, values: u64, dice: &mut Dice) -> Value {
    let (number, extreme) = (number(values, dice), dice.one_in(200));
    match ty {
        ValueType::Int if extreme => Value::Int([i64::MIN, i64::MAX][dice.below(2) as usize]),
        ValueType::Decimal { scale } if extreme => {
            Value::Decimal(Decimal::new(i64::MAX, u32::from(scale)))
        }
        ValueType::Time if extreme => Value::Time(i64::MIN),
        _ => of_number(ty, number, values, dice),
    }
}

fn number(values: u64, dice: &mut Dice) -> i64 {
    dice.below(values) as i64 - values as i64 / 2
}

fn of_number(ty: ValueType, number: i64, values: u64, dice: &mut Dice) -> Value {
    match ty {
        ValueType::Bool => Value::Bool(number >= 0),
        ValueType::Text => Value::Text(text(number)),
        ValueType::Set => Value::Set(
            (0..=dice.below(4)).map(|_| text(dice.below(values) as i64)).collect::<BTreeSet<_>>(),
        ),
        ValueType::Int => Value::Int(number * 3),
        ValueType::Decimal { scale } => Value::Decimal(Decimal::new(number * 7, u32::from(scale))),
        ValueType::Date => Value::Date(number as i32),
        ValueType::Time => Value::Time(number * 86_400_001),
    }
}

fn text(number: i64) -> Arc<str> {
    let stem = ["a", "ab", "b", "ä", "a%", ""][number.rem_euclid(6) as usize];
    Arc::from(format!("{stem}{}", number / 6))
}

/// A value as `rules::coerce` would make it of a literal in a condition on such a tag.
pub fn literal(ty: ValueType, values: u64, dice: &mut Dice) -> Value {
    let extreme = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX][dice.below(5) as usize];
    match (ty, dice.below(8)) {
        (ValueType::Set, _) => value_or_end(ValueType::Text, values, dice),
        (ValueType::Int, 0) => Value::Int(extreme),
        (ValueType::Int, 1 | 2) => {
            Value::Decimal(Decimal::new(dice.below(90) as i64 - 45, dice.below(3) as u32))
        }
        (ValueType::Decimal { .. }, 0) => Value::Decimal(Decimal::from(extreme)),
        (ValueType::Decimal { .. }, 1) => {
            Value::Decimal(if extreme < 0 { Decimal::MIN } else { Decimal::MAX })
        }
        (ValueType::Decimal { .. }, 2..5) => {
            Value::Decimal(Decimal::new(dice.below(9_000) as i64 - 4_500, dice.below(5) as u32))
        }
        (ValueType::Decimal { .. }, 5) => Value::Int(dice.below(9) as i64 - 4),
        (ValueType::Time, 0) => Value::Time(extreme),
        (ValueType::Date, 0) => {
            Value::Date(extreme.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
        }
        _ => value_or_end(ty, values, dice),
    }
}

/// A number in units of its type, of those that have a sum.
pub fn units(value: &Value, ty: ValueType) -> i128 {
    match (value, ty) {
        (Value::Int(units), _) => i128::from(*units),
        (Value::Decimal(decimal), ValueType::Decimal { scale }) => {
            let mut decimal = *decimal;
            decimal.rescale(u32::from(scale));
            decimal.mantissa()
        }
        (Value::Date(days), _) => i128::from(*days),
        (Value::Time(ms), _) => i128::from(*ms),
        _ => 0,
    }
}

/// The value that units of a type, or 0 and 1 of a bool, stand for.
pub fn of_units(units: i64, ty: ValueType) -> Value {
    match ty {
        ValueType::Bool => Value::Bool(units == 1),
        ValueType::Decimal { scale } => Value::Decimal(Decimal::new(units, u32::from(scale))),
        ValueType::Date => Value::Date(units as i32),
        ValueType::Time => Value::Time(units),
        _ => Value::Int(units),
    }
}
