//! A query as it is asked of one shard after another.

use crate::evaluate::bounds::{self, Size};
use crate::evaluate::{Shard, Worker};
use crate::formula::Formula;
use crate::plan::QueryPlan;
use crate::shard_set::Scope;
use crate::{Bitmap, Result};
use croaring::Bitmap as Roaring;
use std::sync::Arc;

/// What is asked of the users as they were and, where some changed since, of those.
pub(super) struct Compiled {
    pub(super) base: Asked,
    pub(super) live: Option<Live>,
    /// Numbers of all shards that somebody can be in.
    pub(super) shards: Vec<u32>,
}

pub(super) struct Asked {
    pub(super) users: Arc<Bitmap>,
    pub(super) formula: Formula,
    pub(super) plan: QueryPlan,
}

/// What answers for users whose values were changed since.
pub(super) struct Live {
    pub(super) changed: Arc<Bitmap>,
    pub(super) asked: Asked,
}

impl Asked {
    pub(super) fn new(users: Arc<Bitmap>, formula: Formula) -> Self {
        Self { plan: QueryPlan::of(&formula), users, formula }
    }

    pub(super) fn size(&self, number: u32, sizes: &mut Vec<Size>) -> Size {
        match self.users.shard(number) {
            Some(users) => bounds::of_plan(&self.plan, number, users.len, sizes),
            None => Size::exact(0),
        }
    }

    /// One shard; `None` where nobody exists.
    pub(super) fn shard<'a>(&'a self, number: u32, worker: &'a Worker) -> Option<Shard<'a>> {
        let users = self.users.shard(number)?;
        let scope = Scope { number, users: &users.set, users_len: users.len, pool: &worker.pool };
        Some(Shard::new(&self.plan, scope, worker))
    }
}

impl Compiled {
    pub(super) fn load(&self) -> Result<()> {
        self.base.plan.load()?;
        self.live.as_ref().map_or(Ok(()), |live| live.asked.plan.load())
    }

    pub(super) fn changed(&self, number: u32) -> Option<(&Live, &Roaring)> {
        let live = self.live.as_ref()?;
        Some((live, &live.changed.shard(number)?.set))
    }

    pub(super) fn count(&self, place: usize, worker: &Worker) -> u64 {
        let number = self.shards[place];
        let base = self.base.shard(number, worker);
        let Some((live, changed)) = self.changed(number) else {
            return base.map_or(0, |base| base.count());
        };
        let before = base.map_or(0, |base| base.count_outside(&changed.and(base.scope.users)));
        before
            + live
                .now(&self.base, number, worker, |now, changed| now.count_within(changed))
                .unwrap_or(0)
    }

    pub(super) fn set(&self, place: usize, worker: &Worker) -> Option<Roaring> {
        let number = self.shards[place];
        let base = self.base.shard(number, worker);
        let Some((live, changed)) = self.changed(number) else {
            return base.and_then(|base| base.set());
        };
        let mut set = base.and_then(|base| base.set()).unwrap_or_default();
        set.andnot_inplace(changed);
        if let Some(now) =
            live.now(&self.base, number, worker, |now, changed| now.set_within(changed))
        {
            set.or_inplace(&now);
        }
        Some(set)
    }
}

impl Live {
    /// Asks `each` of one shard, and of those in it that changed and exist.
    fn now<T>(
        &self,
        base: &Asked,
        number: u32,
        worker: &Worker,
        each: impl FnOnce(&Shard<'_>, &Roaring) -> T,
    ) -> Option<T> {
        let users = self.asked.users.shard(number)?;
        let changed = self.changed.shard(number)?.set.and(&users.set);
        // Stored leaves may hold users who are gone.
        let before = if Arc::ptr_eq(&base.users, &self.asked.users) {
            None
        } else {
            base.users.shard(number)
        };
        let all = before.map(|before| before.set.or(&users.set));
        let users = all.as_ref().unwrap_or(&users.set);
        let scope =
            Scope { number, users, users_len: users.cardinality() as u32, pool: &worker.pool };
        Some(each(&Shard::new(&self.asked.plan, scope, worker), &changed))
    }
}
