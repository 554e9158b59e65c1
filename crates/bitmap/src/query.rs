use crate::evaluate::bounds::{self, Size};
use crate::evaluate::{Shard, Worker};
use crate::formula::Formula;
use crate::parallel;
use crate::part::Scope;
use crate::plan::{Kind, Plan};
use crate::{Bitmap, Result};
use croaring::Bitmap as Roaring;
use std::sync::Arc;
use std::thread;
use taghouse_model::Ordinal;

/// Bytes read below which one thread is quicker: waking another takes some 10 µs, in which one reads half a megabyte.
const PARALLEL_FROM_BYTES: u64 = 1 << 20;
/// What a result of one shard takes at most, beside its container heads: a bit an ordinal.
const RESULT_BYTES: usize = (crate::SHARD_SIZE / 8) as usize;

/// A formula over the users that exist. It owns what it reads, so it may outlive the snapshot it came from. Cloning it is cheap.
#[derive(Clone)]
pub struct Query(Arc<Compiled>);

struct Compiled {
    base: Asked,
    live: Option<Live>,
    /// Numbers of all shards that somebody can be in.
    shards: Vec<u32>,
}

struct Asked {
    users: Arc<Bitmap>,
    formula: Formula,
    plan: Plan,
}

/// What answers for users whose values were changed since.
struct Live {
    changed: Arc<Bitmap>,
    asked: Asked,
}

impl Query {
    /// Asks `formula`, all leaves of which must lie within `users`.
    pub fn new(users: Arc<Bitmap>, formula: Formula) -> Self {
        let shards = users.shards().iter().map(|shard| shard.number).collect();
        Self(Arc::new(Compiled { base: Asked::new(users, formula), live: None, shards }))
    }

    /// Asks `formula` over `users` of everybody but those in `changed`, and of those `live` over `live_users`: a few live changes on top of
    /// large stored bitmaps that need not be copied for them. The leaves of `formula` must lie within `users`, those of `live` within both
    /// users together, and outside of `changed` both must say the same.
    pub fn patched(users: Arc<Bitmap>, formula: Formula, changed: Arc<Bitmap>, live_users: Arc<Bitmap>, live: Formula) -> Self {
        if changed.is_empty() {
            return Self::new(users, formula);
        }
        let mut shards: Vec<u32> = users.shards().iter().chain(changed.shards()).map(|shard| shard.number).collect();
        shards.sort_unstable();
        shards.dedup();
        let live = Some(Live { changed, asked: Asked::new(live_users, live) });
        Self(Arc::new(Compiled { base: Asked::new(users, formula), live, shards }))
    }

    /// How many users. On all cores where that pays; never materialises the last operation.
    ///
    /// # Errors
    /// `Corrupt` for a stored bitmap that is not what was written, `Unavailable` for one that cannot be fetched.
    pub fn count(&self) -> Result<u64> {
        self.count_on(self.threads())
    }

    /// As [`Query::count`], on at most `threads` threads, the caller's among them.
    ///
    /// # Errors
    /// As there.
    pub fn count_on(&self, threads: usize) -> Result<u64> {
        self.0.load()?;
        Ok(self.shards(threads, Compiled::count).sum())
    }

    /// Which users. On all cores where that pays.
    ///
    /// # Errors
    /// As [`Query::count`].
    pub fn bitmap(&self) -> Result<Bitmap> {
        self.0.load()?;
        let sets = self.shards(self.threads(), Compiled::set);
        let numbered = self.0.shards.iter().copied().zip(sets);
        Ok(Bitmap::from_shards(numbered.filter_map(|(number, set)| Some((number, set?)))))
    }

    /// Whether one user is in it; somebody who does not exist is in nothing.
    ///
    /// # Errors
    /// As [`Query::count`], of the blocks that it reads.
    pub fn contains(&self, ordinal: Ordinal) -> Result<bool> {
        let asked = match &self.0.live {
            Some(live) if live.changed.contains(ordinal) => &live.asked,
            _ => &self.0.base,
        };
        Ok(asked.users.contains(ordinal) && asked.formula.node.contains(ordinal)? != asked.formula.negated)
    }

    /// At least and at most so many users, told from cardinalities alone: no bitmap is read.
    pub fn bounds(&self) -> (u64, u64) {
        let mut sizes = Vec::new();
        let (mut least, mut most) = (0, 0);
        for number in &self.0.shards {
            let Size { low, high, .. } = self.0.base.size(*number, &mut sizes);
            let changed = self.0.live.as_ref().and_then(|live| live.changed.shard(*number)).map_or(0, |shard| shard.len);
            least += u64::from(low.saturating_sub(changed));
            most += u64::from(high) + u64::from(changed);
        }
        (least, most)
    }

    /// About how many bytes [`Query::count`] reads.
    pub fn reads_bytes(&self) -> u64 {
        let mut left = u64::MAX;
        self.0.base.plan.reads_more_than(&mut left);
        u64::MAX - left
    }

    /// The users over whom it is asked.
    pub fn users(&self) -> &Arc<Bitmap> {
        &self.0.base.users
    }

    /// At most so many bytes one thread needs for results in between, whatever the number of users.
    pub fn scratch_bytes(&self) -> usize {
        let live = self.0.live.as_ref().map_or(0, |live| live.asked.plan.results_held());
        (self.0.base.plan.results_held() + live) * RESULT_BYTES
    }

    /// What `each` makes of every shard, in the order of [`Compiled::shards`].
    fn shards<T: Send + 'static>(&self, threads: usize, each: fn(&Compiled, usize, &Worker) -> T) -> impl Iterator<Item = T> {
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

impl Asked {
    fn new(users: Arc<Bitmap>, formula: Formula) -> Self {
        Self { plan: Plan::of(&formula), users, formula }
    }

    fn size(&self, number: u32, sizes: &mut Vec<Size>) -> Size {
        match self.users.shard(number) {
            Some(users) => bounds::of_plan(&self.plan, number, users.len, sizes),
            None => Size::exact(0),
        }
    }

    /// One shard; `None` where nobody exists.
    fn shard<'a>(&'a self, number: u32, worker: &'a Worker) -> Option<Shard<'a>> {
        let users = self.users.shard(number)?;
        let scope = Scope { number, users: &users.set, users_len: users.len, pool: &worker.pool };
        Some(Shard::new(&self.plan, scope, worker))
    }
}

impl Compiled {
    fn load(&self) -> Result<()> {
        self.base.plan.load()?;
        self.live.as_ref().map_or(Ok(()), |live| live.asked.plan.load())
    }

    fn changed(&self, number: u32) -> Option<(&Live, &Roaring)> {
        let live = self.live.as_ref()?;
        Some((live, &live.changed.shard(number)?.set))
    }

    fn count(&self, place: usize, worker: &Worker) -> u64 {
        let number = self.shards[place];
        let base = self.base.shard(number, worker);
        let Some((live, changed)) = self.changed(number) else {
            return base.map_or(0, |base| base.count());
        };
        let before = base.map_or(0, |base| base.count_outside(&changed.and(base.scope.users)));
        before + live.now(&self.base, number, worker, |now, changed| now.count_within(changed)).unwrap_or(0)
    }

    fn set(&self, place: usize, worker: &Worker) -> Option<Roaring> {
        let number = self.shards[place];
        let base = self.base.shard(number, worker);
        let Some((live, changed)) = self.changed(number) else {
            return base.and_then(|base| base.set());
        };
        let mut set = base.and_then(|base| base.set()).unwrap_or_default();
        set.andnot_inplace(changed);
        if let Some(now) = live.now(&self.base, number, worker, |now, changed| now.set_within(changed)) {
            set.or_inplace(&now);
        }
        Some(set)
    }
}

impl Live {
    /// Asks `each` of one shard, and of those in it that changed and exist.
    fn now<T>(&self, base: &Asked, number: u32, worker: &Worker, each: impl FnOnce(&Shard<'_>, &Roaring) -> T) -> Option<T> {
        let users = self.asked.users.shard(number)?;
        let changed = self.changed.shard(number)?.set.and(&users.set);
        // Stored leaves may hold users who are gone.
        let before = if Arc::ptr_eq(&base.users, &self.asked.users) { None } else { base.users.shard(number) };
        let all = before.map(|before| before.set.or(&users.set));
        let users = all.as_ref().unwrap_or(&users.set);
        let scope = Scope { number, users, users_len: users.cardinality() as u32, pool: &worker.pool };
        Some(each(&Shard::new(&self.asked.plan, scope, worker), &changed))
    }
}

impl Plan {
    /// Whether a count reads more than `left` bytes; counts down while it looks.
    fn reads_more_than(&self, left: &mut u64) -> bool {
        let mut read = |cardinality: u32, times: u64| {
            let bytes = u64::from(cardinality).saturating_mul(2).min(RESULT_BYTES as u64) * times;
            *left = left.saturating_sub(bytes);
            *left == 0
        };
        self.ops.iter().any(|op| match &op.kind {
            Kind::Owned(bitmap) => bitmap.shards().iter().any(|shard| read(shard.len, 1)),
            Kind::Stored(stored) | Kind::Edited { stored: Some(stored), .. } => stored.shard_lens().any(|(_, len)| read(len, 1)),
            Kind::Range { slices, .. } => {
                let slices_read = u64::from(u128::BITS - slices.span().leading_zeros());
                slices.existence().shard_lens().any(|(_, len)| read(len, slices_read))
            }
            Kind::Edited { stored: None, .. } | Kind::And { .. } | Kind::Or { .. } => false,
        })
    }
}
