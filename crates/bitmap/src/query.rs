mod compiled;

use crate::evaluate::Worker;
use crate::evaluate::bounds::Size;
use crate::formula::Formula;
use crate::parallel;
use crate::plan::RESULT_BYTES;
use crate::{Bitmap, Result};
use compiled::{Asked, Compiled, Live};
use std::sync::Arc;
use std::thread;
use taghouse_model::Ordinal;

/// Bytes read below which one thread is quicker: waking another takes some 10 µs, in which one
/// reads half a megabyte.
const PARALLEL_FROM_BYTES: u64 = 1 << 20;

/// A formula over the users that exist. It owns what it reads, so it may outlive the snapshot it
/// came from. Cloning it is cheap.
///
/// ```
/// use std::sync::Arc;
/// use taghouse_bitmap::{Bitmap, Formula, Query};
///
/// let users = Arc::new(Bitmap::from_range(0..=9));
/// let buyers = Arc::new(Bitmap::from_sorted(&[1, 3, 5]));
/// let subscribers = Arc::new(Bitmap::from_sorted(&[3, 4]));
///
/// let formula = Formula::and(vec![Formula::owned(buyers), Formula::owned(subscribers).not()]);
/// let query = Query::new(users, formula);
/// assert_eq!(query.count()?, 2);
/// assert!(query.contains(5)?);
/// assert_eq!(query.bitmap()?.iter().collect::<Vec<_>>(), [1, 5]);
/// # Ok::<(), taghouse_bitmap::Error>(())
/// ```
#[derive(Clone)]
pub struct Query(Arc<Compiled>);

impl Query {
    /// A query for `formula`, all leaves of which must be subsets of `users`.
    pub fn new(users: Arc<Bitmap>, formula: Formula) -> Self {
        let shards = users.shards().iter().map(|shard| shard.number).collect();
        Self(Arc::new(Compiled { base: Asked::new(users, formula), live: None, shards }))
    }

    /// A query that evaluates `live` over `live_users` for the users in `changed`, and `formula`
    /// over `users` for all others. So large stored bitmaps need not be copied for a few live
    /// changes on top. The leaves of `formula` must be subsets of `users`, those of `live` of the
    /// union of `users` and `live_users`. Outside of `changed` both formulas must agree.
    pub fn patched(
        users: Arc<Bitmap>,
        formula: Formula,
        changed: Arc<Bitmap>,
        live_users: Arc<Bitmap>,
        live: Formula,
    ) -> Self {
        if changed.is_empty() {
            return Self::new(users, formula);
        }
        let mut shards: Vec<u32> =
            users.shards().iter().chain(changed.shards()).map(|shard| shard.number).collect();
        shards.sort_unstable();
        shards.dedup();
        let live = Some(Live { changed, asked: Asked::new(live_users, live) });
        Self(Arc::new(Compiled { base: Asked::new(users, formula), live, shards }))
    }

    /// The number of users. Uses all cores where that pays; never materialises the last operation.
    ///
    /// # Errors
    /// `Corrupt` for a stored bitmap that is not what was written, `Unavailable` for one that
    /// cannot be fetched.
    pub fn count(&self) -> Result<u64> {
        self.count_on(self.threads())
    }

    /// As [`Query::count`], on at most `threads` threads, the caller's among them.
    ///
    /// # Errors
    /// As [`Query::count`].
    pub fn count_on(&self, threads: usize) -> Result<u64> {
        self.0.load()?;
        Ok(self.shards(threads, Compiled::count).sum())
    }

    /// The users. Uses all cores where that pays.
    ///
    /// # Errors
    /// As [`Query::count`].
    pub fn bitmap(&self) -> Result<Bitmap> {
        self.0.load()?;
        let sets = self.shards(self.threads(), Compiled::set);
        let numbered = self.0.shards.iter().copied().zip(sets);
        Ok(Bitmap::from_shards(numbered.filter_map(|(number, set)| Some((number, set?)))))
    }

    /// Whether one user matches. A user who does not exist matches nothing.
    ///
    /// # Errors
    /// As [`Query::count`], of the blocks that it reads.
    pub fn contains(&self, ordinal: Ordinal) -> Result<bool> {
        let asked = match &self.0.live {
            Some(live) if live.changed.contains(ordinal) => &live.asked,
            _ => &self.0.base,
        };
        Ok(asked.users.contains(ordinal)
            && asked.formula.node.contains(ordinal)? != asked.formula.negated)
    }

    /// Bounds of [`Query::count`], at least and at most, from cardinalities alone: no bitmap is
    /// read.
    pub fn bounds(&self) -> (u64, u64) {
        let mut sizes = Vec::new();
        let (mut least, mut most) = (0, 0);
        for number in &self.0.shards {
            let Size { low, high, .. } = self.0.base.size(*number, &mut sizes);
            let changed = self
                .0
                .live
                .as_ref()
                .and_then(|live| live.changed.shard(*number))
                .map_or(0, |shard| shard.len);
            least += u64::from(low.saturating_sub(changed));
            most += u64::from(high) + u64::from(changed);
        }
        (least, most)
    }

    /// About how many bytes [`Query::count`] will read.
    pub fn reads_bytes(&self) -> u64 {
        let mut left = u64::MAX;
        self.0.base.plan.reads_more_than(&mut left);
        u64::MAX - left
    }

    /// The users that it is evaluated over.
    pub fn users(&self) -> &Arc<Bitmap> {
        &self.0.base.users
    }

    /// An upper bound on the bytes that one thread needs for intermediate results, whatever the
    /// number of users.
    pub fn scratch_bytes(&self) -> usize {
        let live = self.0.live.as_ref().map_or(0, |live| live.asked.plan.results_held());
        (self.0.base.plan.results_held() + live) * RESULT_BYTES
    }

    /// The results of `each` for every shard, in the order of [`Compiled::shards`].
    fn shards<T: Send + 'static>(
        &self,
        threads: usize,
        each: fn(&Compiled, usize, &Worker) -> T,
    ) -> impl Iterator<Item = T> {
        parallel::parts(&self.0, self.0.shards.len(), threads, each)
    }

    fn threads(&self) -> usize {
        let mut left = PARALLEL_FROM_BYTES;
        if self.0.shards.len() < 2 || !self.0.base.plan.reads_more_than(&mut left) {
            return 1;
        }
        thread::available_parallelism().map_or(1, usize::from).min(self.0.shards.len())
    }
}
