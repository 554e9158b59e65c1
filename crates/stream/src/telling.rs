//! What the change feed is told: the values that the index is shown, by the ids of their users.

use crate::Result;
use crate::by_hand::Crowds;
use crate::emission::Shown;
use crate::gone::Unread;
use crate::members::Members;
use crate::plan::LiveTag;
use crate::returned::Deleted;
use crate::state::{AppState, Changed};
use crate::stream::Stream;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_feed::Change;
use taghouse_fold::{Calendar, Outcome, parse_attribute};
use taghouse_index::Snapshot;
use taghouse_ingest::{Admitted, HandChange, HandOp};
use taghouse_model::{Ordinal, Value, ValueType};
use taghouse_users::SharedUsers;

/// The ids of users who exist, by ascending ordinals.
pub(crate) struct UserIds {
    ordinals: Vec<Ordinal>,
    /// `None`: the dictionary has forgotten the user, or nothing is told of the id before a deletion.
    ids: Vec<Option<Arc<str>>>,
}

impl UserIds {
    /// Those of the users who are not deleted; but for those with an id of whose former user it is still to
    /// be told that he is.
    ///
    /// # Errors
    /// Of the users.
    pub(crate) async fn of(
        users: &SharedUsers<'_>,
        unread: &Unread,
        ordinals: impl Iterator<Item = Ordinal>,
    ) -> Result<Self> {
        let deleted = users.deleted().await?;
        let mut ordinals: Vec<Ordinal> = ordinals.collect();
        ordinals.sort_unstable();
        ordinals.dedup();
        ordinals.retain(|user| !deleted.contains(*user));
        let ids = users.ids(ordinals.clone()).await?;
        let known = |id: Option<String>| id.filter(|id| !unread.contains(id)).map(Arc::from);
        Ok(Self { ordinals, ids: ids.into_iter().map(known).collect() })
    }

    pub(crate) fn get(&self, user: Ordinal) -> Option<Arc<str>> {
        let at = self.ordinals.binary_search(&user).ok()?;
        self.ids[at].clone()
    }
}

impl Stream {
    /// Tells of values that were shown, and who entered or left a crowd with them.
    ///
    /// # Errors
    /// Of the users and the feed.
    pub(crate) async fn tell_values(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        shown: Shown,
    ) -> Result<()> {
        let Shown { mut changed, position, fresh } = shown;
        members.begin(state.generation);
        self.add_unseen(state, members, users, &fresh, &mut changed).await?;
        let ordinals: Vec<Ordinal> =
            changed.values().flatten().map(|changed| changed.now.ordinal).collect();
        let among = ordinals.iter().copied();
        self.by_hand_instead(state, members, users, &mut changed, among, Crowds::Touched).await?;
        let ids = UserIds::of(users, &members.unread, ordinals.into_iter()).await?;
        let mut changes = Vec::new();
        for (tag, changed) in &changed {
            let tag = &state.plan.tags[*tag];
            // What stands for a condition of crowds has no name that anybody knows.
            if tag.is_anonymous() {
                continue;
            }
            if tag.is_crowd {
                changes.extend(members.follow(tag, changed, &ids));
                continue;
            }
            changes.extend(changed.iter().filter_map(|Changed { now, .. }| {
                let value = now.value.clone().map(|value| rescaled(value, tag.value_type));
                Some(Change::Tag { user: ids.get(now.ordinal)?, tag: tag.name.clone(), value })
            }));
        }
        let told = self.parts.feeds.append(users.app(), state.now_ms, position, &changes).await;
        members.known &= told.is_ok();
        Ok(told?)
    }

    /// Tells of what calls do without the stream: deletions, and values changed by hand. The ids of
    /// those who are deleted.
    ///
    /// # Errors
    /// Of the index and the feed.
    pub(crate) async fn tell_of_calls(
        &self,
        state: &AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        rows: &Admitted<'_>,
    ) -> Result<Deleted> {
        let unseen = |position: u64| position > state.position;
        let (mut changes, mut deleted) = (Vec::new(), Deleted::default());
        for gone in rows.gone.iter().filter(|gone| unseen(gone.position)) {
            let told = members.told_deleted.get(&gone.user_id);
            if told.is_none_or(|told| *told < gone.position) {
                members.told_deleted.insert(gone.user_id.clone(), gone.position);
                members.changed = true;
                changes.push(Change::UserDeleted { user: gone.user_id.as_str().into() });
                deleted.now.push(gone.user_id.clone());
            } else {
                deleted.before.push(gone.user_id.clone());
            }
        }
        let by_hand: Vec<&HandChange> =
            rows.changed.iter().filter(|change| unseen(change.position)).collect();
        if !by_hand.is_empty() {
            changes.extend(self.changed_by_hand(state, users, &by_hand).await?);
        }
        self.parts.feeds.append(rows.app, state.now_ms, rows.through, &changes).await?;
        Ok(deleted)
    }

    async fn changed_by_hand(
        &self,
        state: &AppState,
        users: &SharedUsers<'_>,
        by_hand: &[&HandChange],
    ) -> Result<Vec<Change>> {
        let snapshot = self.parts.index.snapshot(users.app()).await?;
        let mut sets: BTreeMap<(&str, &str), Option<Value>> = BTreeMap::new();
        let mut changes = Vec::new();
        for change in by_hand {
            let of_tag = |tag: &&LiveTag| !tag.is_crowd && tag.name.as_str() == change.tag;
            let Some(tag) = state.plan.tags.iter().find(of_tag) else { continue };
            let key = (change.user_id.as_str(), change.tag.as_str());
            let value = match change.op {
                HandOp::Set => match set_to(change, tag.value_type) {
                    Some(value) => value,
                    None => continue,
                },
                HandOp::Unset => None,
                HandOp::Add | HandOp::Remove => {
                    let before = match sets.get(&key) {
                        Some(before) => before.clone(),
                        None => shown(users, snapshot.as_deref(), change).await?,
                    };
                    member_changed(before, change)
                }
            };
            sets.insert(key, value.clone());
            let (user, tag) = (change.user_id.as_str().into(), tag.name.clone());
            changes.push(Change::Tag { user, tag, value });
        }
        Ok(changes)
    }

    /// Tells that all values of these tags were computed again.
    ///
    /// # Errors
    /// Of the feed.
    pub(crate) async fn tell_published(
        &self,
        state: &AppState,
        users: &SharedUsers<'_>,
        tags: &[usize],
    ) -> Result<()> {
        let published = |tag: &LiveTag| Change::TagPublished { tag: tag.name.clone() };
        let tags = tags.iter().map(|tag| &state.plan.tags[*tag]).filter(|tag| !tag.is_anonymous());
        let changes: Vec<Change> = tags.map(published).collect();
        Ok(self.parts.feeds.append(users.app(), state.now_ms, state.position, &changes).await?)
    }
}

/// The user's value in the index.
async fn shown(
    users: &SharedUsers<'_>,
    snapshot: Option<&Snapshot>,
    change: &HandChange,
) -> Result<Option<Value>> {
    let Some(snapshot) = snapshot else { return Ok(None) };
    let ordinal = users.ordinal(&change.user_id).await?;
    let (Some(ordinal), Some(tag)) = (ordinal, snapshot.tag(&change.tag)?) else {
        return Ok(None);
    };
    Ok(tag.value_of(ordinal)?)
}

/// With as many digits as the tag has.
pub(crate) fn rescaled(value: Value, value_type: ValueType) -> Value {
    match (value, value_type) {
        (Value::Decimal(mut number), ValueType::Decimal { scale }) => {
            number.rescale(u32::from(scale));
            Value::Decimal(number)
        }
        (value, _) => value,
    }
}

/// The outer `None`: what was given is not a value of the type, and nothing is changed.
#[allow(clippy::option_option, reason = "no value is a value to be set")]
fn set_to(change: &HandChange, value_type: ValueType) -> Option<Option<Value>> {
    let text = change.value.as_deref().unwrap_or_default();
    match parse_attribute(text, value_type, &Calendar::new(&TimeZone::UTC)) {
        Outcome::Value(value) => Some(Some(rescaled(value, value_type))),
        Outcome::Nothing => Some(None),
        Outcome::Skipped(_) => None,
    }
}

fn member_changed(before: Option<Value>, change: &HandChange) -> Option<Value> {
    let mut members = match before {
        Some(Value::Set(members)) => members,
        _ => BTreeSet::new(),
    };
    let member: Arc<str> = change.value.as_deref().unwrap_or_default().into();
    if change.op == HandOp::Add {
        members.insert(member);
    } else {
        members.remove(&member);
    }
    (!members.is_empty()).then_some(Value::Set(members))
}
