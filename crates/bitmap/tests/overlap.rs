//! Overlaps against ordered sets.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, Bundle, BundleBuilder, UserSet, overlap};

/// Around the borders of containers and shards, and in a shard of its own.
const BASES: [u32; 4] = [0, 65_536 - 3_000, (1 << 20) - 20_000, 7 << 20];

/// Few users, many, and runs: small and large containers of every kind.
fn set() -> impl Strategy<Value = BTreeSet<u32>> {
    let piece = prop_oneof![
        4 => (0..20_000_u32, 1..60_u32, 20..400_u32),
        2 => (0..20_000_u32, 500..1_500_u32, 7..30_u32),
        2 => (0..9_000_u32, 4_000..9_000_u32, 2..6_u32),
        1 => (0..9_000_u32, 10..15_000_u32, Just(1)),
    ];
    prop::collection::vec((prop::sample::select(BASES.to_vec()), piece), 0..3).prop_map(|pieces| {
        let users = |(base, (start, users, step)): (u32, (u32, u32, u32))| {
            (0..users).map(move |nth| base + start + nth * step)
        };
        pieces.into_iter().flat_map(users).collect()
    })
}

/// Every other one in memory.
fn members(sets: &[BTreeSet<u32>]) -> Vec<UserSet> {
    let mut bundle = BundleBuilder::new();
    for (index, set) in sets.iter().enumerate() {
        bundle.push_sorted(index as u32, &set.iter().copied().collect::<Vec<_>>());
    }
    let bundle = Bundle::open(bundle.finish(sets.len() as u32).unwrap()).unwrap();
    let of = |(index, set): (usize, &BTreeSet<u32>)| match index % 2 {
        0 => UserSet::Stored(bundle.get(index as u32)),
        _ => UserSet::Owned(Arc::new(set.iter().copied().collect())),
    };
    sets.iter().enumerate().map(of).collect()
}

fn check(
    rows: &[BTreeSet<u32>],
    columns: &[BTreeSet<u32>],
    within: Option<&BTreeSet<u32>>,
) -> Result<(), TestCaseError> {
    let mask = within.map(|within| within.iter().copied().collect::<Bitmap>());
    let naive = |row: &BTreeSet<u32>, column: &BTreeSet<u32>| {
        row.iter()
            .filter(|user| {
                column.contains(user) && within.is_none_or(|within| within.contains(user))
            })
            .count() as u64
    };
    let expected = |columns: &[BTreeSet<u32>]| -> Vec<u64> {
        rows.iter()
            .flat_map(|row| columns.iter().map(|column| naive(row, column)).collect::<Vec<_>>())
            .collect()
    };
    let (row_members, column_members) = (members(rows), members(columns));
    prop_assert_eq!(
        overlap(&row_members, &column_members, mask.as_ref()).unwrap(),
        expected(columns)
    );
    prop_assert_eq!(
        overlap(&row_members, &row_members, mask.as_ref()).unwrap(),
        expected(rows),
        "with itself"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn overlaps_are_those_of_sets(
        rows in prop::collection::vec(set(), 1..6),
        columns in prop::collection::vec(set(), 1..6),
        within in set(),
    ) {
        check(&rows, &columns, None)?;
        check(&rows, &columns, Some(&within))?;
    }
}

/// So many small sets that they are turned round, with large ones among them.
#[test]
fn many_small_sets() {
    let set = |number: u32, step: u32| {
        (number * 37 % 500..50_000).step_by(step as usize).collect::<BTreeSet<u32>>()
    };
    let sets: Vec<BTreeSet<u32>> =
        (0..36).map(|number| set(number, if number % 11 == 0 { 3 } else { 60 + number })).collect();
    check(&sets, &sets[..30], None).unwrap();
    check(&sets[..31], &sets, Some(&set(3, 2))).unwrap();
    check(&sets[..1], &sets, None).unwrap();
    check(&sets, &sets[..1], Some(&set(5, 7))).unwrap();
}

/// The same users are in most of the sets, and each set has more of its own.
#[test]
fn sets_that_share_their_users() {
    let set = |number: u32| -> BTreeSet<u32> {
        let shared = (0..400).map(|user| user * 97 + user * number % 7);
        shared
            .chain((0..700).map(|user| 65_536 * (number % 3) + (user * (61 + number)) % 65_536))
            .collect()
    };
    let sets: Vec<BTreeSet<u32>> = (0..90).map(set).collect();
    check(&sets[..25], &sets, None).unwrap();
    check(&sets[..30], &sets[15..60], Some(&(0..100_000).step_by(3).collect())).unwrap();
}

#[test]
fn no_sets_and_nobody() {
    assert!(overlap(&[], &[], None).unwrap().is_empty());
    let sets = members(&[BTreeSet::new(), BTreeSet::from([1, 2, u32::MAX])]);
    assert_eq!(overlap(&sets, &sets, None).unwrap(), [0, 0, 0, 3]);
    assert_eq!(overlap(&sets, &sets, Some(&Bitmap::new())).unwrap(), [0; 4]);
    assert_eq!(overlap(&sets, &[], None).unwrap(), []);
}
