//! Values changed by hand, and the live crowds that follow their tags.
//!
//! States know nothing of such a value. It is what is shown of its tag until a value of the states is
//! shown over it, and judgments go by what is shown. So of users with a value by hand membership is
//! computed from the index, whatever changes of them. Who they are is read from the lake and the log.

use crate::Result;
use crate::StreamParts;
use crate::derive::Column;
use crate::gone::Gone;
use crate::intake::text;
use crate::members::Members;
use crate::plan::{LiveKind, StreamPlan};
use crate::state::{AppState, Changed, ChangedTags};
use crate::stream::Stream;
use crate::telling::UserIds;
use arrow::array::Array;
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_feed::Change;
use taghouse_index::{Bitmap, Snapshot};
use taghouse_ingest::{Admitted, HandChange, LogRecord, RecordBody, landed};
use taghouse_lake::layout;
use taghouse_model::{Ordinal, Value};
use taghouse_rules::Definitions;
use taghouse_users::SharedUsers;

/// Records of the log, or ids of users, that are read at once.
const READ_AT_ONCE: usize = 10_000;

/// Users whose membership is computed from the index at once.
const USERS_AT_ONCE: usize = 1 << 14;

/// The users of whom a value of a live tag was ever changed by hand.
#[derive(Default)]
pub(crate) struct ByHand {
    /// Of the ordinals; `None`: it is to be read who they are.
    generation: Option<u64>,
    users: Bitmap,
}

impl ByHand {
    pub(crate) fn users(&self) -> &Bitmap {
        &self.users
    }

    fn among(&self, users: impl Iterator<Item = Ordinal>) -> BTreeSet<Ordinal> {
        users.filter(|user| self.users.contains(*user)).collect()
    }
}

/// What was changed by hand in a stretch of the log.
#[derive(Default)]
pub(crate) struct Touched {
    users: BTreeSet<Ordinal>,
    /// The live tags that it was.
    tags: BTreeSet<String>,
}

/// Of which crowds membership is looked at.
#[derive(Clone, Copy)]
pub(crate) enum Crowds {
    All,
    /// Those that follow what has changed.
    Touched,
}

impl StreamPlan {
    /// The live crowds that are to be looked at when these tags, or crowds, have changed.
    fn crowds_after(&self, changed: &BTreeSet<usize>) -> BTreeSet<usize> {
        let follows = |number: &usize| {
            let LiveKind::Derived(derived) = &self.tags[*number].kind else { return false };
            changed.contains(number) || derived.inputs.iter().any(|(_, at)| changed.contains(at))
        };
        (self.without_crowds()..self.tags.len()).filter(follows).collect()
    }

    fn crowds(&self) -> BTreeSet<usize> {
        (self.without_crowds()..self.tags.len()).collect()
    }
}

impl Stream {
    /// Finds out who has values by hand, unless it is known.
    ///
    /// # Errors
    /// Of the lake, the log and the users.
    pub(crate) async fn find_by_hand(
        &self,
        definitions: &Definitions,
        members: &mut Members,
        users: &SharedUsers<'_>,
    ) -> Result<()> {
        let generation = users.generation();
        let is_live = |tag: &str| definitions.tags.get(tag).is_some_and(|tag| tag.mode.is_live());
        // Without live crowds nobody asks, and all changes by hand need not be read.
        let has_crowds = definitions.crowds.values().any(|crowd| crowd.is_live);
        if !has_crowds || members.by_hand.generation == Some(generation) {
            return Ok(());
        }
        let (app, StreamParts { lake, log, catalog, .. }) = (users.app(), &self.parts);
        let mut by_hand = ByHand { generation: Some(generation), users: Bitmap::new() };
        let mut ids: BTreeSet<String> = BTreeSet::new();

        // What lands meanwhile is read twice.
        let mut position = landed(catalog.as_ref(), app).await?;
        if let Some(table) = lake.table(app, layout::USER_CHANGES).await? {
            for mut batches in table.scan(&["user_id", "tag"]).plan(1).await?.partitions() {
                while let Some(batch) = batches.next().await {
                    let batch = batch?;
                    let (people, tags) = (text(&batch, "user_id")?, text(&batch, "tag")?);
                    // Deletions have no tag.
                    let of_live = |row: &usize| tags.is_valid(*row) && is_live(tags.value(*row));
                    let rows = (0..batch.num_rows()).filter(of_live);
                    ids.extend(rows.map(|row| people.value(row).to_owned()));
                    if ids.len() >= READ_AT_ONCE {
                        by_hand.add(users, std::mem::take(&mut ids)).await?;
                    }
                }
            }
        }
        loop {
            let records = log.read(app, position, READ_AT_ONCE).await?;
            let Some((last, _)) = records.last() else { break };
            position = *last;
            // What cannot be read is refused where it lands.
            let records = records.iter().filter_map(|(_, bytes)| LogRecord::decode(bytes).ok());
            ids.extend(records.filter_map(|record| match record.body {
                RecordBody::Changed { user_id, tag, .. } if is_live(&tag) => Some(user_id),
                _ => None,
            }));
        }
        by_hand.add(users, ids).await?;
        members.by_hand = by_hand;
        Ok(())
    }

    /// Notes who has values by hand from now on. The changes are made: whoever shared the users waited
    /// for them. What is older than a deletion of its user says nothing of who has the id now.
    ///
    /// # Errors
    /// Of the users.
    pub(crate) async fn note_by_hand(
        &self,
        members: &mut Members,
        users: &SharedUsers<'_>,
        rows: &Admitted<'_>,
        gone: &Gone,
    ) -> Result<Touched> {
        let is_live =
            |tag: &str| rows.definitions.tags.get(tag).is_some_and(|tag| tag.mode.is_live());
        let stands = |change: &&HandChange| !gone.hides(&change.user_id, change.position);
        let of_live = rows.changed.iter().filter(|change| is_live(&change.tag)).filter(stands);
        let (mut tags, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for change in of_live {
            tags.insert(change.tag.clone());
            ids.insert(change.user_id.clone());
        }
        let users = members.by_hand.add(users, ids).await?;
        Ok(Touched { users, tags })
    }

    /// Tells who entered or left a live crowd by what was changed by hand.
    ///
    /// # Errors
    /// Of the index, the users and the feed.
    pub(crate) async fn tell_by_hand(
        &self,
        state: &mut AppState,
        members: &mut Members,
        users: &SharedUsers<'_>,
        touched: &Touched,
    ) -> Result<()> {
        let named = |number: &usize| touched.tags.contains(state.plan.tags[*number].name.as_str());
        let tags = (0..state.plan.without_crowds()).filter(named).collect();
        let crowds = state.plan.crowds_after(&tags);
        let everybody: Vec<Ordinal> = touched.users.iter().copied().collect();
        members.begin(state.generation);
        for some in everybody.chunks(USERS_AT_ONCE) {
            let changed = self.shown_members(state, users, some, &crowds).await?;
            let ids = UserIds::of(users, &members.unread, some.iter().copied()).await?;
            let of_crowd = changed.iter();
            let changes: Vec<Change> = of_crowd
                .flat_map(|(crowd, of)| members.follow(&state.plan.tags[*crowd], of, &ids))
                .collect();
            let (at_ms, position) = (state.now_ms, state.position);
            let told = self.parts.feeds.append(users.app(), at_ms, position, &changes).await;
            members.known &= told.is_ok();
            told?;
        }
        Ok(())
    }

    /// Puts the membership of users with values by hand in the place of what the states say of it.
    /// `changed`: what a step changed, or what crowds come to, of these users.
    ///
    /// # Errors
    /// Of the index and the users.
    pub(crate) async fn by_hand_instead(
        &self,
        state: &mut AppState,
        members: &Members,
        users: &SharedUsers<'_>,
        changed: &mut ChangedTags,
        among: impl Iterator<Item = Ordinal>,
        crowds: Crowds,
    ) -> Result<()> {
        let hands: Vec<Ordinal> = members.by_hand.among(among).into_iter().collect();
        if hands.is_empty() {
            return Ok(());
        }
        let crowds = match crowds {
            Crowds::All => state.plan.crowds(),
            Crowds::Touched => state.plan.crowds_after(&changed.keys().copied().collect()),
        };
        for (_, of_crowd) in changed.range_mut(state.plan.without_crowds()..) {
            of_crowd.retain(|changed| !members.by_hand.users.contains(changed.now.ordinal));
        }
        for some in hands.chunks(USERS_AT_ONCE) {
            for (crowd, of_crowd) in self.shown_members(state, users, some, &crowds).await? {
                changed.entry(crowd).or_default().extend(of_crowd);
            }
        }
        Ok(())
    }

    /// Whether these users are in these crowds, by the values that are shown.
    async fn shown_members(
        &self,
        state: &mut AppState,
        users: &SharedUsers<'_>,
        some: &[Ordinal],
        crowds: &BTreeSet<usize>,
    ) -> Result<ChangedTags> {
        let deleted = users.deleted().await?;
        let some: Vec<Ordinal> =
            some.iter().copied().filter(|user| !deleted.contains(*user)).collect();
        if some.is_empty() || crowds.is_empty() {
            return Ok(ChangedTags::new());
        }
        let Some(snapshot) = self.snapshot(state, users).await? else {
            return Ok(ChangedTags::new());
        };
        let inputs: BTreeMap<usize, String> = crowds
            .iter()
            .filter_map(|crowd| match &state.plan.tags[*crowd].kind {
                LiveKind::Derived(derived) => Some(&derived.inputs),
                _ => None,
            })
            .flatten()
            .map(|(name, at)| (*at, name.clone()))
            .collect();
        let people = some.clone();
        let columns = blocking(move || columns(&snapshot, &inputs, &people)).await?;
        state.members_by(&columns, &some, crowds)
    }
}

impl ByHand {
    /// Adds users by their ids; those who are known.
    async fn add(
        &mut self,
        users: &SharedUsers<'_>,
        ids: BTreeSet<String>,
    ) -> Result<BTreeSet<Ordinal>> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let ordinals = users.lookup(ids.into_iter().collect()).await?;
        let known: BTreeSet<Ordinal> = ordinals.into_iter().flatten().collect();
        known.iter().for_each(|user| {
            self.users.insert(*user);
        });
        Ok(known)
    }
}

impl AppState {
    /// Which of the users are in these crowds, by values of their inputs.
    fn members_by(
        &mut self,
        columns: &BTreeMap<usize, Column>,
        users: &[Ordinal],
        crowds: &BTreeSet<usize>,
    ) -> Result<ChangedTags> {
        let mut outcomes = ChangedTags::new();
        for crowd in crowds.iter().copied() {
            let LiveKind::Derived(derived) = &self.plan.tags[crowd].kind else { continue };
            let now_ms = self.now_ms;
            let zone = &self.plan.definitions.app.time_zone;
            let column = self.column(crowd, derived, columns, users.len())?;
            if let Some(kind) = &derived.moving {
                for (row, user) in users.iter().enumerate() {
                    let value = |name: &str| {
                        let (_, at) = derived.inputs.iter().find(|(input, _)| input == name)?;
                        columns.get(at)?.now[row].clone()
                    };
                    let next = kind.next_move(&value, now_ms, zone);
                    next.into_iter().for_each(|at_ms| self.timers.add(crowd, at_ms, *user));
                }
            }
            let outcome =
                |(ordinal, value): (&Ordinal, Option<Value>)| Changed::to(*ordinal, value);
            outcomes.insert(crowd, users.iter().zip(column.now).map(outcome).collect());
        }
        Ok(outcomes)
    }
}

/// The values of tags that are shown, one for each user.
pub(crate) fn columns(
    snapshot: &Arc<Snapshot>,
    tags: &BTreeMap<usize, String>,
    users: &[Ordinal],
) -> Result<BTreeMap<usize, Column>> {
    let mut columns = BTreeMap::new();
    for (number, name) in tags {
        let values = match snapshot.tag(name)? {
            Some(view) => {
                users.iter().map(|user| Ok(view.value_of(*user)?)).collect::<Result<_>>()?
            }
            None => vec![None; users.len()],
        };
        columns.insert(*number, Column::of(values));
    }
    Ok(columns)
}
