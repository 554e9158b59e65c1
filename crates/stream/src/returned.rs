//! Users who came back under the id of a deleted one before the feed was told of the deletion.
//!
//! A deletion is made at once, and so is the change by hand with which the id comes back; the record
//! of the deletion is read later. What was told of the id until then is void with it, of whomever it
//! was. So all that holds of the user who has the id now is told once more.

use crate::by_hand::columns;
use crate::members::Members;
use crate::plan::LiveTag;
use crate::state::AppState;
use crate::stream::Stream;
use crate::telling::{UserIds, rescaled};
use crate::{Error, Result};
use std::collections::BTreeMap;
use taghouse_disk::blocking;
use taghouse_feed::Change;
use taghouse_index::Bitmap;
use taghouse_model::Ordinal;
use taghouse_users::SharedUsers;

/// Ids of users whose deletion was read.
#[derive(Default)]
pub(crate) struct Deleted {
    /// The feed was told of it now.
    pub(crate) now: Vec<String>,
    /// It was told by a process before, which was killed.
    pub(crate) before: Vec<String>,
}

/// Users who have the ids of others whose deletion was just read.
#[derive(Default)]
pub(crate) struct Returned {
    users: Bitmap,
    /// Those who had values of live tags by then.
    with_values: Bitmap,
}

impl Returned {
    /// Finds them. With a deletion they are in no crowd any more, for the feed says so.
    ///
    /// # Errors
    /// Of the dictionary.
    pub(crate) async fn of(
        deleted: Deleted,
        state: &AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
    ) -> Result<Self> {
        let Deleted { now, before } = deleted;
        if now.is_empty() && before.is_empty() {
            return Ok(Self::default());
        }
        let mut there: Bitmap = users.lookup(now).await?.into_iter().flatten().collect();
        for set in members.crowds.values_mut() {
            for user in there.iter() {
                members.changed |= set.users.remove(user);
            }
        }
        // Of these it was said before, and what was told since is so.
        for user in users.lookup(before).await?.into_iter().flatten() {
            there.insert(user);
        }
        let with_values = there.iter().filter(|user| state.users().contains(*user)).collect();
        Ok(Self { users: there, with_values })
    }
}

impl Stream {
    /// Tells which values they have, and in which crowds they are.
    ///
    /// # Errors
    /// Of the fold, the object store, the index, the users and the feed.
    pub(crate) async fn tell_returned(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        returned: Returned,
    ) -> Result<()> {
        let Returned { users: returned, with_values } = returned;
        let is_live = |user: &Ordinal| {
            state.users().contains(*user) || members.by_hand.users().contains(*user)
        };
        let some: Vec<Ordinal> = returned.iter().filter(is_live).collect();
        if some.is_empty() {
            return Ok(());
        }
        let ids = UserIds::of(users, &members.unread, some.iter().copied()).await?;
        let mut changes = self.values_of(state, users, &with_values, &ids).await?;
        let derived = self.derived(state, members, users, some).await?;
        for (crowd, changed) in derived.range(state.plan.without_crowds()..) {
            changes.extend(members.follow(&state.plan.tags[*crowd], changed, &ids));
        }
        let (at_ms, position) = (state.now_ms, state.position);
        let told = self.parts.feeds.append(users.app(), at_ms, position, &changes).await;
        members.known &= told.is_ok();
        Ok(told?)
    }

    /// The values of all live tags that these users have.
    async fn values_of(
        &self,
        state: &AppState,
        users: &SharedUsers<'_>,
        some: &Bitmap,
        ids: &UserIds,
    ) -> Result<Vec<Change>> {
        let some: Vec<Ordinal> = some.iter().collect();
        if some.is_empty() {
            return Ok(Vec::new());
        }
        // What was changed until now is seen.
        self.parts.index.position(users.app()).await?;
        let snapshot = self.parts.index.snapshot(users.app()).await?;
        let Some(snapshot) = snapshot else { return Ok(Vec::new()) };
        if snapshot.generation() != state.generation {
            return Err(Error::Renumbered);
        }
        let tags = state.plan.tags.iter().enumerate();
        let shown = |(_, tag): &(usize, &LiveTag)| !tag.is_crowd && !tag.is_anonymous();
        let names: BTreeMap<usize, String> =
            tags.filter(shown).map(|(number, tag)| (number, tag.name.to_string())).collect();
        let people = some.clone();
        let columns = blocking(move || columns(&snapshot, &names, &people)).await?;
        let mut changes = Vec::new();
        for (number, column) in columns {
            let tag = &state.plan.tags[number];
            for (user, value) in some.iter().zip(column.now) {
                let (Some(user), Some(value)) = (ids.get(*user), value) else { continue };
                let value = Some(rescaled(value, tag.value_type));
                changes.push(Change::Tag { user, tag: tag.name.clone(), value });
            }
        }
        Ok(changes)
    }
}
