//! The loader against the segment builder: the same bytes, whatever the order, the threads and the memory.
#![allow(clippy::unwrap_used, clippy::panic)]

mod population;

use population::{Dice, TYPES, value};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use taghouse_index::{LoadOptions, LoadedSegment, Loader, Segment, SegmentBuilder};
use taghouse_model::{Value, ValueType};

/// Points of one tag, in the order in which they count.
type Points = Vec<(u32, Value)>;

/// What the builder makes of them.
fn naive(ty: ValueType, points: &Points, shards: &Range<u32>) -> Vec<u8> {
    let mut values = BTreeMap::<u32, Value>::new();
    for (ordinal, value) in points.iter().filter(|(ordinal, _)| shards.contains(&(ordinal >> 20))) {
        match (values.get_mut(ordinal), value) {
            (Some(Value::Set(all)), Value::Set(more)) => all.extend(more.iter().cloned()),
            _ => drop(values.insert(*ordinal, value.clone())),
        }
    }
    let mut builder = SegmentBuilder::new(ty);
    values.iter().for_each(|(ordinal, value)| builder.add(*ordinal, value).unwrap());
    builder.finish().unwrap()
}

fn options(folder: &Path, memory_bytes: usize, shards: Range<u32>, threads: usize) -> LoadOptions {
    LoadOptions { spill: folder.join("spill"), memory_bytes, shards, threads }
}

/// Loads all tags side by side, each feeder with its part, the last feeder first.
fn load(options: LoadOptions, out: &Path, tags: &[(ValueType, Points)], feeders: usize) -> Vec<LoadedSegment> {
    let loader = Loader::new(options).unwrap();
    let ids: Vec<_> = tags.iter().map(|(ty, _)| loader.tag(ty.to_string(), *ty).unwrap()).collect();
    let mut all: Vec<_> = (0..feeders).map(|_| loader.feeder()).collect();
    let longest = tags.iter().map(|(_, points)| points.len()).max().unwrap_or(0);
    for (number, feeder) in all.iter_mut().enumerate().rev() {
        for at in 0..longest {
            for (id, (_, points)) in ids.iter().zip(tags) {
                let part = points.len() * number / feeders..points.len() * (number + 1) / feeders;
                if let Some((ordinal, value)) = points[part].get(at) {
                    feeder.push(*id, *ordinal, value).unwrap();
                }
            }
        }
    }
    all.into_iter().for_each(|feeder| feeder.finish().unwrap());
    loader.finish(out).unwrap()
}

fn same(loaded: &LoadedSegment, expected: &[u8]) {
    let bytes = std::fs::read(&loaded.path).unwrap();
    assert_eq!(bytes.len() as u64, loaded.size_bytes);
    assert_eq!(Segment::open("x", bytes.clone()).unwrap().users(), loaded.users, "{}", loaded.name);
    assert!(bytes == expected, "tag {}: {} bytes instead of {}", loaded.name, bytes.len(), expected.len());
}

fn shuffle<T>(all: &mut [T], dice: &mut Dice) {
    for at in (1..all.len()).rev() {
        all.swap(at, dice.below(at as u64 + 1) as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn segments_are_those_of_the_builder(
        seed in any::<u64>(),
        users in 0..600_usize,
        step in 1..9_000_u32,
        values in prop::sample::select(vec![1, 3, 50, 200]),
        again in 0..60_usize,
        shuffled in any::<bool>(),
        (feeders, threads) in (1..4_usize, 1..4_usize),
        memory_bytes in prop::sample::select(vec![0, 1 << 14, 1 << 18, 1 << 26]),
    ) {
        let mut dice = Dice(seed);
        let tags: Vec<(ValueType, Points)> = TYPES.iter().chain(&TYPES).map(|ty| {
            let mut points: Points = (0..users as u32).map(|user| (user * step, value(*ty, values, &mut dice))).collect();
            if shuffled {
                shuffle(&mut points, &mut dice);
            }
            for _ in 0..again.min(users) {
                points.push((dice.below(users as u64) as u32 * step, value(*ty, values, &mut dice)));
            }
            (*ty, points)
        }).collect();
        let folder = tempfile::tempdir().unwrap();
        for shards in [0..6, 1..3] {
            let out = folder.path().join("out");
            let loaded = load(options(folder.path(), memory_bytes, shards.clone(), threads), &out, &tags, feeders);
            for (loaded, (ty, points)) in loaded.iter().zip(&tags) {
                same(loaded, &naive(*ty, points, &shards));
            }
            let left = std::fs::read_dir(folder.path().join("spill")).unwrap().count();
            prop_assert_eq!(left, 0, "files are left in the spill folder");
        }
    }
}
