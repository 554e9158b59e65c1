//! The newest ids, in memory as they are in the log: packed, with a hash table.

use crate::packed::{self, Keys};
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use taghouse_model::Ordinal;

/// An id that has no ordinal. `Ordinal::MAX` is never given.
pub(crate) const NONE: Ordinal = Ordinal::MAX;

/// Ids given under one hold of the lock: some tens of microseconds, for which a judgment may have
/// to wait.
const PUSH: usize = 256;

/// Ids of consecutive ordinals. One writer appends, shows readers what is durable, and at last
/// seals the whole; readers see only what is shown.
pub(crate) struct Tail {
    pub(crate) first: Ordinal,
    /// How many readers may see.
    shown: AtomicU32,
    ids: RwLock<Ids>,
}

#[derive(Default)]
struct Ids {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    hashes: Vec<u32>,
    /// Ordinals relative to the first, found by hash; without deleted ones.
    table: HashTable<u32>,
}

impl Tail {
    pub(crate) fn new(first: Ordinal) -> Self {
        Self { first, shown: AtomicU32::new(0), ids: RwLock::default() }
    }

    /// An empty one behind `before`, with room for as many ids.
    pub(crate) fn after(before: &Tail) -> Self {
        let full = before.read();
        let ids = Ids {
            bytes: Vec::with_capacity(full.bytes.len()),
            ends: Vec::with_capacity(full.ends.len()),
            hashes: Vec::with_capacity(full.ends.len()),
            table: HashTable::with_capacity(full.ends.len()),
        };
        Self {
            first: before.first + full.ends.len() as u32,
            shown: AtomicU32::new(0),
            ids: RwLock::new(ids),
        }
    }

    /// The ordinal after the last that readers may see.
    pub(crate) fn end(&self) -> Ordinal {
        self.first + self.shown.load(Ordering::Acquire)
    }

    /// All ids there are, shown or not.
    pub(crate) fn count(&self) -> u32 {
        self.read().ends.len() as u32
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.read().bytes.len()
    }

    /// Shows readers all that was pushed; called when it is on disk.
    pub(crate) fn show(&self) {
        let count = self.count();
        self.shown.store(count, Ordering::Release);
    }

    /// Puts the ordinals of the keys named in `pending` to their places in `found`, those below
    /// `end`.
    pub(crate) fn lookup(&self, keys: &Keys, pending: &[u32], end: Ordinal, found: &mut [Ordinal]) {
        let ids = self.read();
        for key in pending {
            let index = *key as usize;
            if let Some(at) = ids.find(keys.hash(index), keys.get(index)) {
                let ordinal = self.first + at;
                found[index] = if ordinal < end { ordinal } else { NONE };
            }
        }
    }

    /// Gives the keys ordinals, the one they have here or the next; the n-th key's goes to
    /// `found[places[n]]`.
    pub(crate) fn push(&self, keys: &Keys, places: &[usize], found: &mut [Ordinal]) {
        for start in (0..keys.len()).step_by(PUSH) {
            let lot = start..keys.len().min(start + PUSH);
            self.make_room(lot.len(), lot.clone().map(|index| keys.get(index).len()).sum());
            let mut ids = self.write();
            for index in lot {
                found[places[index]] =
                    self.first + ids.find_or_push(keys.hash(index), keys.get(index));
            }
        }
    }

    /// Appends ids read from the log, shown at once. `None` if the bytes are not that many packed
    /// ids.
    pub(crate) fn load(&self, count: u32, mut bytes: &[u8]) -> Option<()> {
        let mut ids = self.write();
        for _ in 0..count {
            let (id, rest) = bytes.split_at(packed::size(bytes)?);
            ids.push(packed::hash(id), id);
            bytes = rest;
        }
        drop(ids);
        self.show();
        bytes.is_empty().then_some(())
    }

    /// No lookup finds it any more; its text stays until the tail is sealed.
    pub(crate) fn forget(&self, ordinal: Ordinal) {
        let mut ids = self.write();
        let at = ordinal.wrapping_sub(self.first);
        let Some(hash) = ids.hashes.get(at as usize).copied() else { return };
        if let Ok(entry) = ids.table.find_entry(spread(hash), |held| *held == at) {
            entry.remove();
        }
    }

    /// The text of an ordinal; `None` if it is none of these.
    pub(crate) fn text(&self, ordinal: Ordinal) -> Option<String> {
        let ids = self.read();
        let at = ordinal.checked_sub(self.first)?;
        if at as usize >= ids.ends.len() { None } else { packed::unpack(ids.get(at)) }
    }

    /// Calls with the packed id and the hash of each, in order.
    pub(crate) fn each<E>(
        &self,
        mut visit: impl FnMut(&[u8], u32) -> Result<(), E>,
    ) -> Result<(), E> {
        let ids = self.read();
        (0..ids.ends.len()).try_for_each(|at| visit(ids.get(at as u32), ids.hashes[at]))
    }

    /// Calls with the packed id of an ordinal of these.
    pub(crate) fn with_packed<T>(
        &self,
        ordinal: Ordinal,
        visit: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let ids = self.read();
        let at = ordinal.checked_sub(self.first)?;
        ((at as usize) < ids.ends.len()).then(|| visit(ids.get(at)))
    }

    /// Appends to `out` the packed ids from `from` (relative) on, up to about `most` bytes, and
    /// gives how many they are.
    pub(crate) fn copy(&self, from: u32, most: usize, out: &mut Vec<u8>) -> u32 {
        let ids = self.read();
        let start = ids.range(from).start;
        let fit = ids.ends[from as usize..].partition_point(|end| *end as usize - start <= most);
        let count = fit.max(1).min(ids.ends.len() - from as usize) as u32;
        if count > 0 {
            out.extend_from_slice(&ids.bytes[start..ids.range(from + count - 1).end]);
        }
        count
    }

    /// Makes room for more ids while readers go on: what is copied to a larger place takes the lock
    /// only to be put there. For the one writer.
    fn make_room(&self, more: usize, more_bytes: usize) {
        let Some(larger) = self.read().enlarged(more, more_bytes) else { return };
        let before = std::mem::replace(&mut *self.write(), larger);
        drop(before);
    }

    fn read(&self) -> RwLockReadGuard<'_, Ids> {
        self.ids.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ids> {
        self.ids.write()
    }
}

impl Ids {
    /// A copy of twice the room; `None` where there is room enough.
    fn enlarged(&self, more: usize, more_bytes: usize) -> Option<Self> {
        let fits = self.bytes.capacity() - self.bytes.len() >= more_bytes
            && self.ends.capacity() - self.ends.len() >= more
            && self.hashes.capacity() - self.hashes.len() >= more
            && self.table.capacity() - self.table.len() >= more;
        if fits {
            return None;
        }
        let count = 2 * (self.ends.len() + more);
        let mut larger = Self {
            bytes: Vec::with_capacity(2 * (self.bytes.len() + more_bytes)),
            ends: Vec::with_capacity(count),
            hashes: Vec::with_capacity(count),
            table: HashTable::with_capacity(count),
        };
        larger.bytes.extend_from_slice(&self.bytes);
        larger.ends.extend_from_slice(&self.ends);
        larger.hashes.extend_from_slice(&self.hashes);
        // As they stand: the deleted are not among them.
        for at in &self.table {
            larger.table.insert_unique(spread(self.hashes[*at as usize]), *at, |held| {
                spread(self.hashes[*held as usize])
            });
        }
        Some(larger)
    }

    fn range(&self, at: u32) -> Range<usize> {
        let start = if at == 0 { 0 } else { self.ends[at as usize - 1] };
        start as usize..self.ends.get(at as usize).map_or(start, |end| *end) as usize
    }

    fn get(&self, at: u32) -> &[u8] {
        &self.bytes[self.range(at)]
    }

    fn find(&self, hash: u32, packed: &[u8]) -> Option<u32> {
        self.table.find(spread(hash), |at| packed::equal(self.get(*at), packed)).copied()
    }

    fn find_or_push(&mut self, hash: u32, packed: &[u8]) -> u32 {
        self.find(hash, packed).unwrap_or_else(|| self.push(hash, packed))
    }

    fn push(&mut self, hash: u32, packed: &[u8]) -> u32 {
        // A tail is sealed long before it has 4 GiB.
        let at = self.ends.len() as u32;
        self.bytes.extend_from_slice(packed);
        self.ends.push(self.bytes.len() as u32);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table.insert_unique(spread(hash), at, |held| spread(hashes[*held as usize]));
        at
    }
}

/// The table wants its bits at both ends of 64.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
