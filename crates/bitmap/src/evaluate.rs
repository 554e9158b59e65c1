//! One shard of a plan. Intermediate results are at most 128 KiB and stay in the second-level
//! cache.
//!
//! Where all that an operation reads is dense, [`fused`] runs it container by container over words
//! in the first-level cache. Where something is sparse, croaring starts there and everything else
//! is cut down to what is left.

use crate::blob::Blob;
use crate::edits::ShardEdits;
use crate::kernel::Level;
use crate::part::{Part, Scope, intersect, subtract, unite};
use crate::plan::{Kind, OpId, Plan};
use crate::view::{Pool, view};
use croaring::{Bitmap as Roaring, Portable};
use fused::{Buffers, Fused, Job};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use taghouse_model::Ordinal;

pub(crate) mod bounds;
mod fused;

use bounds::Size;

/// An "or" within candidates this many times fewer than its operands hold is cut down to the
/// candidates first.
const SPARSE: u64 = 16;
/// Containers of more than 1 / `DENSE` of their span are bitsets.
const DENSE: u32 = 16;
/// With fewer than 1 / `HALF_DENSE` of the users to look up, reading all words of the other
/// operands does not pay.
const HALF_DENSE: u32 = 256;
/// The operands of an "or" that hold together more than 1 / `OR_DENSE` of the users are united as
/// words.
const OR_DENSE: u64 = 128;

/// Up to so many users of a shard are asked for one by one.
const ONE_BY_ONE: u64 = 256;

/// What one thread keeps from shard to shard.
pub(crate) struct Worker {
    pub(crate) pool: Pool,
    pub(crate) buffers: Buffers,
    pub(crate) level: Level,
}

impl Default for Worker {
    fn default() -> Self {
        Self { pool: Pool::default(), buffers: Buffers::default(), level: Level::best() }
    }
}

/// A leaf's shard.
#[derive(Clone, Copy)]
pub(crate) enum Leaf<'a> {
    Empty,
    Owned(&'a Roaring),
    Stored(Blob<'a>),
    Edited(Option<Blob<'a>>, ShardEdits<'a>),
}

/// One shard of one plan.
pub(crate) struct Shard<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) plan: &'a Plan,
    worker: &'a Worker,
    sizes: Vec<Size>,
    leaves: Vec<Leaf<'a>>,
    /// Results that are asked for more than once.
    memo: RefCell<Vec<Option<Rc<Part<'a>>>>>,
    /// Owned leaves in the portable form, which words are read from.
    portable: Vec<OnceCell<Vec<u8>>>,
}

impl Drop for Shard<'_> {
    fn drop(&mut self) {
        for buffer in self.portable.drain(..).filter_map(OnceCell::into_inner) {
            self.worker.pool.give(buffer);
        }
    }
}

impl<'a> Shard<'a> {
    pub(crate) fn new(plan: &'a Plan, scope: Scope<'a>, worker: &'a Worker) -> Self {
        let mut shard = Self {
            sizes: Vec::with_capacity(plan.ops.len()),
            leaves: Vec::with_capacity(plan.ops.len()),
            memo: RefCell::default(),
            portable: Vec::new(),
            scope,
            plan,
            worker,
        };
        for op in &plan.ops {
            let number = shard.scope.number;
            let (leaf, size) = match &op.kind {
                Kind::Owned(bitmap) => match bitmap.shard(number) {
                    Some(shard) => (Leaf::Owned(&shard.set), Size::exact(shard.len)),
                    None => (Leaf::Empty, Size::exact(0)),
                },
                Kind::Stored(stored) => match stored.blob(number) {
                    Some((len, blob)) => (Leaf::Stored(blob), Size::exact(len)),
                    None => (Leaf::Empty, Size::exact(0)),
                },
                Kind::Edited { stored, edits } => {
                    let blob = stored
                        .as_ref()
                        .and_then(|stored| stored.blob(number))
                        .map(|(_, blob)| blob);
                    let edits = edits.shard(number);
                    let leaf = match blob {
                        Some(blob) if edits.len() == 0 => Leaf::Stored(blob),
                        None if edits.len() == 0 => Leaf::Empty,
                        blob => Leaf::Edited(blob, edits),
                    };
                    (leaf, bounds::size(&op.kind, number, shard.scope.users_len, &shard.sizes))
                }
                kind => {
                    (Leaf::Empty, bounds::size(kind, number, shard.scope.users_len, &shard.sizes))
                }
            };
            shard.leaves.push(leaf);
            shard.sizes.push(size);
        }
        if plan.ops.iter().any(crate::plan::Op::is_shared) {
            shard.memo.get_mut().resize_with(plan.ops.len(), || None);
        }
        shard.portable.resize_with(plan.ops.len(), OnceCell::new);
        shard
    }

    /// How many in this shard. The last operation only counts.
    pub(crate) fn count(&self) -> u64 {
        let node = self.plan.root.map_or(0, |root| self.count_op(root));
        if self.plan.negated { u64::from(self.scope.users_len) - node } else { node }
    }

    /// Who in this shard.
    pub(crate) fn set(&self) -> Option<Roaring> {
        let set = self.plan.root.and_then(|root| self.part(root, None).into_set(&self.scope));
        match set {
            set if !self.plan.negated => set,
            None => Some(self.scope.users.clone()),
            Some(set) => Some(self.scope.users.andnot(&set)),
        }
    }

    /// How many of those in `within`, all of whom exist.
    pub(crate) fn count_within(&self, within: &Roaring) -> u64 {
        if within.cardinality() <= ONE_BY_ONE {
            return within.iter().filter(|ordinal| self.holds_root(*ordinal)).count() as u64;
        }
        let node = self.plan.root.map_or(0, |root| self.cut_count(root, within));
        if self.plan.negated { within.cardinality() - node } else { node }
    }

    /// How many of those that are not in `changed`, all of whom exist.
    pub(crate) fn count_outside(&self, changed: &Roaring) -> u64 {
        if self.is_few(changed) {
            return self.count() - self.count_within(changed);
        }
        self.set().map_or(0, |set| set.andnot_cardinality(changed))
    }

    /// Who of those in `within`, all of whom exist.
    pub(crate) fn set_within(&self, within: &Roaring) -> Roaring {
        if within.cardinality() <= ONE_BY_ONE {
            return within.iter().filter(|ordinal| self.holds_root(*ordinal)).collect();
        }
        let set = self.plan.root.and_then(|root| self.cut(root, within).into_set(&self.scope));
        match set {
            set if !self.plan.negated => set.unwrap_or_default(),
            None => within.clone(),
            Some(set) => within.andnot(&set),
        }
    }

    fn holds_root(&self, ordinal: Ordinal) -> bool {
        self.plan.root.is_some_and(|root| self.holds(root, ordinal)) != self.plan.negated
    }

    /// Whether one user is in it.
    fn holds(&self, id: OpId, ordinal: Ordinal) -> bool {
        match &self.plan.ops[id].kind {
            Kind::Owned(_) | Kind::Stored(_) | Kind::Edited { .. } => match self.leaves[id] {
                Leaf::Empty => false,
                Leaf::Owned(set) => set.contains(ordinal),
                Leaf::Stored(blob) => blob.contains(ordinal),
                Leaf::Edited(blob, edits) => edits
                    .get(ordinal)
                    .unwrap_or_else(|| blob.is_some_and(|blob| blob.contains(ordinal))),
            },
            Kind::Range { slices, low, high } => {
                // All slices were loaded before, so that nothing can fail.
                slices.offset_of(ordinal).is_ok_and(|offset| {
                    offset.is_some_and(|offset| (*low..=*high).contains(&offset))
                })
            }
            Kind::And { all, none } => {
                all.iter().all(|id| self.holds(*id, ordinal))
                    && !none.iter().any(|id| self.holds(*id, ordinal))
            }
            Kind::Or { any, .. } => any.iter().any(|id| self.holds(*id, ordinal)),
        }
    }

    fn size(&self, id: OpId) -> Size {
        self.sizes[id]
    }

    fn is_full(&self, id: OpId) -> bool {
        self.size(id).low == self.scope.users_len
    }

    /// What a leaf's words are read from.
    fn blob(&self, id: OpId) -> Option<Blob<'_>> {
        match self.leaves[id] {
            Leaf::Empty => None,
            Leaf::Stored(blob) => Some(blob),
            Leaf::Owned(set) => {
                Some(Blob::checked(self.portable[id].get_or_init(|| self.portable_of(set))))
            }
            Leaf::Edited(blob, edits) => Some(Blob::checked(
                self.portable[id].get_or_init(|| self.portable_of(&edited(blob, edits))),
            )),
        }
    }

    fn portable_of(&self, set: &Roaring) -> Vec<u8> {
        let mut buffer = self.worker.pool.take();
        buffer.clear();
        let _ = set.serialize_into_vec::<Portable>(&mut buffer);
        buffer
    }

    fn count_op(&self, id: OpId) -> u64 {
        let size = self.size(id);
        if size.low == size.high {
            return u64::from(size.low);
        }
        match &self.plan.ops[id].kind {
            Kind::Owned(_) | Kind::Stored(_) => u64::from(size.high),
            Kind::Edited { .. } => self.part(id, None).len(&self.scope),
            Kind::Range { slices, low, high } => {
                slices.range_len(self.scope.number, *low, *high, None)
            }
            Kind::And { all, none } => self.and_count(all, none),
            Kind::Or { any, disjoint: true } => any.iter().map(|id| self.count_op(*id)).sum(),
            Kind::Or { any, .. } => self.or_count(any),
        }
    }

    /// This shard. With `within`, the result has to be right only for those in it, and may leave
    /// out or hold any others.
    fn part(&self, id: OpId, within: Option<&Roaring>) -> Part<'a> {
        if self.size(id).high == 0 {
            return Part::Empty;
        }
        if self.is_full(id) {
            return Part::Full;
        }
        if !self.plan.ops[id].is_shared() {
            return self.fresh_part(id, within);
        }
        let known = self.memo.borrow()[id].clone();
        if let Some(known) = known {
            return shared(known);
        }
        if within
            .is_some_and(|within| within.cardinality() * SPARSE < u64::from(self.size(id).high))
        {
            return self.fresh_part(id, within);
        }
        let part = Rc::new(self.fresh_part(id, None));
        self.memo.borrow_mut()[id] = Some(part.clone());
        shared(part)
    }

    fn fresh_part(&self, id: OpId, within: Option<&Roaring>) -> Part<'a> {
        match &self.plan.ops[id].kind {
            Kind::Owned(_) | Kind::Stored(_) | Kind::Edited { .. } => match self.leaves[id] {
                Leaf::Empty => Part::Empty,
                Leaf::Owned(set) => Part::Borrowed(set),
                Leaf::Stored(blob) => Part::View(view(blob)),
                Leaf::Edited(blob, edits) => self.scope.owned(edited(blob, edits)),
            },
            Kind::Range { slices, low, high } => slices.range(&self.scope, *low, *high, within),
            Kind::And { all, none } => match within {
                Some(few)
                    if self.is_few(few)
                        && all
                            .iter()
                            .all(|id| few.cardinality() < u64::from(self.size(*id).high)) =>
                {
                    self.cut(id, few)
                }
                _ => self.and_part(all, none, within),
            },
            Kind::Or { any, .. } => self.or_part(any, within),
        }
    }

    /// Those of `within` that are in it. Reads little for few.
    fn cut(&self, id: OpId, within: &Roaring) -> Part<'a> {
        if self.size(id).high == 0 {
            return Part::Empty;
        }
        if !self.is_full(id) {
            match &self.plan.ops[id].kind {
                Kind::And { all, none } if self.is_few(within) => {
                    let steps = self.steps(all, none);
                    let Some((first, rest)) = steps.split_first() else {
                        return self.scope.owned(within.clone());
                    };
                    let first = match first {
                        Step { id, negative: false } => self.cut(*id, within),
                        step => {
                            subtract_from(&self.scope, within, &self.part(step.id, Some(within)))
                        }
                    };
                    return rest
                        .iter()
                        .try_fold(first, |so_far, step| self.take(step, so_far, None))
                        .unwrap_or(Part::Empty);
                }
                Kind::Or { any, .. } if self.is_sparse(within, any) => {
                    return unite(
                        &self.scope,
                        any.iter().map(|id| self.cut(*id, within)).collect(),
                    );
                }
                _ => {}
            }
        }
        match self.part(id, Some(within)) {
            Part::Empty => Part::Empty,
            Part::Full => self.scope.owned(within.clone()),
            Part::Owned(mut set) => {
                set.and_inplace(within);
                self.scope.owned(set)
            }
            part => part.set().map_or(Part::Empty, |set| self.scope.owned(set.and(within))),
        }
    }

    fn cut_count(&self, id: OpId, within: &Roaring) -> u64 {
        match &self.plan.ops[id].kind {
            Kind::And { .. } | Kind::Or { .. } => self.cut(id, within).len(&self.scope),
            Kind::Range { slices, low, high } => {
                slices.range_len(self.scope.number, *low, *high, Some(within))
            }
            _ => match self.part(id, Some(within)) {
                Part::Full => within.cardinality(),
                part => part.set().map_or(0, |set| set.and_cardinality(within)),
            },
        }
    }

    /// So few that what they are cut from need not be evaluated outright.
    fn is_few(&self, within: &Roaring) -> bool {
        within.cardinality() <= u64::from(self.scope.users_len / DENSE)
    }

    fn is_sparse(&self, within: &Roaring, any: &[OpId]) -> bool {
        within.cardinality() * SPARSE < self.held(any)
    }

    fn held(&self, any: &[OpId]) -> u64 {
        any.iter().map(|id| u64::from(self.size(*id).high)).sum()
    }

    /// The operands of an "and" that are neither nobody (to take away) nor everybody (to keep), in
    /// the order in which to take them: the smallest first, what is taken away after it,
    /// comparisons last.
    fn steps(&self, all: &[OpId], none: &[OpId]) -> Vec<Step> {
        let keep =
            all.iter().filter(|id| !self.is_full(**id)).map(|id| Step { id: *id, negative: false });
        let drop = none
            .iter()
            .filter(|id| self.size(**id).high > 0)
            .map(|id| Step { id: *id, negative: true });
        let mut steps: Vec<Step> = keep.chain(drop).collect();
        steps.sort_by_key(|step| {
            let likely = self.size(step.id).likely;
            (self.plan.ops[step.id].dear, if step.negative { u32::MAX - likely } else { likely })
        });
        steps
    }

    /// What comes first, when those steps that pay are taken together as words.
    fn seed(&self, steps: &mut Vec<Step>, within: Option<&Roaring>) -> Part<'a> {
        let cheap = steps.iter().take_while(|step| !self.plan.ops[step.id].dear).count();
        if let Some(job) = self.fuse(&steps[..cheap]) {
            let part = Fused::new(self, job).part();
            steps.drain(..cheap);
            return part;
        }
        let Some(first) = steps.iter().position(|step| !step.negative) else { return Part::Full };
        let first = steps.remove(first);
        self.part(first.id, within)
    }

    /// Fuses dense operands into one word-wise pass; `None` for fewer than two.
    fn fuse(&self, cheap: &[Step]) -> Option<Job> {
        let smallest = cheap
            .iter()
            .filter(|step| !step.negative)
            .map(|step| self.size(step.id).likely)
            .min()?;
        let users = self.scope.users_len;
        let leaves = cheap.iter().all(|step| self.plan.ops[step.id].is_leaf());
        let enough = match cheap.len() {
            0 | 1 => return None,
            // Two arrays meet quicker in croaring.
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

    fn and_part(&self, all: &[OpId], none: &[OpId], within: Option<&Roaring>) -> Part<'a> {
        let mut steps = self.steps(all, none);
        let first = self.seed(&mut steps, within);
        steps
            .iter()
            .try_fold(first, |so_far, step| self.take(step, so_far, within))
            .unwrap_or(Part::Empty)
    }

    fn and_count(&self, all: &[OpId], none: &[OpId]) -> u64 {
        let mut steps = self.steps(all, none);
        if steps.iter().all(|step| !self.plan.ops[step.id].dear)
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

    /// `so_far` after a step; `None` when nobody is left.
    fn take(&self, step: &Step, so_far: Part<'a>, within: Option<&Roaring>) -> Option<Part<'a>> {
        if matches!(so_far, Part::Empty) {
            return None;
        }
        let part = self.part(step.id, so_far.set().or(within));
        let left = if step.negative {
            subtract(&self.scope, so_far, &part)
        } else {
            intersect(&self.scope, so_far, part)
        };
        (!matches!(left, Part::Empty)).then_some(left)
    }

    /// How many are left of `so_far` after a step.
    fn count_step(&self, step: &Step, so_far: &Part<'a>) -> u64 {
        let before = so_far.len(&self.scope);
        if let (Kind::Range { slices, low, high }, false) =
            (&self.plan.ops[step.id].kind, matches!(so_far, Part::Empty))
        {
            let both = slices.range_len(self.scope.number, *low, *high, so_far.set());
            return if step.negative { before - both } else { both };
        }
        let part = self.part(step.id, so_far.set());
        let both = match (so_far.set(), part.set()) {
            (Some(a), Some(b)) => a.and_cardinality(b),
            (None, _) if matches!(so_far, Part::Full) => part.len(&self.scope),
            (_, None) if matches!(part, Part::Full) => before,
            _ => 0,
        };
        if step.negative { before - both } else { both }
    }

    fn or_part(&self, any: &[OpId], within: Option<&Roaring>) -> Part<'a> {
        if let Some(few) = within.filter(|within| self.is_sparse(within, any)) {
            return unite(&self.scope, any.iter().map(|id| self.cut(*id, few)).collect());
        }
        let (cheap, dear): (Vec<OpId>, Vec<OpId>) = any
            .iter()
            .filter(|id| self.size(**id).high > 0)
            .partition(|id| !self.plan.ops[**id].dear);
        let mut parts = Vec::with_capacity(dear.len() + cheap.len());
        if self.is_fused_or(&cheap) {
            parts.push(Fused::new(self, Job::Or { any: cheap }).part());
        } else {
            parts.extend(cheap.iter().map(|id| self.part(*id, within)));
        }
        parts.extend(dear.iter().map(|id| self.part(*id, within)));
        unite(&self.scope, parts)
    }

    fn is_fused_or(&self, cheap: &[OpId]) -> bool {
        cheap.len() > 1 && self.held(cheap) > u64::from(self.scope.users_len) / OR_DENSE
    }

    fn or_count(&self, any: &[OpId]) -> u64 {
        if any.iter().all(|id| !self.plan.ops[*id].dear) && self.is_fused_or(any) {
            return Fused::new(self, Job::Or { any: any.to_vec() }).count();
        }
        let Some((last, rest)) = any.split_last() else {
            return 0;
        };
        let so_far = self.or_part(rest, None);
        let part = self.part(*last, None);
        match (so_far.set(), part.set()) {
            (Some(a), Some(b)) => a.or_cardinality(b),
            _ if matches!(so_far, Part::Full) || matches!(part, Part::Full) => {
                u64::from(self.scope.users_len)
            }
            _ => so_far.len(&self.scope) + part.len(&self.scope),
        }
    }
}

/// One operand of an "and": to keep, or to take away.
struct Step {
    id: OpId,
    negative: bool,
}

fn edited(blob: Option<Blob<'_>>, edits: ShardEdits<'_>) -> Roaring {
    let mut set = blob.map_or_else(Roaring::new, |blob| view(blob).to_bitmap());
    edits.apply(&mut set);
    set
}

fn shared(part: Rc<Part<'_>>) -> Part<'_> {
    match *part {
        Part::Empty => Part::Empty,
        Part::Full => Part::Full,
        _ => Part::Shared(part),
    }
}

fn subtract_from<'a>(scope: &Scope<'a>, from: &Roaring, part: &Part<'_>) -> Part<'a> {
    match part {
        Part::Full => Part::Empty,
        part => scope.owned(part.set().map_or_else(|| from.clone(), |set| from.andnot(set))),
    }
}
