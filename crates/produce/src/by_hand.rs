//! Changes by hand and users who went, as one worker has them of the users it owns.
//!
//! They are read before everything else, so that these users have a worker's first numbers and a
//! row of theirs is known by its number.

use crate::{Error, Result};
use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use taghouse_lake::{Table, layout};
use taghouse_model::{Name, TimestampMs};

/// The columns that a pass reads of the table.
pub(crate) const COLUMNS: [&str; 6] = ["user_id", "tag", "op", "value", "time", "position"];

/// The columns by which a row of the lake is told to be older than a deletion.
pub(crate) const TIMES: [&str; 2] = ["time", "received_at"];

/// How many changes may wait until those that others took the place of are let go.
const LET_GO_BEYOND: usize = 1 << 20;

/// What the whole table of changes says, before it is read by the workers.
#[derive(Debug, Clone)]
pub(crate) struct Outline {
    /// The tags that somebody changed.
    pub(crate) tags: BTreeMap<String, u16>,
    /// When the first change of a value was made.
    pub(crate) oldest_ms: TimestampMs,
}

impl Outline {
    /// `None`: nothing was ever changed by hand, and nobody went.
    pub(crate) async fn of(changes: Option<&Table>) -> Result<Option<Self>> {
        use futures::StreamExt;
        let Some(table) = changes else { return Ok(None) };
        let mut outline = Self { tags: BTreeMap::new(), oldest_ms: TimestampMs::MAX };
        for mut batches in table.scan(&["tag", "time"]).plan(1).await?.partitions() {
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let (tags, times) = (text(&batch, "tag")?, times(&batch, "time")?);
                for row in (0..batch.num_rows()).filter(|row| tags.is_valid(*row)) {
                    let next = u16::try_from(outline.tags.len()).unwrap_or(u16::MAX);
                    if !outline.tags.contains_key(tags.value(row)) {
                        outline.tags.insert(tags.value(row).to_owned(), next);
                    }
                    outline.oldest_ms = outline.oldest_ms.min(times.value(row).div_euclid(1000));
                }
            }
        }
        Ok(Some(outline))
    }
}

/// What a change does with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    Set,
    Unset,
    Add,
    Remove,
}

/// A change of one user's value of one tag.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The worker's number.
    pub(crate) user: u32,
    /// The number of the id under which it was made.
    id: u32,
    pub(crate) act: Act,
    pub(crate) value: Option<Arc<str>>,
    pub(crate) time_ms: TimestampMs,
    pub(crate) position: i64,
}

/// When a user went.
#[derive(Debug, Clone, Copy)]
struct Gone {
    time_ms: TimestampMs,
    position: i64,
}

/// Of one worker's users.
pub(crate) struct Hands {
    outline: Option<Arc<Outline>>,
    as_of_ms: TimestampMs,
    /// By the number of the tag.
    changes: Vec<Vec<Change>>,
    kept: usize,
    held: usize,
    texts: HashMap<Arc<str>, ()>,
    /// The ids under which something was changed, or somebody went, by number. A user may have
    /// several, and a deletion hides what came under its own.
    ids: HashMap<String, u32>,
    /// By number of the id.
    gone: Vec<Option<Gone>>,
    /// How many of the worker's first users have something here.
    users: usize,
    /// By user: somebody said something of them after they went, or they never did.
    exist: Vec<bool>,
    /// By user: when the last row of theirs is from.
    last_row_ms: Vec<TimestampMs>,
    visible: Visible,
}

/// The rows of a portion that no deletion hides, and the numbers of their users.
#[derive(Default)]
pub(crate) struct Visible {
    pub(crate) rows: Vec<u32>,
    pub(crate) numbers: Vec<u32>,
}

impl Hands {
    pub(crate) fn new(outline: Option<Arc<Outline>>, as_of_ms: TimestampMs) -> Self {
        let tags = outline.as_ref().map_or(0, |outline| outline.tags.len());
        Self {
            outline,
            as_of_ms,
            changes: vec![Vec::new(); tags],
            kept: 0,
            held: 0,
            texts: HashMap::new(),
            ids: HashMap::new(),
            gone: Vec::new(),
            users: 0,
            exist: Vec::new(),
            last_row_ms: Vec::new(),
            visible: Visible::default(),
        }
    }

    /// Takes in rows of the table of changes; `ids` are those under which the rows came.
    pub(crate) fn take(
        &mut self,
        batch: &RecordBatch,
        ids: &StringArray,
        rows: &[u32],
        numbers: &[u32],
    ) -> Result<()> {
        let Some(outline) = self.outline.clone() else { return Ok(()) };
        let (tags, acts, values) = (text(batch, "tag")?, text(batch, "op")?, text(batch, "value")?);
        let times = times(batch, "time")?;
        let positions: &PrimitiveArray<Int64Type> = batch
            .column_by_name("position")
            .and_then(|column| column.as_primitive_opt())
            .ok_or_else(|| lacking("position"))?;
        for (row, user) in rows.iter().map(|row| *row as usize).zip(numbers) {
            let (time_ms, position) = (times.value(row).div_euclid(1000), positions.value(row));
            self.users = self.users.max(*user as usize + 1);
            let id = self.number(ids.value(row));
            let act = match acts.value(row) {
                "set" => Act::Set,
                "unset" => Act::Unset,
                "add" => Act::Add,
                "remove" => Act::Remove,
                layout::DELETED | layout::EXPIRED => {
                    let gone = &mut self.gone[id as usize];
                    if gone.is_none_or(|gone| gone.position < position) {
                        *gone = Some(Gone { time_ms, position });
                    }
                    continue;
                }
                other => {
                    return Err(Error::Worker(format!(
                        "table user_changes: \"{other}\" is not a change that this version knows"
                    )));
                }
            };
            let Some(tag) = outline.tags.get(tags.value(row)) else { continue };
            let value = values.is_valid(row).then(|| self.interned(values.value(row)));
            self.changes[usize::from(*tag)].push(Change {
                user: *user,
                id,
                act,
                value,
                time_ms,
                position,
            });
            self.held += 1;
        }
        if self.held > 2 * self.kept + LET_GO_BEYOND {
            self.let_go();
        }
        Ok(())
    }

    fn number(&mut self, id: &str) -> u32 {
        if let Some(number) = self.ids.get(id) {
            return *number;
        }
        let number = self.gone.len() as u32;
        self.ids.insert(id.to_owned(), number);
        self.gone.push(None);
        number
    }

    fn interned(&mut self, text: &str) -> Arc<str> {
        if let Some((known, ())) = self.texts.get_key_value(text) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone(), ());
        text
    }

    /// Lets those go that do nothing any more, so that memory grows with the values changed, not
    /// with how often they were: those of who went later, those before a whole value, and of a
    /// member all but the last; before the as-of time and from it on each by itself.
    fn let_go(&mut self) {
        let (gone, as_of_ms) = (&self.gone, self.as_of_ms);
        for changes in &mut self.changes {
            changes.retain(|change| {
                gone[change.id as usize].is_none_or(|gone| gone.position < change.position)
            });
            changes.sort_unstable_by_key(|change| (change.user, change.position));
            let mut kept: Vec<Change> = Vec::with_capacity(changes.len());
            // From the last to the first, so that what comes later is known.
            let mut later: HashMap<(bool, Option<Arc<str>>), ()> = HashMap::new();
            let mut whole = [false; 2];
            let mut user = None;
            for change in changes.drain(..).rev() {
                if user != Some(change.user) {
                    (user, whole) = (Some(change.user), [false; 2]);
                    later.clear();
                }
                let after = change.time_ms >= as_of_ms;
                if whole[usize::from(after)] {
                    continue;
                }
                let stays = match change.act {
                    Act::Set | Act::Unset => {
                        whole[usize::from(after)] = true;
                        true
                    }
                    Act::Add | Act::Remove => {
                        later.insert((after, change.value.clone()), ()).is_none()
                    }
                };
                if stays {
                    kept.push(change);
                }
            }
            kept.reverse();
            *changes = kept;
        }
        self.kept = self.changes.iter().map(Vec::len).sum();
        self.held = self.kept;
    }

    /// All changes have come: from here on it is known of each row whether it is older than a
    /// deletion.
    pub(crate) fn settle(&mut self) {
        self.let_go();
        self.exist = vec![false; self.users];
        self.last_row_ms = vec![TimestampMs::MIN; self.users];
        for change in self.changes.iter().flatten() {
            self.exist[change.user as usize] = true;
        }
    }

    /// How many of the worker's first users have something here.
    pub(crate) fn users(&self) -> usize {
        self.users
    }

    /// The rows that no deletion hides. A row counts when it is from after the deletion and came
    /// after it, so that neither what comes late nor what was ahead of its time brings somebody
    /// back. `ids` are those under which the rows came.
    pub(crate) fn visible(
        &mut self,
        batch: &RecordBatch,
        ids: &StringArray,
        rows: &[u32],
        numbers: &[u32],
    ) -> Result<Option<&Visible>> {
        if self.users == 0 {
            return Ok(None);
        }
        let (times, received) = (times(batch, "time")?, times(batch, "received_at")?);
        self.visible.rows.clear();
        self.visible.numbers.clear();
        for (row, number) in rows.iter().zip(numbers) {
            let user = *number as usize;
            if user < self.users {
                let gone = self.ids.get(ids.value(*row as usize));
                let gone = gone.and_then(|id| self.gone[*id as usize]);
                let time_ms = times.value(*row as usize).div_euclid(1000);
                let received_ms = received.value(*row as usize).div_euclid(1000);
                if gone.is_some_and(|gone| time_ms <= gone.time_ms || received_ms <= gone.time_ms) {
                    continue;
                }
                self.exist[user] = true;
                if time_ms < self.as_of_ms {
                    self.last_row_ms[user] = self.last_row_ms[user].max(time_ms);
                }
            }
            self.visible.rows.push(*row);
            self.visible.numbers.push(*number);
        }
        Ok(Some(&self.visible))
    }

    /// What the worker found, with the times that it noted by tag.
    pub(crate) fn found(self, latest_ms: BTreeMap<Name, Vec<TimestampMs>>) -> FoundHands {
        let changes = self
            .outline
            .iter()
            .flat_map(|outline| &outline.tags)
            .map(|(tag, number)| (tag.clone(), *number));
        let mut by_number = self.changes;
        let changes = changes
            .map(|(tag, number)| (tag, std::mem::take(&mut by_number[usize::from(number)])))
            .collect();
        FoundHands { changes, exist: self.exist, latest_ms, last_row_ms: self.last_row_ms }
    }
}

/// What one worker found of changes by hand.
pub(crate) struct FoundHands {
    /// By tag, in order of user and position.
    pub(crate) changes: BTreeMap<String, Vec<Change>>,
    exist: Vec<bool>,
    /// By tag that takes part: when the last value or event came of it, of the first users.
    pub(crate) latest_ms: BTreeMap<Name, Vec<TimestampMs>>,
    /// When the last row of any kind is from, of the first users.
    pub(crate) last_row_ms: Vec<TimestampMs>,
}

impl FoundHands {
    /// Whether the worker's user exists: all do but those who went, and of whom nothing newer came.
    pub(crate) fn exists(&self, user: usize) -> bool {
        self.exist.get(user).copied().unwrap_or(true)
    }

    /// How many of the worker's first users have something here.
    pub(crate) fn users(&self) -> usize {
        self.exist.len()
    }
}

fn lacking(column: &str) -> Error {
    Error::Worker(format!("a batch has no column {column}"))
}

pub(crate) fn text<'b>(batch: &'b RecordBatch, column: &str) -> Result<&'b StringArray> {
    batch
        .column_by_name(column)
        .and_then(|column| column.as_string_opt())
        .ok_or_else(|| lacking(column))
}

fn times<'b>(
    batch: &'b RecordBatch,
    column: &str,
) -> Result<&'b PrimitiveArray<TimestampMicrosecondType>> {
    batch
        .column_by_name(column)
        .and_then(|column| column.as_primitive_opt())
        .ok_or_else(|| lacking(column))
}
