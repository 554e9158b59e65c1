//! Random changes and questions, to hold the index to its reference model.

use rust_decimal::Decimal;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_index::{Op, TagChange};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{CompareOp, Predicate};
use taghouse_testkit::{Dice, ReferenceModel, value};

pub(crate) const OPS: [CompareOp; 6] = [
    CompareOp::Equal,
    CompareOp::NotEqual,
    CompareOp::Less,
    CompareOp::LessOrEqual,
    CompareOp::Greater,
    CompareOp::GreaterOrEqual,
];
const PATTERNS: [&str; 9] = ["a%", "%1", "ab_", "a\\%%", "%", "", "_", "ä%", "%b%2%"];

/// A random change of a random tag for a user.
pub(crate) fn point(model: &ReferenceModel, ordinal: u32, dice: &mut Dice) -> TagChange {
    let at = dice.below(model.tags.len() as u64) as usize;
    let (name, tag) = model.tags.iter().nth(at).unwrap();
    let text = |dice: &mut Dice| match value(ValueType::Text, tag.values, dice) {
        Value::Text(text) => text,
        _ => Arc::from(""),
    };
    let op = match (tag.value_type, dice.below(8)) {
        (_, 0) => Op::Unset,
        (ValueType::Set, 1) => Op::Set(Value::Set(BTreeSet::new())),
        (ValueType::Set, 2..5) => Op::Add(text(dice)),
        (ValueType::Set, 5..7) => Op::Remove(text(dice)),
        _ => Op::Set(value(tag.value_type, tag.values, dice)),
    };
    TagChange { tag: name.clone(), ordinal, op }
}

fn leaf(model: &ReferenceModel, dice: &mut Dice) -> Predicate<Value> {
    let at = dice.below(model.tags.len() as u64) as usize;
    let (name, tag) = model.tags.iter().nth(at).unwrap();
    let (name, ty, values) = (name.to_string(), tag.value_type, tag.values);
    let texts = matches!(ty, ValueType::Text | ValueType::Set);
    match dice.below(10) {
        0..4 => Predicate::Compare {
            name,
            op: OPS[dice.below(6) as usize],
            literal: literal(ty, values, dice),
        },
        4 | 5 => Predicate::In {
            name,
            literals: (0..=dice.below(4)).map(|_| literal(ty, values, dice)).collect(),
        },
        6 => Predicate::Between {
            name,
            low: literal(ty, values, dice),
            high: literal(ty, values, dice),
        },
        7 if texts => {
            Predicate::Like { name, pattern: PATTERNS[dice.below(9) as usize].to_owned() }
        }
        8 => Predicate::Crowd { name: "some".to_owned() },
        _ => Predicate::IsSet { name },
    }
}

/// A condition of at most so many levels above its leaves.
pub(crate) fn predicate(model: &ReferenceModel, depth: u32, dice: &mut Dice) -> Predicate<Value> {
    let inner = match (depth, dice.below(4)) {
        (0, _) | (_, 0) => leaf(model, dice),
        (_, 1) => Predicate::Or(
            (0..2 + dice.below(3)).map(|_| predicate(model, depth - 1, dice)).collect(),
        ),
        _ => Predicate::And(
            (0..2 + dice.below(3)).map(|_| predicate(model, depth - 1, dice)).collect(),
        ),
    };
    if dice.below(3) == 0 { Predicate::Not(Box::new(inner)) } else { inner }
}

/// A value as `rules::coerce` would make it: on, between and beyond the tag's values.
fn literal(ty: ValueType, values: u64, dice: &mut Dice) -> Value {
    let extreme = [i64::MIN, -1, 0, i64::MAX][dice.below(4) as usize];
    match (ty, dice.below(8)) {
        (ValueType::Set, _) => value(ValueType::Text, values, dice),
        (ValueType::Int, 0) => Value::Int(extreme),
        (ValueType::Int | ValueType::Decimal { .. }, 1 | 2) => {
            Value::Decimal(Decimal::new(dice.below(9_000) as i64 - 4_500, dice.below(5) as u32))
        }
        (ValueType::Decimal { .. }, 3) => Value::Int(dice.below(9) as i64 - 4),
        (ValueType::Time, 0) => Value::Time(extreme),
        _ => value(ty, values, dice),
    }
}
