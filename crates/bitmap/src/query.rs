use crate::formula::Formula;
use crate::part::Scope;
use crate::view::Pool;
use crate::{Bitmap, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use taghouse_model::Ordinal;

/// Bytes read below which one thread is quicker: waking another takes some 10 µs, in which one reads half a megabyte.
const PARALLEL_FROM_BYTES: u64 = 1 << 20;

/// A formula over the users that exist. It owns what it reads, so it may outlive the snapshot it came from.
#[derive(Clone)]
pub struct Query {
    users: Arc<Bitmap>,
    formula: Formula,
    live: Option<Arc<Live>>,
}

/// What answers for users whose values were changed since.
struct Live {
    changed: Arc<Bitmap>,
    users: Arc<Bitmap>,
    formula: Formula,
}

impl Query {
    /// Asks `formula`, all leaves of which must lie within `users`.
    pub fn new(users: Arc<Bitmap>, formula: Formula) -> Self {
        Self { users, formula, live: None }
    }

    /// Asks `formula` over `users` of everybody but those in `changed`, and of those `live` over `live_users`: a few live changes on top of
    /// large stored bitmaps that need not be copied for them. Each formula's leaves must lie within its users, and outside of `changed`
    /// both must say the same.
    pub fn patched(users: Arc<Bitmap>, formula: Formula, changed: Arc<Bitmap>, live_users: Arc<Bitmap>, live: Formula) -> Self {
        let live = (!changed.is_empty()).then(|| Arc::new(Live { changed, users: live_users, formula: live }));
        Self { users, formula, live }
    }

    /// How many users. On all cores where that pays; never materialises the last operation.
    ///
    /// # Errors
    /// `Corrupt` for a stored bitmap that is not what was written, `Unavailable` for one that cannot be fetched.
    pub fn count(&self) -> Result<u64> {
        if self.live.is_some() {
            return Ok(self.bitmap()?.len());
        }
        self.formula.node.load()?;
        let counted: u64 = self.shards(|_, scope| self.formula.node.count(scope)).into_iter().map(|(_, count)| count).sum();
        Ok(if self.formula.negated { self.users.len() - counted } else { counted })
    }

    /// Which users. On all cores where that pays.
    ///
    /// # Errors
    /// As [`Query::count`].
    pub fn bitmap(&self) -> Result<Bitmap> {
        self.formula.node.load()?;
        let negated = self.formula.negated;
        let sets = self.shards(|_, scope| {
            let set = self.formula.node.part(scope, None).into_set(scope);
            match set {
                set if !negated => set,
                None => Some(scope.users.clone()),
                Some(set) => Some(scope.users.andnot(&set)),
            }
        });
        let base = Bitmap::from_shards(sets.into_iter().filter_map(|(number, set)| Some((number, set?))));
        match &self.live {
            None => Ok(base),
            Some(live) => {
                let answer = Self::new(live.users.clone(), live.formula.clone()).bitmap()?;
                Ok(base.and_not(&live.changed).or(&answer.and(&live.changed)))
            }
        }
    }

    /// Whether one user is in it; somebody who does not exist is in nothing.
    ///
    /// # Errors
    /// As [`Query::count`], of the blocks that it reads.
    pub fn contains(&self, ordinal: Ordinal) -> Result<bool> {
        let (users, formula) = match &self.live {
            Some(live) if live.changed.contains(ordinal) => (&live.users, &live.formula),
            _ => (&self.users, &self.formula),
        };
        Ok(users.contains(ordinal) && formula.node.contains(ordinal)? != formula.negated)
    }

    /// At least and at most so many users, told from cardinalities alone: no bitmap is read.
    pub fn bounds(&self) -> (u64, u64) {
        (0, self.live.as_ref().map_or(self.users.len(), |live| live.users.len().max(self.users.len())))
    }

    /// About how many bytes [`Query::count`] reads.
    pub fn reads_bytes(&self) -> u64 {
        self.formula.node.cost() + self.live.as_ref().map_or(0, |live| live.formula.node.cost())
    }

    /// The users over whom it is asked.
    pub fn users(&self) -> &Arc<Bitmap> {
        &self.users
    }

    /// Calls `each` for every shard and gives the results by shard number.
    fn shards<T: Send>(&self, each: impl Fn(u32, &Scope<'_>) -> T + Sync) -> Vec<(u32, T)> {
        let shards = self.users.shards();
        let next = AtomicUsize::new(0);
        let work = || {
            let pool = Pool::default();
            let mut done = Vec::new();
            while let Some(shard) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
                let scope = Scope { number: shard.number, users: &shard.set, users_len: shard.len, pool: &pool };
                done.push((shard.number, each(shard.number, &scope)));
            }
            done
        };
        let threads = if shards.len() < 2 || self.formula.node.cost() < PARALLEL_FROM_BYTES {
            1
        } else {
            thread::available_parallelism().map_or(1, |n| n.get().min(shards.len()))
        };
        if threads == 1 {
            return work();
        }
        // The caller works too: threads of the pool that wake late find the shards done, and cost nothing.
        let others = Mutex::new(Vec::new());
        let mut done = rayon::in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| {
                    let more = work();
                    others.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
                });
            }
            work()
        });
        done.extend(others.into_inner().unwrap_or_else(PoisonError::into_inner));
        done.sort_by_key(|(number, _)| *number);
        done
    }
}
