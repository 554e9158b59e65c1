//! A formula as it is evaluated: equal parts are one, and parts come before what they are parts of.

use crate::bundle::Stored;
use crate::edits::Edits;
use crate::formula::{Formula, Node};
use crate::{BitSlices, Bitmap, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// What a result of one shard takes at most, beside its container heads: a bit an ordinal.
pub(crate) const RESULT_BYTES: usize = (crate::SHARD_SIZE / 8) as usize;

/// An index into [`QueryPlan::ops`].
pub(crate) type OpId = usize;

pub(crate) struct QueryPlan {
    /// Operands come before their operation.
    pub(crate) ops: Vec<Op>,
    /// `None` when it matches nobody.
    pub(crate) root: Option<OpId>,
    /// The result is all existing users that are not in the root.
    pub(crate) negated: bool,
}

pub(crate) struct Op {
    pub(crate) kind: OpKind,
    /// Of how many operations it is an operand; from 2 on its result is kept while a shard is
    /// evaluated.
    pub(crate) uses: u32,
    /// Whether it contains a comparison of numbers, which reads several bitmaps. It is evaluated
    /// last, for the users that the other operands leave.
    pub(crate) expensive: bool,
}

pub(crate) enum OpKind {
    Owned(Arc<Bitmap>),
    Stored(Stored),
    Edited { stored: Option<Stored>, edits: Arc<Edits> },
    Range { slices: BitSlices, low: u128, high: u128 },
    And { all: Vec<OpId>, none: Vec<OpId> },
    Or { any: Vec<OpId>, disjoint: bool },
}

/// Two parts of a formula with the same key are the same operation.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Owned(usize),
    Stored((usize, usize)),
    Edited(Option<(usize, usize)>, usize),
    Range((usize, usize), u128, u128),
    And(Vec<OpId>, Vec<OpId>),
    Or(Vec<OpId>),
}

#[derive(Default)]
struct Compiler {
    ops: Vec<Op>,
    known: HashMap<Key, OpId>,
}

impl QueryPlan {
    pub(crate) fn of(formula: &Formula) -> Self {
        let mut compiler = Compiler::default();
        let root = compiler.op(&formula.node);
        Self { ops: compiler.ops, root, negated: formula.negated }
    }

    /// Makes sure that all that is read is here and is what was written.
    pub(crate) fn load(&self) -> Result<()> {
        self.ops.iter().try_for_each(|op| match &op.kind {
            OpKind::Stored(stored) | OpKind::Edited { stored: Some(stored), .. } => stored.load(),
            OpKind::Range { slices, .. } => slices.load(),
            OpKind::Owned(_)
            | OpKind::Edited { stored: None, .. }
            | OpKind::And { .. }
            | OpKind::Or { .. } => Ok(()),
        })
    }

    /// At most how many results one thread holds at a time: those of an operation's operands, along
    /// the deepest path, and those kept because they are asked for again.
    pub(crate) fn results_held(&self) -> usize {
        let mut held: Vec<usize> = Vec::with_capacity(self.ops.len());
        for op in &self.ops {
            held.push(match &op.kind {
                OpKind::Owned(_) | OpKind::Stored(_) => 1,
                OpKind::Range { .. } | OpKind::Edited { .. } => 2,
                OpKind::And { all, none } => {
                    1 + all.iter().chain(none).map(|id| held[*id]).max().unwrap_or(0)
                }
                OpKind::Or { any, .. } => {
                    1 + any.len() + any.iter().map(|id| held[*id]).max().unwrap_or(0)
                }
            });
        }
        self.root.map_or(0, |root| held[root]) + self.ops.iter().filter(|op| op.is_shared()).count()
    }

    /// Whether a count reads more than `left` bytes; counts down while it looks.
    pub(crate) fn reads_more_than(&self, left: &mut u64) -> bool {
        let mut read = |cardinality: u32, times: u64| {
            let bytes = u64::from(cardinality).saturating_mul(2).min(RESULT_BYTES as u64) * times;
            *left = left.saturating_sub(bytes);
            *left == 0
        };
        self.ops.iter().any(|op| match &op.kind {
            OpKind::Owned(bitmap) => bitmap.shards().iter().any(|shard| read(shard.len, 1)),
            OpKind::Stored(stored) | OpKind::Edited { stored: Some(stored), .. } => {
                stored.shard_lens().any(|(_, len)| read(len, 1))
            }
            OpKind::Range { slices, .. } => {
                let slices_read = u64::from(u128::BITS - slices.span().leading_zeros());
                slices.existence().shard_lens().any(|(_, len)| read(len, slices_read))
            }
            OpKind::Edited { stored: None, .. } | OpKind::And { .. } | OpKind::Or { .. } => false,
        })
    }
}

impl Op {
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(
            self.kind,
            OpKind::Owned(_) | OpKind::Stored(_) | OpKind::Edited { .. } | OpKind::Range { .. }
        )
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.uses > 1 && !self.is_leaf()
    }
}

impl Compiler {
    fn op(&mut self, node: &Node) -> Option<OpId> {
        match node {
            Node::Empty => None,
            Node::Owned(bitmap) if bitmap.is_empty() => None,
            Node::Owned(bitmap) => Some(self.put(
                Key::Owned(Arc::as_ptr(bitmap).addr()),
                OpKind::Owned(bitmap.clone()),
                false,
            )),
            Node::Stored(stored) if stored.is_empty() => None,
            Node::Stored(stored) => Some(self.put(
                Key::Stored(stored.identity()),
                OpKind::Stored(stored.clone()),
                false,
            )),
            Node::Edited { stored, edits } => {
                let key =
                    Key::Edited(stored.as_ref().map(Stored::identity), Arc::as_ptr(edits).addr());
                Some(self.put(
                    key,
                    OpKind::Edited { stored: stored.clone(), edits: edits.clone() },
                    false,
                ))
            }
            Node::Range { slices, low, high } => {
                let key = Key::Range(slices.existence().identity(), *low, *high);
                Some(self.put(
                    key,
                    OpKind::Range { slices: slices.clone(), low: *low, high: *high },
                    true,
                ))
            }
            Node::And { all, none } => {
                let all: Option<Vec<OpId>> = all.iter().map(|node| self.op(node)).collect();
                let (mut all, mut none) = (all?, self.some(none));
                sort_once(&mut all);
                sort_once(&mut none);
                if none.iter().any(|id| all.contains(id)) {
                    return None;
                }
                if let ([one], []) = (&all[..], &none[..]) {
                    return Some(*one);
                }
                let expensive = all.iter().chain(&none).any(|id| self.ops[*id].expensive);
                Some(self.put(
                    Key::And(all.clone(), none.clone()),
                    OpKind::And { all, none },
                    expensive,
                ))
            }
            Node::Or { any, disjoint } => {
                let mut any = self.some(any);
                sort_once(&mut any);
                if any.len() < 2 {
                    return any.pop();
                }
                let expensive = any.iter().any(|id| self.ops[*id].expensive);
                Some(self.put(
                    Key::Or(any.clone()),
                    OpKind::Or { any, disjoint: *disjoint },
                    expensive,
                ))
            }
        }
    }

    /// The operations of nodes that can match anybody.
    fn some(&mut self, nodes: &[Node]) -> Vec<OpId> {
        nodes.iter().filter_map(|node| self.op(node)).collect()
    }

    fn put(&mut self, key: Key, kind: OpKind, expensive: bool) -> OpId {
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        self.count_uses(&kind);
        let id = self.ops.len();
        self.ops.push(Op { kind, uses: 0, expensive });
        self.known.insert(key, id);
        id
    }

    fn count_uses(&mut self, kind: &OpKind) {
        match kind {
            OpKind::And { all, none } => {
                all.iter().chain(none).for_each(|id| self.ops[*id].uses += 1)
            }
            OpKind::Or { any, .. } => any.iter().for_each(|id| self.ops[*id].uses += 1),
            OpKind::Owned(_) | OpKind::Stored(_) | OpKind::Edited { .. } | OpKind::Range { .. } => {
            }
        }
    }
}

fn sort_once(ids: &mut Vec<OpId>) {
    ids.sort_unstable();
    ids.dedup();
}
