//! Segments against ordered maps, and against damage.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use taghouse_index::{Bitmap, Error, Segment, SegmentBuilder};
use taghouse_model::{ErrorKind, Value, ValueType};
use taghouse_testkit::{Dice, TYPES, value};

fn build(ty: ValueType, values: impl IntoIterator<Item = (u32, Value)>) -> Vec<u8> {
    let mut builder = SegmentBuilder::new(ty);
    values.into_iter().for_each(|(ordinal, value)| builder.add(ordinal, &value).unwrap());
    builder.finish().unwrap()
}

fn check(segment: &Segment, ty: ValueType, naive: &BTreeMap<u32, Value>) {
    assert_eq!((segment.value_type(), segment.users()), (ty, naive.len() as u64));
    for ordinal in naive.keys().flat_map(|o| [*o, o + 1, o + (1 << 20)]) {
        assert_eq!(
            segment.value_of(ordinal).unwrap(),
            naive.get(&ordinal).cloned(),
            "{ty} of {ordinal}"
        );
    }
    let mut counts = BTreeMap::<Value, u64>::new();
    for value in naive.values() {
        match value {
            Value::Set(members) => {
                members.iter().for_each(|m| *counts.entry(Value::Text(m.clone())).or_default() += 1)
            }
            value => *counts.entry(value.clone()).or_default() += 1,
        }
    }
    assert_eq!(segment.values().unwrap(), counts.into_iter().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn values_come_back(seed in any::<u64>(), users in 0..600_usize, step in 1..9_000_u32, values in prop::sample::select(vec![3, 100, 500]), again in 0..20_usize) {
        for ty in TYPES {
            let mut dice = Dice::new(seed);
            let given: Vec<(u32, Value)> = (0..users as u32).map(|user| (user * step, value(ty, values, &mut dice))).collect();
            let sorted = build(ty, given.clone());
            let mut naive: BTreeMap<u32, Value> = given.iter().cloned().collect();
            check(&Segment::open("x", sorted.clone()).unwrap(), ty, &naive);
            // Out of order, and some users again: the later value counts, and the bytes are the same whatever the order.
            let mut shuffled = given;
            shuffled.reverse();
            prop_assert_eq!(&build(ty, shuffled.clone()), &sorted);
            for _ in 0..again.min(users) {
                let user = dice.below(users as u64) as u32 * step;
                let value = value(ty, values, &mut dice);
                shuffled.push((user, value.clone()));
                naive.insert(user, value);
            }
            check(&Segment::open("x", build(ty, shuffled)).unwrap(), ty, &naive);
        }
    }

    #[test]
    fn the_bulk_path_gives_the_same_segment(seed in any::<u64>(), users in 1..600_u32, values in prop::sample::select(vec![3, 100, 500])) {
        for ty in TYPES {
            let mut dice = Dice::new(seed);
            let naive: BTreeMap<u32, Value> = (0..users).map(|user| (user * 4001, value(ty, values, &mut dice))).collect();
            let mut by_value = BTreeMap::<Value, Vec<u32>>::new();
            for (user, value) in &naive {
                match value {
                    Value::Set(members) => members.iter().for_each(|m| by_value.entry(Value::Text(m.clone())).or_default().push(*user)),
                    value => by_value.entry(value.clone()).or_default().push(*user),
                }
            }
            let bulk = by_value.into_iter().map(|(value, users)| (value, Bitmap::from_sorted(&users))).collect();
            let segment = Segment::open("x", SegmentBuilder::from_values(ty, bulk).unwrap()).unwrap();
            check(&segment, ty, &naive);
        }
    }

    #[test]
    fn damage_is_seen(seed in any::<u64>(), users in 0..300_u32, at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        for ty in TYPES {
            let mut dice = Dice::new(seed);
            let bytes = build(ty, (0..users).map(|user| (user * 5003, value(ty, 200, &mut dice))));
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            // Opening checks the tables; the rest is checked when it is read. Never is there a wrong answer.
            let read = |file: Vec<u8>| -> Result<(), Error> {
                let segment = Segment::open("index/shop/x/1.seg", file)?;
                segment.values()?;
                segment.sets().iter().try_for_each(|(_, users)| users.to_bitmap().map(drop))?;
                (0..users).try_for_each(|user| segment.value_of(user * 5003).map(drop))?;
                segment.existence().to_bitmap()?;
                Ok(())
            };
            let error = read(flipped).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
            prop_assert!(error.to_string().starts_with("the index object index/shop/x/1.seg is damaged ("), "{}", error);
            prop_assert!(error.to_string().ends_with(": run produce again to rebuild it"), "{}", error);
            prop_assert_eq!(Segment::open("x", bytes[..at.index(bytes.len())].to_vec()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    /// Under checksums that fit: whatever the tables say, opening and reading never panics.
    #[test]
    fn wrong_tables_never_panic(seed in any::<u64>(), users in 1..300_u32, flips in prop::collection::vec((0..600_usize, 0..8_u8), 1..3)) {
        for ty in TYPES {
            let mut dice = Dice::new(seed);
            let file = build(ty, (0..users).map(|user| (user * 5003, value(ty, 200, &mut dice))));
            let mut body = taghouse_bitmap::unseal(b"TAGHSEGM", &file.into()).unwrap().to_vec();
            for (at, bit) in &flips {
                let at = at % body.len();
                body[at] ^= 1 << bit;
            }
            match Segment::open("x", taghouse_bitmap::seal(b"TAGHSEGM", &body)) {
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
                Ok(segment) => (0..users).for_each(|user| drop(segment.value_of(user * 5003))),
            }
        }
    }
}

#[test]
fn sums_are_exact() {
    let cents = |units: i64| Value::Decimal(Decimal::new(units, 2));
    let ty = ValueType::Decimal { scale: 2 };
    let segment = Segment::open(
        "x",
        build(ty, [(1, cents(-150)), (2, cents(i64::MAX)), (1 << 20, cents(i64::MAX))]),
    )
    .unwrap();
    assert_eq!(segment.sum(None).unwrap(), Some(2 * i128::from(i64::MAX) - 150));
    assert_eq!(segment.sum(Some(&Bitmap::from_sorted(&[1, 3]))).unwrap(), Some(-150));
    assert_eq!(segment.sum(Some(&Bitmap::from_sorted(&[3]))).unwrap(), None);
    assert_eq!(segment.bounds(None).unwrap(), Some((cents(-150), cents(i64::MAX))));
    assert_eq!(
        segment.bounds(Some(&Bitmap::from_sorted(&[1, 3]))).unwrap(),
        Some((cents(-150), cents(-150)))
    );
    // A decimal of fewer digits is one of more.
    let segment =
        Segment::open("x", build(ty, [(7, Value::Decimal(Decimal::new(15, 1)))])).unwrap();
    assert_eq!(segment.value_of(7).unwrap(), Some(cents(150)));
    let days = Segment::open("x", build(ValueType::Date, [(7, Value::Date(-3))])).unwrap();
    assert_eq!(
        (days.sum(None).unwrap(), days.bounds(None).unwrap()),
        (None, Some((Value::Date(-3), Value::Date(-3))))
    );
}

#[test]
fn distributions_are_in_values() {
    let cents = |units: i64| Value::Decimal(Decimal::new(units, 2));
    let segment = Segment::open(
        "x",
        build(
            ValueType::Decimal { scale: 2 },
            (0..10).map(|user| (user * 70_000, cents(i64::from(user) - 3))),
        ),
    )
    .unwrap();
    assert_eq!(segment.quantiles(None, &[0.0, 0.5, 1.0]).unwrap(), [cents(-3), cents(1), cents(6)]);
    assert_eq!(
        segment.histogram(None, 3).unwrap(),
        [(cents(-3), cents(-1), 3), (cents(0), cents(2), 3), (cents(3), cents(6), 4)]
    );
    let two = Bitmap::from_sorted(&[70_000, 140_000, 150_000]);
    assert_eq!(segment.quantiles(Some(&two), &[0.5]).unwrap(), [cents(-2)]);
    assert_eq!(
        segment.histogram(Some(&two), 100).unwrap(),
        [(cents(-2), cents(-2), 1), (cents(-1), cents(-1), 1)]
    );
    assert_eq!(segment.histogram(Some(&two), 0).unwrap(), []);
    let nobody = Bitmap::new();
    assert_eq!(
        (
            segment.quantiles(Some(&nobody), &[0.5]).unwrap(),
            segment.histogram(Some(&nobody), 5).unwrap()
        ),
        (vec![], vec![])
    );
    let times = [(1, Value::Time(i64::MIN)), (2, Value::Time(i64::MAX))];
    let halves =
        Segment::open("x", build(ValueType::Time, times)).unwrap().histogram(None, 2).unwrap();
    assert_eq!(
        halves,
        [(Value::Time(i64::MIN), Value::Time(-1), 1), (Value::Time(0), Value::Time(i64::MAX), 1)]
    );
    let texts = Segment::open("x", build(ValueType::Text, [(1, Value::text("a"))])).unwrap();
    assert_eq!(
        (texts.quantiles(None, &[0.5]).unwrap(), texts.histogram(None, 5).unwrap()),
        (vec![], vec![])
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |ty: ValueType, value: Value| {
        let error = SegmentBuilder::new(ty).add(0, &value).unwrap_err();
        assert!(matches!(error, Error::Value { .. }) && error.kind() == ErrorKind::Invalid);
        error.to_string()
    };
    assert_eq!(
        refused(ValueType::Int, Value::text("a")),
        "a segment of type int cannot hold this: a is of another type or beyond its range"
    );
    refused(ValueType::Bool, Value::Int(1));
    refused(ValueType::Text, Value::Set([].into()));
    refused(ValueType::Decimal { scale: 2 }, Value::Decimal(Decimal::new(1005, 3)));
    refused(ValueType::Decimal { scale: 12 }, Value::Decimal(Decimal::new(i64::MAX, 2)));
    refused(ValueType::Text, Value::text(&"x".repeat(1025)));
    refused(ValueType::Set, Value::Set([std::sync::Arc::from("x".repeat(1025))].into()));

    let one = |ordinals: &[u32]| Bitmap::from_sorted(ordinals);
    let twice = vec![(Value::text("a"), one(&[1])), (Value::text("a"), one(&[2]))];
    assert!(SegmentBuilder::from_values(ValueType::Text, twice).is_err());
    let two_values = vec![(Value::text("a"), one(&[1])), (Value::text("b"), one(&[1, 2]))];
    assert!(SegmentBuilder::from_values(ValueType::Text, two_values.clone()).is_err());
    assert!(SegmentBuilder::from_values(ValueType::Set, two_values).is_ok());
    assert!(
        SegmentBuilder::from_values(ValueType::Text, vec![(Value::Int(1), one(&[1]))]).is_err()
    );
}

#[test]
fn an_empty_set_is_no_value() {
    let set =
        |members: &[&str]| Value::Set(members.iter().map(|m| std::sync::Arc::from(*m)).collect());
    let segment = Segment::open(
        "x",
        build(
            ValueType::Set,
            [(1, set(&["a"])), (2, set(&[])), (3, set(&["b", "a"])), (1, set(&[]))],
        ),
    )
    .unwrap();
    assert_eq!(
        (segment.users(), segment.value_of(1).unwrap(), segment.value_of(3).unwrap()),
        (1, None, Some(set(&["a", "b"])))
    );
    assert_eq!(segment.values().unwrap(), [(Value::text("a"), 1), (Value::text("b"), 1)]);
    assert_eq!(segment.users_of(&Value::text("a")).unwrap(), Some(Bitmap::from_sorted(&[3])));
    assert_eq!(segment.users_of(&Value::text("c")).unwrap(), None);
}
