//! How many users two sets share, for many pairs of sets.
//!
//! Container by container of 2^16 users: small containers are inverted, into the sets of each user,
//! so that only pairs that share a user cost anything; large ones are combined as words, in tiles
//! that stay in the caches. A cost model decides which are small.

use crate::bundle::Stored;
use crate::{Bitmap, Result, SHARD_BITS, pool};
use counter::Counter;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use taghouse_model::Ordinal;

mod counter;
mod gather;
mod slots;
mod split;

/// Shares of users below which one thread is quicker than waking another.
const PARALLEL_FROM_USERS: u64 = 1 << 18;
/// Shards that one thread counts before it adds up: a pair shares at most 2^20 users in each, so
/// that 32 bits suffice.
const SHARDS_AT_A_TIME: usize = 2048;

/// A set of users, in memory or stored.
#[derive(Clone)]
pub enum UserSet {
    /// A bitmap in memory.
    Owned(Arc<Bitmap>),
    /// A stored bitmap, read in place.
    Stored(Stored),
}

impl UserSet {
    /// The number of elements.
    pub fn len(&self) -> u64 {
        match self {
            Self::Owned(bitmap) => bitmap.len(),
            Self::Stored(stored) => stored.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Owned(bitmap) => bitmap.is_empty(),
            Self::Stored(stored) => stored.is_empty(),
        }
    }

    /// As a bitmap in memory.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn to_bitmap(&self) -> Result<Arc<Bitmap>> {
        match self {
            Self::Owned(bitmap) => Ok(bitmap.clone()),
            Self::Stored(stored) => stored.to_bitmap().map(Arc::new),
        }
    }

    fn load(&self) -> Result<()> {
        match self {
            Self::Owned(_) => Ok(()),
            Self::Stored(stored) => stored.load(),
        }
    }

    fn for_each_shard(&self, each: impl FnMut(u32)) {
        match self {
            Self::Owned(bitmap) => bitmap.shards().iter().map(|shard| shard.number).for_each(each),
            Self::Stored(stored) => stored.shard_lens().map(|(number, _)| number).for_each(each),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Owned(a), Self::Owned(b)) => Arc::ptr_eq(a, b),
            (Self::Stored(a), Self::Stored(b)) => {
                !a.is_empty() && !b.is_empty() && a.identity() == b.identity()
            }
            _ => false,
        }
    }
}

/// The number of users that each of `rows` shares with each of `columns`, within `within` if given:
/// row by row, exact. On all cores where that pays; each needs 6 bytes a pair, 8 KiB a set (at
/// most; for sets that hold more than one user in 64 there) and a few megabytes.
///
/// # Errors
/// As [`crate::Bundle::load`].
pub fn overlap(rows: &[UserSet], columns: &[UserSet], within: Option<&Bitmap>) -> Result<Vec<u64>> {
    rows.iter().chain(columns).try_for_each(UserSet::load)?;
    let mut sums = vec![0_u64; rows.len() * columns.len()];
    let shards = shared_shards(rows, columns, within);
    if sums.is_empty() || shards.is_empty() {
        return Ok(sums);
    }
    let symmetric = rows.len() == columns.len()
        && rows.iter().zip(columns).all(|(row, column)| row.is_same(column));
    let users: u64 = rows.iter().chain(columns).map(UserSet::len).sum();
    let threads = if users < PARALLEL_FROM_USERS {
        1
    } else {
        rayon::current_num_threads().min(shards.len())
    };
    let next = AtomicUsize::new(0);
    let total = Mutex::new(&mut sums);
    let work = || {
        let mut counter = Counter::new(rows.len(), columns.len(), symmetric);
        let add_up = |counter: &mut Counter| counter.add_to(&mut total.lock());
        let mut counted = 0;
        while let Some(shard) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
            counter.count(rows, columns, within, *shard);
            counted += 1;
            if counted % SHARDS_AT_A_TIME == 0 {
                add_up(&mut counter);
            }
        }
        add_up(&mut counter);
    };
    pool::within(|| {
        rayon::in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| work());
            }
            work();
        });
    });
    if symmetric {
        let sets = rows.len();
        for row in 0..sets {
            for column in row + 1..sets {
                sums[row * sets + column] = sums[column * sets + row];
            }
        }
    }
    Ok(sums)
}

/// The shards in which a row, a column and `within` all have users, ascending.
fn shared_shards(rows: &[UserSet], columns: &[UserSet], within: Option<&Bitmap>) -> Vec<u32> {
    let of = |sets: &[UserSet]| {
        let mut shards = vec![false; 1 << (Ordinal::BITS - SHARD_BITS)];
        sets.iter().for_each(|set| set.for_each_shard(|number| shards[number as usize] = true));
        shards
    };
    let (rows, columns) = (of(rows), of(columns));
    let shared =
        (0..rows.len()).filter(|shard| rows[*shard] && columns[*shard]).map(|shard| shard as u32);
    shared.filter(|shard| within.is_none_or(|within| within.shard(*shard).is_some())).collect()
}

#[cfg(test)]
mod tests;
