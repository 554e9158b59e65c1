//! Cardinalities told from tables alone.

use crate::plan::{Kind, OpId, Plan};

/// At least and at most so many users of a shard.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) low: u32,
    pub(crate) high: u32,
}

impl Size {
    pub(super) fn exact(len: u32) -> Self {
        Self { low: len, high: len }
    }
}

/// One operation in a shard of `users` users, from the sizes of its operands.
pub(crate) fn size(kind: &Kind, shard: u32, users: u32, sizes: &[Size]) -> Size {
    match kind {
        Kind::Owned(bitmap) => Size::exact(bitmap.shard(shard).map_or(0, |shard| shard.len)),
        Kind::Stored(stored) => Size::exact(stored.shard_len(shard)),
        Kind::Range { slices, .. } => Size { low: 0, high: slices.existence().shard_len(shard) },
        Kind::And { all, none } => {
            // Each operand misses at most so many of the users.
            let missed: u64 = all.iter().map(|id| u64::from(users.saturating_sub(sizes[*id].low))).sum();
            let dropped: u64 = none.iter().map(|id| u64::from(sizes[*id].high)).sum();
            let least = none.iter().map(|id| sizes[*id].low).max().unwrap_or(0);
            let high = all.iter().map(|id| sizes[*id].high).min().unwrap_or(users).min(users.saturating_sub(least));
            Size { low: u64::from(users).saturating_sub(missed + dropped) as u32, high }
        }
        Kind::Or { any, disjoint } => {
            let sum = |of: fn(&Size) -> u32| any.iter().map(|id| u64::from(of(&sizes[*id]))).sum::<u64>().min(u64::from(users)) as u32;
            let low = if *disjoint { sum(|size| size.low) } else { any.iter().map(|id| sizes[*id].low).max().unwrap_or(0) };
            Size { low, high: sum(|size| size.high) }
        }
    }
}

/// A whole plan in a shard of `users` users.
pub(crate) fn of_plan(plan: &Plan, shard: u32, users: u32, sizes: &mut Vec<Size>) -> Size {
    sizes.clear();
    for op in &plan.ops {
        let size = size(&op.kind, shard, users, sizes);
        sizes.push(size);
    }
    let of = |id: OpId| sizes[id];
    let root = plan.root.map_or(Size::exact(0), of);
    if plan.negated { Size { low: users - root.high.min(users), high: users - root.low.min(users) } } else { root }
}
