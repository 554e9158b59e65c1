//! Who went, and when: what is older than that counts no more.

use crate::Result;
use crate::intake::{text, times};
use arrow::array::RecordBatch;
use futures::StreamExt;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_ingest::{GoneUser, LogRecord, RecordBody};
use taghouse_lake::{Lake, layout};
use taghouse_log::EventLog;
use taghouse_model::{AppId, TimestampMs};

/// Records of the log that are read at once.
const READ_AT_ONCE: usize = 10_000;

/// The users of an app who were deleted or expired.
#[derive(Default)]
pub(crate) struct Gone {
    at_ms: HashMap<String, TimestampMs>,
    /// Of deletions that are made while their records are still to be read: the position of the
    /// record. What came before it is older, and must not bring the user back.
    unread: Unread,
    /// Ids that go with the users whom they became.
    with_user: HashMap<String, GoesWith>,
}

/// Deletions whose records are still to be read, by the id. Whoever has such an id by now came back, and is
/// not told of before the deletion is.
#[derive(Default, Clone)]
pub(crate) struct Unread(Arc<RwLock<HashMap<String, Going>>>);

impl Unread {
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.0.read().contains_key(id)
    }

    fn get(&self, id: &str) -> Option<Going> {
        self.0.read().get(id).copied()
    }

    fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }
}

/// A deletion whose record is still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Going {
    /// Of the record.
    position: u64,
    at_ms: TimestampMs,
}

/// An id that is a user's who goes later.
struct GoesWith {
    user: String,
    gone: Going,
    /// The part of the log in which the id became the user's.
    part: u64,
}

/// What a link means for rows of before a deletion.
pub(crate) struct Linked {
    /// The id goes with its user.
    pub(crate) is_gone: bool,
    /// Rows of ids were left out that do not go after all: with the user whom they had become, they
    /// are another's.
    pub(crate) left_out: bool,
}

/// The rows of a batch that are to be looked at.
pub(crate) struct Rows<'a> {
    pub(crate) batch: &'a RecordBatch,
    /// The log position of each row; `None`: they are in the lake.
    pub(crate) positions: Option<&'a [u64]>,
    /// The first row that is new.
    pub(crate) from: usize,
}

impl Gone {
    /// Those whom the lake knows of.
    ///
    /// # Errors
    /// Of the lake.
    pub(crate) async fn of(lake: &Lake, app: &AppId) -> Result<Self> {
        let mut gone = Self::default();
        let Some(table) = lake.table(app, layout::USER_CHANGES).await? else { return Ok(gone) };
        for mut batches in table.scan(&["user_id", "op", "time"]).plan(1).await?.partitions() {
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let (users, acts) = (text(&batch, "user_id")?, text(&batch, "op")?);
                let times = times(&batch, "time")?;
                for row in 0..batch.num_rows() {
                    if [layout::DELETED, layout::EXPIRED].contains(&acts.value(row)) {
                        gone.note(users.value(row), times.value(row).div_euclid(1000));
                    }
                }
            }
        }
        Ok(gone)
    }

    fn note(&mut self, user: &str, at_ms: TimestampMs) {
        match self.at_ms.get_mut(user) {
            Some(known) => *known = at_ms.max(*known),
            None => {
                self.at_ms.insert(user.to_owned(), at_ms);
            }
        }
    }

    /// For those who are to know of deletions as they are found and read.
    pub(crate) fn unread(&self) -> Unread {
        self.unread.clone()
    }

    /// Finds the deletions in the log behind a position.
    ///
    /// # Errors
    /// Of the log.
    pub(crate) async fn find(
        &mut self,
        log: &dyn EventLog,
        app: &AppId,
        mut position: u64,
    ) -> Result<()> {
        loop {
            let records = log.read(app, position, READ_AT_ONCE).await?;
            let Some((last, _)) = records.last() else { return Ok(()) };
            position = *last;
            for (position, bytes) in &records {
                // What cannot be read is refused where it lands.
                let Ok(record) = LogRecord::decode(bytes) else { continue };
                if let RecordBody::Gone { user_id, .. } = record.body {
                    let going = Going { position: *position, at_ms: record.received_at_ms };
                    self.unread.0.write().insert(user_id, going);
                }
            }
        }
    }

    /// The records of these were read, and everything before them.
    pub(crate) fn read(&mut self, users: &[GoneUser]) {
        for user in users {
            self.note(&user.user_id, user.at_ms);
            let unread = self.unread.get(&user.user_id);
            if unread.is_some_and(|unread| unread.position <= user.position) {
                self.unread.0.write().remove(&user.user_id);
            }
            let with = self.with_user.get(&user.user_id);
            if with.is_some_and(|with| with.gone.position <= user.position) {
                self.with_user.remove(&user.user_id);
            }
        }
    }

    /// An id became a user's at a log position, in the part of the log behind `part`. If that user
    /// went later, the id went too: it was not known to be the user's yet.
    pub(crate) fn link(&mut self, id: &str, user: &str, position: u64, part: u64) -> Linked {
        let gone = self.unread.get(user).filter(|gone| gone.position > position);
        let mut left_out = false;
        // What was the id's is the user's now.
        self.with_user.retain(|_, with| {
            if with.user != id {
                return true;
            }
            let Some(gone) = gone else {
                left_out |= with.part != part;
                return false;
            };
            user.clone_into(&mut with.user);
            with.gone = gone;
            true
        });
        if let Some(gone) = gone {
            let with = GoesWith { user: user.to_owned(), gone, part };
            self.with_user.insert(id.to_owned(), with);
        }
        Linked { is_gone: gone.is_some(), left_out }
    }

    /// Whether the id is deleted by a record that is still to be read, and lies behind the position.
    pub(crate) fn goes_later(&self, id: &str, position: u64) -> bool {
        self.unread.get(id).is_some_and(|gone| gone.position > position)
    }

    /// Whether what a call did to the id at the position was the doing of a user who goes later.
    pub(crate) fn hides(&self, id: &str, position: u64) -> bool {
        let goes_with = self.with_user.get(id).is_some_and(|with| with.gone.position > position);
        goes_with || self.goes_later(id, position)
    }

    /// Whether the id went at this time or later, as records that were read say.
    pub(crate) fn went_since(&self, id: &str, ms: TimestampMs) -> bool {
        self.at_ms.get(id).is_some_and(|at_ms| *at_ms >= ms)
    }

    /// The rows that are from after their user went, and came after it.
    ///
    /// # Errors
    /// A column is missing.
    pub(crate) fn visible(&self, rows: &Rows<'_>) -> Result<Vec<u32>> {
        let Rows { batch, positions, from } = rows;
        let all = *from as u32..batch.num_rows() as u32;
        if self.at_ms.is_empty() && self.unread.is_empty() && self.with_user.is_empty() {
            return Ok(all.collect());
        }
        let users = text(batch, "user_id")?;
        let (times, received) = (times(batch, "time")?, times(batch, "received_at")?);
        let is_visible = |row: &u32| {
            let row = *row as usize;
            let user = users.value(row);
            let later = |at_ms: &TimestampMs| {
                times.value(row).div_euclid(1000) > *at_ms
                    && received.value(row).div_euclid(1000) > *at_ms
            };
            // A row of a file may have come after a deletion that is still to be read.
            let behind = |going: &Going| match positions {
                Some(positions) => positions[row] > going.position,
                None => later(&going.at_ms),
            };
            self.unread.get(user).as_ref().is_none_or(behind)
                && self.with_user.get(user).is_none_or(|with| behind(&with.gone))
                && self.at_ms.get(user).is_none_or(later)
        };
        Ok(all.filter(is_visible).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belonged_to_an_id_goes_with_its_new_user() {
        // In the log: "a" becomes "b"'s, "b" becomes "c"'s, "b" is deleted.
        let going = |position| Going { position, at_ms: 0 };
        let of = |unread: &HashMap<String, Going>| Gone {
            unread: Unread(Arc::new(RwLock::new(unread.clone()))),
            ..Gone::default()
        };
        let unread = HashMap::from([("b".to_owned(), going(9))]);
        let mut gone = of(&unread);
        assert!(gone.link("a", "b", 3, 0).is_gone);
        let moved = gone.link("b", "c", 5, 0);
        assert!(!moved.is_gone && !moved.left_out, "no row was looked at in between");
        assert!(gone.with_user.is_empty());

        // The same over two parts: rows of "a" were left out by the first.
        let mut gone = of(&unread);
        assert!(gone.link("a", "b", 3, 0).is_gone);
        assert!(gone.link("b", "c", 5, 4).left_out);

        // The new user goes too.
        let unread = HashMap::from([("b".to_owned(), going(9)), ("c".to_owned(), going(11))]);
        let mut gone = of(&unread);
        assert!(gone.link("a", "b", 3, 0).is_gone && gone.link("b", "c", 5, 4).is_gone);
        assert_eq!(gone.with_user["a"].gone, going(11));
    }
}
