//! What live changes come to, kept user by user, and random questions to hold the index to it.
#![allow(dead_code)]

use crate::population::{Dice, value};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_index::{Op, TagChange};
use taghouse_model::{Name, Value, ValueType};
use taghouse_rules::{CompareOp, Predicate};

pub(crate) const OPS: [CompareOp; 6] =
    [CompareOp::Equal, CompareOp::NotEqual, CompareOp::Less, CompareOp::LessOrEqual, CompareOp::Greater, CompareOp::GreaterOrEqual];
const PATTERNS: [&str; 9] = ["a%", "%1", "ab_", "a\\%%", "%", "", "_", "ä%", "%b%2%"];

/// Every user's value of one tag.
pub(crate) type Column = BTreeMap<u32, Value>;

/// A tag: what was published last, the live changes since, and up to where those are part of it.
#[derive(Clone)]
pub(crate) struct TagTwin {
    pub(crate) value_type: ValueType,
    pub(crate) values: u64,
    base: Column,
    pub(crate) floor: u64,
    /// By the position of the call's last change.
    log: Vec<(u64, u32, Op)>,
}

/// The stupid twin of an index with live changes.
#[derive(Clone, Default)]
pub(crate) struct Twin {
    pub(crate) tags: BTreeMap<String, TagTwin>,
    pub(crate) users: BTreeSet<u32>,
    pub(crate) deleted: BTreeSet<u32>,
    pub(crate) end: u64,
    /// The positions after each call.
    ends: Vec<u64>,
}

impl TagTwin {
    pub(crate) fn new(value_type: ValueType, values: u64) -> Self {
        Self { value_type, values, base: Column::new(), floor: 0, log: Vec::new() }
    }

    pub(crate) fn column(&self, deleted: &BTreeSet<u32>) -> Column {
        let mut column = self.base.clone();
        for (_, user, op) in self.log.iter().filter(|(position, ..)| *position > self.floor) {
            apply(&mut column, *user, op);
        }
        column.retain(|user, _| !deleted.contains(user));
        column
    }
}

fn apply(column: &mut Column, user: u32, op: &Op) {
    let mut set = match column.get(&user) {
        Some(Value::Set(set)) => set.clone(),
        _ => BTreeSet::new(),
    };
    match op {
        Op::Set(value) => drop(column.insert(user, value.clone())),
        Op::Unset => drop(column.remove(&user)),
        Op::Add(text) => {
            set.insert(text.clone());
            column.insert(user, Value::Set(set));
        }
        Op::Remove(text) => {
            set.remove(text);
            match set.is_empty() {
                true => drop(column.remove(&user)),
                false => drop(column.insert(user, Value::Set(set))),
            }
        }
    }
    if matches!(column.get(&user), Some(Value::Set(set)) if set.is_empty()) {
        column.remove(&user);
    }
}

impl Twin {
    /// A call's changes, acknowledged with `position`.
    pub(crate) fn change(&mut self, position: u64, users: &[u32], points: &[TagChange]) {
        self.end = position;
        self.ends.push(position);
        self.users.extend(users.iter().filter(|user| !self.deleted.contains(user)));
        for TagChange { tag, ordinal, op } in points.iter().filter(|point| !self.deleted.contains(&point.ordinal)) {
            let gives = match op {
                Op::Set(Value::Set(set)) => !set.is_empty(),
                Op::Set(_) | Op::Add(_) => true,
                Op::Unset | Op::Remove(_) => false,
            };
            if gives {
                self.users.insert(*ordinal);
            }
            if let Some(tag) = self.tags.get_mut(tag.as_str()) {
                tag.log.push((position, *ordinal, op.clone()));
            }
        }
    }

    /// A position between two calls that a publication of a tag may subsume.
    pub(crate) fn cut(&self, tag: &str, dice: &mut Dice) -> u64 {
        let floor = self.tags[tag].floor;
        let cuts: Vec<u64> = self.ends.iter().copied().filter(|end| *end >= floor).chain([floor]).collect();
        cuts[dice.below(cuts.len() as u64) as usize]
    }

    pub(crate) fn publish(&mut self, tag: &str, column: Column, flushed_through: Option<u64>) {
        self.users.extend(column.keys().filter(|user| !self.deleted.contains(user)));
        if let Some(tag) = self.tags.get_mut(tag) {
            tag.base = column;
            tag.floor = flushed_through.unwrap_or(tag.floor);
        }
    }

    /// What was flushed of a tag since the position that its publication holds is part of its segment again.
    pub(crate) fn caught_up(&mut self, tag: &str, through: u64) {
        if let Some(tag) = self.tags.get_mut(tag) {
            for (_, user, op) in tag.log.iter().filter(|(position, ..)| (tag.floor + 1..=through).contains(position)) {
                apply(&mut tag.base, *user, op);
            }
            tag.floor = tag.floor.max(through);
        }
    }

    /// `flushed_through` tells up to where the index says that the live changes of a tag are part of it.
    pub(crate) fn flush(&mut self, flushed_through: &dyn Fn(&str) -> u64) {
        for (name, tag) in &mut self.tags {
            tag.base = tag.column(&self.deleted);
            tag.floor = flushed_through(name);
        }
    }

    pub(crate) fn delete(&mut self, position: u64, users: &[u32]) {
        self.end = position;
        self.deleted.extend(users);
        self.users.retain(|user| !self.deleted.contains(user));
    }

    pub(crate) fn rename(&mut self, renaming: &dyn Fn(u32) -> Option<u32>) {
        for tag in self.tags.values_mut() {
            tag.base = tag.column(&self.deleted).into_iter().filter_map(|(user, value)| Some((renaming(user)?, value))).collect();
            tag.log.clear();
            tag.floor = self.end;
        }
        self.users = self.users.iter().filter_map(|user| renaming(*user)).collect();
        self.deleted.clear();
    }

    pub(crate) fn columns(&self) -> BTreeMap<String, Column> {
        self.tags.iter().map(|(name, tag)| (name.clone(), tag.column(&self.deleted))).collect()
    }

    /// A random change of a random tag for a user.
    pub(crate) fn point(&self, ordinal: u32, dice: &mut Dice) -> TagChange {
        let at = dice.below(self.tags.len() as u64) as usize;
        let (name, tag) = self.tags.iter().nth(at).unwrap();
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
        TagChange { tag: Name::new(name).unwrap(), ordinal, op }
    }

    fn leaf(&self, dice: &mut Dice) -> Predicate<Value> {
        let at = dice.below(self.tags.len() as u64) as usize;
        let (name, tag) = self.tags.iter().nth(at).unwrap();
        let (name, ty, values) = (name.clone(), tag.value_type, tag.values);
        let texts = matches!(ty, ValueType::Text | ValueType::Set);
        match dice.below(10) {
            0..4 => Predicate::Compare { name, op: OPS[dice.below(6) as usize], literal: literal(ty, values, dice) },
            4 | 5 => Predicate::In { name, literals: (0..=dice.below(4)).map(|_| literal(ty, values, dice)).collect() },
            6 => Predicate::Between { name, low: literal(ty, values, dice), high: literal(ty, values, dice) },
            7 if texts => Predicate::Like { name, pattern: PATTERNS[dice.below(9) as usize].to_owned() },
            8 => Predicate::Crowd { name: "some".to_owned() },
            _ => Predicate::IsSet { name },
        }
    }

    pub(crate) fn predicate(&self, depth: u32, dice: &mut Dice) -> Predicate<Value> {
        let inner = match (depth, dice.below(4)) {
            (0, _) | (_, 0) => self.leaf(dice),
            (_, 1) => Predicate::Or((0..2 + dice.below(3)).map(|_| self.predicate(depth - 1, dice)).collect()),
            _ => Predicate::And((0..2 + dice.below(3)).map(|_| self.predicate(depth - 1, dice)).collect()),
        };
        if dice.below(3) == 0 { Predicate::Not(Box::new(inner)) } else { inner }
    }
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
