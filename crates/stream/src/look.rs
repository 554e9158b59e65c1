//! One look at the values of some users' live tags: by the states and in the index, at an instant and
//! a log position, together with the tables of the lake that hold just what the states have seen.

use crate::derive::Column;
use crate::landed_files::Lacking;
use crate::parity::ParityParts;
use crate::plan::LiveKind;
use crate::slot::Serving;
use crate::state::AppState;
use crate::stream::Stream;
use crate::{Error, Result, StreamParts};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_fold::{ColumnBuilder, ColumnReader};
use taghouse_index::{Bitmap, Snapshot};
use taghouse_ingest::{FileBatches, LogRecord, RecordBody};
use taghouse_log::EventLog;
use taghouse_model::{AppId, Name, Ordinal, TimestampMs, Value, ValueType};
use taghouse_produce::Pinned;
use taghouse_rules::Definitions;
use taghouse_users::SharedUsers;
use tokio_util::sync::CancellationToken;

/// Users of a sample who stand side by side, so that few pages are read.
const SIDE_BY_SIDE: usize = 16;

/// Records of the log that are read at once.
const READ_AT_ONCE: usize = 10_000;

/// Whom to look at.
#[derive(Debug, Clone)]
pub(crate) enum Whom {
    /// About so many of all, by a seed, and these if they exist.
    Sample { size: usize, seed: u64, also: Vec<String> },
    /// These.
    These(Vec<String>),
}

/// What was found at one moment.
pub(crate) struct Look {
    pub(crate) as_of_ms: TimestampMs,
    pub(crate) position: u64,
    /// The lake at that position.
    pub(crate) tables: Pinned,
    /// How many users the stream knows.
    pub(crate) seen: u64,
    pub(crate) users: Vec<String>,
    pub(crate) tags: Vec<LookedAt>,
    pub(crate) unread: Unread,
}

/// Values of a tag, one for each user.
pub(crate) struct LookedAt {
    pub(crate) name: Name,
    pub(crate) is_anonymous: bool,
    /// By the states.
    pub(crate) held: Vec<Option<Value>>,
    /// In the index.
    pub(crate) shown: Vec<Option<Value>>,
    /// Users whose value time has changed, and of whom that is still to be shown.
    pub(crate) due: BTreeSet<usize>,
}

/// What the log says behind the position and that took effect before it was admitted.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// Ids that were deleted, linked or unlinked.
    pub(crate) users: HashSet<String>,
    /// Whose value of which tag was changed by hand.
    pub(crate) by_hand: HashSet<(String, String)>,
}

impl Stream {
    /// Lands what has come, and looks. `None`: the states are not of that position, for they are
    /// being computed from the lake, or the users were renumbered.
    ///
    /// # Errors
    /// Of the landing, the index, the object store, the users and the lake. See it to its end, as
    /// a landing.
    pub(crate) async fn look(
        parts: &ParityParts,
        definitions: &Arc<Definitions>,
        tag: Option<&Name>,
        whom: Whom,
    ) -> Result<Option<Look>> {
        let (stream, app) = (&parts.stream, &definitions.app.id);
        let StreamParts { log, users, .. } = &stream.parts;

        // 1. What has come lands, and nothing more is admitted until the look is over.
        let end = users.settled(app, log.as_ref()).await?;
        let on = CancellationToken::new();
        let held = parts.landing.land_and_hold(app, definitions, end, &on).await?;

        // 2. What time has changed is shown, or is known to be due.
        let slot = stream.slot(app);
        let mut slot = slot.lock().await;
        stream.go_on(&mut slot, definitions).await?;

        // 3. The states, the index and the tables, at one moment.
        let shared = users.share(app).await;
        if slot.is_computing() {
            return Ok(None);
        }
        let Some(Serving { state, .. }) = &mut slot.serving else { return Ok(None) };
        if state.position != held.landed || state.generation != shared.generation() {
            return Ok(None);
        }
        let tables = Pinned::of(&stream.parts.lake, app).await?;
        // After the tables: files that landed before them are among these.
        let there = FileBatches::of_sources(stream.parts.catalog.as_ref(), definitions).await?;
        if Lacking::of(&state.batches, &there).files {
            return Ok(None);
        }
        let people = People::find(state, &shared, whom).await?;
        let wanted = state.wanted(tag);
        let held_values = state.held(&wanted, &people.seen).await?;
        stream.parts.index.position(app).await?;
        let snapshot = stream.parts.index.snapshot(app).await?;
        if snapshot.as_ref().is_some_and(|snapshot| snapshot.generation() != state.generation) {
            return Ok(None);
        }
        let due: BTreeMap<usize, BTreeSet<Ordinal>> =
            wanted.iter().map(|tag| (*tag, state.due(*tag, &people.seen))).collect();
        let tags: Vec<WantedTag> = wanted.iter().map(|tag| WantedTag::of(state, *tag)).collect();
        let (as_of_ms, position) = (state.now_ms, state.position);
        let seen = state.users().len();
        let unread = Unread::find(log.as_ref(), app, position).await?;
        drop((slot, shared, held));

        // 4. What the snapshot has is of that moment, whenever it is read.
        let users = people.all.iter().map(|(id, _)| id.clone()).collect();
        let tags =
            blocking(move || looked_at(tags, &held_values, &due, &people, snapshot.as_deref()))
                .await?;
        Ok(Some(Look { as_of_ms, position, tables, seen, users, tags, unread }))
    }
}

/// A tag to look at.
struct WantedTag {
    number: usize,
    name: Name,
    value_type: ValueType,
    is_anonymous: bool,
}

impl WantedTag {
    fn of(state: &AppState, number: usize) -> Self {
        let tag = &state.plan.tags[number];
        Self {
            number,
            name: tag.name.clone(),
            value_type: tag.value_type,
            is_anonymous: tag.is_anonymous(),
        }
    }
}

/// The users of a look.
struct People {
    /// With their ordinals, if they have one.
    all: Vec<(String, Option<Ordinal>)>,
    /// Those whom the states have seen, ascending.
    seen: Vec<Ordinal>,
}

impl People {
    async fn find(state: &AppState, users: &SharedUsers<'_>, whom: Whom) -> Result<Self> {
        let mut all: Vec<(String, Option<Ordinal>)> = Vec::new();
        let mut add = |ids: Vec<String>, ordinals: Vec<Option<Ordinal>>| {
            all.extend(ids.into_iter().zip(ordinals));
        };
        match whom {
            Whom::These(ids) => {
                let ordinals = users.lookup(ids.clone()).await?;
                add(ids, ordinals);
            }
            Whom::Sample { size, seed, also } => {
                let known = users.lookup(also).await?.into_iter().flatten();
                let deleted = users.deleted().await?;
                let mut chosen = chosen(state.users(), &deleted, size, seed);
                chosen.extend(known.filter(|user| !deleted.contains(*user)));
                let ordinals: Vec<Ordinal> = chosen.into_iter().collect();
                let ids = users.ids(ordinals.clone()).await?;
                for (ordinal, id) in ordinals.into_iter().zip(ids) {
                    add(id.into_iter().collect(), vec![Some(ordinal)]);
                }
            }
        }
        let known: BTreeSet<Ordinal> = all.iter().filter_map(|(_, ordinal)| *ordinal).collect();
        let seen = known.into_iter().filter(|user| state.users().contains(*user)).collect();
        Ok(Self { all, seen })
    }
}

/// Some of the users, side by side in some places.
fn chosen(seen: &Bitmap, deleted: &Bitmap, size: usize, seed: u64) -> BTreeSet<Ordinal> {
    let mut chosen = BTreeSet::new();
    let there = |user: &Ordinal| !deleted.contains(*user);
    if seen.len() <= size as u64 {
        chosen.extend(seen.iter().filter(there));
        return chosen;
    }
    let places = size.div_ceil(SIDE_BY_SIDE);
    // Twice as many where users are deleted, or places lie close to one another.
    for place in 0..2 * places as u64 {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&place.to_le_bytes(), seed);
        let Some(first) = seen.select(hash % seen.len()) else { continue };
        chosen.extend(seen.page(first, SIDE_BY_SIDE).into_iter().filter(there));
        if chosen.len() >= size {
            break;
        }
    }
    chosen
}

impl AppState {
    /// The numbers of all tags that are shown, or of one.
    fn wanted(&self, tag: Option<&Name>) -> Vec<usize> {
        let wanted = |number: &usize| tag.is_none_or(|tag| self.plan.tags[*number].name == *tag);
        (0..self.plan.without_crowds()).filter(wanted).collect()
    }

    /// The values of these tags by the states, as of now, of users in ascending order.
    async fn held(
        &mut self,
        wanted: &[usize],
        users: &[Ordinal],
    ) -> Result<BTreeMap<usize, Vec<Option<Value>>>> {
        let mut needed: BTreeSet<usize> = wanted.iter().copied().collect();
        for number in (0..self.plan.tags.len()).rev() {
            if let LiveKind::Derived(derived) = &self.plan.tags[number].kind
                && needed.contains(&number)
            {
                needed.extend(derived.inputs.iter().map(|(_, input)| *input));
            }
        }
        let mut columns: BTreeMap<usize, Column> = BTreeMap::new();
        // Each after its inputs.
        for number in needed {
            if number < self.plan.with_states() {
                columns.insert(number, Column::of(self.values(number, users).await?));
            } else if let LiveKind::Derived(derived) = &self.plan.tags[number].kind {
                let column = self.column(number, derived, &columns, users.len())?;
                columns.insert(number, column);
            }
        }
        Ok(columns.into_iter().map(|(number, column)| (number, column.now)).collect())
    }

    /// Users whose value of the tag, or of what it is computed from, time has changed already, and
    /// who are still to be looked at.
    fn due(&self, tag: usize, users: &[Ordinal]) -> BTreeSet<Ordinal> {
        let mut due = self.timers.due_among(tag, self.now_ms, users);
        if let LiveKind::Derived(derived) = &self.plan.tags[tag].kind {
            due.extend(derived.inputs.iter().flat_map(|(_, input)| self.due(*input, users)));
        }
        due
    }
}

impl Unread {
    pub(crate) async fn find(log: &dyn EventLog, app: &AppId, mut position: u64) -> Result<Self> {
        let end = log.end(app).await?;
        let mut unread = Self::default();
        while position < end {
            let records = log.read(app, position, READ_AT_ONCE).await?;
            let Some((last, _)) = records.last() else { break };
            position = *last;
            for (_, bytes) in &records {
                // What cannot be read is refused where it lands.
                if let Ok(record) = LogRecord::decode(bytes) {
                    unread.note(record.body);
                }
            }
        }
        Ok(unread)
    }

    fn note(&mut self, body: RecordBody) {
        match body {
            RecordBody::Gone { user_id, .. } => {
                self.users.insert(user_id);
            }
            RecordBody::Changed { user_id, tag, .. } => {
                self.by_hand.insert((user_id, tag));
            }
            RecordBody::Linked { id, user_id, .. } => self.users.extend([id, user_id]),
            RecordBody::Unlinked { id } => {
                self.users.insert(id);
            }
            RecordBody::Event { .. }
            | RecordBody::Traits { .. }
            | RecordBody::Topic(_)
            | RecordBody::Rejected { .. } => {}
        }
    }
}

fn looked_at(
    tags: Vec<WantedTag>,
    held: &BTreeMap<usize, Vec<Option<Value>>>,
    due: &BTreeMap<usize, BTreeSet<Ordinal>>,
    people: &People,
    snapshot: Option<&Snapshot>,
) -> Result<Vec<LookedAt>> {
    let places: HashMap<Ordinal, usize> =
        people.seen.iter().enumerate().map(|(at, user)| (*user, at)).collect();
    let of_tag = |tag: WantedTag| {
        let WantedTag { number, name, value_type, is_anonymous } = tag;
        let view = snapshot.map(|snapshot| snapshot.tag(name.as_str())).transpose()?.flatten();
        let (mut of_states, mut shown) = (Vec::new(), Vec::new());
        let mut waiting = BTreeSet::new();
        for (row, (_, user)) in people.all.iter().enumerate() {
            let at = user.and_then(|user| places.get(&user));
            let value = at.and_then(|at| held.get(&number)?.get(*at)?.clone());
            of_states.push(value);
            shown.push(match (&view, user) {
                (Some(view), Some(user)) => view.value_of(*user)?,
                _ => None,
            });
            if user.is_some_and(|user| due.get(&number).is_some_and(|due| due.contains(&user))) {
                waiting.insert(row);
            }
        }
        let held = as_stored(of_states, value_type)?;
        Ok(LookedAt { name, is_anonymous, held, shown, due: waiting })
    };
    tags.into_iter().map(of_tag).collect()
}

/// Values as a column of their type gives them back: with as many digits as it has.
pub(crate) fn as_stored(
    values: Vec<Option<Value>>,
    value_type: ValueType,
) -> Result<Vec<Option<Value>>> {
    let mut builder = ColumnBuilder::new(value_type);
    values.iter().for_each(|value| builder.push(value.as_ref()));
    let array = builder.finish();
    let reader = ColumnReader::new("value", &array, value_type)?;
    Ok((0..values.len()).map(|row| reader.value(row)).collect())
}

impl From<taghouse_disk::TaskFailed> for Error {
    fn from(error: taghouse_disk::TaskFailed) -> Self {
        Self::Task(error.to_string())
    }
}
