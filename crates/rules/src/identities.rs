//! Which ids may belong to one user.

use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::Name;

/// The type of ids under which known users come.
pub const USER_ID: &str = "user";
/// The type of ids of callers who are not known yet.
pub const ANONYMOUS_ID: &str = "anonymous";

/// The types that every app has, with their limits and priorities.
const BUILT_IN: [(&str, IdType); 5] = [
    (USER_ID, IdType { limit: 10, priority: 1 }),
    ("email", IdType { limit: 10, priority: 2 }),
    ("phone", IdType { limit: 10, priority: 3 }),
    ("device", IdType { limit: 50, priority: 4 }),
    (ANONYMOUS_ID, IdType { limit: 100, priority: 5 }),
];

/// Of a type that the app names and says no more of.
pub(crate) const OWN: IdType = IdType { limit: 10, priority: 9 };

/// What stands where an id should, and is nobody's.
const BLOCKED: [&str; 22] = [
    "",
    "-",
    "-1",
    "0",
    "00000000-0000-0000-0000-000000000000",
    "anonymous",
    "default",
    "false",
    "guest",
    "n/a",
    "na",
    "nan",
    "nil",
    "none",
    "null",
    "(null)",
    "test",
    "true",
    "undefined",
    "unknown",
    "user",
    "[object object]",
];

/// A type of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdType {
    /// How many ids of the type one user has at most.
    pub limit: usize,
    /// Of several ids in one call those of the lowest number are linked first.
    pub priority: u32,
}

/// `identities` of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRules {
    /// By name, the built-in ones among them.
    pub types: BTreeMap<Name, IdType>,
    /// In lower case, without blanks around.
    pub(crate) blocked: BTreeSet<String>,
    /// Whether two users may be merged who are both known.
    pub merge_known_users: bool,
}

impl Default for IdentityRules {
    fn default() -> Self {
        let built_in = |(name, of): (&str, IdType)| Some((Name::new(name).ok()?, of));
        Self {
            types: BUILT_IN.into_iter().filter_map(built_in).collect(),
            blocked: BLOCKED.into_iter().map(str::to_owned).collect(),
            merge_known_users: false,
        }
    }
}

impl IdentityRules {
    /// Whether the value is nobody's id.
    pub fn blocks(&self, id: &str) -> bool {
        self.blocked.contains(&plain(id))
    }

    /// The type of this name.
    pub fn id_type(&self, name: &str) -> Option<IdType> {
        self.types.get(name).copied()
    }
}

/// A value as it is compared with the blocked ones.
pub(crate) fn plain(id: &str) -> String {
    id.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_values_are_nobodys_ids() {
        let rules = IdentityRules::default();
        for id in ["null", "NULL", " undefined ", "0", "Anonymous", "", "   ", "[object Object]"] {
            assert!(rules.blocks(id), "{id:?}");
        }
        for id in ["u1", "10", "nullable", "ü"] {
            assert!(!rules.blocks(id), "{id:?}");
        }
        assert_eq!(rules.types.len(), BUILT_IN.len());
    }
}
