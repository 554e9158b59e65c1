//! Columns that are fed against the segment builder: the same bytes.

use super::*;
use arrow::array::{ListBuilder, NullArray, StringBuilder};
use arrow::datatypes::Field;
use rust_decimal::Decimal;
use std::sync::Arc;
use taghouse_fold::ColumnBuilder;
use taghouse_model::{AppId, Value};
use taghouse_testkit::{Dice, TYPES, value_or_end};

struct Given {
    name: Name,
    value_type: ValueType,
    values: ArrayRef,
}

/// Columns of the same users, one after the other by two feeders.
fn fed(columns: &[Given], ordinals: &[Ordinal]) -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().unwrap();
    let folder = ScratchFolder::below(scratch.path(), &AppId::new("shop").unwrap());
    let last = ordinals.last().copied().unwrap_or(0);
    let (segments, stop) = (Segments::new(folder, last, 2).unwrap(), CancellationToken::new());
    let mut feeders = [segments.feeder(&stop), segments.feeder(&stop)];
    let fed: Vec<Fed> = columns
        .iter()
        .enumerate()
        .map(|(number, Given { name, value_type, values })| {
            let of_tag = FedColumn { name, value_type: *value_type, values, ordinals };
            feeders[number % 2].feed(&of_tag).unwrap()
        })
        .collect();
    feeders.into_iter().for_each(|feeder| feeder.finish().unwrap());
    let files = segments.finish().unwrap();
    let bytes = columns.iter().zip(fed).map(|(column, fed)| match fed {
        Fed::Built(bytes) => bytes,
        Fed::Loaded => std::fs::read(&files.by_name[column.name.as_str()]).unwrap(),
    });
    let bytes = bytes.collect();
    drop(files);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the folder stays");
    bytes
}

fn built(value_type: ValueType, values: &[Value], ordinals: &[Ordinal]) -> Vec<u8> {
    let mut builder = SegmentBuilder::new(value_type);
    ordinals.iter().zip(values).for_each(|(ordinal, value)| builder.add(*ordinal, value).unwrap());
    builder.finish().unwrap()
}

fn check(users: u32, step: u32, different: u64, seed: u64) {
    let mut dice = Dice::new(seed);
    let ordinals: Vec<Ordinal> = (0..users).map(|user| user * step).collect();
    let (mut columns, mut expected) = (Vec::new(), Vec::new());
    for (number, value_type) in TYPES.iter().chain(&TYPES).enumerate() {
        let values: Vec<Value> =
            ordinals.iter().map(|_| value_or_end(*value_type, different, &mut dice)).collect();
        // A column holds a time in microseconds, which reach less far.
        let values: Vec<Value> = values
            .into_iter()
            .map(|value| match value {
                Value::Time(ms) => Value::Time(ms.clamp(i64::MIN / 1000, i64::MAX / 1000)),
                value => value,
            })
            .collect();
        let mut builder = ColumnBuilder::new(*value_type);
        values.iter().for_each(|value| builder.push(Some(value)));
        columns.push(Given {
            name: Name::new(&format!("tag{number}")).unwrap(),
            value_type: *value_type,
            values: builder.finish(),
        });
        expected.push(built(*value_type, &values, &ordinals));
    }
    let found = fed(&columns, &ordinals);
    for ((column, found), expected) in columns.iter().zip(&found).zip(&expected) {
        assert!(found == expected, "{} of type {}", column.name, column.value_type);
    }
}

#[test]
fn segments_are_those_of_the_builder() {
    check(0, 1, 1, 1);
    check(1, 1, 1, 2);
    check(3000, 1, 5, 3);
    check(3000, 1, 100_000, 4);
    // Over three shards; the last is of few users.
    check(2100, 1000, 40, 5);
    check(40_000, 3, 1_000_000, 6);
}

/// What the loader does not take, and what a builder of columns does not make.
#[test]
fn odd_columns() {
    let decimals = ValueType::Decimal { scale: 2 };
    let (name, ordinals) = (|name: &str| Name::new(name).unwrap(), [3, 1 << 20]);
    let values = [1, i128::from(i64::MAX) + 1]
        .map(|units| Value::Decimal(Decimal::try_from_i128_with_scale(units, 2).unwrap()));
    let mut wide = ColumnBuilder::new(decimals);
    values.iter().for_each(|value| wide.push(Some(value)));
    // A null among a set's members, a member given twice, and a part of a longer column.
    let field = Field::new("element", DataType::Utf8, true);
    let mut sets = ListBuilder::new(StringBuilder::new()).with_field(Arc::new(field));
    sets.append_value([Some("before")]);
    sets.append_value([Some("b"), None, Some("b")]);
    sets.append_value([Some("a"), Some("b")]);
    let sets: ArrayRef = Arc::new(sets.finish());
    let found = fed(
        &[
            Given { name: name("wide"), value_type: decimals, values: wide.finish() },
            Given { name: name("set"), value_type: ValueType::Set, values: sets.slice(1, 2) },
        ],
        &ordinals,
    );
    assert!(found[0] == built(decimals, &values, &ordinals));
    let sets = [Value::Set(["b".into()].into()), Value::Set(["a".into(), "b".into()].into())];
    assert!(found[1] == built(ValueType::Set, &sets, &ordinals));
    let nothing = Given {
        name: name("no"),
        value_type: ValueType::Text,
        values: Arc::new(NullArray::new(0)),
    };
    assert!(fed(&[nothing], &[])[0] == built(ValueType::Text, &[], &[]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = ScratchFolder::below(scratch.path(), &AppId::new("shop").unwrap());
    let (segments, stop) = (Segments::new(folder, 0, 1).unwrap(), CancellationToken::new());
    let mut feeder = segments.feeder(&stop);
    let name = Name::new("tag").unwrap();
    let mut texts = ColumnBuilder::new(ValueType::Text);
    texts.push(Some(&Value::text("x")));
    let values = texts.finish();
    let mut feed = |value_type| {
        feeder.feed(&FedColumn { name: &name, value_type, values: &values, ordinals: &[0] })
    };
    for value_type in TYPES.into_iter().filter(|ty| *ty != ValueType::Text) {
        assert!(matches!(feed(value_type), Err(crate::Error::Fold(_))), "{value_type}");
    }
    stop.cancel();
    assert!(matches!(feed(ValueType::Text), Err(crate::Error::Stopped)));
    drop(feeder);
    drop(segments);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}
