//! Ids and the users that they belong to.

use arrow::array::{Array, StringArray};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// An id that belongs to a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkedId {
    /// The id.
    pub id: Arc<str>,
    /// Name of its type.
    pub id_type: Arc<str>,
}

/// Whose an id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: Arc<str>,
    pub(crate) id_type: Arc<str>,
}

/// Ids that belong to users whose id is another. No user of it is itself an id of somebody else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    owners: HashMap<Arc<str>, Owner>,
    ids: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Mapping {
    /// No id belongs to another user.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The user whose id this is; `None`: it is its own user's.
    pub fn resolve(&self, id: &str) -> Option<&Arc<str>> {
        self.owners.get(id).map(|owner| &owner.user)
    }

    /// The ids that belong to the user beside its own, by id.
    pub fn ids(&self, user: &str) -> Vec<LinkedId> {
        let of = |id: &Arc<str>| {
            let id_type = self.owners.get(id)?.id_type.clone();
            Some(LinkedId { id: id.clone(), id_type })
        };
        self.ids.get(user).into_iter().flatten().filter_map(of).collect()
    }

    /// Each id with its user.
    pub fn links_by_id(&self) -> impl Iterator<Item = (&str, &str)> {
        self.owners.iter().map(|(id, owner)| (&**id, &*owner.user))
    }

    /// Whether other ids belong to it.
    pub fn has_ids(&self, user: &str) -> bool {
        self.ids.contains_key(user)
    }

    /// The column with each id's user in its place; `None`: all ids are their own user's.
    pub fn resolved(&self, ids: &StringArray) -> Option<StringArray> {
        if self.is_empty() {
            return None;
        }
        let linked = |row: usize| ids.is_valid(row) && self.owners.contains_key(ids.value(row));
        if !(0..ids.len()).any(linked) {
            return None;
        }
        let user = |id: &'_ str| self.resolve(id).map_or_else(|| Arc::from(id), Arc::clone);
        Some(
            ids.iter()
                .map(|id| id.map(user))
                .collect::<Vec<_>>()
                .iter()
                .map(|id| id.as_deref())
                .collect(),
        )
    }

    /// Makes the id the user's. What belongs to the id is the user's then too; a user that is itself
    /// an id of another stands for that one. Nothing happens where both are the same user.
    pub fn link(&mut self, id: &str, id_type: &str, user: &str) {
        for (id, owner) in self.links(id, id_type, user) {
            self.put(&id, Some(owner));
        }
    }

    /// What [`Mapping::link`] puts.
    pub(crate) fn links(&self, id: &str, id_type: &str, user: &str) -> Vec<(Arc<str>, Owner)> {
        let user = self.resolve(user).cloned().unwrap_or_else(|| Arc::from(user));
        if *user == *id {
            return Vec::new();
        }
        let own = |id: &Arc<str>, id_type: &Arc<str>| {
            (id.clone(), Owner { user: user.clone(), id_type: id_type.clone() })
        };
        let taken_along = self.ids(id);
        let taken_along = taken_along.iter().map(|linked| own(&linked.id, &linked.id_type));
        std::iter::once(own(&Arc::from(id), &Arc::from(id_type))).chain(taken_along).collect()
    }

    /// Makes the id its own user's again.
    pub fn unlink(&mut self, id: &str) {
        self.put(id, None);
    }

    /// Sets whose the id is; what it was before.
    pub(crate) fn put(&mut self, id: &str, owner: Option<Owner>) -> Option<Owner> {
        let before = self.owners.remove(id);
        if let Some(before) = &before
            && let Some(ids) = self.ids.get_mut(&before.user)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.ids.remove(&before.user);
            }
        }
        if let Some(owner) = owner {
            let id: Arc<str> = Arc::from(id);
            self.ids.entry(owner.user.clone()).or_default().insert(id.clone());
            self.owners.insert(id, owner);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Sets of ids with one who gives the name: what is meant.
    #[derive(Default)]
    struct Naive {
        user_of: BTreeMap<String, String>,
    }

    impl Naive {
        fn user(&self, id: &str) -> String {
            self.user_of.get(id).cloned().unwrap_or_else(|| id.to_owned())
        }

        fn link(&mut self, id: &str, user: &str) {
            let to = self.user(user);
            if to == id {
                return;
            }
            self.user_of
                .values_mut()
                .filter(|user| *user == id)
                .for_each(|user| user.clone_from(&to));
            self.user_of.insert(id.to_owned(), to);
        }
    }

    proptest! {
        #[test]
        fn ids_lead_to_their_users_in_one_step(
            acts in prop::collection::vec((0..8_u8, 0..8_u8, 0..5_u8), 0..40)
        ) {
            let (mut mapping, mut naive) = (Mapping::default(), Naive::default());
            for (id, user, act) in acts {
                let (id, user) = (format!("i{id}"), format!("i{user}"));
                if act == 0 {
                    mapping.unlink(&id);
                    naive.user_of.remove(&id);
                } else {
                    mapping.link(&id, "anonymous", &user);
                    naive.link(&id, &user);
                }
                for n in 0..8 {
                    let id = format!("i{n}");
                    let user = mapping.resolve(&id).map_or(id.as_str(), |user| user);
                    prop_assert_eq!(user, &naive.user(&id));
                    prop_assert!(mapping.resolve(user).is_none(), "no chains");
                    let ids: Vec<String> =
                        mapping.ids(&id).iter().map(|linked| linked.id.to_string()).collect();
                    let meant: Vec<String> = naive
                        .user_of
                        .iter()
                        .filter(|(_, user)| **user == id)
                        .map(|(id, _)| id.clone())
                        .collect();
                    prop_assert_eq!(ids, meant);
                }
            }
        }
    }

    #[test]
    fn a_column_is_resolved_where_an_id_is_linked() {
        let mut mapping = Mapping::default();
        let column = StringArray::from(vec!["a", "b", "u"]);
        assert_eq!(mapping.resolved(&column), None);
        mapping.link("a", "anonymous", "u");
        assert_eq!(mapping.resolved(&column), Some(StringArray::from(vec!["u", "b", "u"])));
        assert_eq!(mapping.resolved(&StringArray::from(vec!["b"])), None);
    }
}
