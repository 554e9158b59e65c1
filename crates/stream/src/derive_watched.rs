//! Live crowds that a step's changes concern: who enters and who leaves.

use crate::Result;
use crate::emission::NewValue;
use crate::state::{AppState, Changed, ChangedTags};
use crate::watches::{Rule, Watches};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use taghouse_model::{Ordinal, Value};

/// About so many memberships are looked at together, if every user concerns every crowd; but those
/// of so many users at least.
const MEMBERSHIPS: usize = 1 << 20;
const LEAST_USERS: usize = 256;

/// Users, ascending, and a value of each.
#[derive(Default)]
struct ValuesOf {
    users: Vec<Ordinal>,
    values: Vec<Option<Value>>,
}

/// What was changed of some users: by tag, the change of each.
type OfSome<'c> = BTreeMap<usize, HashMap<Ordinal, &'c Changed>>;

impl AppState {
    /// Adds what changes of the crowds of these watches. As [`AppState::derive`] otherwise.
    pub(crate) async fn derive_watched(
        &mut self,
        changed: &mut ChangedTags,
        fresh: &[Ordinal],
        are_outside: bool,
        watches: &Watches,
    ) -> Result<()> {
        if watches.is_empty() {
            return Ok(());
        }
        let fresh: BTreeSet<Ordinal> = fresh.iter().copied().collect();
        let changing = changed.values().flatten().map(|changed| changed.now.ordinal);
        let users: BTreeSet<Ordinal> = changing.chain(fresh.iter().copied()).collect();
        let users: Vec<Ordinal> = users.into_iter().collect();
        let mut by_user: BTreeMap<usize, Vec<&Changed>> = BTreeMap::new();
        for (tag, of_tag) in changed.iter() {
            let mut of_tag: Vec<&Changed> = of_tag.iter().collect();
            of_tag.sort_by_key(|changed| changed.now.ordinal);
            by_user.insert(*tag, of_tag);
        }

        let mut found = ChangedTags::new();
        for some in users.chunks((MEMBERSHIPS / watches.len()).max(LEAST_USERS)) {
            let (Some(first), Some(last)) = (some.first(), some.last()) else { continue };
            let of_some: OfSome<'_> = by_user
                .iter()
                .map(|(tag, all)| {
                    let from = all.partition_point(|changed| changed.now.ordinal < *first);
                    let to = all.partition_point(|changed| changed.now.ordinal <= *last);
                    let of_users = all[from..to].iter();
                    (*tag, of_users.map(|changed| (changed.now.ordinal, *changed)).collect())
                })
                .collect();
            let new = fresh.range(first..=last).copied();
            let concerned = concerned(watches, &of_some, new.clone(), are_outside);
            let values = self.inputs_of(watches, &concerned).await?;
            for (crowd, users) in concerned {
                let Some(rule) = watches.rule(crowd) else { continue };
                let is_new = |user: Ordinal| fresh.contains(&user);
                let look = Look { rule, values: &values, of_some: &of_some };
                let of_crowd: Vec<Changed> = users
                    .into_iter()
                    .filter_map(|user| look.changed(user, is_new(user), are_outside))
                    .collect();
                if !of_crowd.is_empty() {
                    found.entry(crowd).or_default().extend(of_crowd);
                }
            }
            tokio::task::yield_now().await;
        }
        drop(by_user);
        for (crowd, of_crowd) in found {
            changed.entry(crowd).or_default().extend(of_crowd);
        }
        Ok(())
    }

    /// The values of all tags that the crowds ask for, of the users whom they concern.
    async fn inputs_of(
        &mut self,
        watches: &Watches,
        concerned: &BTreeMap<usize, Vec<Ordinal>>,
    ) -> Result<BTreeMap<usize, ValuesOf>> {
        let mut wanted: BTreeMap<usize, Vec<Ordinal>> = BTreeMap::new();
        for (crowd, users) in concerned {
            for tag in watches.rule(*crowd).into_iter().flat_map(|rule| &rule.inputs) {
                wanted.entry(*tag).or_default().extend(users);
            }
        }
        let mut values = BTreeMap::new();
        for (tag, mut users) in wanted {
            users.sort_unstable();
            users.dedup();
            let of_tag = self.values(tag, &users).await?;
            values.insert(tag, ValuesOf { users, values: of_tag });
        }
        Ok(values)
    }
}

/// The crowds that may change, with the users, ascending.
fn concerned(
    watches: &Watches,
    of_some: &OfSome<'_>,
    fresh: impl Iterator<Item = Ordinal>,
    are_outside: bool,
) -> BTreeMap<usize, Vec<Ordinal>> {
    let mut concerned: BTreeMap<usize, Vec<Ordinal>> = BTreeMap::new();
    for (tag, changed) in of_some {
        for (user, changed) in changed {
            let mut see = |crowd| concerned.entry(crowd).or_default().push(*user);
            watches.concerned(*tag, changed.before.as_ref(), &changed.now.value, &mut see);
        }
    }
    for user in fresh {
        let mut see = |crowd| concerned.entry(crowd).or_default().push(user);
        match are_outside {
            // Of those in which nobody is by default, each one that a new user enters asks for a
            // value, which changed.
            true => watches.by_default().iter().copied().for_each(&mut see),
            false => watches.crowds().for_each(&mut see),
        }
    }
    for users in concerned.values_mut() {
        users.sort_unstable();
        users.dedup();
    }
    concerned
}

/// One crowd's rule, and what it is asked of.
struct Look<'a> {
    rule: &'a Rule,
    values: &'a BTreeMap<usize, ValuesOf>,
    of_some: &'a OfSome<'a>,
}

impl Look<'_> {
    /// A user's membership, if it changed or nobody knows whether it did.
    fn changed(&self, user: Ordinal, is_new: bool, are_outside: bool) -> Option<Changed> {
        let mut now: Vec<Option<Value>> = Vec::with_capacity(self.rule.inputs.len());
        let mut before: Option<Vec<Option<Value>>> = (!is_new).then(Vec::new);
        for tag in &self.rule.inputs {
            let value = self.value(*tag, user);
            let change = self.of_some.get(tag).and_then(|changed| changed.get(&user));
            let was = match change {
                Some(changed) => changed.before.clone(),
                None => Some(value.clone()),
            };
            before = before.zip(was).map(|(mut before, was)| {
                before.push(was);
                before
            });
            now.push(value);
        }
        let is_in = self.rule.holds(&now);
        let was_in = before.map(|before| self.rule.holds(&before));
        let stays_out = is_new && are_outside && !is_in;
        if was_in == Some(is_in) || stays_out {
            return None;
        }
        Some(Changed {
            before: was_in.map(|was_in| Some(Value::Bool(was_in))),
            now: NewValue { ordinal: user, value: Some(Value::Bool(is_in)) },
        })
    }

    fn value(&self, tag: usize, user: Ordinal) -> Option<Value> {
        let of_tag = self.values.get(&tag)?;
        let at = of_tag.users.binary_search(&user).ok()?;
        of_tag.values[at].clone()
    }
}
