//! Formulas against ordered sets.
#![allow(clippy::unwrap_used, clippy::panic)]

mod naive;

use naive::{Leaves, Tree, numbers, population, tree};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_bitmap::{BitSlices, Bitmap, Bundle, BundleBuilder, Formula, Query};

fn check(leaves: &Leaves, tree: &Tree) -> Result<(), TestCaseError> {
    let expected = leaves.naive(tree);
    let query = Query::new(Arc::new(leaves.users.iter().copied().collect()), leaves.formula(tree));
    prop_assert_eq!(query.count().unwrap(), expected.len() as u64, "count of {:?}", tree);
    let (least, most) = query.bounds();
    prop_assert!(
        (least..=most).contains(&(expected.len() as u64)),
        "{} to {} is not {} of {:?}",
        least,
        most,
        expected.len(),
        tree
    );
    prop_assert!(most <= leaves.users.len() as u64);
    let found = query.bitmap().unwrap();
    prop_assert!(found.iter().eq(expected.iter().copied()), "bitmap of {:?}", tree);
    for user in leaves.users.iter().step_by(1 + leaves.users.len() / 50) {
        prop_assert_eq!(
            query.contains(*user).unwrap(),
            expected.contains(user),
            "user {} of {:?}",
            user,
            tree
        );
    }
    prop_assert!(!query.contains(2_000_000_000).unwrap());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn formulas_are_those_of_sets(
        others in population(),
        mut sets in prop::collection::vec(population(), 4),
        numbers in prop::collection::vec(numbers(20), 2),
        trees in prop::collection::vec(tree(5, 2), 4),
    ) {
        // One set is everybody, which has short cuts of its own.
        sets.push(Leaves::new(others.clone(), sets.clone(), numbers.clone()).users);
        let leaves = Leaves::new(others, sets, numbers);
        for tree in &trees {
            check(&leaves, tree)?;
        }
    }
}

/// `now` is what counts for those in `changed`, `base` for all others.
fn check_patched(
    base: &Leaves,
    now: &Leaves,
    changed: &BTreeSet<u32>,
    tree: &Tree,
) -> Result<(), TestCaseError> {
    let split = |set: BTreeSet<u32>, inside: bool| {
        set.into_iter().filter(move |user| changed.contains(user) == inside)
    };
    let expected: BTreeSet<u32> =
        split(base.naive(tree), false).chain(split(now.naive(tree), true)).collect();
    let live_users: Bitmap =
        split(base.users.clone(), false).chain(split(now.users.clone(), true)).collect();
    let patched: Arc<Bitmap> = Arc::new(changed.iter().copied().collect());
    let live = base.live_formula(tree, now, &patched);
    let users = Arc::new(base.users.iter().copied().collect());
    let query = Query::patched(users, base.formula(tree), patched, Arc::new(live_users), live);
    prop_assert_eq!(query.count().unwrap(), expected.len() as u64, "count of {:?}", tree);
    let (least, most) = query.bounds();
    prop_assert!(
        (least..=most).contains(&(expected.len() as u64)),
        "{} to {} is not {} of {:?}",
        least,
        most,
        expected.len(),
        tree
    );
    let found = query.bitmap().unwrap();
    prop_assert!(found.iter().eq(expected.iter().copied()), "bitmap of {:?}", tree);
    for user in
        changed.iter().chain(&base.users).step_by(1 + (changed.len() + base.users.len()) / 50)
    {
        prop_assert_eq!(
            query.contains(*user).unwrap(),
            expected.contains(user),
            "user {} of {:?}",
            user,
            tree
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn changed_users_are_answered_again(
        others in prop::collection::vec(population(), 2),
        mut sets in prop::collection::vec(population(), 3),
        sets_now in prop::collection::vec(population(), 4),
        numbers in prop::collection::vec(numbers(20), 2),
        some in population(),
        every in prop::sample::select(vec![1, 3, 50, 1_000]),
        trees in prop::collection::vec(tree(4, 1), 3),
    ) {
        sets.push(Leaves::new(others[0].clone(), sets.clone(), numbers[..1].to_vec()).users);
        let base = Leaves::new(others[0].clone(), sets, numbers[..1].to_vec());
        let now = Leaves::new(others[1].clone(), sets_now, numbers[1..].to_vec());
        // Some who stay, some who come, some who go.
        let changed = some.iter().chain(&base.users).chain(&now.users).copied().step_by(every).collect();
        for tree in &trees {
            check_patched(&base, &now, &changed, tree)?;
        }
    }
}

/// Enough bytes that the shards are spread over threads.
#[test]
fn large_formulas_run_in_parallel() {
    let users = Arc::new(Bitmap::from_range(0..=(12 << 20) - 7));
    let half: Bitmap =
        Bitmap::from_sorted_iter((0..12 << 20).step_by(2).filter(|o| *o <= (12 << 20) - 7));
    let third: Bitmap =
        Bitmap::from_sorted_iter((0..12 << 20).step_by(3).filter(|o| *o <= (12 << 20) - 7));
    let (sixth, third_len, half_len) = (half.and_len(&third), third.len(), half.len());
    let mut bundle = BundleBuilder::new();
    bundle.push(0, &half);
    bundle.push(1, &third);
    let bundle = Bundle::open(bundle.finish(2).unwrap()).unwrap();
    let leaf = |index| Formula::stored(bundle.get(index));
    let both = Query::new(users.clone(), Formula::and((0..8).map(|n| leaf(n % 2)).collect()));
    assert_eq!(both.count().unwrap(), sixth);
    assert_eq!(both.bitmap().unwrap(), half.and(&third));
    let neither =
        Query::new(users.clone(), Formula::and((0..8).map(|n| leaf(n % 2).not()).collect()));
    assert_eq!(neither.count().unwrap(), users.len() - half_len - third_len + sixth);
    assert_eq!(Query::new(users.clone(), Formula::full()).count().unwrap(), users.len());
    assert_eq!(Query::new(users.clone(), Formula::full()).bitmap().unwrap(), *users);
}

/// Nobody but everybody is left when the comparison, which comes last, is taken away.
#[test]
fn a_comparison_is_taken_away_from_everybody() {
    let everybody = Arc::new(Bitmap::from_range(0..=99_999));
    let slices =
        BitSlices::from_pairs((0..100_000).step_by(2).map(|user| (user, i128::from(user))))
            .unwrap();
    let low = slices.between(0, 999);
    let query = Query::new(
        everybody.clone(),
        Formula::and(vec![Formula::owned(everybody.clone()), low.clone().not()]),
    );
    assert_eq!((query.count().unwrap(), query.bitmap().unwrap().len()), (99_500, 99_500));
    let query = Query::new(everybody.clone(), Formula::and(vec![Formula::owned(everybody), low]));
    assert_eq!((query.count().unwrap(), query.bitmap().unwrap().len()), (500, 500));
}

/// Dense formulas with more operands than one pass takes, over containers of every kind: full,
/// words, arrays of many and of few, runs.
#[test]
fn dense_containers_of_every_kind() {
    const END: u32 = 5 << 16;
    let pick = |wanted: &dyn Fn(u32) -> bool| {
        (0..END).filter(|user| wanted(*user)).collect::<BTreeSet<u32>>()
    };
    let sets = vec![
        pick(&|user| user % 2 == 0),
        pick(&|user| user % 3 == 0 || user >> 16 == 3),
        pick(&|user| user % 5 != 0 && user >> 16 != 1),
        // A full container, words, an array of many, one of few, nothing.
        pick(&|user| {
            user.is_multiple_of([1, 7, 20, 9_000, END][(user >> 16) as usize]) && user > 0
        }),
        // Runs, of which one is full.
        pick(&|user| user >> 16 == 2 || user / 3_000 % 2 == 0),
        pick(&|user| user % 7 == 1 || user >> 16 == 4),
        pick(&|user| user % 100 == 3 || user >> 16 == 0 && user % 4 == 1),
        pick(&|user| user % 3_000 == 7),
        pick(&|user| user % 90 == 5 && user >> 16 > 1),
    ];
    let leaves = Leaves::new(pick(&|user| user % 11 != 1), sets, vec![]);
    let (set, not) = (Tree::Stored, |tree: Tree| Tree::Not(Box::new(tree)));
    let all = |ids: &[usize]| ids.iter().map(|id| set(*id)).collect::<Vec<_>>();
    let none = |ids: &[usize]| ids.iter().map(|id| not(set(*id))).collect::<Vec<_>>();
    for keep in [&[0, 1, 2, 4, 5][..], &[0, 3], &[4, 6, 8]] {
        for drop in [&[7, 8][..], &[3, 4, 5, 6, 7, 8]] {
            let some = Tree::Or(all(&[3, 4, 8]));
            check(&leaves, &Tree::And([all(keep), none(drop)].concat())).unwrap();
            check(
                &leaves,
                &Tree::And(
                    [all(keep), vec![not(Tree::And([all(drop), vec![some]].concat()))]].concat(),
                ),
            )
            .unwrap();
        }
        check(&leaves, &Tree::Or([all(keep), all(&[7, 8])].concat())).unwrap();
        check(
            &leaves,
            &Tree::Or(vec![
                Tree::And(all(keep)),
                Tree::And(vec![set(2), not(Tree::And(all(keep)))]),
            ]),
        )
        .unwrap();
    }
}

/// Live changes, some on top of others: what nobody else asks for is changed in place.
#[test]
fn layers_of_sparse_sets_on_dense_ones() {
    let users = 200_000_u32;
    let each =
        |step: u32, from: u32| (from..users).step_by(step as usize).collect::<BTreeSet<u32>>();
    let (one, other) = (each(3, 0), each(3, 1));
    let (dropped, added, later, back) = (each(53, 0), each(167, 5), each(1009, 7), each(4001, 7));
    let kept = |set: &BTreeSet<u32>| {
        let first: BTreeSet<u32> = set.difference(&dropped).chain(&added).copied().collect();
        first.difference(&later).chain(&back).copied().collect::<BTreeSet<u32>>()
    };
    let both: BTreeSet<u32> = one.union(&other).copied().collect();
    let (expected_both, expected_one) = (kept(&both), kept(&one));
    let owned = |set: &BTreeSet<u32>| Formula::owned(Arc::new(set.iter().copied().collect()));
    let (drop, later_drop) = (owned(&dropped), owned(&later));
    let layered = |stored: Formula| {
        let first =
            Formula::or(vec![Formula::and(vec![stored, drop.clone().not()]), owned(&added)]);
        Formula::or(vec![Formula::and(vec![first, later_drop.clone().not()]), owned(&back)])
    };
    let (a, b) = (layered(Formula::or(vec![owned(&one), owned(&other)])), layered(owned(&one)));
    let everybody = Arc::new(Bitmap::from_range(0..=users - 1));
    let ask = |formula: Formula| Query::new(everybody.clone(), formula);
    let len = |set: &BTreeSet<u32>| set.len() as u64;
    assert_eq!(ask(a.clone()).count().unwrap(), len(&expected_both));
    let difference: Vec<u32> = expected_both.difference(&expected_one).copied().collect();
    let query = ask(Formula::and(vec![
        a.clone(),
        b.clone().not(),
        Formula::or(vec![owned(&one), owned(&other), owned(&added)]),
    ]));
    let all = |user: &&u32| one.contains(user) || other.contains(user) || added.contains(user);
    assert_eq!(query.count().unwrap(), difference.iter().filter(all).count() as u64);
    assert!(query.bitmap().unwrap().iter().eq(difference.iter().filter(all).copied()));
    // One part twice: the second must not find what the first changed in place.
    let twice = Formula::or(vec![
        Formula::and(vec![a.clone(), owned(&one)]),
        Formula::and(vec![Formula::and(vec![a, owned(&later).not()]), owned(&other)]),
    ]);
    let expected = expected_both
        .iter()
        .filter(|user| one.contains(user) || (other.contains(user) && !later.contains(user)));
    assert_eq!(ask(twice).count().unwrap(), expected.count() as u64);
}

/// Every shape that is rewritten when a formula is built.
#[test]
fn rewritten_shapes() {
    let every = |step: usize, from: u32| (from..70_000).step_by(step).collect::<BTreeSet<u32>>();
    let sets = vec![
        every(2, 0),
        every(3, 1),
        every(5, 0),
        every(7, 3),
        every(11, 0),
        every(13, 2),
        BTreeSet::new(),
    ];
    let numbers = (0..70_000).step_by(3).map(|user| (user, i128::from(user % 41))).collect();
    let leaves = Leaves::new(every(1, 0), sets, vec![numbers]);
    let set = Tree::Stored;
    let not = |tree: Tree| Tree::Not(Box::new(tree));
    for tree in [
        Tree::And(vec![set(0), not(Tree::Or(vec![set(1), set(2)]))]),
        Tree::And(vec![set(0), not(Tree::Or((1..6).map(set).collect()))]),
        Tree::And(vec![set(0), not(Tree::And(vec![set(1), not(set(2))])), Tree::Range(0, 5, 30)]),
        Tree::And(vec![not(set(0)), not(set(1)), not(Tree::Range(0, 5, 30))]),
        Tree::And(vec![Tree::And(vec![set(0), not(set(3))]), Tree::And(vec![set(2), not(set(1))])]),
        Tree::And(vec![set(6), set(0)]),
        Tree::And(vec![not(set(6)), set(0)]),
        Tree::Or(vec![set(0), not(set(1))]),
        Tree::Or(vec![not(set(0)), not(Tree::And(vec![set(1), not(set(2))]))]),
        Tree::Or(vec![Tree::Or(vec![set(3), set(4)]), set(5), set(6)]),
        Tree::Or(vec![not(set(6)), set(1)]),
        not(Tree::Or(vec![set(0), Tree::Range(0, 0, 39)])),
        Tree::And(vec![]),
        Tree::Or(vec![]),
    ] {
        check(&leaves, &tree).unwrap();
    }
}
