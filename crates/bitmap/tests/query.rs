//! Formulas against ordered sets.
#![allow(clippy::unwrap_used, clippy::panic)]

mod naive;

use naive::{Leaves, Tree, numbers, population, tree};
use proptest::prelude::*;
use std::sync::Arc;
use taghouse_bitmap::{BitSlices, Bitmap, Bundle, BundleBuilder, Formula, Query};

fn check(leaves: &Leaves, tree: &Tree) -> Result<(), TestCaseError> {
    let expected = leaves.naive(tree);
    let query = Query::new(Arc::new(leaves.users.iter().copied().collect()), leaves.formula(tree));
    prop_assert_eq!(query.count(), expected.len() as u64, "count of {:?}", tree);
    let found = query.bitmap();
    prop_assert!(found.iter().eq(expected.iter().copied()), "bitmap of {:?}", tree);
    for user in leaves.users.iter().step_by(1 + leaves.users.len() / 50) {
        prop_assert_eq!(query.contains(*user), expected.contains(user), "user {} of {:?}", user, tree);
    }
    prop_assert!(!query.contains(2_000_000_000));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn formulas_are_those_of_sets(
        strangers in population(),
        mut sets in prop::collection::vec(population(), 4),
        numbers in prop::collection::vec(numbers(20), 2),
        trees in prop::collection::vec(tree(5, 2), 4),
    ) {
        // One set is everybody, which has short cuts of its own.
        sets.push(Leaves::new(strangers.clone(), sets.clone(), numbers.clone()).users);
        let leaves = Leaves::new(strangers, sets, numbers);
        for tree in &trees {
            check(&leaves, tree)?;
        }
    }
}

/// Enough bytes that the shards are spread over threads.
#[test]
fn large_formulas_run_in_parallel() {
    let users = Arc::new(Bitmap::from_range(0..=(12 << 20) - 7));
    let half: Bitmap = Bitmap::from_sorted_iter((0..12 << 20).step_by(2).filter(|o| *o <= (12 << 20) - 7));
    let third: Bitmap = Bitmap::from_sorted_iter((0..12 << 20).step_by(3).filter(|o| *o <= (12 << 20) - 7));
    let (sixth, third_len, half_len) = (half.and_len(&third), third.len(), half.len());
    let mut bundle = BundleBuilder::new();
    bundle.push(0, &half);
    bundle.push(1, &third);
    let bundle = Bundle::open(bundle.finish(2).unwrap().into()).unwrap();
    let leaf = |index| Formula::stored(bundle.get(index));
    let both = Query::new(users.clone(), Formula::and(vec![leaf(0), leaf(1)]));
    assert_eq!(both.count(), sixth);
    assert_eq!(both.bitmap(), half.and(&third));
    let neither = Query::new(users.clone(), Formula::and(vec![leaf(0).not(), leaf(1).not()]));
    assert_eq!(neither.count(), users.len() - half_len - third_len + sixth);
    assert_eq!(Query::new(users.clone(), Formula::full()).count(), users.len());
    assert_eq!(Query::new(users.clone(), Formula::full()).bitmap(), *users);
}

/// Nobody but everybody is left when the comparison, which comes last, is taken away.
#[test]
fn a_comparison_is_taken_away_from_everybody() {
    let everybody = Arc::new(Bitmap::from_range(0..=99_999));
    let slices = BitSlices::from_pairs((0..100_000).step_by(2).map(|user| (user, i64::from(user)))).unwrap();
    let low = slices.between(0, 999);
    let query = Query::new(everybody.clone(), Formula::and(vec![Formula::owned(everybody.clone()), low.clone().not()]));
    assert_eq!((query.count(), query.bitmap().len()), (99_500, 99_500));
    let query = Query::new(everybody.clone(), Formula::and(vec![Formula::owned(everybody), low]));
    assert_eq!((query.count(), query.bitmap().len()), (500, 500));
}
