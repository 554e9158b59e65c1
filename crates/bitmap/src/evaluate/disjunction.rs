//! "Or": dense operands in one pass over words, the others by croaring.

use super::Shard;
use super::fused::{Fused, Job};
use crate::plan::OpId;
use crate::shard_set::{ShardSet, unite};
use croaring::Bitmap as Roaring;

/// The operands of an "or" that together have more than 1 / `OR_DENSE` of the users are united as
/// words.
const OR_DENSE: u64 = 128;

impl<'a> Shard<'a> {
    pub(super) fn or_set(&self, any: &[OpId], within: Option<&Roaring>) -> ShardSet<'a> {
        if let Some(few) = within.filter(|within| self.is_sparse(within, any)) {
            return unite(&self.scope, any.iter().map(|id| self.restrict(*id, few)).collect());
        }
        let (cheap, expensive): (Vec<OpId>, Vec<OpId>) = any
            .iter()
            .filter(|id| self.size(**id).high > 0)
            .partition(|id| !self.plan.ops[**id].expensive);
        let mut parts = Vec::with_capacity(expensive.len() + cheap.len());
        if self.is_fused_or(&cheap) {
            parts.push(Fused::new(self, Job::Or { any: cheap }).shard_set());
        } else {
            parts.extend(cheap.iter().map(|id| self.shard_set(*id, within)));
        }
        parts.extend(expensive.iter().map(|id| self.shard_set(*id, within)));
        unite(&self.scope, parts)
    }

    pub(super) fn is_fused_or(&self, cheap: &[OpId]) -> bool {
        cheap.len() > 1 && self.operand_users(cheap) > u64::from(self.scope.users_len) / OR_DENSE
    }

    pub(super) fn or_count(&self, any: &[OpId]) -> u64 {
        if any.iter().all(|id| !self.plan.ops[*id].expensive) && self.is_fused_or(any) {
            return Fused::new(self, Job::Or { any: any.to_vec() }).count();
        }
        let Some((last, rest)) = any.split_last() else {
            return 0;
        };
        let so_far = self.or_set(rest, None);
        let part = self.shard_set(*last, None);
        match (so_far.set(), part.set()) {
            (Some(a), Some(b)) => a.or_cardinality(b),
            _ if matches!(so_far, ShardSet::Full) || matches!(part, ShardSet::Full) => {
                u64::from(self.scope.users_len)
            }
            _ => so_far.len(&self.scope) + part.len(&self.scope),
        }
    }
}
