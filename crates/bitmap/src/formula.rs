use crate::bundle::Stored;
use crate::edits::Edits;
use crate::{BitSlices, Bitmap, Result};
use std::sync::Arc;
use taghouse_model::Ordinal;

/// An "or" of more operands is united in one pass before it is subtracted.
const FEW: usize = 4;

/// A set of users computed from other sets. Every leaf must be a subset of the users that the
/// formula is evaluated over (see [`crate::Query`]).
///
/// It is kept in a normal form in which "not" occurs in two places only: as operands that an "and"
/// subtracts, and once at the top.
#[derive(Clone)]
pub struct Formula {
    pub(crate) negated: bool,
    pub(crate) node: Node,
}

#[derive(Clone)]
pub(crate) enum Node {
    Empty,
    Owned(Arc<Bitmap>),
    Stored(Stored),
    /// The stored set, if any, except for the users whom the edits name.
    Edited {
        stored: Option<Stored>,
        edits: Arc<Edits>,
    },
    /// `low` and `high` are offsets from the least number of the slices, both included.
    Range {
        slices: BitSlices,
        low: u128,
        high: u128,
    },
    /// In each of `all` (at least one), and in none of `none`.
    And {
        all: Vec<Node>,
        none: Vec<Node>,
    },
    /// In any of them; there are two or more.
    Or {
        any: Vec<Node>,
        /// No user is in two of them, so that a count is a sum.
        disjoint: bool,
    },
}

impl Formula {
    /// The empty set.
    pub fn empty() -> Self {
        Self::of_node(Node::Empty)
    }

    /// All users that exist.
    pub fn full() -> Self {
        Self { negated: true, node: Node::Empty }
    }

    /// The users of an owned bitmap.
    pub fn owned(bitmap: Arc<Bitmap>) -> Self {
        Self::of_node(if bitmap.is_empty() { Node::Empty } else { Node::Owned(bitmap) })
    }

    /// The users of a stored bitmap.
    pub fn stored(stored: Stored) -> Self {
        Self::of_node(if stored.is_empty() { Node::Empty } else { Node::Stored(stored) })
    }

    /// The users of a stored bitmap (`None` is the empty one) with edits on top: whether a user
    /// whom `edits` name is in it, the edits decide.
    pub fn edited(stored: Option<Stored>, edits: Arc<Edits>) -> Self {
        let stored = stored.filter(|stored| !stored.is_empty());
        match stored {
            Some(stored) if edits.is_empty() => Self::stored(stored),
            None if edits.is_empty() => Self::empty(),
            stored => Self::of_node(Node::Edited { stored, edits }),
        }
    }

    /// The union of stored bitmaps that have no user in common, such as those of an enum's values.
    pub fn disjoint(stored: impl IntoIterator<Item = Stored>) -> Self {
        let mut any: Vec<Node> =
            stored.into_iter().filter(|stored| !stored.is_empty()).map(Node::Stored).collect();
        Self::of_node(match any.len() {
            0 | 1 => any.pop().unwrap_or(Node::Empty),
            _ => Node::Or { any, disjoint: true },
        })
    }

    /// The complement.
    #[expect(
        clippy::should_implement_trait,
        reason = "stands beside `and` and `or`, which are not operators either"
    )]
    pub fn not(self) -> Self {
        Self { negated: !self.negated, node: self.node }
    }

    /// The intersection; all users for no operand.
    pub fn and(operands: Vec<Self>) -> Self {
        let (mut all, mut none) = (Vec::new(), Vec::new());
        for Self { negated, node } in operands {
            match (negated, node) {
                (false, Node::Empty) => return Self::empty(),
                (true, Node::Empty) => {}
                (false, Node::And { all: inner_all, none: inner_none }) => {
                    all.extend(inner_all);
                    none.extend(inner_none);
                }
                // a && !(b || c) = a && !b && !c: a few subtractions from something small
                (true, Node::Or { any, .. }) if any.len() <= FEW => none.extend(any),
                (false, node) => all.push(node),
                (true, node) => none.push(node),
            }
        }
        match (all.len(), none.len()) {
            // !a && !b = !(a || b): one complement instead of two
            (0, _) => Self::of_node(or_of(none)).not(),
            (1, 0) => Self::of_node(all.remove(0)),
            _ => Self::of_node(Node::And { all, none }),
        }
    }

    /// The union; empty for no operand.
    pub fn or(operands: Vec<Self>) -> Self {
        if operands.iter().any(|operand| operand.negated) {
            // a || !b = !(b && !a)
            return Self::and(operands.into_iter().map(Self::not).collect()).not();
        }
        Self::of_node(or_of(operands.into_iter().map(|operand| operand.node).collect()))
    }

    pub(crate) fn of_node(node: Node) -> Self {
        Self { negated: false, node }
    }
}

impl BitSlices {
    /// Those whose number is `low` to `high`, both included. Bounds that no number reaches are
    /// fine.
    pub fn between(&self, low: i128, high: i128) -> Formula {
        let Some((low, high)) = self.offsets(low, high) else { return Formula::empty() };
        if low == 0 && high == self.span() {
            return Formula::stored(self.existence());
        }
        Formula::of_node(Node::Range { slices: self.clone(), low, high })
    }
}

fn or_of(nodes: Vec<Node>) -> Node {
    let mut any = Vec::with_capacity(nodes.len());
    let single = nodes.len() == 1;
    for node in nodes {
        match node {
            Node::Empty => {}
            // What is disjoint alone keeps its quick count; beside others it is only more operands.
            Node::Or { any: inner, .. } if !single => any.extend(inner),
            node => any.push(node),
        }
    }
    match any.len() {
        0 | 1 => any.pop().unwrap_or(Node::Empty),
        _ => Node::Or { any, disjoint: false },
    }
}

impl Node {
    /// Whether one user, who exists, is in it.
    pub(crate) fn contains(&self, ordinal: Ordinal) -> Result<bool> {
        // Whether it is `wanted` for one of them.
        let any = |nodes: &[Self], wanted: bool| -> Result<bool> {
            for node in nodes {
                if node.contains(ordinal)? == wanted {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        Ok(match self {
            Self::Empty => false,
            Self::Owned(bitmap) => bitmap.contains(ordinal),
            Self::Stored(stored) => stored.contains(ordinal)?,
            Self::Edited { stored, edits } => match (edits.get(ordinal), stored) {
                (Some(present), _) => present,
                (None, Some(stored)) => stored.contains(ordinal)?,
                (None, None) => false,
            },
            Self::Range { slices, low, high } => {
                slices.offset_of(ordinal)?.is_some_and(|offset| (*low..=*high).contains(&offset))
            }
            Self::And { all, none } => !any(all, false)? && !any(none, true)?,
            Self::Or { any: nodes, .. } => any(nodes, true)?,
        })
    }
}
