//! The expected state: every user's value of every tag, from publications and the live changes
//! since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_index::{Op, TagChange};
use taghouse_model::{Name, Ordinal, Value, ValueType};
use taghouse_rules::Predicate;

/// The crowds that conditions can name.
pub const CROWDS: [&str; 2] = ["some", "most"];

/// Every user's value of one tag.
pub type ValuesByUser = BTreeMap<Ordinal, Value>;

/// Every user's value of every tag at one moment.
pub type ValuesByTag = BTreeMap<Name, ValuesByUser>;

/// A tag: what was published of it last, and the live changes that are not part of that.
#[derive(Debug, Clone)]
pub struct TagModel {
    /// The type of its values.
    pub value_type: ValueType,
    /// About how many different values its users have.
    pub values: u64,
    base: ValuesByUser,
    /// Live changes up to this position are part of `base`, or void.
    pub floor: u64,
    /// By the position of their call's last change.
    log: Vec<(u64, Ordinal, Op)>,
}

/// A naive reference model of an index.
#[derive(Debug, Clone, Default)]
pub struct ReferenceModel {
    /// The users that exist.
    pub users: BTreeSet<Ordinal>,
    /// Deleted users. They never return in this generation.
    pub deleted: BTreeSet<Ordinal>,
    /// The tags, by name.
    pub tags: BTreeMap<Name, TagModel>,
    /// The members of the crowds that conditions can name.
    pub crowds: BTreeMap<&'static str, Arc<Bitmap>>,
    /// The position of the last live change.
    pub end: u64,
    /// The positions after each call.
    ends: Vec<u64>,
}

impl TagModel {
    /// A tag without a value.
    pub fn new(value_type: ValueType, values: u64) -> Self {
        Self { value_type, values, base: ValuesByUser::new(), floor: 0, log: Vec::new() }
    }

    fn up_to(&self, position: u64) -> ValuesByUser {
        let mut column = self.base.clone();
        for (_, user, op) in
            self.log.iter().filter(|(at, ..)| (self.floor + 1..=position).contains(at))
        {
            apply(&mut column, *user, op);
        }
        column
    }

    /// Live changes up to `floor` were flushed.
    pub fn flush(&mut self, floor: u64) {
        self.base = self.up_to(floor);
        self.floor = floor;
    }
}

fn apply(column: &mut ValuesByUser, user: Ordinal, op: &Op) {
    let mut set = match column.get(&user) {
        Some(Value::Set(set)) => set.clone(),
        _ => BTreeSet::new(),
    };
    let value = match op {
        Op::Set(value) => Some(value.clone()),
        Op::Unset => None,
        Op::Add(text) => {
            set.insert(text.clone());
            Some(Value::Set(set))
        }
        Op::Remove(text) => {
            set.remove(text);
            Some(Value::Set(set))
        }
    };
    match value.filter(|value| !matches!(value, Value::Set(set) if set.is_empty())) {
        Some(value) => column.insert(user, value),
        None => column.remove(&user),
    };
}

impl ReferenceModel {
    /// Every user's value of every tag now.
    pub fn columns(&self) -> ValuesByTag {
        let column = |tag: &TagModel| {
            let mut column = tag.up_to(self.end);
            column.retain(|user, _| !self.deleted.contains(user));
            column
        };
        self.tags.iter().map(|(name, tag)| (name.clone(), column(tag))).collect()
    }

    /// The users that match a condition, evaluated user by user.
    pub fn matching(
        &self,
        columns: &ValuesByTag,
        predicate: &Predicate<Value>,
    ) -> BTreeSet<Ordinal> {
        let value = |user: Ordinal, name: &str| match name.strip_prefix("crowd:") {
            Some(crowd) => {
                self.crowds.get(crowd).map(|members| Value::Bool(members.contains(user)))
            }
            None => columns.get(name)?.get(&user).cloned(),
        };
        self.users
            .iter()
            .copied()
            .filter(|user| predicate.matches(&|name| value(*user, name)))
            .collect()
    }

    /// New values of a tag; `flushed_through`: with the live changes up to there, later ones stay
    /// on top.
    pub fn publish(&mut self, tag: &Name, column: ValuesByUser, flushed_through: Option<u64>) {
        self.users.extend(column.keys().filter(|user| !self.deleted.contains(user)));
        if let Some(tag) = self.tags.get_mut(tag) {
            tag.base = column;
            tag.floor = flushed_through.unwrap_or(tag.floor);
        }
    }

    /// New values of a tag of another type: no live change speaks of them.
    pub fn retype(&mut self, tag: &Name, value_type: ValueType, column: ValuesByUser) {
        self.publish(tag, column, Some(self.end));
        if let Some(tag) = self.tags.get_mut(tag) {
            (tag.value_type, tag.log) = (value_type, Vec::new());
        }
    }

    /// The positions between two calls, from the tag's floor on.
    pub fn cuts(&self, tag: &Name) -> Vec<u64> {
        let floor = self.tags.get(tag).map_or(0, |tag| tag.floor);
        self.ends.iter().copied().filter(|end| *end >= floor).chain([floor]).collect()
    }

    /// A call's changes, acknowledged with `position`.
    pub fn change(&mut self, position: u64, users: &[Ordinal], points: Vec<TagChange>) {
        self.end = position;
        self.ends.push(position);
        self.users.extend(users.iter().filter(|user| !self.deleted.contains(user)));
        for TagChange { tag, ordinal, op } in points {
            if self.deleted.contains(&ordinal) {
                continue;
            }
            let gives = match &op {
                Op::Set(Value::Set(set)) => !set.is_empty(),
                Op::Set(_) | Op::Add(_) => true,
                Op::Unset | Op::Remove(_) => false,
            };
            if gives {
                self.users.insert(ordinal);
            }
            if let Some(tag) = self.tags.get_mut(&tag) {
                tag.log.push((position, ordinal, op));
            }
        }
    }

    /// A deletion, acknowledged with `position`.
    pub fn delete(&mut self, position: u64, users: &[Ordinal]) {
        self.end = position;
        self.ends.push(position);
        self.deleted.extend(users);
        self.users.retain(|user| !self.deleted.contains(user));
    }

    /// Every user gets a new ordinal or is removed. [`ReferenceModel::restart`] follows.
    pub fn rename(&mut self, renaming: &dyn Fn(Ordinal) -> Option<Ordinal>) {
        let columns = self.columns();
        for (name, tag) in &mut self.tags {
            let column = columns.get(name).cloned().unwrap_or_default();
            tag.base = column
                .into_iter()
                .filter_map(|(user, value)| Some((renaming(user)?, value)))
                .collect();
            tag.log.clear();
        }
        self.users = self.users.iter().filter_map(|user| renaming(*user)).collect();
        self.deleted.clear();
    }

    /// The log restarts at `end` after a renaming.
    pub fn restart(&mut self, end: u64) {
        (self.end, self.ends) = (end, vec![end]);
        self.tags.values_mut().for_each(|tag| tag.floor = end);
    }
}

/// The users of each value, for a set of each of its members.
pub fn members(column: &ValuesByUser) -> BTreeMap<Value, BTreeSet<Ordinal>> {
    let mut members: BTreeMap<Value, BTreeSet<Ordinal>> = BTreeMap::new();
    for (user, value) in column {
        let each = match value {
            Value::Set(set) => set.iter().map(|text| Value::Text(text.clone())).collect(),
            other => vec![other.clone()],
        };
        for value in each {
            members.entry(value).or_default().insert(*user);
        }
    }
    members
}
