//! A part of a formula, restricted to a few users: reads little for few.

use super::conjunction::Step;
use super::{DENSE, SPARSE, Shard};
use crate::plan::{OpId, OpKind};
use crate::shard_set::{Scope, ShardSet, unite};
use croaring::Bitmap as Roaring;

impl<'a> Shard<'a> {
    /// The users of `within` that an operation matches. Reads little when they are few.
    pub(super) fn restrict(&self, id: OpId, within: &Roaring) -> ShardSet<'a> {
        if self.size(id).high == 0 {
            return ShardSet::Empty;
        }
        if !self.is_full(id) {
            match &self.plan.ops[id].kind {
                OpKind::And { all, none } if self.is_few(within) => {
                    let steps = self.steps(all, none);
                    let Some((first, rest)) = steps.split_first() else {
                        return self.scope.owned(within.clone());
                    };
                    let first = match first {
                        Step { id, negative: false } => self.restrict(*id, within),
                        step => subtract_from(
                            &self.scope,
                            within,
                            &self.shard_set(step.id, Some(within)),
                        ),
                    };
                    return rest
                        .iter()
                        .try_fold(first, |so_far, step| self.take(step, so_far, None))
                        .unwrap_or(ShardSet::Empty);
                }
                OpKind::Or { any, .. } if self.is_sparse(within, any) => {
                    return unite(
                        &self.scope,
                        any.iter().map(|id| self.restrict(*id, within)).collect(),
                    );
                }
                _ => {}
            }
        }
        match self.shard_set(id, Some(within)) {
            ShardSet::Empty => ShardSet::Empty,
            ShardSet::Full => self.scope.owned(within.clone()),
            ShardSet::Owned(mut set) => {
                set.and_inplace(within);
                self.scope.owned(set)
            }
            part => part.set().map_or(ShardSet::Empty, |set| self.scope.owned(set.and(within))),
        }
    }

    pub(super) fn restricted_count(&self, id: OpId, within: &Roaring) -> u64 {
        match &self.plan.ops[id].kind {
            OpKind::And { .. } | OpKind::Or { .. } => self.restrict(id, within).len(&self.scope),
            OpKind::Range { slices, low, high } => {
                slices.range_len(self.scope.number, *low, *high, Some(within))
            }
            _ => match self.shard_set(id, Some(within)) {
                ShardSet::Full => within.cardinality(),
                part => part.set().map_or(0, |set| set.and_cardinality(within)),
            },
        }
    }

    /// Whether they are so few that the operands need not be evaluated in full.
    pub(super) fn is_few(&self, within: &Roaring) -> bool {
        within.cardinality() <= u64::from(self.scope.users_len / DENSE)
    }

    pub(super) fn is_sparse(&self, within: &Roaring, any: &[OpId]) -> bool {
        within.cardinality() * SPARSE < self.operand_users(any)
    }

    pub(super) fn operand_users(&self, any: &[OpId]) -> u64 {
        any.iter().map(|id| u64::from(self.size(*id).high)).sum()
    }
}

fn subtract_from<'a>(scope: &Scope<'a>, from: &Roaring, part: &ShardSet<'_>) -> ShardSet<'a> {
    match part {
        ShardSet::Full => ShardSet::Empty,
        part => scope.owned(part.set().map_or_else(|| from.clone(), |set| from.andnot(set))),
    }
}
