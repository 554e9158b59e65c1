//! Values changed by hand, while states are computed from the lake.
//!
//! Such states know rows only. What was changed by hand, and still holds by the rule of productions,
//! is published in the place of what they say. It gives way to the states' value where that has
//! changed since it was looked: by a later row, or by time.

use crate::look::{Unread, as_stored};
use crate::plan::{LiveTag, StreamPlan};
use crate::rebuild::ours;
use crate::state::{AppState, Changed, ChangedTags};
use crate::stream::Stream;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_index::Bitmap;
use taghouse_ingest::{Admitted, Landing};
use taghouse_model::{AppId, Name, Ordinal, TimestampMs, Value};
use taghouse_produce::{HeldChange, HeldChanges, Pinned, held_changes};
use taghouse_rules::Definitions;
use taghouse_users::SharedUsers;
use tokio_util::sync::CancellationToken;

/// How often it is tried to look at tables that hold just what the states have seen.
const TRIES: u32 = 5;

/// Ids that are looked up at once.
const IDS_AT_ONCE: usize = 10_000;

/// A user's value of a tag.
pub(crate) type HandPair = (Ordinal, Name);

/// Changes by hand that hold, by tag.
#[derive(Default)]
pub(crate) struct Hands {
    by_tag: BTreeMap<Name, BTreeMap<Ordinal, HeldChange>>,
}

/// The tables, at a moment when the states have seen what is in them.
struct Moment {
    tables: Pinned,
    as_of_ms: TimestampMs,
}

impl Hands {
    /// Whose values they are.
    pub(crate) fn users(&self) -> Bitmap {
        let mut users = Bitmap::new();
        for user in self.by_tag.values().flat_map(BTreeMap::keys) {
            users.insert(*user);
        }
        users
    }

    /// Puts the values in the place of those that states have of these tags, of users in ascending
    /// order, where those are as they were.
    ///
    /// # Errors
    /// A value that is none of its tag's type.
    fn put(
        &self,
        plan: &StreamPlan,
        tags: &[usize],
        users: &[Ordinal],
        values: &mut ChangedTags,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (users.first(), users.last()) else { return Ok(()) };
        for tag in tags {
            let LiveTag { name, value_type, .. } = &plan.tags[*tag];
            let Some(of_tag) = self.by_tag.get(name) else { continue };
            let mut changes = of_tag.range(*first..=*last).peekable();
            if changes.peek().is_none() {
                continue;
            }

            let held = std::mem::take(values.entry(*tag).or_default()).into_iter();
            let mut now: BTreeMap<Ordinal, Option<Value>> =
                held.map(|changed| (changed.now.ordinal, changed.now.value)).collect();
            for (user, change) in changes {
                let computed = now.get(user).cloned().flatten();
                let computed = as_stored(vec![computed], *value_type)?.pop().flatten();
                if computed == change.computed {
                    now.insert(*user, change.changed.clone());
                }
            }
            let changed = now.into_iter().map(|(user, value)| Changed::to(user, value));
            values.insert(*tag, changed.collect());
        }
        Ok(())
    }

    /// The values that users, ascending, have of these tags: those by hand, and those of the states.
    /// Whom the states do not know, be it any more, has none but by hand.
    ///
    /// # Errors
    /// Of the states.
    pub(crate) async fn now_of(
        &self,
        state: &mut AppState,
        users: &[Ordinal],
        tags: &[usize],
    ) -> Result<ChangedTags> {
        let known: Vec<Ordinal> =
            users.iter().copied().filter(|user| state.users().contains(*user)).collect();
        let mut values = state.now_of(&known, tags).await?;
        self.put(&state.plan, tags, users, &mut values)?;
        Ok(values)
    }

    async fn resolved(held: HeldChanges, users: &SharedUsers<'_>) -> Result<Self> {
        let mut by_tag: BTreeMap<Name, BTreeMap<Ordinal, HeldChange>> = BTreeMap::new();
        for (tag, of_tag) in held {
            let mut changes = of_tag.into_iter();
            let of_users = by_tag.entry(tag).or_default();
            loop {
                let (ids, some): (Vec<String>, Vec<HeldChange>) =
                    changes.by_ref().take(IDS_AT_ONCE).unzip();
                if ids.is_empty() {
                    break;
                }
                let ordinals = users.lookup(ids).await?.into_iter();
                let known = ordinals.zip(some).filter_map(|(user, change)| Some((user?, change)));
                of_users.extend(known);
            }
        }
        Ok(Self { by_tag })
    }
}

impl Stream {
    /// The changes by hand that hold, for states that are being built. What comes after this looked
    /// is to be noted by the caller: [`AppState::touched`].
    ///
    /// # Errors
    /// `Superseded`, `Renumbered`; of the landing, the lake and the users.
    pub(crate) async fn hands(
        &self,
        definitions: &Arc<Definitions>,
        landing: &Landing,
        build: u64,
    ) -> Result<Hands> {
        let app = &definitions.app.id;
        let Moment { tables, as_of_ms } = self.moment(definitions, landing, build).await?;
        let mut held = held_changes(definitions, &tables, as_of_ms).await?;
        if held.is_empty() {
            return Ok(Hands::default());
        }
        let slot = self.slot(app);
        let mut slot = slot.lock().await;
        let users = self.parts.users.share(app).await;
        let state = &ours(&mut slot.building, build)?.state;
        if state.generation != users.generation() {
            return Err(Error::Renumbered);
        }
        // Who went meanwhile is not who has the id now.
        self.find_gone(&mut slot, app).await?;
        let gone = &slot.gone;
        let stays = |id: &str| !gone.went_since(id, as_of_ms) && !gone.goes_later(id, 0);
        held.values_mut().for_each(|of_tag| of_tag.retain(|id, _| stays(id)));
        Hands::resolved(held, &users).await
    }

    async fn moment(
        &self,
        definitions: &Arc<Definitions>,
        landing: &Landing,
        build: u64,
    ) -> Result<Moment> {
        let (app, on) = (&definitions.app.id, CancellationToken::new());
        for _ in 0..TRIES {
            let end = self.parts.users.settled(app, self.parts.log.as_ref()).await?;
            let held = landing.land_and_hold(app, definitions, end, &on).await?;
            let slot = self.slot(app);
            let mut slot = slot.lock().await;
            let state = &ours(&mut slot.building, build)?.state;
            let tables = Pinned::of(&self.parts.lake, app).await?;
            // States that are being built take in no files that land meanwhile: those come once they
            // serve. A value that such a row changes gives way to the states' until then.
            if state.position == held.landed {
                return Ok(Moment { tables, as_of_ms: state.now_ms });
            }
        }
        Err(Error::Superseded)
    }

    /// Whose value of which live tag is changed by hand in these records, by who has the ids now.
    ///
    /// # Errors
    /// Of the users.
    pub(crate) async fn hand_pairs(
        &self,
        users: &SharedUsers<'_>,
        definitions: &Definitions,
        changes: impl Iterator<Item = (String, String)>,
    ) -> Result<BTreeSet<HandPair>> {
        let live = changes.filter_map(|(id, tag)| {
            let (name, tag) = definitions.tags.get_key_value(tag.as_str())?;
            tag.mode.is_live().then(|| (id, name.clone()))
        });
        let (ids, tags): (Vec<String>, Vec<Name>) = live.unzip();
        let ordinals = users.lookup(ids).await?;
        Ok(ordinals.into_iter().zip(tags).filter_map(|(user, tag)| Some((user?, tag))).collect())
    }

    /// Notes what is changed by hand while values are computed.
    ///
    /// # Errors
    /// Of the users.
    pub(crate) async fn touch_hands<'s>(
        &self,
        states: impl Iterator<Item = &'s mut AppState>,
        users: &SharedUsers<'_>,
        rows: &Admitted<'_>,
    ) -> Result<()> {
        let noting: Vec<&mut AppState> = states.filter(|state| state.touched.is_some()).collect();
        if noting.is_empty() || rows.changed.is_empty() {
            return Ok(());
        }
        let changes = rows.changed.iter().map(|of| (of.user_id.clone(), of.tag.clone()));
        let pairs = self.hand_pairs(users, rows.definitions, changes).await?;
        for state in noting {
            if let Some(touched) = &mut state.touched {
                touched.hands.extend(pairs.iter().cloned());
            }
        }
        Ok(())
    }

    /// What was changed by hand behind what the states have seen.
    ///
    /// # Errors
    /// Of the log and the users.
    pub(crate) async fn unread_hands(
        &self,
        app: &AppId,
        state: &AppState,
        users: &SharedUsers<'_>,
    ) -> Result<BTreeSet<HandPair>> {
        let unread = Unread::find(self.parts.log.as_ref(), app, state.position).await?;
        let definitions = state.plan.definitions.clone();
        self.hand_pairs(users, &definitions, unread.by_hand.into_iter()).await
    }
}
