//! Bounds and estimates of cardinalities, from tables alone: no bitmap is read.

use crate::plan::{OpId, OpKind, QueryPlan};

/// Bounds on the number of users of a shard.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) low: u32,
    pub(crate) high: u32,
    /// The estimate if operands are independent. For choosing how to evaluate, not for answers.
    pub(crate) likely: u32,
}

impl Size {
    pub(crate) fn exact(len: u32) -> Self {
        Self { low: len, high: len, likely: len }
    }
}

/// The size of one operation in a shard of `users` users, from the sizes of its operands.
pub(crate) fn size(kind: &OpKind, shard: u32, users: u32, sizes: &[Size]) -> Size {
    match kind {
        OpKind::Owned(bitmap) => Size::exact(bitmap.shard(shard).map_or(0, |shard| shard.len)),
        OpKind::Stored(stored) => Size::exact(stored.shard_len(shard)),
        OpKind::Edited { stored, edits } => {
            let (stored, edits) = (
                stored.as_ref().map_or(0, |stored| stored.shard_len(shard)),
                edits.shard(shard).len() as u32,
            );
            Size {
                low: stored.saturating_sub(edits),
                high: stored.saturating_add(edits).min(users),
                likely: stored,
            }
        }
        OpKind::Range { slices, .. } => {
            let high = slices.existence().shard_len(shard);
            Size { low: 0, high, likely: high }
        }
        OpKind::And { all, none } => {
            // How many users each operand misses at most.
            let missed: u64 =
                all.iter().map(|id| u64::from(users.saturating_sub(sizes[*id].low))).sum();
            let dropped: u64 = none.iter().map(|id| u64::from(sizes[*id].high)).sum();
            let least = none.iter().map(|id| sizes[*id].low).max().unwrap_or(0);
            let high = all
                .iter()
                .map(|id| sizes[*id].high)
                .min()
                .unwrap_or(users)
                .min(users.saturating_sub(least));
            let low = u64::from(users).saturating_sub(missed + dropped) as u32;
            let share = all
                .iter()
                .map(|id| share(sizes[*id], users))
                .chain(none.iter().map(|id| 1.0 - share(sizes[*id], users)))
                .product();
            Size { low, high, likely: likely(share, users).clamp(low, high.max(low)) }
        }
        OpKind::Or { any, disjoint } => {
            let sum = |of: fn(&Size) -> u32| {
                any.iter().map(|id| u64::from(of(&sizes[*id]))).sum::<u64>().min(u64::from(users))
                    as u32
            };
            let low = if *disjoint {
                sum(|size| size.low)
            } else {
                any.iter().map(|id| sizes[*id].low).max().unwrap_or(0)
            };
            let high = sum(|size| size.high);
            let others: f64 = any.iter().map(|id| 1.0 - share(sizes[*id], users)).product();
            let likely =
                if *disjoint { sum(|size| size.likely) } else { likely(1.0 - others, users) };
            Size { low, high, likely: likely.clamp(low, high.max(low)) }
        }
    }
}

fn share(size: Size, users: u32) -> f64 {
    f64::from(size.likely) / f64::from(users.max(1))
}

fn likely(share: f64, users: u32) -> u32 {
    (share * f64::from(users)) as u32
}

/// The size of a whole plan in a shard of `users` users.
pub(crate) fn of_plan(plan: &QueryPlan, shard: u32, users: u32, sizes: &mut Vec<Size>) -> Size {
    sizes.clear();
    for op in &plan.ops {
        let size = size(&op.kind, shard, users, sizes);
        sizes.push(size);
    }
    let of = |id: OpId| sizes[id];
    let root = plan.root.map_or(Size::exact(0), of);
    let other = |count: u32| users - count.min(users);
    if plan.negated {
        Size { low: other(root.high), high: other(root.low), likely: other(root.likely) }
    } else {
        root
    }
}
