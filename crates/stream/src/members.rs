//! Who is in the live crowds, as the change feed was told: a set for each crowd, which each record
//! of somebody who enters or leaves is the difference of.
//!
//! The sets are saved with each checkpoint, together with the feed's id that they are as of. A start
//! follows the feed from there: what was told by a killed process is not told again.

use crate::by_hand::{ByHand, Crowds};
use crate::error::{Error, Result};
use crate::gone::Unread;
use crate::plan::LiveTag;
use crate::state::{AppState, Changed, ChangedTags};
use crate::stream::Stream;
use crate::telling::UserIds;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_feed::Change;
use taghouse_index::{Bitmap, Snapshot};
use taghouse_model::{Name, Ordinal, Value};
use taghouse_rules::Definitions;
use taghouse_users::SharedUsers;

/// Users whose membership is computed, or told, at once.
const USERS_AT_ONCE: usize = 1 << 14;

/// Members by the number of the crowd in the plan.
type CrowdUsers = BTreeMap<usize, Bitmap>;

/// What is not compared with the states yet, for those are still to see what the feed was told of.
pub(crate) struct Pending {
    /// From this log position on they have seen it.
    pub(crate) position: u64,
    /// Whether everybody is to be looked at.
    pub(crate) all: bool,
    /// Else, users of whom anything changed meanwhile.
    pub(crate) touched: Bitmap,
}

/// The members of all live crowds of an app.
pub(crate) struct Members {
    /// Of the ordinals.
    pub(crate) generation: u64,
    pub(crate) crowds: BTreeMap<Name, CrowdSet>,
    /// Whether the sets are what the feed was told. If not, it is told to read them again.
    pub(crate) known: bool,
    /// A process was telling of others than these when it was killed: everybody is looked at.
    pub(crate) untold: bool,
    /// The states have not caught up with the sets.
    pub(crate) pending: Option<Pending>,
    /// Whether they are others than those saved.
    pub(crate) changed: bool,
    /// The definitions whose crowds all have a set.
    pub(crate) filled: Option<Arc<Definitions>>,
    /// The log positions of deletions that the feed was told of, by user. One that is told again would
    /// say that who came back since, and is not told of again, is in no crowd.
    pub(crate) told_deleted: BTreeMap<String, u64>,
    /// How many deleted users are not in them any more.
    pub(crate) without: u64,
    /// Of whom what is shown counts, not the states.
    pub(crate) by_hand: ByHand,
    /// Of whom nothing is told yet.
    pub(crate) unread: Unread,
    /// Users in the sets whom the index knows and the states do not; `None`: it is not known who.
    pub(crate) unseen: Option<Bitmap>,
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
            untold: false,
            pending: None,
            changed: false,
            filled: None,
            told_deleted: BTreeMap::new(),
            without: 0,
            by_hand: ByHand::default(),
            unread: Unread::default(),
            unseen: None,
        }
    }
}

impl Members {
    /// With its first user an app gets its first generation.
    pub(crate) fn begin(&mut self, generation: u64) {
        if self.generation == 0 {
            self.generation = generation;
        }
    }

    /// The states begin again, or where a checkpoint was: what they say counts once they have seen
    /// the log up to here.
    pub(crate) fn wait(&mut self, position: u64, all: bool) {
        self.pending = Some(Pending { position, all, touched: Bitmap::new() });
    }

    /// What a step changed of a crowd, as records.
    pub(crate) fn follow(
        &mut self,
        crowd: &LiveTag,
        changed: &[Changed],
        ids: &UserIds,
    ) -> Vec<Change> {
        if let Some(pending) = &mut self.pending {
            changed.iter().for_each(|changed| {
                pending.touched.insert(changed.now.ordinal);
            });
            return Vec::new();
        }
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

    /// Whether there is a set of just the plan's crowds, as the feed was told.
    fn fits(&self, state: &AppState) -> bool {
        let crowds = &state.plan.tags[state.plan.without_crowds()..];
        let has_set = |crowd: &LiveTag| {
            let now = expression(&state.plan.definitions, &crowd.name);
            self.crowds.get(&crowd.name).is_some_and(|set| set.expression == now)
        };
        let same_users = self.generation == state.generation || self.generation == 0;
        self.known && same_users && self.crowds.len() == crowds.len() && crowds.iter().all(has_set)
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
fn crowds_of(changed: &ChangedTags, tags: usize, crowds: &mut CrowdUsers) {
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
    /// The values that derived tags and live crowds have for these users, unless they are deleted.
    pub(crate) async fn derived(
        &self,
        state: &mut AppState,
        members: &Members,
        users: &SharedUsers<'_>,
        mut some: Vec<Ordinal>,
    ) -> Result<ChangedTags> {
        let deleted = users.deleted().await?;
        some.retain(|user| !deleted.contains(*user));
        let mut derived = state.derive_all(&some).await?;
        let among = some.into_iter();
        self.by_hand_instead(state, members, users, &mut derived, among, Crowds::All).await?;
        Ok(derived)
    }

    /// Computes the members of live crowds that have none yet, or have another expression, from the
    /// states; and compares what was not compared, once the states have caught up.
    ///
    /// # Errors
    /// Of the fold, the object store, the users, the feed and the catalog.
    pub(crate) async fn fill_members(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
    ) -> Result<()> {
        let behind = |pending: &Pending| state.position < pending.position;
        if members.pending.as_ref().is_some_and(behind) {
            return Ok(());
        }
        let definitions = state.plan.definitions.clone();
        let is_last = |filled: &Arc<Definitions>| Arc::ptr_eq(filled, &definitions);
        if members.pending.is_none()
            && members.known
            && !members.untold
            && members.filled.as_ref().is_some_and(is_last)
        {
            return Ok(());
        }
        let pending = members.pending.take();
        let everybody = members.untold || pending.as_ref().is_some_and(|pending| pending.all);
        if everybody || !members.fits(state) {
            let mut crowds = CrowdUsers::new();
            let tags = state.plan.without_crowds();
            let mut from = Some(0);
            // Also those of whom no row tells (any more): judgments are of all whom the index knows.
            let known = self.known_to_index(state, users).await?;
            let everybody = Bitmap::union([state.users(), members.by_hand.users(), &known]);
            members.unseen = Some(known.and_not(state.users()));
            while let Some(first) = from {
                let some = everybody.page(first, USERS_AT_ONCE);
                from = some.last().and_then(|last| last.checked_add(1));
                let derived = self.derived(state, members, users, some).await?;
                crowds_of(&derived, tags, &mut crowds);
            }
            self.replace_members(state, members, users, crowds).await?;
            self.parts.feeds.flush(users.app()).await?;
            self.save_members(users.app(), members).await?;
        } else if let Some(Pending { touched, .. }) = pending {
            let touched: Vec<Ordinal> = touched.iter().collect();
            for some in touched.chunks(USERS_AT_ONCE) {
                let changed = self.derived(state, members, users, some.to_vec()).await?;
                let ids = UserIds::of(users, &members.unread, some.iter().copied()).await?;
                let crowds = changed.range(state.plan.without_crowds()..);
                let changes: Vec<Change> = crowds
                    .flat_map(|(crowd, of)| members.follow(&state.plan.tags[*crowd], of, &ids))
                    .collect();
                self.append(state, users, &changes).await?;
            }
        }
        members.filled = Some(definitions);
        Ok(())
    }

    /// Adds that users leave whom the states see for the first time, and who are in crowds all the
    /// same: the index knew them. What a step says of new users is who enters.
    ///
    /// # Errors
    /// Of the index; `Renumbered`.
    pub(crate) async fn add_unseen(
        &self,
        state: &AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        fresh: &[Ordinal],
        changed: &mut ChangedTags,
    ) -> Result<()> {
        let crowds = state.plan.without_crowds()..state.plan.tags.len();
        if fresh.is_empty() || crowds.is_empty() {
            return Ok(());
        }
        let is_hand = |user: &Ordinal| members.by_hand.users().contains(*user);
        let known: Vec<Ordinal> = match &members.unseen {
            Some(unseen) => fresh.iter().copied().filter(|of| unseen.contains(*of)).collect(),
            None => fresh.to_vec(),
        };
        for number in crowds.filter(|_| !known.is_empty()) {
            let Some(set) = members.crowds.get(&state.plan.tags[number].name) else { continue };
            let mut gone: Vec<Ordinal> = known.clone();
            gone.retain(|user| set.users.contains(*user) && !is_hand(user));
            if gone.is_empty() {
                continue;
            }
            let of_crowd = changed.entry(number).or_default();
            let told: BTreeSet<Ordinal> = of_crowd.iter().map(|of| of.now.ordinal).collect();
            gone.retain(|user| !told.contains(user));
            of_crowd.extend(gone.into_iter().map(|user| Changed::to(user, None)));
        }
        if members.unseen.is_none() {
            members.unseen = Some(self.known_to_index(state, users).await?.and_not(state.users()));
        }
        Ok(())
    }

    /// The users who exist by the index.
    ///
    /// # Errors
    /// Of the index; `Renumbered`.
    async fn known_to_index(&self, state: &AppState, users: &SharedUsers<'_>) -> Result<Bitmap> {
        match self.snapshot(state, users).await? {
            Some(snapshot) => Ok(snapshot.users().as_ref().clone()),
            None => Ok(Bitmap::new()),
        }
    }

    /// What the index shows, with all that was changed until now; `None`: it shows nothing.
    ///
    /// # Errors
    /// Of the index; `Renumbered`.
    pub(crate) async fn snapshot(
        &self,
        state: &AppState,
        users: &SharedUsers<'_>,
    ) -> Result<Option<Arc<Snapshot>>> {
        self.parts.index.position(users.app()).await?;
        let snapshot = self.parts.index.snapshot(users.app()).await?;
        let is_other = |snapshot: &Arc<Snapshot>| {
            snapshot.generation() != state.generation && state.generation > 0
        };
        match snapshot {
            Some(snapshot) if is_other(&snapshot) => Err(Error::Renumbered),
            snapshot => Ok(snapshot),
        }
    }

    /// Puts these sets in the place of those that there were, and tells of the difference.
    ///
    /// # Errors
    /// Of the users and the feed.
    async fn replace_members(
        &self,
        state: &AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        mut computed: CrowdUsers,
    ) -> Result<()> {
        members.begin(state.generation);
        let is_known = members.known && members.generation == state.generation;
        let crowds = state.plan.without_crowds()..state.plan.tags.len();
        for number in crowds.clone() {
            let name = &state.plan.tags[number].name;
            let set = members.crowds.entry(name.clone()).or_default();
            let expression = expression(&state.plan.definitions, name);
            set.version += u64::from(set.expression != expression);
            set.expression = expression;
        }
        members.changed = true;
        members.generation = state.generation;
        members.without = 0;
        if is_known {
            // As they were told, with the rules of now. Who is killed while it tells of the
            // difference finds in the feed how far it came.
            members.untold = true;
            self.parts.feeds.flush(users.app()).await?;
            self.save_members(users.app(), members).await?;
            members.changed = true;
        }

        // Until all is told.
        let unread = members.unread.clone();
        members.known = false;
        let mut former = std::mem::take(&mut members.crowds);
        for number in crowds {
            let name = &state.plan.tags[number].name;
            let CrowdSet { expression, version, users: before } =
                former.remove(name).unwrap_or_default();
            let set = CrowdSet {
                expression,
                version,
                users: computed.remove(&number).unwrap_or_default(),
            };
            if is_known {
                self.tell_difference(state, users, &unread, name, &before, &set).await?;
            } else {
                let published = Change::CrowdPublished { crowd: name.clone(), version };
                self.append(state, users, &[published]).await?;
            }
            members.crowds.insert(name.clone(), set);
        }
        if is_known {
            // Of a crowd that is none any more everybody leaves.
            for (name, CrowdSet { version, users: before, .. }) in former {
                let nobody = CrowdSet { version, ..CrowdSet::default() };
                self.tell_difference(state, users, &unread, &name, &before, &nobody).await?;
            }
        }
        members.known = true;
        members.untold = false;
        members.filled = Some(state.plan.definitions.clone());
        Ok(())
    }

    async fn tell_difference(
        &self,
        state: &AppState,
        users: &SharedUsers<'_>,
        unread: &Unread,
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
                let ids = UserIds::of(users, unread, some.iter().copied()).await?;
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
    definitions.crowds.get(crowd).map(|crowd| crowd.source.to_string()).unwrap_or_default()
}
