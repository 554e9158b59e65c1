//! The latest value by (time, message id), read as the tag's type: the same event by event and in
//! batches.

#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::sync::Arc;
use taghouse_fold::{
    AttributeBatch, AttributePlan, BatchAttributes, Calendar, ColumnBuilder, ColumnReader, Outcome,
    SkipReason, parse_attribute,
};
use taghouse_model::{Value, ValueType};

const AS_OF_MS: i64 = 100;

fn london() -> Calendar {
    Calendar::new(&TimeZone::get("Europe/London").unwrap())
}

fn value(text: &str, ty: ValueType) -> Result<Option<Value>, SkipReason> {
    match parse_attribute(text, ty, &london()) {
        Outcome::Nothing => Ok(None),
        Outcome::Value(value) => Ok(Some(value)),
        Outcome::Skipped(reason) => Err(reason),
    }
}

#[test]
fn texts_are_read_as_the_tag_s_type() {
    let cents = ValueType::Decimal { scale: 2 };
    let decimal = |units| Ok(Some(Value::Decimal(Decimal::new(units, 2))));
    let set =
        |members: &[&str]| Ok(Some(Value::Set(members.iter().map(|m| Arc::from(*m)).collect())));
    let noon = 1_311_764_400_000; // 2011-07-27T12:00 in London
    let cases = [
        ("true", ValueType::Bool, Ok(Some(Value::Bool(true)))),
        ("0", ValueType::Bool, Ok(Some(Value::Bool(false)))),
        ("maybe", ValueType::Bool, Err(SkipReason::WrongType)),
        (" 12 ", ValueType::Int, Ok(Some(Value::Int(12)))),
        ("12.0", ValueType::Int, Ok(Some(Value::Int(12)))),
        ("12.5", ValueType::Int, Err(SkipReason::WrongType)),
        ("9223372036854775808", ValueType::Int, Err(SkipReason::OutOfRange)),
        ("99999999999999999999999999999999999999", ValueType::Int, Err(SkipReason::OutOfRange)),
        ("1.005", cents, decimal(101)),
        ("-1.005", cents, decimal(-101)),
        ("1.0049", cents, decimal(100)),
        ("1e3", cents, decimal(100_000)),
        ("92233720368547758.07", cents, decimal(i64::MAX)),
        (
            "99999999999999999999999999.99",
            cents,
            Ok(Some(Value::Decimal(Decimal::from_i128_with_scale(10_i128.pow(28) - 1, 2)))),
        ),
        ("100000000000000000000000000.00", cents, Err(SkipReason::OutOfRange)),
        ("one", cents, Err(SkipReason::WrongType)),
        ("-", cents, Err(SkipReason::WrongType)),
        ("2011-07-27", ValueType::Date, Ok(Some(Value::Date(15_182)))),
        ("2011-07-26T23:30:00Z", ValueType::Date, Ok(Some(Value::Date(15_182)))),
        ("27.7.2011", ValueType::Date, Err(SkipReason::WrongType)),
        ("2011-07-27T12:00", ValueType::Time, Ok(Some(Value::Time(noon)))),
        ("2011-07-27T11:00:00.0005Z", ValueType::Time, Ok(Some(Value::Time(noon)))),
        ("noon", ValueType::Time, Err(SkipReason::WrongType)),
        ("x", ValueType::Text, Ok(Some(Value::text("x")))),
        ("", ValueType::Text, Ok(None)),
        (r#"["b","a","b"]"#, ValueType::Set, set(&["a", "b"])),
        ("[]", ValueType::Set, Ok(None)),
        ("[1", ValueType::Set, set(&["[1"])),
    ];
    for (text, ty, expected) in cases {
        assert_eq!(value(text, ty), expected, "{text} as {ty}");
    }
    assert_eq!(value(&"x".repeat(1025), ValueType::Text), Err(SkipReason::TextTooLong));
    assert!(value(&"x".repeat(1024), ValueType::Text).is_ok_and(|v| v.is_some()));
}

#[derive(Debug, Clone)]
struct Row {
    user: usize,
    name: &'static str,
    text: Option<&'static str>,
    time_ms: i64,
    message_id: String,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let texts = prop::sample::select(vec!["1", "2", "30", "x", ""]);
    let row = (
        0..3_usize,
        prop::sample::select(vec!["age", "other"]),
        prop::option::weighted(0.8, texts),
        95..103_i64,
        0..6_u8,
    );
    let row = row.prop_map(|(user, name, text, time_ms, id)| Row {
        user,
        name,
        text,
        time_ms,
        message_id: format!("m{id}"),
    });
    prop::collection::vec(row, 0..30)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let column = |ty, of: &dyn Fn(&Row) -> Option<Value>| {
        let mut builder = ColumnBuilder::new(ty);
        rows.iter().for_each(|row| builder.push(of(row).as_ref()));
        builder.finish()
    };
    let columns = [
        ("name", column(ValueType::Text, &|r| Some(Value::text(r.name)))),
        ("value", column(ValueType::Text, &|r| r.text.map(Value::text))),
        ("time", column(ValueType::Time, &|r| Some(Value::Time(r.time_ms)))),
        ("message_id", column(ValueType::Text, &|r| Some(Value::text(&r.message_id)))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.into_iter().map(|(_, array)| array).collect(),
    )
    .unwrap()
}

/// Sorted by (time, message id, text), the last one; a text that is not a valid number is no value.
fn naive(rows: &[Row], user: usize) -> Option<Value> {
    let mut own: Vec<&Row> =
        rows.iter().filter(|r| r.user == user && r.name == "age" && r.time_ms < AS_OF_MS).collect();
    own.sort_by_key(|r| (r.time_ms, r.message_id.clone(), r.text));
    own.last()?.text?.parse().ok().map(Value::Int)
}

proptest! {
    #[test]
    fn the_latest_row_counts(rows in rows(), cut in 0..30_usize) {
        let plan = Arc::new(AttributePlan::new(&[("age", ValueType::Int), ("nobody_has", ValueType::Text)], &london(), AS_OF_MS));
        let mut worker = BatchAttributes::new(plan);
        let (first, second) = rows.split_at(cut.min(rows.len()));
        for part in [second, first] {
            let batch = batch(part);
            let (numbers, users): (Vec<u32>, Vec<u32>) = (0..).zip(part).map(|(i, row)| (i, row.user as u32)).unzip();
            worker.step_batch(&AttributeBatch::new(&batch).unwrap(), &numbers, &users);
        }
        let values = worker.finish(3);
        prop_assert_eq!(values[1].array.null_count(), 3);
        let reader = ColumnReader::new("age", &values[0].array, ValueType::Int).unwrap();
        for user in 0..3 {
            prop_assert_eq!(reader.value(user), naive(&rows, user));
        }
    }
}
