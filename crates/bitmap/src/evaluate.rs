//! One shard of a formula. Intermediate results are at most 128 KiB and stay in the second-level cache.

use crate::formula::Node;
use crate::part::{Part, Scope, intersect, subtract, unite};
use crate::view::view;
use croaring::Bitmap as Roaring;

/// An "or" within candidates this many times fewer than its operands hold is cut down to the candidates first.
const SPARSE: u64 = 16;

impl Node {
    /// At most so many users in this shard; 0 is exact.
    fn upper(&self, scope: &Scope<'_>) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Owned(bitmap) => bitmap.shard(scope.number).map_or(0, |shard| shard.len),
            Self::Stored(stored) => stored.shard_len(scope.number),
            Self::Range { slices, .. } => slices.existence().shard_len(scope.number),
            Self::And { all, .. } => all.iter().map(|node| node.upper(scope)).min().unwrap_or(0),
            Self::Or { any, .. } => any.iter().map(|node| node.upper(scope)).fold(0, u32::saturating_add).min(scope.users_len),
        }
    }

    /// A comparison reads several bitmaps, so it comes last, when the others have narrowed down for whom it is asked.
    fn is_dear(&self) -> bool {
        match self {
            Self::Range { .. } => true,
            Self::And { all, .. } => all.iter().all(Self::is_dear),
            Self::Or { any, .. } => any.iter().any(Self::is_dear),
            _ => false,
        }
    }

    /// This shard. With `within`, the result has to be right only for those in it, and may leave out or hold any others.
    pub(crate) fn part<'a>(&'a self, scope: &Scope<'a>, within: Option<&Roaring>) -> Part<'a> {
        match self {
            Self::Empty => Part::Empty,
            Self::Owned(bitmap) => match bitmap.shard(scope.number) {
                None => Part::Empty,
                Some(shard) if shard.len == scope.users_len => Part::Full,
                Some(shard) => Part::Borrowed(&shard.set),
            },
            Self::Stored(stored) => match stored.blob(scope.number) {
                None => Part::Empty,
                Some((len, _)) if len == scope.users_len => Part::Full,
                Some((_, blob)) => Part::View(view(blob)),
            },
            Self::Range { slices, low, high } => slices.range(scope, *low, *high, within),
            Self::And { all, none } => {
                let Some(steps) = Steps::of(all, none, scope) else {
                    return Part::Empty;
                };
                steps.0.into_iter().try_fold(Part::Full, |so_far, step| step.take(scope, so_far, within)).unwrap_or(Part::Empty)
            }
            Self::Or { any, .. } => or_part(any, scope, within),
        }
    }

    /// How many in this shard. The last operation only counts.
    pub(crate) fn count(&self, scope: &Scope<'_>) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Owned(_) | Self::Stored(_) => u64::from(self.upper(scope)),
            Self::Range { slices, low, high } => slices.range_len(scope.number, *low, *high, None),
            Self::And { all, none } => and_count(all, none, scope),
            Self::Or { any, disjoint: true } => any.iter().map(|node| node.count(scope)).sum(),
            Self::Or { any, .. } => or_count(any, scope),
        }
    }

    /// About how many bytes a count reads, over all shards: whether more threads pay.
    pub(crate) fn cost(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Owned(bitmap) => bitmap.shards().iter().map(|shard| bytes_read(shard.len)).sum(),
            Self::Stored(stored) => stored.shard_lens().map(|(_, len)| bytes_read(len)).sum(),
            Self::Range { slices, .. } => {
                let slices_read = u64::from(64 - slices.span().leading_zeros());
                slices.existence().shard_lens().map(|(_, len)| bytes_read(len)).sum::<u64>() * slices_read
            }
            Self::And { all, none } => all.iter().chain(none).map(Self::cost).sum(),
            Self::Or { any, .. } => any.iter().map(Self::cost).sum(),
        }
    }
}

fn bytes_read(cardinality: u32) -> u64 {
    u64::from(cardinality * 2).min(u64::from(crate::SHARD_SIZE / 8))
}

/// One operand of an "and": to keep, or to take away.
struct Step<'a> {
    node: &'a Node,
    negative: bool,
}

/// The operands of an "and" in the order in which to take them; comparisons last.
///
/// With a small operand (its containers are arrays), ascending: what is left only gets smaller. With none, every operation costs the
/// same, but for turning a result into an array: so the smallest comes last, where a count need not make a result at all.
struct Steps<'a>(Vec<Step<'a>>);

/// Containers of more than 1 / `DENSE` of their span are bitsets.
const DENSE: u32 = 16;

impl<'a> Steps<'a> {
    /// `None` when nobody can be left.
    fn of(all: &'a [Node], none: &'a [Node], scope: &Scope<'_>) -> Option<Self> {
        let uppers: Vec<u32> = all.iter().map(|node| node.upper(scope)).collect();
        let smallest = uppers.iter().copied().min().unwrap_or(0);
        if smallest == 0 {
            return None;
        }
        let dense = smallest > scope.users_len / DENSE;
        let mut steps = Vec::with_capacity(all.len() + none.len());
        for (node, upper) in all.iter().zip(uppers) {
            let stage = if dense && upper == smallest { 2 } else { 0 };
            let order = if dense { u32::MAX - upper } else { upper };
            steps.push(((node.is_dear(), stage, order), Step { node, negative: false }));
        }
        for node in none {
            let upper = node.upper(scope);
            if upper > 0 {
                steps.push(((node.is_dear(), 1, u32::MAX - upper), Step { node, negative: true }));
            }
        }
        steps.sort_by_key(|(order, _)| *order);
        Some(Self(steps.into_iter().map(|(_, step)| step).collect()))
    }
}

impl<'a> Step<'a> {
    /// `so_far` after this step; `None` when nobody is left.
    fn take(&self, scope: &Scope<'a>, so_far: Part<'a>, within: Option<&Roaring>) -> Option<Part<'a>> {
        let part = self.node.part(scope, so_far.set().or(within));
        let left = if self.negative { subtract(scope, so_far, &part) } else { intersect(scope, so_far, part) };
        (!matches!(left, Part::Empty)).then_some(left)
    }

    /// How many are left of `so_far` after this step.
    fn count(&self, scope: &Scope<'a>, so_far: &Part<'a>) -> u64 {
        let part = self.node.part(scope, so_far.set());
        match (so_far.set(), part.set(), self.negative) {
            (Some(a), Some(b), false) => a.and_cardinality(b),
            (Some(a), Some(b), true) => a.andnot_cardinality(b),
            // so_far is full from here on, or the part is full or empty
            (None, Some(b), negative) => {
                if negative {
                    u64::from(scope.users_len) - b.cardinality()
                } else {
                    b.cardinality()
                }
            }
            (_, None, negative) => {
                if matches!(part, Part::Full) == negative {
                    0
                } else {
                    so_far.len(scope)
                }
            }
        }
    }
}

fn and_count(all: &[Node], none: &[Node], scope: &Scope<'_>) -> u64 {
    let Some(mut steps) = Steps::of(all, none, scope) else {
        return 0;
    };
    let Some(last) = steps.0.pop() else {
        return u64::from(scope.users_len);
    };
    let so_far = steps.0.into_iter().try_fold(Part::Full, |so_far, step| step.take(scope, so_far, None));
    so_far.map_or(0, |so_far| last.count(scope, &so_far))
}

fn or_part<'a>(any: &'a [Node], scope: &Scope<'a>, within: Option<&Roaring>) -> Part<'a> {
    let held: u64 = any.iter().map(|node| u64::from(node.upper(scope))).sum();
    let sparse = within.filter(|within| within.cardinality() * SPARSE < held);
    let mut parts = Vec::with_capacity(any.len());
    for node in any {
        match (node.part(scope, within), sparse) {
            (Part::Full, _) => return Part::Full,
            (Part::Empty, _) => {}
            (part, None) => parts.push(part),
            (part, Some(within)) => parts.push(part.set().map_or(Part::Empty, |set| Part::Owned(set.and(within)))),
        }
    }
    unite(scope, parts)
}

fn or_count(any: &[Node], scope: &Scope<'_>) -> u64 {
    let Some((last, rest)) = any.split_last() else {
        return 0;
    };
    let so_far = or_part(rest, scope, None);
    let part = last.part(scope, None);
    match (so_far.set(), part.set()) {
        (Some(a), Some(b)) => a.or_cardinality(b),
        _ if matches!(so_far, Part::Full) || matches!(part, Part::Full) => u64::from(scope.users_len),
        _ => so_far.len(scope) + part.len(scope),
    }
}
