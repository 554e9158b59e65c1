use super::counter::Counter;
use super::gather::Blobs;
use super::slots::Slots;
use super::split::{Split, Way};
use super::*;
use crate::SHARD_SIZE;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn members<'s>(sets: impl IntoIterator<Item = &'s BTreeSet<u32>>) -> Vec<UserSet> {
    sets.into_iter().map(|set| UserSet::Owned(Arc::new(set.iter().copied().collect()))).collect()
}

/// Users of one container: some are in most of the sets, most in a few or none.
fn sets() -> impl Strategy<Value = Vec<BTreeSet<u32>>> {
    let users = prop_oneof![
        prop::collection::btree_set(0..40_u32, 0..30),
        prop::collection::btree_set(0..=65_535_u32, 0..300),
        (0..60_000_u32, 1..5_000_u32).prop_map(|(start, more)| (start..=start + more).collect()),
        (0..7_u32).prop_map(|start| (start..65_536).step_by(7).collect()),
    ];
    prop::collection::vec(users, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn slots_count_as_sets_do(sets in sets(), asked in sets(), again in sets()) {
        let mut slots = Slots::new();
        // What the first ones leave behind must not be seen by the second ones.
        for sets in [&sets, &again] {
            let (held, asked_members) = (members(sets), members(&asked));
            let (held, asked_blobs) = (Blobs::of(&held, 0), Blobs::of(&asked_members, 0));
            slots.clear();
            for piece in &held.pieces()[0] {
                slots.insert(piece, piece.set as usize);
            }
            for row in &asked_blobs.pieces()[0] {
                let mut counts = vec![0; sets.len()];
                slots.count(row, None, &mut counts);
                let row = &asked[row.set as usize];
                let expected: Vec<u16> = sets.iter().map(|set| set.intersection(row).count() as u16).collect();
                prop_assert_eq!(counts, expected);
            }
        }
    }
}

/// `count` sets of which each user is in one, and each of them has a thousand a container.
fn disjoint(count: u32) -> Vec<UserSet> {
    members(&(0..count).map(|set| (set..SHARD_SIZE).step_by(65).collect()).collect::<Vec<_>>())
}

#[test]
fn small_counts_that_become_large_lose_nothing() {
    let sets = disjoint(20);
    let blobs = Blobs::of(&sets, 0);
    let pieces = &blobs.pieces()[3];
    assert_eq!(Split::of(pieces, pieces).way, Way::Turn);
    for symmetric in [false, true] {
        let mut counter = Counter::new(20, 20, symmetric);
        (0..9).for_each(|_| counter.count(&sets, &sets, None, 0));
        let mut sums = vec![0; 400];
        counter.add_to(&mut sums);
        for (at, sum) in sums.into_iter().enumerate() {
            let expected = if at / 20 == at % 20 { 9 * sets[at / 20].len() } else { 0 };
            assert_eq!(sum, expected, "of sets {} and {}", at / 20, at % 20);
        }
    }
}

#[test]
fn each_way_is_taken_where_it_is_the_quickest() {
    let sets = disjoint(40);
    let blobs = Blobs::of(&sets, 0);
    let pieces = &blobs.pieces()[0];
    assert_eq!(Split::of(pieces, pieces).way, Way::Turn);
    assert_eq!(Split::of(&pieces[..1], pieces).way, Way::LookUp);
    let large = members(&(0..4).map(|set| (set..65_536).step_by(3).collect()).collect::<Vec<_>>());
    let large = Blobs::of(&large, 0);
    let large = &large.pieces()[0];
    let split = Split::of(large, large);
    assert_eq!((split.rows.dense.len(), split.columns.dense.len()), (4, 4));
    assert_eq!(Split::of(large, &pieces[..1]).columns.dense.len(), 0);
}
