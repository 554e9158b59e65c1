use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::{Mutex, PoisonError};
use taghouse_model::Ordinal;

const SHARDS: usize = 16;
/// Bytes of one half of one shard's records: 96 MiB in all, and hash tables of the same order. With ids of 16 bytes that is
/// 3.8 million of them.
const HALF_BYTES: usize = 3 << 20;
/// App's number, ordinal and the id's length stand before the id's bytes.
const HEAD_BYTES: usize = 10;

/// Ids met lately and their ordinals, of all apps: bulk work asks for the same users again and again, and a look-up here takes a
/// tenth of one in the store.
///
/// Bounded: each shard has a new half and an old one. What is met goes to the new half; when that is full it becomes the old one
/// and the old one is dropped. So what was not met for a while goes, without any list of who was met when. Pairs never change,
/// so nothing here is ever stale.
pub(crate) struct Cache {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    half_bytes: usize,
}

#[derive(Default)]
struct Shard {
    new: Half,
    old: Half,
}

/// Records one after the other, found by offset.
#[derive(Default)]
struct Half {
    records: Vec<u8>,
    offsets: HashTable<u32>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self::with_half_bytes(HALF_BYTES)
    }

    fn with_half_bytes(half_bytes: usize) -> Self {
        Self { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::default()).collect(), half_bytes }
    }

    /// The ordinal of an id of the app with this number.
    pub(crate) fn get(&self, app: u32, id: &str) -> Option<Ordinal> {
        let (hash, shard) = self.place(app, id);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ordinal) = shard.new.get(hash, app, id) {
            return Some(ordinal);
        }
        let ordinal = shard.old.get(hash, app, id)?;
        self.put(&mut shard, hash, app, id, ordinal);
        Some(ordinal)
    }

    /// Keeps a pair that readers may see.
    pub(crate) fn insert(&self, app: u32, id: &str, ordinal: Ordinal) {
        let (hash, shard) = self.place(app, id);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.new.get(hash, app, id).is_none() {
            self.put(&mut shard, hash, app, id, ordinal);
        }
    }

    fn place(&self, app: u32, id: &str) -> (u64, &Mutex<Shard>) {
        let hash = self.hasher.hash_one((app, id));
        // The table uses the low and the seven highest bits: take others.
        (hash, &self.shards[(hash >> 40) as usize % SHARDS])
    }

    fn put(&self, shard: &mut Shard, hash: u64, app: u32, id: &str, ordinal: Ordinal) {
        if shard.new.records.len() + HEAD_BYTES + id.len() > self.half_bytes {
            shard.old = mem::take(&mut shard.new);
        }
        shard.new.put(hash, app, id, ordinal, self.half_bytes, |tail| {
            let app = u32::from_ne_bytes([tail[0], tail[1], tail[2], tail[3]]);
            self.hasher.hash_one((app, std::str::from_utf8(id_of(tail)).unwrap_or_default()))
        });
    }
}

impl Half {
    fn get(&self, hash: u64, app: u32, id: &str) -> Option<Ordinal> {
        let record = |offset: &u32| &self.records[*offset as usize..];
        let same = |offset: &u32| {
            let tail = record(offset);
            tail[..4] == app.to_ne_bytes() && id_of(tail) == id.as_bytes()
        };
        let tail = record(self.offsets.find(hash, same)?);
        Some(Ordinal::from_ne_bytes([tail[4], tail[5], tail[6], tail[7]]))
    }

    fn put(&mut self, hash: u64, app: u32, id: &str, ordinal: Ordinal, limit: usize, rehash: impl Fn(&[u8]) -> u64) {
        let need = HEAD_BYTES + id.len();
        if self.records.capacity() - self.records.len() < need {
            // Doubling, but never far past the limit.
            let grown = (2 * self.records.capacity()).max(4096).min(limit).max(self.records.len() + need);
            self.records.reserve_exact(grown - self.records.len());
        }
        // Below the limit of a half, far from 4 GiB; ids have 512 bytes at most.
        let offset = self.records.len() as u32;
        self.records.extend_from_slice(&app.to_ne_bytes());
        self.records.extend_from_slice(&ordinal.to_ne_bytes());
        self.records.extend_from_slice(&(id.len() as u16).to_ne_bytes());
        self.records.extend_from_slice(id.as_bytes());
        let records = &self.records;
        self.offsets.insert_unique(hash, offset, |o| rehash(&records[*o as usize..]));
    }
}

/// The id in the record at the head of `tail`.
fn id_of(tail: &[u8]) -> &[u8] {
    let length = u16::from_ne_bytes([tail[8], tail[9]]);
    &tail[HEAD_BYTES..HEAD_BYTES + usize::from(length)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_apps_apart() {
        let cache = Cache::new();
        cache.insert(0, "a", 1);
        cache.insert(1, "a", 2);
        assert_eq!((cache.get(0, "a"), cache.get(1, "a"), cache.get(2, "a")), (Some(1), Some(2), None));
    }

    #[test]
    fn stays_in_its_bounds_and_keeps_what_is_met() {
        let cache = Cache::with_half_bytes(1000);
        for n in 0..100_000 {
            cache.insert(0, &format!("user {n}"), n);
            assert_eq!(cache.get(0, "user 0"), Some(0), "met all the time");
            assert_eq!(cache.get(0, &format!("user {n}")), Some(n));
        }
        assert_eq!(cache.get(0, "user 1"), None, "not met for long");
        for shard in &cache.shards {
            let shard = shard.lock().unwrap();
            assert!(shard.new.records.capacity() <= 1000 && shard.old.records.capacity() <= 1000);
            assert!(shard.new.offsets.len() <= 1000 / HEAD_BYTES && shard.old.offsets.len() <= 1000 / HEAD_BYTES);
        }
    }
}
