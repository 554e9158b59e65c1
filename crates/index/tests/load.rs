//! The loader against the segment builder: the same bytes, whatever the order, the threads and the
//! memory.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use taghouse_index::{LoadOptions, LoadedSegment, Loader, Segment, SegmentBuilder, join};
use taghouse_model::{ErrorKind, Value, ValueType};
use taghouse_testkit::{Dice, TYPES, value};

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
fn load(
    options: LoadOptions,
    out: &Path,
    tags: &[(ValueType, Points)],
    feeders: usize,
) -> Vec<LoadedSegment> {
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
    assert!(
        bytes == expected,
        "tag {}: {} bytes instead of {}",
        loaded.name,
        bytes.len(),
        expected.len()
    );
}

fn shuffle<T>(all: &mut [T], dice: &mut Dice) {
    for at in (1..all.len()).rev() {
        all.swap(at, dice.below(at as u64 + 1) as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

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
        let mut dice = Dice::new(seed);
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
        let mut parts = Vec::new();
        for (number, shards) in [0..6, 0..2, 2..6].into_iter().enumerate() {
            let out = folder.path().join(format!("out{number}"));
            let loaded = load(options(folder.path(), memory_bytes, shards.clone(), threads), &out, &tags, feeders);
            for (loaded, (ty, points)) in loaded.iter().zip(&tags) {
                same(loaded, &naive(*ty, points, &shards));
            }
            let left = std::fs::read_dir(folder.path().join("spill")).unwrap().count();
            prop_assert_eq!(left, 0, "files are left in the spill folder");
            parts.push(loaded);
        }
        for (number, whole) in parts[0].iter().enumerate() {
            let of_tag = [&parts[2][number], &parts[1][number]].map(|part| Segment::open("x", std::fs::read(&part.path).unwrap()).unwrap());
            let joined = join("joined", &of_tag, &folder.path().join("joined")).unwrap();
            prop_assert_eq!(joined.users, whole.users);
            same(&joined, &std::fs::read(&whole.path).unwrap());
        }
    }
}

/// What a feeder is given: the number of a tag, a code, ordinals.
type FedColumn = (usize, u32, Vec<u32>);

/// Ascending and not, long and short, across shards and often of users who were there before.
fn column(tags: &[ValueType], dice: &mut Dice) -> FedColumn {
    let tag = dice.below(tags.len() as u64) as usize;
    let code = dice.below(if tags[tag] == ValueType::Bool { 2 } else { 5 }) as u32;
    let step = [1, 1, 2, 17, 300][dice.below(5) as usize];
    let count = [5, 130, 3000][dice.below(3) as usize];
    let start = (dice.below(4) << 19) as u32 + dice.below(1000) as u32;
    let mut ordinals: Vec<u32> =
        (0..dice.below(count) as u32).map(|at| start + at * step).collect();
    match dice.below(6) {
        0 => ordinals.reverse(),
        1 => ordinals.extend(ordinals.clone()),
        2 => shuffle(&mut ordinals, dice),
        _ => {}
    }
    (tag, code, ordinals)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn columns_are_those_of_the_builder(
        seed in any::<u64>(),
        columns in 0..60_usize,
        (feeders, threads) in (1..4_usize, 1..4_usize),
        memory_bytes in prop::sample::select(vec![0, 1 << 14, 1 << 18, 1 << 26]),
    ) {
        let mut dice = Dice::new(seed);
        let tags = [ValueType::Bool, ValueType::Text, ValueType::Set];
        let given: Vec<Vec<FedColumn>> = (0..feeders).map(|_| (0..columns).map(|_| column(&tags, &mut dice)).collect()).collect();
        let folder = tempfile::tempdir().unwrap();
        for shards in [0..6, 1..2] {
            let loader = Loader::new(options(folder.path(), memory_bytes, shards.clone(), threads)).unwrap();
            let ids = tags.map(|ty| loader.tag(ty.to_string(), ty).unwrap());
            for id in &ids[1..] {
                (0..5).for_each(|code| assert_eq!(loader.code(*id, &format!("value {}", 9 - code)).unwrap(), code));
            }
            let mut all: Vec<_> = (0..feeders).map(|_| loader.feeder()).collect();
            let mut points = tags.map(|_| Points::new());
            for (feeder, columns) in all.iter_mut().zip(&given) {
                for (tag, code, ordinals) in columns {
                    feeder.push_codes(ids[*tag], ordinals, *code).unwrap();
                    let text = format!("value {}", 9 - code).into();
                    let value = match tags[*tag] {
                        ValueType::Bool => Value::Bool(*code == 1),
                        ValueType::Text => Value::Text(text),
                        _ => Value::Set([text].into()),
                    };
                    points[*tag].extend(ordinals.iter().map(|ordinal| (*ordinal, value.clone())));
                }
            }
            all.into_iter().rev().for_each(|feeder| feeder.finish().unwrap());
            let loaded = loader.finish(&folder.path().join("out")).unwrap();
            for ((loaded, ty), points) in loaded.iter().zip(tags).zip(&points) {
                same(loaded, &naive(ty, points, &shards));
            }
            let left = std::fs::read_dir(folder.path().join("spill")).unwrap().count();
            prop_assert_eq!(left, 0, "files are left in the spill folder");
        }
    }
}

/// A million points in columns, of three tags side by side: the same bytes in much memory and in
/// little, and those of the builder.
#[test]
fn a_million_points_in_columns() {
    let mut dice = Dice::new(7);
    let users = 3_000_000;
    let mut pairs: Vec<(u32, u32)> =
        (0..600_000).map(|_| (dice.below(users) as u32, dice.below(300) as u32)).collect();
    // One value that nearly everybody of a stretch has: bitset and run containers.
    pairs.extend((1_000_000..1_200_000).map(|ordinal| (ordinal, 7)));
    let ordinals: Vec<u32> = (0..100_000).map(|_| dice.below(users) as u32).collect();
    let numbers: Vec<i64> = (0..100_000).map(|_| dice.below(1 << 20) as i64 - 1000).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for (memory_bytes, threads) in [(1 << 20, 1), (1 << 28, 2)] {
        let loader = Loader::new(options(folder.path(), memory_bytes, 0..3, threads)).unwrap();
        let set = loader.tag("set", ValueType::Set).unwrap();
        let int = loader.tag("int", ValueType::Int).unwrap();
        let flag = loader.tag("flag", ValueType::Bool).unwrap();
        for code in 0..300 {
            assert_eq!(loader.code(set, &format!("value {:03}", 299 - code)).unwrap(), code);
        }
        let mut feeder = loader.feeder();
        pairs.chunks(5000).for_each(|pairs| feeder.push_pairs(set, pairs).unwrap());
        feeder.push_numbers(int, &ordinals, &numbers).unwrap();
        feeder.push_codes(flag, &ordinals, 0).unwrap();
        feeder.push_codes(flag, &ordinals[..40_000], 1).unwrap();
        feeder.finish().unwrap();
        let out = folder.path().join(format!("{threads}"));
        let loaded = loader.finish(&out).unwrap();
        written.push(
            loaded.iter().map(|loaded| std::fs::read(&loaded.path).unwrap()).collect::<Vec<_>>(),
        );
    }
    assert!(written[0] == written[1], "the memory changes the bytes");
    let mut expected = BTreeMap::<u32, std::collections::BTreeSet<std::sync::Arc<str>>>::new();
    for (ordinal, code) in &pairs {
        expected.entry(*ordinal).or_default().insert(format!("value {:03}", 299 - code).into());
    }
    let sets = expected.into_iter().map(|(ordinal, set)| (ordinal, Value::Set(set))).collect();
    assert!(written[0][0] == naive(ValueType::Set, &sets, &(0..3)));
    let ints = ordinals
        .iter()
        .zip(&numbers)
        .map(|(ordinal, number)| (*ordinal, Value::Int(*number)))
        .collect();
    assert!(written[0][1] == naive(ValueType::Int, &ints, &(0..3)));
    let given = ordinals.iter().map(|ordinal| (*ordinal, Value::Bool(false)));
    let flags = given
        .chain(ordinals[..40_000].iter().map(|ordinal| (*ordinal, Value::Bool(true))))
        .collect();
    assert!(written[0][2] == naive(ValueType::Bool, &flags, &(0..3)));
}

/// Tags of so many values that users' values are stored a second time, by user: of every shard, and
/// of parts that are joined, in much memory and in little.
#[test]
fn tags_of_very_many_values() {
    let mut dice = Dice::new(11);
    let text = |number: u64| -> std::sync::Arc<str> { format!("value {number}").into() };
    // 16,383 and 16,384 values lie on both sides of where the second copy begins; from 65,537 on
    // its codes take four bytes.
    let tags: Vec<(ValueType, Points)> = [16_383, 16_384, 70_000]
        .into_iter()
        .flat_map(|values| {
            let mut given: Vec<(u32, u64)> =
                (0..values).map(|number| (dice.below(3 << 20) as u32, number)).collect();
            // A member that everybody has: who has a value is then stored once only.
            let sets = given
                .iter()
                .map(|(user, number)| (*user, Value::Set([text(*number), text(0)].into())))
                .collect();
            // Each user once, so that all values are in use.
            given
                .iter_mut()
                .zip(0..)
                .for_each(|((user, _), place)| *user = place * 37 + *user % 37);
            let texts =
                given.into_iter().map(|(user, number)| (user, Value::Text(text(number)))).collect();
            [(ValueType::Set, sets), (ValueType::Text, texts)]
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    for (number, memory_bytes) in [1 << 18, 1 << 28].into_iter().enumerate() {
        let out = |part: &str| folder.path().join(format!("{part}{number}"));
        let whole = load(options(folder.path(), memory_bytes, 0..3, 2), &out("whole"), &tags, 2);
        let parts = [0..1, 1..3].map(|shards| {
            let out = out(&shards.start.to_string());
            load(options(folder.path(), memory_bytes, shards, 2), &out, &tags, 1)
        });
        for (at, (ty, points)) in tags.iter().enumerate() {
            let expected = naive(*ty, points, &(0..3));
            same(&whole[at], &expected);
            let of_tag = parts
                .each_ref()
                .map(|part| Segment::open("x", std::fs::read(&part[at].path).unwrap()).unwrap());
            same(&join("joined", &of_tag, &folder.path().join("joined")).unwrap(), &expected);
        }
    }
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let loader = Loader::new(options(folder.path(), 1 << 20, 2..3, 1)).unwrap();
    let text = loader.tag("text", ValueType::Text).unwrap();
    let int = loader.tag("int", ValueType::Int).unwrap();
    let flag = loader.tag("flag", ValueType::Bool).unwrap();
    let kind = |result: Result<(), taghouse_index::Error>| result.err().map(|e| e.kind());
    let mut feeder = loader.feeder();
    for result in [
        feeder.push_codes(int, &[1], 0),
        feeder.push_codes(flag, &[1], 2),
        feeder.push_pairs(text, &[(1, 0), (2, 1 << 20)]),
        feeder.push_numbers(flag, &[1], &[1]),
        feeder.push_numbers(int, &[1, 2], &[1]),
        feeder.push(int, 1, &Value::Bool(true)),
        loader.code(flag, "yes").map(drop),
        loader.code(text, &"x".repeat(1025)).map(drop),
    ] {
        assert_eq!(kind(result), Some(ErrorKind::Invalid));
    }
    feeder.push_codes(text, &[5 << 20], 3).unwrap();
    feeder.finish().unwrap();
    assert_eq!(
        loader.finish(folder.path()).unwrap_err().kind(),
        ErrorKind::Invalid,
        "code 3 stands for no text"
    );
    let loader = Loader::new(options(folder.path(), 1 << 20, 0..1, 1)).unwrap();
    let _ = loader.feeder();
    assert_eq!(
        loader.finish(folder.path()).unwrap_err().kind(),
        ErrorKind::Internal,
        "a feeder is not finished"
    );
    assert!(Loader::new(options(folder.path(), 1 << 20, 0..4097, 1)).is_err());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Loader::new(options(&file, 1 << 20, 0..1, 1)).err().unwrap();
    assert!(
        error.kind() == ErrorKind::Unavailable && error.to_string().contains("file/spill"),
        "{error}"
    );
}

#[test]
fn parts_that_do_not_fit_are_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let part = |ty, ordinal: u32, value: Value| {
        Segment::open("x", naive(ty, &vec![(ordinal, value)], &(0..9))).unwrap()
    };
    let one = part(ValueType::Int, 1, Value::Int(1));
    let refused = |parts: &[Segment]| {
        join("a", parts, &folder.path().join("out")).unwrap_err().kind() == ErrorKind::Invalid
    };
    assert!(refused(&[]));
    assert!(
        refused(&[one.clone(), part(ValueType::Date, 2 << 20, Value::Date(1))]),
        "of two types"
    );
    assert!(refused(&[one, part(ValueType::Int, 2, Value::Int(1))]), "of one shard");
}
