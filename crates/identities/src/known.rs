//! Which ids came as those of known users, so that nobody who sends an anonymous id takes over what
//! is somebody's.

use crate::Result;
use crate::table::texts;
use arrow::array::{Array, StringArray};
use futures::StreamExt;
use parking_lot::RwLock;
use std::collections::HashSet;
use taghouse_lake::{Lake, layout};
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_64;

/// Hashes of 64 bits: two ids of one hash, one in 10^12 of ten million, would only be refused.
#[derive(Default)]
pub(crate) struct Known {
    /// `None`: it is read from the lake when it is asked for next.
    hashes: RwLock<Option<HashSet<u64>>>,
}

impl Known {
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.hashes.read().as_ref().is_some_and(|hashes| hashes.contains(&hash(id)))
    }

    pub(crate) fn is_read(&self) -> bool {
        self.hashes.read().is_some()
    }

    pub(crate) fn forget(&self) {
        *self.hashes.write() = None;
    }

    /// More are known: hashes of ids.
    pub(crate) fn add(&self, more: impl Iterator<Item = u64>) {
        if let Some(hashes) = self.hashes.write().as_mut() {
            hashes.extend(more);
        }
    }

    /// Reads them from the lake.
    pub(crate) async fn read(&self, lake: &Lake, app: &AppId) -> Result<()> {
        let mut hashes = HashSet::new();
        for name in [layout::EVENTS, layout::ATTRIBUTES] {
            let Some(table) = lake.table(app, name).await? else { continue };
            let marked = table.arrow_schema().column_with_name(layout::USER_ID_TYPE).is_some();
            let mut columns = vec!["user_id"];
            columns.extend(marked.then_some(layout::USER_ID_TYPE));
            for mut batches in table.scan(&columns).plan(1).await?.partitions() {
                while let Some(batch) = batches.next().await {
                    let batch = batch?;
                    let ids = texts(&batch, layout::EVENTS, "user_id")?;
                    let types = match marked {
                        true => Some(texts(&batch, layout::EVENTS, layout::USER_ID_TYPE)?),
                        false => None,
                    };
                    let known =
                        |row: &usize| types.is_none_or(|types: &StringArray| types.is_null(*row));
                    hashes.extend((0..ids.len()).filter(known).map(|row| hash(ids.value(row))));
                }
            }
        }
        *self.hashes.write() = Some(hashes);
        Ok(())
    }
}

/// By which an id is known.
pub(crate) fn hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}
