//! Who is in the live crowds, as the change feed was told: a set for each crowd, which each record
//! of somebody who enters or leaves is the difference of.
//!
//! The sets are saved with each checkpoint, together with the feed's id that they are as of. A start
//! follows the feed from there: what was told by a killed process is not told again.

use crate::error::Result;
use crate::plan::LiveTag;
use crate::state::{AppState, Changed, ChangedTags};
use crate::stream::Stream;
use crate::telling::UserIds;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_feed::Change;
use taghouse_index::Bitmap;
use taghouse_model::{Name, Ordinal, Value};
use taghouse_rules::Definitions;
use taghouse_users::SharedUsers;

/// Users whose membership is computed, or told, at once.
const USERS_AT_ONCE: usize = 1 << 14;

/// Members by the number of the crowd in the plan.
pub(crate) type CrowdUsers = BTreeMap<usize, Bitmap>;

/// The members of all live crowds of an app.
pub(crate) struct Members {
    /// Of the ordinals.
    pub(crate) generation: u64,
    pub(crate) crowds: BTreeMap<Name, CrowdSet>,
    /// Whether the sets are what the feed was told. If not, it is told to read them again.
    pub(crate) known: bool,
    /// Whether they are others than those saved.
    pub(crate) changed: bool,
    /// The definitions whose crowds all have a set.
    pub(crate) filled: Option<Arc<Definitions>>,
    /// How many deleted users are not in them any more.
    pub(crate) without: u64,
}

/// The members of a crowd.
#[derive(Default)]
pub(crate) struct CrowdSet {
    pub(crate) expression: String,
    /// How many expressions the crowd has had.
    pub(crate) version: u64,
    pub(crate) users: Bitmap,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            generation: 0,
            crowds: BTreeMap::new(),
            known: true,
            changed: false,
            filled: None,
            without: 0,
        }
    }
}

impl Members {
    /// What a step changed of a crowd, as records.
    pub(crate) fn follow(
        &mut self,
        crowd: &LiveTag,
        changed: &[Changed],
        ids: &UserIds,
    ) -> Vec<Change> {
        let Some(set) = self.crowds.get_mut(&crowd.name) else { return Vec::new() };
        let mut changes = Vec::new();
        for Changed { now, .. } in changed {
            let Some(user) = ids.get(now.ordinal) else { continue };
            let (crowd, version) = (crowd.name.clone(), set.version);
            if now.value == Some(Value::Bool(true)) {
                if set.users.insert(now.ordinal) {
                    changes.push(Change::Entered { user, crowd, version });
                }
            } else if set.users.remove(now.ordinal) {
                changes.push(Change::Exited { user, crowd, version });
            }
        }
        self.changed |= !changes.is_empty();
        changes
    }

    /// Takes out users who are deleted: of them the feed says so, once for all crowds.
    pub(crate) fn erase(&mut self, deleted: &Bitmap) {
        if deleted.len() == self.without {
            return;
        }
        self.without = deleted.len();
        for set in self.crowds.values_mut() {
            for user in deleted.iter() {
                self.changed |= set.users.remove(user);
            }
        }
    }
}

/// Adds what a step says of live crowds, which come behind so many tags.
pub(crate) fn crowds_of(changed: &ChangedTags, tags: usize, crowds: &mut CrowdUsers) {
    for (number, changed) in changed.range(tags..) {
        let set = crowds.entry(*number).or_default();
        for Changed { now, .. } in changed {
            if now.value == Some(Value::Bool(true)) {
                set.insert(now.ordinal);
            }
        }
    }
}

impl Stream {
    /// Computes the members of live crowds that have none yet, or have another expression, from the
    /// states.
    ///
    /// # Errors
    /// Of the fold, the object store, the users and the feed.
    pub(crate) async fn fill_members(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
    ) -> Result<()> {
        let definitions = state.plan.definitions.clone();
        if members.filled.as_ref().is_some_and(|filled| Arc::ptr_eq(filled, &definitions)) {
            return Ok(());
        }
        let is_filled = |crowd: &LiveTag| {
            let set = members.crowds.get(&crowd.name);
            set.is_some_and(|set| set.expression == expression(&definitions, &crowd.name))
        };
        let tags = state.plan.without_crowds();
        let all_there = state.plan.tags.iter().skip(tags).all(is_filled);
        let same = members.known && members.generation == state.generation;
        let none_more = members.crowds.len() == state.plan.tags.len() - tags;
        if !(all_there && none_more && (same || members.crowds.is_empty())) {
            let mut crowds = CrowdUsers::new();
            let deleted = users.deleted().await?;
            let mut from = 0;
            while let some @ [.., last] = state.users().page(from, USERS_AT_ONCE).as_slice() {
                from = last.saturating_add(1);
                let there: Vec<Ordinal> =
                    some.iter().copied().filter(|user| !deleted.contains(*user)).collect();
                let mut derived = ChangedTags::new();
                state.derive(&mut derived, &there).await?;
                crowds_of(&derived, tags, &mut crowds);
                if *last == Ordinal::MAX {
                    break;
                }
            }
            self.replace_members(state, members, users, crowds).await?;
        }
        members.filled = Some(definitions);
        Ok(())
    }

    /// Puts these sets in the place of those that there were, and tells of the difference.
    ///
    /// # Errors
    /// Of the users and the feed.
    pub(crate) async fn replace_members(
        &self,
        state: &AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        mut computed: CrowdUsers,
    ) -> Result<()> {
        let same_users = members.generation == state.generation || members.crowds.is_empty();
        let is_known = members.known && same_users;
        let mut former = std::mem::take(&mut members.crowds);
        // Until all is told.
        members.known = false;
        members.changed = true;
        members.generation = state.generation;
        for number in state.plan.without_crowds()..state.plan.tags.len() {
            let name = &state.plan.tags[number].name;
            let before = former.remove(name).unwrap_or_default();
            let expression = expression(&state.plan.definitions, name);
            let version = before.version + u64::from(before.expression != expression);
            let set = CrowdSet {
                expression,
                version,
                users: computed.remove(&number).unwrap_or_default(),
            };
            if is_known {
                self.tell_difference(state, users, name, &before.users, &set).await?;
            } else {
                let published = Change::CrowdPublished { crowd: name.clone(), version };
                self.append(state, users, &[published]).await?;
            }
            members.crowds.insert(name.clone(), set);
        }
        members.known = true;
        members.filled = Some(state.plan.definitions.clone());
        Ok(())
    }

    async fn tell_difference(
        &self,
        state: &AppState,
        users: &SharedUsers<'_>,
        crowd: &Name,
        before: &Bitmap,
        now: &CrowdSet,
    ) -> Result<()> {
        let version = now.version;
        for (gone, users_at_once) in
            [(true, before.and_not(&now.users)), (false, now.users.and_not(before))]
        {
            let mut from = 0;
            while let some @ [.., last] = users_at_once.page(from, USERS_AT_ONCE).as_slice() {
                let ids = UserIds::of(users, some.iter().copied()).await?;
                let change = |user: &Ordinal| {
                    let (user, crowd) = (ids.get(*user)?, crowd.clone());
                    Some(match gone {
                        true => Change::Exited { user, crowd, version },
                        false => Change::Entered { user, crowd, version },
                    })
                };
                let changes: Vec<Change> = some.iter().filter_map(change).collect();
                self.append(state, users, &changes).await?;
                if *last == Ordinal::MAX {
                    break;
                }
                from = last + 1;
            }
        }
        Ok(())
    }

    async fn append(
        &self,
        state: &AppState,
        users: &SharedUsers<'_>,
        changes: &[Change],
    ) -> Result<()> {
        let (at_ms, position) = (state.now_ms, state.position);
        Ok(self.parts.feeds.append(users.app(), at_ms, position, changes).await?)
    }
}

fn expression(definitions: &Definitions, crowd: &Name) -> String {
    definitions.crowds.get(crowd).map(|crowd| crowd.expression.to_string()).unwrap_or_default()
}
