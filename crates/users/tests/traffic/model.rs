//! What productions, changes by hand and deletions come to, id by id.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;
use taghouse_model::Value;

/// The tags, and what the lake makes of them for a user.
pub(crate) const TAGS: [&str; 3] = ["amount", "best", "note"];

/// Users whom the lake knows.
pub(crate) const LAKE_USERS: u32 = 1_500;

pub(crate) fn id(user: u32) -> String {
    format!("u{user}")
}

/// The quantities of a user's purchases.
pub(crate) fn purchases(user: u32) -> [i64; 2] {
    [i64::from(user % 50), i64::from(user % 7)]
}

fn produced(user: u32, tag: &str) -> Option<Value> {
    let [one, another] = purchases(user);
    match tag {
        _ if user >= LAKE_USERS => None,
        "amount" => Some(Value::Int(one + another)),
        "best" => Some(Value::Int(one.max(another))),
        // Nobody has this one but by hand.
        _ => None,
    }
}

struct Deletion {
    position: u64,
    ended: Instant,
}

/// Everything that was acknowledged, by its position in the log of changes.
#[derive(Default)]
pub(crate) struct Model {
    /// The last change of each value.
    changes: HashMap<(u32, &'static str), (u64, Option<Value>)>,
    /// The last change that named a user.
    named: HashMap<u32, u64>,
    deletions: HashMap<u32, Deletion>,
    /// The last production: when it was asked for, and the position that it holds.
    production: Option<(Instant, u64)>,
    pub(crate) changed: u64,
    pub(crate) deleted: u64,
    pub(crate) productions: u64,
}

impl Model {
    /// The changes of one call; `position` is that of the last.
    pub(crate) fn change(
        &mut self,
        position: u64,
        changes: Vec<(u32, &'static str, Option<Value>)>,
    ) {
        self.changed += changes.len() as u64;
        for (user, tag, value) in changes {
            let named = self.named.entry(user).or_default();
            *named = position.max(*named);
            let last = self.changes.entry((user, tag)).or_default();
            if last.0 <= position {
                *last = (position, value);
            }
        }
    }

    pub(crate) fn delete(&mut self, position: u64, users: &[u32]) {
        self.deleted += users.len() as u64;
        let ended = Instant::now();
        self.deletions.extend(users.iter().map(|user| (*user, Deletion { position, ended })));
    }

    pub(crate) fn produce(&mut self, asked: Instant, position: u64) {
        self.productions += 1;
        self.production = Some((asked, position));
    }

    /// The position of a user's last deletion.
    pub(crate) fn deletion(&self, user: u32) -> Option<u64> {
        self.deletions.get(&user).map(|deletion| deletion.position)
    }

    /// What is to be seen, by user; without those of whom nobody can say whether they were deleted
    /// before the last production or in its midst.
    pub(crate) fn expected(&self) -> (BTreeMap<u32, BTreeMap<&'static str, Value>>, HashSet<u32>) {
        let (asked, subsumed) = self.production.expect("something was produced");
        let (mut users, mut unsure) = (BTreeMap::new(), HashSet::new());
        for user in
            (0..LAKE_USERS).chain(self.named.keys().copied().filter(|user| *user >= LAKE_USERS))
        {
            let deletion = self.deletions.get(&user);
            let deleted = deletion.map_or(0, |deletion| deletion.position);
            if deletion
                .is_some_and(|deletion| deletion.position <= subsumed && deletion.ended >= asked)
            {
                unsure.insert(user);
                continue;
            }
            // A production after the deletion finds the user in the lake again.
            let of_lake = user < LAKE_USERS && deleted <= subsumed;
            if !of_lake && self.named.get(&user).is_none_or(|named| *named <= deleted) {
                continue;
            }
            let value = |tag: &'static str| match self.changes.get(&(user, tag)) {
                Some((position, value)) if *position > subsumed.max(deleted) => value.clone(),
                _ if of_lake => produced(user, tag),
                _ => None,
            };
            users.insert(
                user,
                TAGS.into_iter().filter_map(|tag| Some((tag, value(tag)?))).collect(),
            );
        }
        (users, unsure)
    }
}
