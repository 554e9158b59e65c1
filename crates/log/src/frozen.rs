//! A copy of the log as it was at one moment.

use crate::mark::Mark;
use crate::store::{Opened, Store};
use crate::{Error, FrozenLog, Result, key};
use fjall::{OwnedWriteBatch, PersistMode, Readable, Snapshot};
use std::path::Path;
use std::sync::Arc;

/// Bytes of records that are written at once.
const BATCH_BYTES: usize = 8 << 20;

/// What the store held when this was made.
pub(crate) struct Frozen {
    store: Arc<Store>,
    snapshot: Snapshot,
}

impl Frozen {
    pub(crate) fn of(store: &Arc<Store>) -> Result<Self> {
        let snapshot = store.with(|opened| Ok(opened.database.snapshot()))?;
        Ok(Self { store: store.clone(), snapshot })
    }

    fn copy(&self, from: &Opened, to: &Opened) -> Result<()> {
        let mut writer = Writer { to, batch: to.database.batch(), bytes: 0 };
        for guard in self.snapshot.prefix(&from.keyspace, key::MARKS) {
            let (mark_key, value) = guard.into_inner()?;
            let app = key::app_of_mark(&mark_key)
                .ok_or_else(|| Error::Corrupt("the key of a mark names no app".to_owned()))?;
            let mark = Mark::from_bytes(Some(&value))?;
            // What is trimmed may still be there: it is removed later, slice by slice.
            for guard in
                self.snapshot.range(&from.keyspace, key::records(&app, mark.trimmed + 1..=mark.end))
            {
                let (record_key, record) = guard.into_inner()?;
                writer.insert(&record_key, &record)?;
            }
            writer.insert(&mark_key, &value)?;
        }
        if let Some(groups) = self.snapshot.get(&from.keyspace, key::GROUPS)? {
            writer.insert(&key::GROUPS, &groups)?;
        }
        writer.flush()?;
        Ok(to.database.persist(PersistMode::SyncAll)?)
    }
}

impl FrozenLog for Frozen {
    fn write(self: Box<Self>, folder: &Path) -> Result<()> {
        let to = Store::make(folder)?;
        self.store.with(|from| self.copy(from, &to))
    }
}

/// Gathers records into batches.
struct Writer<'a> {
    to: &'a Opened,
    batch: OwnedWriteBatch,
    bytes: usize,
}

impl Writer<'_> {
    fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch.insert(&self.to.keyspace, key, value);
        self.bytes += key.len() + value.len();
        if self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        Ok(std::mem::replace(&mut self.batch, self.to.database.batch()).commit()?)
    }
}
