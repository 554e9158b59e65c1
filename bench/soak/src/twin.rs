//! What must come out: every user's value of every tag.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_model::{Name, Ordinal, Value, ValueType};
use taghouse_rules::Predicate;

/// The crowds that conditions can name.
pub(crate) const CROWDS: [&str; 2] = ["some", "most"];

/// Every user's value of one tag.
pub(crate) type Column = BTreeMap<Ordinal, Value>;

/// A tag and what was published of it last.
pub(crate) struct TagTwin {
    pub(crate) value_type: ValueType,
    /// About how many different values its users have.
    pub(crate) values: u64,
    pub(crate) base: Column,
}

/// The stupid twin of an index.
pub(crate) struct Twin {
    pub(crate) users: BTreeSet<Ordinal>,
    pub(crate) tags: BTreeMap<Name, TagTwin>,
    pub(crate) crowds: BTreeMap<&'static str, Arc<Bitmap>>,
}

/// What all users have at one moment.
pub(crate) type Columns = BTreeMap<Name, Column>;

impl Twin {
    pub(crate) fn columns(&self) -> Columns {
        self.tags.iter().map(|(name, tag)| (name.clone(), tag.base.clone())).collect()
    }

    /// For whom a condition holds, one by one.
    pub(crate) fn holds(&self, columns: &Columns, predicate: &Predicate<Value>) -> BTreeSet<Ordinal> {
        let value = |user: Ordinal, name: &str| match name.strip_prefix("crowd:") {
            Some(crowd) => self.crowds.get(crowd).map(|members| Value::Bool(members.contains(user))),
            None => columns.get(name)?.get(&user).cloned(),
        };
        self.users.iter().copied().filter(|user| predicate.holds(&|name| value(*user, name))).collect()
    }
}

/// The users of each value, for a set of each of its members.
pub(crate) fn members(column: &Column) -> BTreeMap<Value, BTreeSet<Ordinal>> {
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
