//! Who went, and when: what is older than that counts no more.

use crate::Result;
use crate::intake::{text, times};
use arrow::array::RecordBatch;
use futures::StreamExt;
use std::collections::{HashMap, HashSet};
use taghouse_ingest::GoneUser;
use taghouse_lake::{Lake, layout};
use taghouse_model::{AppId, TimestampMs};

/// The users of an app who were deleted or expired.
#[derive(Default)]
pub(crate) struct Gone {
    at_ms: HashMap<String, TimestampMs>,
    /// Deleted, while the record of that was not read yet: all that was read before it is older.
    unread: HashSet<String>,
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

    /// The records of these were read.
    pub(crate) fn read(&mut self, users: &[GoneUser]) {
        for user in users {
            self.note(&user.user_id, user.at_ms);
            self.unread.remove(&user.user_id);
        }
    }

    /// These are deleted; their records are still to be read.
    pub(crate) fn deleted(&mut self, users: HashSet<String>) {
        self.unread.extend(users);
    }

    /// The rows that are from after their user went, and came after it. `from`: the first row that
    /// is new.
    ///
    /// # Errors
    /// A column is missing.
    pub(crate) fn visible(&self, batch: &RecordBatch, from: usize) -> Result<Vec<u32>> {
        let rows = from as u32..batch.num_rows() as u32;
        if self.at_ms.is_empty() && self.unread.is_empty() {
            return Ok(rows.collect());
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
            !self.unread.contains(user) && self.at_ms.get(user).is_none_or(later)
        };
        Ok(rows.filter(is_visible).collect())
    }
}
