//! Values at the limits: left out and counted, never wrong, never a failure.

#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::record_batch::RecordBatch;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::sync::Arc;
use taghouse_fold::{Calendar, ColumnBuilder, EventBatch, FoldPlan, Outcome, SkipReason, TileFold};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{
    Aggregate, AggregateFunction, EventTag, MAX_SET_VALUES, Window, parse_scalar,
};

fn types(name: &str) -> Option<ValueType> {
    match name {
        "n" => Some(ValueType::Int),
        "d" => Some(ValueType::Decimal { scale: 12 }),
        "t" => Some(ValueType::Text),
        "time" => Some(ValueType::Time),
        _ => None,
    }
}

fn plan(
    function: AggregateFunction,
    value: &str,
    tag_type: ValueType,
) -> taghouse_fold::Result<Arc<FoldPlan>> {
    let (scalar, _) = parse_scalar(value).unwrap().check(&types, &TimeZone::UTC).unwrap();
    let aggregate = Aggregate {
        function,
        events: Vec::new(),
        value: Some(scalar),
        filter: None,
        window: Window::Lifetime,
        exact_up_to: None,
    };
    let calendar = Calendar::new(&TimeZone::UTC);
    FoldPlan::new(&[(EventTag::Aggregate(&aggregate), tag_type)], &types, &calendar).map(Arc::new)
}

/// One event for each value of the property, in this order.
fn batch(property: &str, values: &[Value], time_ms: impl Fn(i64) -> i64) -> RecordBatch {
    let rows = 0..values.len() as i64;
    let column = |ty, of: &dyn Fn(i64) -> Value| {
        let mut builder = ColumnBuilder::new(ty);
        rows.clone().for_each(|row| builder.push(Some(&of(row))));
        builder.finish()
    };
    let columns = [
        ("event", column(ValueType::Text, &|_| Value::text("e"))),
        ("time", column(ValueType::Time, &|row| Value::Time(time_ms(row)))),
        ("message_id", column(ValueType::Text, &|_| Value::text("m"))),
        (property, column(types(property).unwrap(), &|row| values[row as usize].clone())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// What a tag comes to, from its state.
fn state_outcome(plan: &Arc<FoldPlan>, batch: &RecordBatch) -> Outcome {
    let mut fold = TileFold::new(plan.clone());
    let rows: Vec<u32> = (0..batch.num_rows() as u32).collect();
    fold.step_batch(&EventBatch::new(plan, batch).unwrap(), &rows, &vec![0; rows.len()]);
    let state = fold.take()[0].iter().next().map(|(_, state)| state.to_vec()).unwrap_or_default();
    plan.tag(0).outcome(&state, 1_000_000).unwrap()
}

fn outcome(
    function: AggregateFunction,
    value: &str,
    tag_type: ValueType,
    property: &str,
    values: &[Value],
) -> Outcome {
    let plan = plan(function, value, tag_type).unwrap();
    state_outcome(&plan, &batch(property, values, |row| row))
}

#[test]
fn sums_pass_over_64_bits_on_the_way_but_not_at_the_end() {
    let sum = |values: &[i64]| {
        let values: Vec<Value> = values.iter().map(|v| Value::Int(*v)).collect();
        outcome(AggregateFunction::Sum, "n", ValueType::Int, "n", &values)
    };
    assert_eq!(sum(&[i64::MAX, i64::MAX, -i64::MAX]), Outcome::Value(Value::Int(i64::MAX)));
    assert_eq!(sum(&[i64::MAX, 1]), Outcome::Skipped(SkipReason::OutOfRange));
    assert_eq!(sum(&[]), Outcome::Nothing);
    assert_eq!(sum(&[5, -5]), Outcome::Value(Value::Int(0)));
}

#[test]
fn means_are_rounded_once_half_away_from_zero() {
    let mean = |values: &[i64], scale| {
        let values: Vec<Value> = values.iter().map(|v| Value::Int(*v)).collect();
        outcome(AggregateFunction::Avg, "n", ValueType::Decimal { scale }, "n", &values)
    };
    let value = |units, scale| Outcome::Value(Value::Decimal(Decimal::new(units, scale)));
    assert_eq!(mean(&[1, 2], 0), value(2, 0));
    assert_eq!(mean(&[-1, -2], 0), value(-2, 0));
    assert_eq!(mean(&[1, 1, 2], 2), value(133, 2));
    // 0.445 once is 0.45 at two digits and 0.4 at one; rounding twice would give 0.5.
    let many: Vec<i64> = std::iter::repeat_n(1, 89).chain(std::iter::repeat_n(0, 111)).collect();
    assert_eq!((mean(&many, 2), mean(&many, 1)), (value(45, 2), value(4, 1)));
    assert_eq!(mean(&[i64::MAX, i64::MAX], 0), value(i64::MAX, 0));
    // Wider than 64 bits, up to 28 digits.
    let wide = Value::Decimal("9223372036854775807.000000000".parse().unwrap());
    assert_eq!(mean(&[i64::MAX, i64::MAX], 9), Outcome::Value(wide));
    assert_eq!(mean(&[i64::MAX, i64::MAX], 10), Outcome::Skipped(SkipReason::OutOfRange));
}

/// An event's number has as many digits as it needs; the tag's own scale rounds once, in the end.
#[test]
fn sums_are_rounded_to_the_scale_of_the_tag() {
    let cents = ValueType::Decimal { scale: 2 };
    let values =
        |all: &[&str]| all.iter().map(|v| Value::Decimal(v.parse().unwrap())).collect::<Vec<_>>();
    let sum =
        |text: &str, ty, all: &[&str]| outcome(AggregateFunction::Sum, text, ty, "d", &values(all));
    let value = |text: &str| Outcome::Value(Value::Decimal(text.parse().unwrap()));
    assert_eq!(sum("d", cents, &["0.004", "0.004"]), value("0.01"));
    assert_eq!(sum("d", cents, &["0.002", "0.002"]), value("0.00"));
    assert_eq!(sum("d", cents, &["-0.002500000000", "-0.0025"]), value("-0.01"));
    // 24 digits after the point, then one more for the tenth of it.
    assert_eq!(
        sum("d * d", ValueType::Decimal { scale: 12 }, &["0.000001", "0.000002"]),
        value("0.000000000005")
    );
    assert_eq!(sum("d / 3", cents, &["1", "1", "1"]), value("1.00"));
    assert_eq!(
        sum("d / 7 / 11", ValueType::Decimal { scale: 12 }, &["77", "1", "-1"]),
        value("1.000000000000")
    );
    // Hundreds of bottoms that have nothing in common.
    let many: Vec<String> = (1..400).map(|i| format!("0.{i:06}1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(sum("1 / d * d", cents, &many), value("399.00"));
    let harmonic = sum("1 / (d * 10000000)", ValueType::Decimal { scale: 12 }, &many);
    let expected: num_rational::BigRational =
        (1..400).map(|i| num_rational::BigRational::new(1.into(), (i * 10 + 1).into())).sum();
    let units = (expected * num_rational::BigRational::from_integer(10_i64.pow(12).into()))
        .round()
        .to_integer();
    assert_eq!(harmonic, value(&format!("0.{units:0>12}")));
}

#[test]
fn other_functions_keep_quotients_exact() {
    let values = |all: &[i64]| all.iter().map(|v| Value::Int(*v)).collect::<Vec<_>>();
    let of = |function, text: &str, scale, all: &[i64]| {
        outcome(function, text, ValueType::Decimal { scale }, "n", &values(all))
    };
    let value = |text: &str| Outcome::Value(Value::Decimal(text.parse().unwrap()));
    use AggregateFunction as F;
    assert_eq!(of(F::Max, "10.00 / n", 6, &[3, 4]), value("3.333333"));
    assert_eq!(of(F::Min, "10.00 / n", 6, &[3, 6]), value("1.666667"));
    assert_eq!(of(F::Avg, "1 / n", 4, &[3, 3, 3]), value("0.3333"));
    assert_eq!(of(F::Avg, "1 / n", 3, &[2, 3]), value("0.417"));
    assert_eq!(of(F::First, "2 / n", 1, &[3, 4]), value("0.7"));
    assert_eq!(of(F::Last, "2 / n", 1, &[3, 4]), value("0.5"));
    assert_eq!(of(F::MostFrequent, "2 / n", 2, &[3, 3, 4]), value("0.67"));
    let distinct =
        outcome(F::CountDistinct, "n / 3", ValueType::Int, "n", &values(&[1, 2, 1, 3, 6]));
    assert_eq!(distinct, Outcome::Value(Value::Int(4)));
}

#[test]
fn numbers_over_the_units_of_an_event_are_no_values() {
    let large =
        Value::Decimal(Decimal::from_i128_with_scale(79_000_000_000_000_000_000_000_000_000, 0));
    let small = Value::Decimal(Decimal::new(1, 12));
    let ty = ValueType::Decimal { scale: 12 };
    assert_eq!(
        outcome(
            AggregateFunction::Count,
            "d",
            ValueType::Int,
            "d",
            &[large.clone(), small.clone()]
        ),
        Outcome::Value(Value::Int(1))
    );
    assert_eq!(
        outcome(AggregateFunction::Max, "d", ty, "d", &[large, small.clone()]),
        Outcome::Value(small)
    );
}

#[test]
fn long_texts_are_left_out_and_sets_keep_the_smallest() {
    let long = Value::text(&"x".repeat(1025));
    let last =
        |values: &[Value]| outcome(AggregateFunction::Last, "t", ValueType::Text, "t", values);
    assert_eq!(last(&[Value::text("a"), long.clone()]), Outcome::Skipped(SkipReason::TextTooLong));
    assert_eq!(last(&[long, Value::text("a")]), Outcome::Value(Value::text("a")));
    let many: Vec<Value> = (0..1500).rev().map(|i| Value::text(&format!("{i:04}"))).collect();
    let Outcome::Value(Value::Set(kept)) =
        outcome(AggregateFunction::Set, "t", ValueType::Set, "t", &many)
    else {
        panic!("a set")
    };
    assert_eq!((kept.len(), kept.last().map(AsRef::as_ref)), (MAX_SET_VALUES, Some("0999")));
}

#[test]
fn one_message_twice_with_two_values_has_one_answer_in_any_order() {
    let plan = plan(AggregateFunction::Last, "t", ValueType::Text).unwrap();
    let value = |texts: [&str; 2]| {
        state_outcome(&plan, &batch("t", &texts.map(Value::text), |_| 1)).value()
    };
    assert_eq!(value(["a", "b"]), Some(Value::text("b")));
    assert_eq!(value(["b", "a"]), Some(Value::text("b")));
}

#[test]
fn functions_that_do_not_go_with_the_value_are_refused() {
    assert!(plan(AggregateFunction::Sum, "t", ValueType::Int).is_err());
    assert!(plan(AggregateFunction::Avg, "time", ValueType::Int).is_err());
    assert!(plan(AggregateFunction::Sum, "n", ValueType::Int).is_ok());
}

#[test]
fn values_from_anywhere_are_fitted_or_skipped() {
    let decimal = |units, scale| Value::Decimal(Decimal::new(units, scale));
    let cents = ValueType::Decimal { scale: 2 };
    let set = |members: Vec<String>| Value::Set(members.into_iter().map(Into::into).collect());
    let many = |n: usize| set((0..n).map(|i| format!("{i:04}")).collect());
    assert_eq!(Outcome::of(decimal(-1005, 3), cents), Outcome::Value(decimal(-101, 2)));
    assert_eq!(Outcome::of(Value::Int(7), cents), Outcome::Value(decimal(7, 0)));
    assert_eq!(Outcome::of(decimal(i64::MAX, 0), cents), Outcome::Value(decimal(i64::MAX, 0)));
    let digits = |text: &str| Value::Decimal(text.parse().unwrap());
    assert_eq!(
        Outcome::of(digits("99999999999999999999999999.99"), cents),
        Outcome::Value(digits("99999999999999999999999999.99"))
    );
    assert_eq!(
        Outcome::of(digits("99999999999999999999999999.995"), cents),
        Outcome::Skipped(SkipReason::OutOfRange)
    );
    assert_eq!(
        Outcome::of(Value::text("x"), ValueType::Int),
        Outcome::Skipped(SkipReason::WrongType)
    );
    assert_eq!(
        Outcome::of(Value::text(&"x".repeat(1025)), ValueType::Text),
        Outcome::Skipped(SkipReason::TextTooLong)
    );
    assert_eq!(
        Outcome::of(set(vec!["x".repeat(1025)]), ValueType::Set),
        Outcome::Skipped(SkipReason::TextTooLong)
    );
    assert_eq!(Outcome::of(many(1500), ValueType::Set), Outcome::Value(many(1000)));
    assert_eq!(Outcome::of(set(Vec::new()), ValueType::Set), Outcome::Nothing);
}
