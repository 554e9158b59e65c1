use super::*;
use crate::{SHARD_BITS, SHARD_SIZE};
use croaring::{Bitmap as Roaring, Portable};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What croaring makes of it.
fn naive(shard: u32, lows: &[u32]) -> (u32, Vec<u8>) {
    let all: Vec<u32> = lows.iter().map(|low| shard << SHARD_BITS | low).collect();
    let mut set = Roaring::of(&all);
    set.run_optimize();
    if set.is_empty() {
        (0, Vec::new())
    } else {
        (set.cardinality() as u32, set.serialize::<Portable>())
    }
}

fn check(shard: u32, lows: &[u32]) {
    let expected = naive(shard, lows);
    let sorted: Vec<u32> = lows.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let (mut encoder, mut union) = (ShardEncoder::new(), ShardEncoder::new());
    for given in [lows, &sorted, lows] {
        let mut bytes = vec![7; 3];
        let cardinality = encoder.encode(shard, given, Some(&mut union), &mut bytes);
        assert_eq!(
            (cardinality, &bytes[3..]),
            (expected.0, expected.1.as_slice()),
            "{} of shard {shard}",
            given.len()
        );
    }
    // The sorted path writes without filling the set: both paths must agree on it as well.
    sorted.iter().for_each(|low| encoder.insert(*low));
    let (mut bytes, mut of_union) = (Vec::new(), Vec::new());
    assert_eq!(
        (encoder.take(shard, &mut bytes), union.take(shard, &mut of_union)),
        (expected.0, expected.0)
    );
    assert_eq!((&bytes, &of_union), (&expected.1, &expected.1));
    assert_eq!(encoder.take(shard, &mut Vec::new()), 0, "taken, and not empty");
    let (mut of_ordinals, ordinals) =
        (Vec::new(), sorted.iter().map(|low| shard << SHARD_BITS | low).collect::<Vec<_>>());
    assert_eq!(encode_ascending(shard, &ordinals, &mut of_ordinals), expected.0);
    assert_eq!(of_ordinals, bytes);
    let mut back = Vec::new();
    for_each_low(&bytes, |low| back.push(low));
    assert_eq!(back, sorted);
    // A part that is there before, and the whole on top of it.
    sorted.iter().step_by(3).for_each(|low| encoder.insert(*low));
    encoder.absorb(&bytes);
    let mut absorbed = Vec::new();
    assert_eq!((encoder.take(shard, &mut absorbed), absorbed), (expected.0, bytes));
    assert_eq!(encoder.take(shard, &mut Vec::new()), 0, "taken, and not empty");
}

/// Pieces of a set: scattered ordinals, runs, and nearly full stretches.
fn lows() -> impl Strategy<Value = Vec<u32>> {
    let piece = prop_oneof![
        prop::collection::vec(0..SHARD_SIZE, 0..200),
        (0..SHARD_SIZE, 1..70_000_u32)
            .prop_map(|(start, len)| (start..(start + len).min(SHARD_SIZE)).collect()),
        (0..SHARD_SIZE, 1..9_000_u32, 2..7_u32)
            .prop_map(|(start, n, step)| (0..n).map(|i| (start + i * step) % SHARD_SIZE).collect()),
        (0..SHARD_SIZE, 2..9_u32).prop_map(|(start, skip)| (start..SHARD_SIZE.min(start + 80_000))
            .filter(|o| o % skip != 0)
            .collect()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces: Vec<Vec<u32>>| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_bytes_are_those_of_croaring(shard in prop_oneof![Just(0_u32), Just(4095), 1..4095_u32], lows in lows()) {
        check(shard, &lows);
    }
}

#[test]
fn at_the_edges_too() {
    let cases: [Vec<u32>; 9] = [
        vec![],
        vec![0],
        vec![SHARD_SIZE - 1],
        (0..SHARD_SIZE).collect(),
        (0..4096).map(|i| i * 2).collect(),
        (0..4097).map(|i| i * 2).collect(),
        (0..65536).collect(),
        (65535..65538).collect(),
        (63..130).chain(191..193).chain([65535, 65536]).collect(),
    ];
    for case in cases {
        check(0, &case);
        check(4095, &case);
    }
}
