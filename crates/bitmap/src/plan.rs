//! A formula as it is evaluated: equal parts are one, and parts come before what they are parts of.

use crate::bundle::Stored;
use crate::edits::Edits;
use crate::formula::{Formula, Node};
use crate::{BitSlices, Bitmap, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// What a result of one shard takes at most, beside its container heads: a bit an ordinal.
pub(crate) const RESULT_BYTES: usize = (crate::SHARD_SIZE / 8) as usize;

/// An index into [`Plan::ops`].
pub(crate) type OpId = usize;

pub(crate) struct Plan {
    /// Operands come before their operation.
    pub(crate) ops: Vec<Op>,
    /// `None` for nobody.
    pub(crate) root: Option<OpId>,
    /// Those that exist and are not in the root.
    pub(crate) negated: bool,
}

pub(crate) struct Op {
    pub(crate) kind: Kind,
    /// Of how many operations it is an operand; from 2 on its result is kept while a shard is
    /// evaluated.
    pub(crate) uses: u32,
    /// A comparison of numbers is in it, which reads several bitmaps: it comes last, when others
    /// have narrowed down for whom it is asked.
    pub(crate) dear: bool,
}

pub(crate) enum Kind {
    Owned(Arc<Bitmap>),
    Stored(Stored),
    Edited { stored: Option<Stored>, edits: Arc<Edits> },
    Range { slices: BitSlices, low: u128, high: u128 },
    And { all: Vec<OpId>, none: Vec<OpId> },
    Or { any: Vec<OpId>, disjoint: bool },
}

/// What makes two parts the same.
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

impl Plan {
    pub(crate) fn of(formula: &Formula) -> Self {
        let mut compiler = Compiler::default();
        let root = compiler.op(&formula.node);
        Self { ops: compiler.ops, root, negated: formula.negated }
    }

    /// Makes sure that all that is read is here and is what was written.
    pub(crate) fn load(&self) -> Result<()> {
        self.ops.iter().try_for_each(|op| match &op.kind {
            Kind::Stored(stored) | Kind::Edited { stored: Some(stored), .. } => stored.load(),
            Kind::Range { slices, .. } => slices.load(),
            Kind::Owned(_)
            | Kind::Edited { stored: None, .. }
            | Kind::And { .. }
            | Kind::Or { .. } => Ok(()),
        })
    }

    /// At most how many results one thread holds at a time: those of an operation's operands, along
    /// the deepest path, and those kept because they are asked for again.
    pub(crate) fn results_held(&self) -> usize {
        let mut held: Vec<usize> = Vec::with_capacity(self.ops.len());
        for op in &self.ops {
            held.push(match &op.kind {
                Kind::Owned(_) | Kind::Stored(_) => 1,
                Kind::Range { .. } | Kind::Edited { .. } => 2,
                Kind::And { all, none } => {
                    1 + all.iter().chain(none).map(|id| held[*id]).max().unwrap_or(0)
                }
                Kind::Or { any, .. } => {
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
            Kind::Owned(bitmap) => bitmap.shards().iter().any(|shard| read(shard.len, 1)),
            Kind::Stored(stored) | Kind::Edited { stored: Some(stored), .. } => {
                stored.shard_lens().any(|(_, len)| read(len, 1))
            }
            Kind::Range { slices, .. } => {
                let slices_read = u64::from(u128::BITS - slices.span().leading_zeros());
                slices.existence().shard_lens().any(|(_, len)| read(len, slices_read))
            }
            Kind::Edited { stored: None, .. } | Kind::And { .. } | Kind::Or { .. } => false,
        })
    }
}

impl Op {
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(
            self.kind,
            Kind::Owned(_) | Kind::Stored(_) | Kind::Edited { .. } | Kind::Range { .. }
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
                Kind::Owned(bitmap.clone()),
                false,
            )),
            Node::Stored(stored) if stored.is_empty() => None,
            Node::Stored(stored) => {
                Some(self.put(Key::Stored(stored.identity()), Kind::Stored(stored.clone()), false))
            }
            Node::Edited { stored, edits } => {
                let key =
                    Key::Edited(stored.as_ref().map(Stored::identity), Arc::as_ptr(edits).addr());
                Some(self.put(
                    key,
                    Kind::Edited { stored: stored.clone(), edits: edits.clone() },
                    false,
                ))
            }
            Node::Range { slices, low, high } => {
                let key = Key::Range(slices.existence().identity(), *low, *high);
                Some(self.put(
                    key,
                    Kind::Range { slices: slices.clone(), low: *low, high: *high },
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
                let dear = all.iter().chain(&none).any(|id| self.ops[*id].dear);
                Some(self.put(Key::And(all.clone(), none.clone()), Kind::And { all, none }, dear))
            }
            Node::Or { any, disjoint } => {
                let mut any = self.some(any);
                sort_once(&mut any);
                if any.len() < 2 {
                    return any.pop();
                }
                let dear = any.iter().any(|id| self.ops[*id].dear);
                Some(self.put(Key::Or(any.clone()), Kind::Or { any, disjoint: *disjoint }, dear))
            }
        }
    }

    /// Those that are not nobody.
    fn some(&mut self, nodes: &[Node]) -> Vec<OpId> {
        nodes.iter().filter_map(|node| self.op(node)).collect()
    }

    fn put(&mut self, key: Key, kind: Kind, dear: bool) -> OpId {
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        self.count_uses(&kind);
        let id = self.ops.len();
        self.ops.push(Op { kind, uses: 0, dear });
        self.known.insert(key, id);
        id
    }

    fn count_uses(&mut self, kind: &Kind) {
        match kind {
            Kind::And { all, none } => {
                all.iter().chain(none).for_each(|id| self.ops[*id].uses += 1)
            }
            Kind::Or { any, .. } => any.iter().for_each(|id| self.ops[*id].uses += 1),
            Kind::Owned(_) | Kind::Stored(_) | Kind::Edited { .. } | Kind::Range { .. } => {}
        }
    }
}

fn sort_once(ids: &mut Vec<OpId>) {
    ids.sort_unstable();
    ids.dedup();
}
