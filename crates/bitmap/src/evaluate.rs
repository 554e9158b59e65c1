//! Evaluates one shard of a plan. Intermediate results are at most 128 KiB and stay in the
//! second-level cache.
//!
//! Where all operands of an operation are dense, [`fused`] runs it container by container over
//! words in the first-level cache. Where one is sparse, croaring starts with it, and all other
//! operands are restricted to the users that are left.
//!
//! The containers and their algorithms are those of Roaring: Lemire, Ssi-Yan-Kai and Kaser,
//! "Consistently faster and smaller compressed bitmaps with Roaring"
//! (<https://arxiv.org/abs/1603.06549>), and Lemire et al., "Roaring Bitmaps: Implementation of an
//! Optimized Software Library" (<https://arxiv.org/abs/1709.07821>). Comparisons of numbers
//! (`Range`) read a bit-sliced index: see [`crate::slices`].
//!
//! A plan of n operations is evaluated in O(n · 2^20 / 64) words for each shard in the worst case.
//! Shared operations are evaluated once.

use crate::blob::Blob;
use crate::edits::ShardEdits;
use crate::kernel::Level;
use crate::plan::{OpId, OpKind, QueryPlan};
use crate::shard_set::{Scope, ShardSet};
use crate::view::{BufferPool, view};
use croaring::{Bitmap as Roaring, Portable};
use fused::Buffers;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use taghouse_model::Ordinal;

pub(crate) mod bounds;
mod conjunction;
mod disjunction;
mod fused;
mod restrict;

use bounds::Size;

/// An "or" is restricted to its candidates first if they are this many times fewer than the users
/// of its operands.
const SPARSE: u64 = 16;
/// Containers of more than 1 / `DENSE` of their span are bitsets.
const DENSE: u32 = 16;
/// Up to this many users of a shard are looked up one by one.
const ONE_BY_ONE: u64 = 256;

/// Buffers and settings that one thread keeps from shard to shard.
pub(crate) struct Worker {
    pub(crate) pool: BufferPool,
    pub(crate) buffers: Buffers,
    pub(crate) level: Level,
}

impl Default for Worker {
    fn default() -> Self {
        Self { pool: BufferPool::default(), buffers: Buffers::default(), level: Level::best() }
    }
}

/// One shard of a leaf.
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
    pub(crate) plan: &'a QueryPlan,
    worker: &'a Worker,
    sizes: Vec<Size>,
    leaves: Vec<Leaf<'a>>,
    /// Results that are needed more than once.
    memo: RefCell<Vec<Option<Rc<ShardSet<'a>>>>>,
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
    pub(crate) fn new(plan: &'a QueryPlan, scope: Scope<'a>, worker: &'a Worker) -> Self {
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
                OpKind::Owned(bitmap) => match bitmap.shard(number) {
                    Some(shard) => (Leaf::Owned(&shard.set), Size::exact(shard.len)),
                    None => (Leaf::Empty, Size::exact(0)),
                },
                OpKind::Stored(stored) => match stored.blob(number) {
                    Some((len, blob)) => (Leaf::Stored(blob), Size::exact(len)),
                    None => (Leaf::Empty, Size::exact(0)),
                },
                OpKind::Edited { stored, edits } => {
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

    /// The number of matching users. The last operation only counts and materialises nothing.
    pub(crate) fn count(&self) -> u64 {
        let node = self.plan.root.map_or(0, |root| self.count_op(root));
        if self.plan.negated { u64::from(self.scope.users_len) - node } else { node }
    }

    /// The matching users; `None` for nobody.
    pub(crate) fn set(&self) -> Option<Roaring> {
        let set = self.plan.root.and_then(|root| self.shard_set(root, None).into_set(&self.scope));
        match set {
            set if !self.plan.negated => set,
            None => Some(self.scope.users.clone()),
            Some(set) => Some(self.scope.users.andnot(&set)),
        }
    }

    /// The number of matching users in `within`, all of whom must exist.
    pub(crate) fn count_within(&self, within: &Roaring) -> u64 {
        if within.cardinality() <= ONE_BY_ONE {
            return within.iter().filter(|ordinal| self.contains_user(*ordinal)).count() as u64;
        }
        let node = self.plan.root.map_or(0, |root| self.restricted_count(root, within));
        if self.plan.negated { within.cardinality() - node } else { node }
    }

    /// The number of matching users outside `changed`, all of whom must exist.
    pub(crate) fn count_outside(&self, changed: &Roaring) -> u64 {
        if self.is_few(changed) {
            return self.count() - self.count_within(changed);
        }
        self.set().map_or(0, |set| set.andnot_cardinality(changed))
    }

    /// The matching users in `within`, all of whom must exist.
    pub(crate) fn set_within(&self, within: &Roaring) -> Roaring {
        if within.cardinality() <= ONE_BY_ONE {
            return within.iter().filter(|ordinal| self.contains_user(*ordinal)).collect();
        }
        let set = self.plan.root.and_then(|root| self.restrict(root, within).into_set(&self.scope));
        match set {
            set if !self.plan.negated => set.unwrap_or_default(),
            None => within.clone(),
            Some(set) => within.andnot(&set),
        }
    }

    fn contains_user(&self, ordinal: Ordinal) -> bool {
        self.plan.root.is_some_and(|root| self.contains(root, ordinal)) != self.plan.negated
    }

    /// Whether the result of an operation contains a user.
    fn contains(&self, id: OpId, ordinal: Ordinal) -> bool {
        match &self.plan.ops[id].kind {
            OpKind::Owned(_) | OpKind::Stored(_) | OpKind::Edited { .. } => match self.leaves[id] {
                Leaf::Empty => false,
                Leaf::Owned(set) => set.contains(ordinal),
                Leaf::Stored(blob) => blob.contains(ordinal),
                Leaf::Edited(blob, edits) => edits
                    .get(ordinal)
                    .unwrap_or_else(|| blob.is_some_and(|blob| blob.contains(ordinal))),
            },
            OpKind::Range { slices, low, high } => {
                // All slices were loaded before, so that nothing can fail.
                slices.offset_of(ordinal).is_ok_and(|offset| {
                    offset.is_some_and(|offset| (*low..=*high).contains(&offset))
                })
            }
            OpKind::And { all, none } => {
                all.iter().all(|id| self.contains(*id, ordinal))
                    && !none.iter().any(|id| self.contains(*id, ordinal))
            }
            OpKind::Or { any, .. } => any.iter().any(|id| self.contains(*id, ordinal)),
        }
    }

    fn size(&self, id: OpId) -> Size {
        self.sizes[id]
    }

    fn is_full(&self, id: OpId) -> bool {
        self.size(id).low == self.scope.users_len
    }

    /// The stored form of a leaf, which its words are read from.
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
            OpKind::Owned(_) | OpKind::Stored(_) => u64::from(size.high),
            OpKind::Edited { .. } => self.shard_set(id, None).len(&self.scope),
            OpKind::Range { slices, low, high } => {
                slices.range_len(self.scope.number, *low, *high, None)
            }
            OpKind::And { all, none } => self.and_count(all, none),
            OpKind::Or { any, disjoint: true } => any.iter().map(|id| self.count_op(*id)).sum(),
            OpKind::Or { any, .. } => self.or_count(any),
        }
    }

    /// The result of an operation. With `within`, it has to be right only for the users in it: any
    /// others may be present or absent.
    fn shard_set(&self, id: OpId, within: Option<&Roaring>) -> ShardSet<'a> {
        if self.size(id).high == 0 {
            return ShardSet::Empty;
        }
        if self.is_full(id) {
            return ShardSet::Full;
        }
        if !self.plan.ops[id].is_shared() {
            return self.evaluate(id, within);
        }
        let known = self.memo.borrow()[id].clone();
        if let Some(known) = known {
            return shared(known);
        }
        if within
            .is_some_and(|within| within.cardinality() * SPARSE < u64::from(self.size(id).high))
        {
            return self.evaluate(id, within);
        }
        let part = Rc::new(self.evaluate(id, None));
        self.memo.borrow_mut()[id] = Some(part.clone());
        shared(part)
    }

    fn evaluate(&self, id: OpId, within: Option<&Roaring>) -> ShardSet<'a> {
        match &self.plan.ops[id].kind {
            OpKind::Owned(_) | OpKind::Stored(_) | OpKind::Edited { .. } => match self.leaves[id] {
                Leaf::Empty => ShardSet::Empty,
                Leaf::Owned(set) => ShardSet::Borrowed(set),
                Leaf::Stored(blob) => ShardSet::View(view(blob)),
                Leaf::Edited(blob, edits) => self.scope.owned(edited(blob, edits)),
            },
            OpKind::Range { slices, low, high } => slices.range(&self.scope, *low, *high, within),
            OpKind::And { all, none } => match within {
                Some(few)
                    if self.is_few(few)
                        && all
                            .iter()
                            .all(|id| few.cardinality() < u64::from(self.size(*id).high)) =>
                {
                    self.restrict(id, few)
                }
                _ => self.and_set(all, none, within),
            },
            OpKind::Or { any, .. } => self.or_set(any, within),
        }
    }
}

fn edited(blob: Option<Blob<'_>>, edits: ShardEdits<'_>) -> Roaring {
    let mut set = blob.map_or_else(Roaring::new, |blob| view(blob).to_bitmap());
    edits.apply(&mut set);
    set
}

fn shared(part: Rc<ShardSet<'_>>) -> ShardSet<'_> {
    match *part {
        ShardSet::Empty => ShardSet::Empty,
        ShardSet::Full => ShardSet::Full,
        _ => ShardSet::Shared(part),
    }
}
