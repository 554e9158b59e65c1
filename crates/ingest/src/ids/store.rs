//! How ids stand on disk.
//!
//! ```text
//! keyspace meta       "kept" → kept time, i64BE;  "app " app → position noted through, u64BE
//! keyspace h<hour>    hash of the app, u64BE; hash of the id, u128BE → log position, u64BE
//! ```

use super::kept::Kept;
use super::{HOUR_MS, NotedId};
use fjall::compaction::Leveled;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
    PartitioningPolicy, PinningPolicy,
};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_64;

const META: &str = "meta";
const KEPT: &[u8] = b"kept";
const CACHE_BYTES: u64 = 8 << 20;
/// The least that fjall takes. What is not in tables yet is in memory, and in the journal.
const JOURNAL_BYTES: u64 = 64 << 20;
/// As fjall counts, which is keys and values; an entry takes about five times that, and up to five
/// of these wait for their tables when the disk is slow.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Tables that are merged at a time. Ids have no order, so merging writes nearly all of an hour's
/// again; a table more costs a look-up the look at one filter.
const MERGED_TABLES: u8 = 8;
const BLOCK_BYTES: u32 = 16 << 10;
/// One new id in a hundred is looked for in vain in a table that has it not. A hundred million ids
/// take 125 MB of filters.
const FILTER_BITS: f32 = 10.0;
/// Void ids that are removed by one batch.
const VOID_AT_ONCE: usize = 10_000;

pub(super) struct Store {
    database: Database,
    meta: Keyspace,
    /// The ids by hour of kept time.
    hours: Mutex<BTreeMap<u32, Keyspace>>,
    kept: Mutex<Kept>,
}

impl Store {
    pub(super) fn open(folder: &Path, steady_ms: i64) -> fjall::Result<Self> {
        // fjall does not open again what it was stopped in making: a full disk would end the memory
        // for good.
        taghouse_disk::make_filled(folder, |new| database(new).map(drop))?;
        let database = database(folder)?;
        let meta = database
            .keyspace(META, || KeyspaceCreateOptions::default().max_memtable_size(1 << 20))?;
        let mut hours = BTreeMap::new();
        for name in database.list_keyspace_names() {
            if let Some(hour) = name.strip_prefix('h').and_then(|hour| hour.parse().ok()) {
                hours.insert(hour, database.keyspace(&name, of_ids)?);
            }
        }
        let written = meta
            .get(KEPT)?
            .and_then(|bytes| Some(i64::from_be_bytes(*bytes.first_chunk()?)))
            .unwrap_or(0);
        // An hour that has ids has begun.
        let begun = hours.keys().last().map_or(0, |hour| i64::from(*hour) * HOUR_MS);
        let kept = Mutex::new(Kept::new(written.max(begun), steady_ms));
        Ok(Self { database, meta, hours: Mutex::new(hours), kept })
    }

    pub(super) fn now(&self, steady_ms: i64) -> i64 {
        self.kept.lock().advance(steady_ms)
    }

    pub(super) fn hours(&self) -> usize {
        self.by_hour().len()
    }

    fn by_hour(&self) -> MutexGuard<'_, BTreeMap<u32, Keyspace>> {
        self.hours.lock()
    }

    /// Looks the ids up hour by hour, the newest first: what is sent twice is mostly sent twice at
    /// once. In the order of keys, so that neighbours are found where the one before was.
    pub(super) fn known(&self, app: &AppId, ids: &[u128]) -> fjall::Result<Vec<bool>> {
        let hours: Vec<Keyspace> = self.by_hour().values().rev().cloned().collect();
        let mut known = vec![false; ids.len()];
        let mut in_order: Vec<usize> = (0..ids.len()).collect();
        in_order.sort_unstable_by_key(|at| ids[*at]);
        for hour in &hours {
            for at in &in_order {
                known[*at] = known[*at] || hour.contains_key(key(app, ids[*at]))?;
            }
        }
        Ok(known)
    }

    pub(super) fn note(
        &self,
        app: &AppId,
        ids: &[NotedId],
        through: u64,
        steady_ms: i64,
    ) -> fjall::Result<()> {
        self.write(app, ids, Some(through), steady_ms)
    }

    /// Without a mark: whoever is stopped in between begins again.
    pub(super) fn restore(
        &self,
        app: &AppId,
        ids: &[NotedId],
        steady_ms: i64,
    ) -> fjall::Result<()> {
        self.write(app, ids, None, steady_ms)
    }

    fn write(
        &self,
        app: &AppId,
        ids: &[NotedId],
        through: Option<u64>,
        steady_ms: i64,
    ) -> fjall::Result<()> {
        let kept_ms = self.now(steady_ms);
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        if !ids.is_empty() {
            let keyspace = self.hour(u32::try_from(kept_ms / HOUR_MS).unwrap_or(u32::MAX))?;
            let mut in_order = ids.to_vec();
            in_order.sort_unstable_by_key(|noted| noted.id);
            for NotedId { id, position } in in_order {
                batch.insert(&keyspace, key(app, id), position.to_be_bytes());
            }
        }
        if let Some(through) = through {
            batch.insert(&self.meta, mark_key(app), through.to_be_bytes());
        }
        batch.insert(&self.meta, KEPT, kept_ms.to_be_bytes());
        batch.commit()
    }

    /// The keyspace of an hour. With its first ids, those of earlier hours leave memory for their
    /// tables.
    fn hour(&self, hour: u32) -> fjall::Result<Keyspace> {
        let mut hours = self.by_hour();
        if let Some(keyspace) = hours.get(&hour) {
            return Ok(keyspace.clone());
        }
        let keyspace = self.database.keyspace(&format!("h{hour}"), of_ids)?;
        for earlier in hours.values() {
            earlier.rotate_memtable()?;
        }
        hours.insert(hour, keyspace.clone());
        Ok(keyspace)
    }

    /// See [`super::MessageIds::settle`].
    pub(super) fn settle(&self, app: &AppId, landed: u64) -> fjall::Result<bool> {
        let mark = self.meta.get(mark_key(app))?;
        let Some(through) = mark.and_then(|bytes| Some(u64::from_be_bytes(*bytes.first_chunk()?)))
        else {
            return Ok(landed == 0);
        };
        if through <= landed {
            return Ok(through == landed);
        }
        // After a crash only ids of the last landing are void; after the catalog came from a
        // backup, those of hours.
        let newest_first: Vec<Keyspace> = self.by_hour().values().rev().cloned().collect();
        for keyspace in &newest_first {
            if self.void(keyspace, app, landed)? {
                break;
            }
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.meta, mark_key(app), landed.to_be_bytes());
        batch.commit()?;
        Ok(true)
    }

    /// Removes the app's ids behind `landed`; whether some are before it, so that those of earlier
    /// hours are too.
    fn void(&self, hour: &Keyspace, app: &AppId, landed: u64) -> fjall::Result<bool> {
        let mut some_landed = false;
        let mut void = self.database.batch();
        for guard in hour.prefix(app_hash(app)) {
            let (key, position) = guard.into_inner()?;
            let position = position.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            // Ids read from the lake have position 0, whichever hour they are in.
            some_landed |= (1..=landed).contains(&position);
            if position > landed {
                void.remove(hour, key);
            }
            if void.len() == VOID_AT_ONCE {
                std::mem::replace(&mut void, self.database.batch()).commit()?;
            }
        }
        void.commit()?;
        Ok(some_landed)
    }

    /// Drops the hours that were over at `before_ms` of kept time.
    pub(super) fn forget(&self, before_ms: i64) -> fjall::Result<()> {
        let mut hours = self.by_hour();
        while let Some(entry) = hours.first_entry()
            && (i64::from(*entry.key()) + 1) * HOUR_MS <= before_ms
        {
            self.database.delete_keyspace(entry.remove())?;
        }
        Ok(())
    }
}

fn database(folder: &Path) -> fjall::Result<Database> {
    Database::builder(folder)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .worker_threads(1)
        .open()
}

/// Filters and the index of blocks stay in memory: so most ids that are new cost no reading.
fn of_ids() -> KeyspaceCreateOptions {
    let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(FILTER_BITS));
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(MERGED_TABLES)))
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .data_block_compression_policy(CompressionPolicy::disabled())
        .filter_policy(FilterPolicy::all(filter))
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::all(false))
        .index_block_pinning_policy(PinningPolicy::all(true))
        .index_block_partitioning_policy(PartitioningPolicy::all(false))
}

fn mark_key(app: &AppId) -> Vec<u8> {
    [b"app ", app.as_str().as_bytes()].concat()
}

fn app_hash(app: &AppId) -> [u8; 8] {
    xxh3_64(app.as_str().as_bytes()).to_be_bytes()
}

fn key(app: &AppId, id: u128) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&app_hash(app));
    key[8..].copy_from_slice(&id.to_be_bytes());
    key
}
