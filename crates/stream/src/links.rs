//! Ids that become a user's: what is known of them is the user's then, and they are no users of
//! their own any more.

use crate::emission::Shown;
use crate::gone::Linked;
use crate::intake::{TakenIn, text};
use crate::returned::{Deleted, Returned};
use crate::slot::{Serving, Slot};
use crate::stream::Stream;
use crate::{Error, Result};
use arrow::array::RecordBatch;
use std::sync::Arc;
use taghouse_feed::Change;
use taghouse_identities::{AppIdentities, LinkEvent};
use taghouse_ingest::Admitted;
use taghouse_model::{AppId, TimestampMs};
use taghouse_users::SharedUsers;

/// Ids looked up at a time.
const LOOKED_UP_AT_ONCE: usize = 100_000;

/// The batch with the users whose rows they are in place of the ids under which they came.
///
/// # Errors
/// There is no column of user ids.
pub(crate) fn by_user(batch: &RecordBatch, identities: &AppIdentities) -> Result<RecordBatch> {
    let came_under = text(batch, "user_id")?;
    let Some(users) = identities.with(|mapping| mapping.resolved(came_under)) else {
        return Ok(batch.clone());
    };
    let wrong = |_| Error::from(taghouse_fold::Error::Missing("user_id".to_owned()));
    let place = batch.schema().index_of("user_id").map_err(wrong)?;
    let mut columns = batch.columns().to_vec();
    columns[place] = Arc::new(users);
    RecordBatch::try_new(batch.schema(), columns).map_err(wrong)
}

impl Stream {
    /// Follows the links that the states have not seen. The rows of the same stretch may come
    /// before or after them: states merge in any order.
    pub(crate) async fn follow_links(
        &self,
        slot: &mut Slot,
        users: &SharedUsers<'_>,
        rows: &Admitted<'_>,
    ) -> Result<()> {
        let gone = |of: &LinkEvent| rows.gone.iter().any(|gone| gone.position == of.position);
        for link in rows.links {
            let undoes = |later: &LinkEvent| {
                !later.links && later.id == link.id && later.position > link.position
            };
            if link.links && rows.links.iter().any(|later| undoes(later) && !gone(later)) {
                self.keep_own(slot, users, link).await?;
            } else if link.links {
                self.follow_link(slot, users, link, rows.after).await?;
            } else if !gone(link) {
                // What came under the id is part of the user's states: nobody knows which.
                slot.stale |= unseen(&slot.serving, link) || unseen(&slot.building, link);
            }
        }
        Ok(())
    }

    async fn follow_link(
        &self,
        slot: &mut Slot,
        users: &SharedUsers<'_>,
        link: &LinkEvent,
        part: u64,
    ) -> Result<()> {
        let LinkEvent { id, user, position, .. } = link;
        let Linked { is_gone, left_out } = slot.gone.link(id, user, *position, part);
        slot.stale |= left_out;
        if slot.gone.goes_later(id, *position) {
            // The id that is known by now is of somebody who came back since.
            return Ok(());
        }
        let identities = self.parts.identities.of(users.app()).await?;
        if !is_gone && identities.user_of(id) == id.as_str() {
            return self.keep_own(slot, users, link).await;
        }
        let known = users.lookup(vec![id.clone()]).await?;
        let Some(from) = known.into_iter().next().flatten() else {
            // A process that was killed may have taken the id away, and not told of it.
            let replayed = |s: &&Serving| s.lacks(link) && *position <= s.state.shown_unknown;
            if let Some(Serving { state, .. }) = slot.serving.as_ref().filter(replayed) {
                self.tell_linked(state.now_ms, users, link).await?;
            }
            return Ok(());
        };
        if !is_gone {
            let assigned = users.assign(Arc::new(vec![user.clone()])).await?;
            let Some(to) = assigned.ordinals.first().copied() else { return Ok(()) };
            for serving in [&mut slot.serving, &mut slot.building].into_iter().flatten() {
                let lacks = serving.lacks(link);
                let state = &mut serving.state;
                if state.users().is_empty() {
                    // With its first user an app gets its first generation.
                    state.generation = assigned.generation;
                }
                if lacks && state.generation != assigned.generation {
                    return Err(Error::Renumbered);
                }
            }
            if let Some(Serving { state, .. }) = slot.serving.as_mut().filter(|s| s.lacks(link)) {
                let TakenIn { changed, fresh } = state.adopt(from, to).await?;
                let shown = Shown { changed, fresh, position: *position };
                slot.emitted += self.emit(state, &mut slot.members, users, shown).await?;
                let now_ms = state.now_ms;
                self.tell_linked(now_ms, users, link).await?;
            }
            if let Some(Serving { state, .. }) = slot.building.as_mut().filter(|s| s.lacks(link)) {
                state.adopt(from, to).await?;
            }
        }
        users.retire(vec![from]).await?;
        Ok(())
    }

    /// Follows the link of an id that is its own again by now: whoever has the id stays. What the
    /// link and its end did to states is computed from the lake, once the end is read.
    async fn keep_own(
        &self,
        slot: &mut Slot,
        users: &SharedUsers<'_>,
        link: &LinkEvent,
    ) -> Result<()> {
        let Slot { serving, members, .. } = slot;
        let replayed = |s: &&Serving| s.lacks(link) && link.position <= s.state.shown_unknown;
        if let Some(Serving { state, .. }) = serving.as_ref().filter(replayed) {
            // A process that was killed may have taken the id away, and not told of it.
            self.tell_linked(state.now_ms, users, link).await?;
            let deleted = Deleted { now: vec![link.id.clone()], ..Deleted::default() };
            Returned::of(deleted, state, members, users).await?;
        }
        Ok(())
    }

    /// Tells that an id is not a user of its own any more.
    async fn tell_linked(
        &self,
        now_ms: TimestampMs,
        users: &SharedUsers<'_>,
        link: &LinkEvent,
    ) -> Result<()> {
        let gone = [Change::UserDeleted { user: link.id.as_str().into() }];
        let feeds = &self.parts.feeds;
        Ok(feeds.append(users.app(), now_ms, link.position, &gone).await?)
    }

    /// Takes users away whose id is another's, and who are there all the same: of a process that
    /// was killed, or from before there were live tags.
    pub(crate) async fn retire_linked(&self, app: &AppId, users: &SharedUsers<'_>) -> Result<()> {
        let identities = self.parts.identities.of(app).await?;
        let ids: Vec<String> =
            identities.with(|mapping| mapping.links_by_id().map(|(id, _)| id.to_owned()).collect());
        for ids in ids.chunks(LOOKED_UP_AT_ONCE) {
            let known = users.lookup(ids.to_vec()).await?;
            let there = || ids.iter().zip(&known).filter_map(|(id, user)| Some((id, (*user)?)));
            let gone: Vec<Change> =
                there().map(|(id, _)| Change::UserDeleted { user: id.as_str().into() }).collect();
            let position = self.parts.log.end(app).await?;
            let now_ms = self.parts.clock.now_ms();
            self.parts.feeds.append(app, now_ms, position, &gone).await?;
            users.retire(there().map(|(_, user)| user).collect()).await?;
        }
        Ok(())
    }
}

impl Serving {
    fn lacks(&self, link: &LinkEvent) -> bool {
        self.state.position < link.position
    }
}

fn unseen(serving: &Option<Serving>, link: &LinkEvent) -> bool {
    serving.as_ref().is_some_and(|serving| serving.lacks(link))
}
