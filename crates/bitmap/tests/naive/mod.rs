//! The naive reference model: ordered sets and maps, and populations that give every kind of
//! container in several shards.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_bitmap::{BitSlices, Bitmap, Bundle, BundleBuilder, Edits, Formula};

/// Where populations lie: begin, middle and end of shards, and the last shard of all.
const BASES: [u32; 6] =
    [0, 61_000, (1 << 20) - 700, 1 << 20, (3 << 20) + 130_900, u32::MAX - (SPAN - 1)];
const SPAN: u32 = 12_000;

/// A population that mixes single users, runs and regular steps (which make arrays, runs and
/// bitsets).
pub(crate) fn population() -> impl Strategy<Value = BTreeSet<u32>> {
    let piece = prop_oneof![
        3 => (0..SPAN).prop_map(|at| (at, 1, 1)),
        2 => (0..SPAN, 1..SPAN).prop_map(|(at, len)| (at, len, 1)),
        2 => (0..SPAN, 1..SPAN, 2..30_u32).prop_map(|(at, len, step)| (at, len, step)),
        1 => Just((0, SPAN, 1)),
    ];
    prop::collection::vec((prop::sample::select(BASES.to_vec()), piece), 0..6).prop_map(|pieces| {
        let piece = |(base, (at, len, step)): (u32, (u32, u32, u32))| {
            (at..(at + len).min(SPAN)).step_by(step as usize).map(move |offset| base + offset)
        };
        pieces.into_iter().flat_map(piece).collect()
    })
}

/// Numbers for some of the users of a population.
pub(crate) fn numbers(spread: u32) -> impl Strategy<Value = BTreeMap<u32, i128>> {
    // Of 64 bits mostly; some as wide as 28 digits.
    let width = prop::sample::select(vec![0, 0, 0, 20, 28]);
    (population(), any::<i64>(), 0..=spread, any::<u64>(), width).prop_map(
        |(users, base, bits, salt, width)| {
            let number = |user: u32| {
                let mixed = (u64::from(user) ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let offset = if bits == 0 { 0 } else { i128::from(mixed >> (64 - bits)) };
                (i128::from(base) << width) + (offset << (width / 2)) + i128::from(salt % 7)
            };
            users.into_iter().map(|user| (user, number(user))).collect()
        },
    )
}

/// A formula over leaves by number.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Owned(usize),
    Stored(usize),
    /// What is stored, or nothing, changed into another set.
    Edited(Option<usize>, usize),
    Range(usize, i128, i128),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
}

pub(crate) fn tree(sets: usize, slices: usize) -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (0..sets).prop_map(Tree::Owned),
        (0..sets).prop_map(Tree::Stored),
        (prop::option::of(0..sets), 0..sets).prop_map(|(stored, set)| Tree::Edited(stored, set)),
        (0..slices, -6..40_i128, 0..40_i128).prop_map(|(slices, low, len)| Tree::Range(
            slices,
            low,
            low + len
        )),
        (0..slices, any::<i128>(), any::<i128>())
            .prop_map(|(slices, low, high)| Tree::Range(slices, low, high)),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::And),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::Or),
            inner.clone().prop_map(|inner| Tree::Not(Box::new(inner))),
            // The same part twice.
            prop::collection::vec(inner, 3).prop_map(|parts| {
                let [a, b, c] = [0, 1, 2].map(|index| parts[index].clone());
                Tree::Or(vec![
                    Tree::And(vec![a.clone(), b]),
                    Tree::And(vec![c, Tree::Not(Box::new(a))]),
                ])
            }),
        ]
    })
}

/// The same leaves, stupid and clever.
pub(crate) struct Leaves {
    pub(crate) users: BTreeSet<u32>,
    pub(crate) sets: Vec<BTreeSet<u32>>,
    pub(crate) numbers: Vec<BTreeMap<u32, i128>>,
    owned: Vec<Arc<Bitmap>>,
    stored: Bundle,
    slices: Vec<BitSlices>,
}

impl Leaves {
    pub(crate) fn new(
        others: BTreeSet<u32>,
        sets: Vec<BTreeSet<u32>>,
        numbers: Vec<BTreeMap<u32, i128>>,
    ) -> Self {
        let with_value = numbers.iter().flat_map(|numbers| numbers.keys().copied());
        let users = sets.iter().flatten().copied().chain(with_value).chain(others).collect();
        let mut bundle = BundleBuilder::new();
        for (index, set) in sets.iter().enumerate() {
            bundle.push_sorted(index as u32, &set.iter().copied().collect::<Vec<_>>());
        }
        Self {
            users,
            owned: sets.iter().map(|set| Arc::new(set.iter().copied().collect())).collect(),
            stored: Bundle::open(bundle.finish(sets.len() as u32).unwrap()).unwrap(),
            slices: numbers
                .iter()
                .map(|numbers| BitSlices::from_pairs(numbers.clone()).unwrap())
                .collect(),
            sets,
            numbers,
        }
    }

    /// Ranges of small numbers are meant from the least on.
    fn bounds(&self, slices: usize, low: i128, high: i128) -> (i128, i128) {
        let least = self.numbers[slices].values().min().copied().unwrap_or(0);
        if high.abs() < 100 {
            (least.saturating_add(low), least.saturating_add(high))
        } else {
            (low, high)
        }
    }

    /// What makes a set of another: who differs, once with the wrong word before, and some of whom
    /// nothing changes.
    fn edits(&self, stored: Option<usize>, index: usize) -> Edits {
        let (from, to) =
            (stored.map(|stored| self.sets[stored].clone()).unwrap_or_default(), &self.sets[index]);
        let differ: Vec<(u32, bool)> =
            from.symmetric_difference(to).map(|user| (*user, to.contains(user))).collect();
        let wrong = differ.iter().take(3).map(|(user, present)| (*user, !present));
        let same =
            self.users.iter().filter(|user| from.contains(user) == to.contains(user)).step_by(997);
        let same = same.map(|user| (*user, to.contains(user)));
        Edits::new(wrong.chain(differ.iter().copied().rev()).chain(same).collect())
    }

    pub(crate) fn naive(&self, tree: &Tree) -> BTreeSet<u32> {
        match tree {
            Tree::Owned(index) | Tree::Stored(index) | Tree::Edited(_, index) => {
                self.sets[*index].clone()
            }
            Tree::Range(index, low, high) => {
                let (low, high) = self.bounds(*index, *low, *high);
                self.numbers[*index]
                    .iter()
                    .filter(|(_, number)| low <= **number && **number <= high)
                    .map(|(user, _)| *user)
                    .collect()
            }
            Tree::And(trees) => trees
                .iter()
                .map(|tree| self.naive(tree))
                .fold(self.users.clone(), |a, b| a.intersection(&b).copied().collect()),
            Tree::Or(trees) => trees.iter().flat_map(|tree| self.naive(tree)).collect(),
            Tree::Not(tree) => self.users.difference(&self.naive(tree)).copied().collect(),
        }
    }

    pub(crate) fn formula(&self, tree: &Tree) -> Formula {
        match tree {
            Tree::Owned(index) => Formula::owned(self.owned[*index].clone()),
            Tree::Stored(index) => Formula::stored(self.stored.get(*index as u32)),
            Tree::Edited(stored, index) => {
                let edits = Arc::new(self.edits(*stored, *index));
                Formula::edited(stored.map(|stored| self.stored.get(stored as u32)), edits)
            }
            Tree::Range(index, low, high) => {
                let (low, high) = self.bounds(*index, *low, *high);
                self.slices[*index].between(low, high)
            }
            tree => combine(tree, &|tree| self.formula(tree)),
        }
    }

    /// This formula of those in `now` whose values were `changed`, on top of these leaves: (stored
    /// and not changed) or added.
    pub(crate) fn live_formula(&self, tree: &Tree, now: &Self, changed: &Arc<Bitmap>) -> Formula {
        match tree {
            Tree::Owned(_) | Tree::Stored(_) | Tree::Edited(..) | Tree::Range(..) => {
                let added =
                    now.naive(tree).into_iter().filter(|user| changed.contains(*user)).collect();
                let kept =
                    Formula::and(vec![self.formula(tree), Formula::owned(changed.clone()).not()]);
                Formula::or(vec![kept, Formula::owned(Arc::new(added))])
            }
            tree => combine(tree, &|tree| self.live_formula(tree, now, changed)),
        }
    }
}

fn combine(tree: &Tree, part: &dyn Fn(&Tree) -> Formula) -> Formula {
    match tree {
        Tree::And(trees) => Formula::and(trees.iter().map(part).collect()),
        Tree::Or(trees) => Formula::or(trees.iter().map(part).collect()),
        Tree::Not(tree) => part(tree).not(),
        leaf => part(leaf),
    }
}
