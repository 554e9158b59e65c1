//! "And": which operand comes first, which are taken together, and what each leaves.

use super::fused::{Fused, Job};
use super::{DENSE, Shard};
use crate::plan::{OpId, OpKind};
use crate::shard_set::{ShardSet, intersect, subtract};
use croaring::Bitmap as Roaring;

/// With fewer than 1 / `HALF_DENSE` of the users to look up, reading all words of the other
/// operands does not pay.
const HALF_DENSE: u32 = 256;

/// One operand of an "and": to keep, or to take away.
pub(super) struct Step {
    pub(super) id: OpId,
    pub(super) negative: bool,
}

impl<'a> Shard<'a> {
    /// The operands of an "and" in the order of evaluation: smallest result first, comparisons of
    /// numbers last, because they read several bitmaps. Operands that change nothing are left out:
    /// everybody to keep, nobody to take away.
    pub(super) fn steps(&self, all: &[OpId], none: &[OpId]) -> Vec<Step> {
        let keep =
            all.iter().filter(|id| !self.is_full(**id)).map(|id| Step { id: *id, negative: false });
        let drop = none
            .iter()
            .filter(|id| self.size(**id).high > 0)
            .map(|id| Step { id: *id, negative: true });
        let mut steps: Vec<Step> = keep.chain(drop).collect();
        steps.sort_by_key(|step| {
            let likely = self.size(step.id).likely;
            (
                self.plan.ops[step.id].expensive,
                if step.negative { u32::MAX - likely } else { likely },
            )
        });
        steps
    }

    /// The first result: of the dense steps fused into one pass where that pays, else of the first
    /// step. Removes the steps it has taken.
    pub(super) fn seed(&self, steps: &mut Vec<Step>, within: Option<&Roaring>) -> ShardSet<'a> {
        let cheap = steps.iter().take_while(|step| !self.plan.ops[step.id].expensive).count();
        if let Some(job) = self.fuse(&steps[..cheap]) {
            let part = Fused::new(self, job).shard_set();
            steps.drain(..cheap);
            return part;
        }
        let Some(first) = steps.iter().position(|step| !step.negative) else {
            return ShardSet::Full;
        };
        let first = steps.remove(first);
        self.shard_set(first.id, within)
    }

    /// Fuses dense operands into one word-wise pass; `None` for fewer than two.
    pub(super) fn fuse(&self, cheap: &[Step]) -> Option<Job> {
        let smallest = cheap
            .iter()
            .filter(|step| !step.negative)
            .map(|step| self.size(step.id).likely)
            .min()?;
        let users = self.scope.users_len;
        let leaves = cheap.iter().all(|step| self.plan.ops[step.id].is_leaf());
        let enough = match cheap.len() {
            0 | 1 => return None,
            // Croaring intersects two arrays faster.
            2 if leaves => users / DENSE,
            _ if !leaves || cheap.iter().any(|step| self.size(step.id).high > users / DENSE) => {
                users / HALF_DENSE
            }
            _ => users / DENSE,
        };
        if smallest <= enough {
            return None;
        }
        let of = |negative: bool| {
            cheap.iter().filter(|step| step.negative == negative).map(|step| step.id).collect()
        };
        Some(Job::And { all: of(false), none: of(true) })
    }

    pub(super) fn and_set(
        &self,
        all: &[OpId],
        none: &[OpId],
        within: Option<&Roaring>,
    ) -> ShardSet<'a> {
        let mut steps = self.steps(all, none);
        let first = self.seed(&mut steps, within);
        steps
            .iter()
            .try_fold(first, |so_far, step| self.take(step, so_far, within))
            .unwrap_or(ShardSet::Empty)
    }

    pub(super) fn and_count(&self, all: &[OpId], none: &[OpId]) -> u64 {
        let mut steps = self.steps(all, none);
        if steps.iter().all(|step| !self.plan.ops[step.id].expensive)
            && let Some(job) = self.fuse(&steps)
        {
            return Fused::new(self, job).count();
        }
        let first = self.seed(&mut steps, None);
        let Some(last) = steps.pop() else {
            return first.len(&self.scope);
        };
        match steps.iter().try_fold(first, |so_far, step| self.take(step, so_far, None)) {
            Some(so_far) => self.count_step(&last, &so_far),
            None => 0,
        }
    }

    /// `so_far` after a step; `None` when it is empty.
    pub(super) fn take(
        &self,
        step: &Step,
        so_far: ShardSet<'a>,
        within: Option<&Roaring>,
    ) -> Option<ShardSet<'a>> {
        if matches!(so_far, ShardSet::Empty) {
            return None;
        }
        let part = self.shard_set(step.id, so_far.set().or(within));
        let left = if step.negative {
            subtract(&self.scope, so_far, &part)
        } else {
            intersect(&self.scope, so_far, part)
        };
        (!matches!(left, ShardSet::Empty)).then_some(left)
    }

    /// The size of `so_far` after a step.
    pub(super) fn count_step(&self, step: &Step, so_far: &ShardSet<'a>) -> u64 {
        let before = so_far.len(&self.scope);
        if let (OpKind::Range { slices, low, high }, false) =
            (&self.plan.ops[step.id].kind, matches!(so_far, ShardSet::Empty))
        {
            let both = slices.range_len(self.scope.number, *low, *high, so_far.set());
            return if step.negative { before - both } else { both };
        }
        let part = self.shard_set(step.id, so_far.set());
        let both = match (so_far.set(), part.set()) {
            (Some(a), Some(b)) => a.and_cardinality(b),
            (None, _) if matches!(so_far, ShardSet::Full) => part.len(&self.scope),
            (_, None) if matches!(part, ShardSet::Full) => before,
            _ => 0,
        };
        if step.negative { before - both } else { both }
    }
}
