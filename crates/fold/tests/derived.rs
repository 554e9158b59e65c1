//! Cohorts and expressions over other tags' values, against one-row evaluation.

#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::{Array, ArrayRef};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use taghouse_fold::{ColumnBuilder, ColumnReader, DerivedFold, SkipReason};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{CohortRule, Expression, Predicate, parse_predicate, parse_scalar};

fn types(name: &str) -> Option<ValueType> {
    Some(match name {
        "spend" => ValueType::Decimal { scale: 2 },
        "orders" => ValueType::Int,
        "country" => ValueType::Text,
        "skus" => ValueType::Set,
        "vip" => ValueType::Bool,
        _ => return None,
    })
}

fn decimal(units: i64) -> Value {
    Value::Decimal(Decimal::new(units, 2))
}

/// Some users, each tag there and not there.
fn users() -> Vec<BTreeMap<&'static str, Value>> {
    let set = |members: &[&str]| Value::Set(members.iter().map(|m| (*m).into()).collect());
    vec![
        BTreeMap::from([
            ("spend", decimal(500_000)),
            ("orders", Value::Int(3)),
            ("country", Value::text("UK")),
            ("skus", set(&["a", "b"])),
        ]),
        BTreeMap::from([
            ("spend", decimal(499_999)),
            ("orders", Value::Int(0)),
            ("vip", Value::Bool(true)),
        ]),
        BTreeMap::from([
            ("spend", decimal(1)),
            ("country", Value::text("")),
            ("vip", Value::Bool(false)),
        ]),
        BTreeMap::from([("orders", Value::Int(i64::MAX)), ("skus", set(&["c"]))]),
        BTreeMap::new(),
    ]
}

fn columns() -> BTreeMap<&'static str, ArrayRef> {
    let column = |name| {
        let mut builder = ColumnBuilder::new(types(name).unwrap());
        users().iter().for_each(|user| builder.push(user.get(name)));
        builder.finish()
    };
    ["spend", "orders", "country", "skus", "vip"]
        .into_iter()
        .map(|name| (name, column(name)))
        .collect()
}

fn condition(text: &str) -> Predicate<Value> {
    parse_predicate(text).unwrap().check(&types, &|_| true, &TimeZone::UTC).unwrap()
}

fn values(fold: &DerivedFold, ty: ValueType) -> (Vec<Option<Value>>, BTreeMap<SkipReason, u64>) {
    let columns = columns();
    let found = fold.values(0..users().len(), &|name| columns.get(name)).unwrap();
    let reader = ColumnReader::new("derived", &found.array, ty).unwrap();
    ((0..found.array.len()).map(|row| reader.value(row)).collect(), found.skipped)
}

#[test]
fn the_first_rule_that_holds_gives_the_value() {
    let rule = |when, value| CohortRule { when: condition(when), value: Value::text(value) };
    let rules = [
        rule("spend >= 5000", "gold"),
        rule("spend > 0", "bronze"),
        rule("!(orders >= 1)", "none"),
    ];
    let text = |text| Some(Value::text(text));
    let fold = DerivedFold::cohort(&rules, None, ValueType::Text, &types);
    let (found, skipped) = values(&fold, ValueType::Text);
    assert_eq!(found, [text("gold"), text("bronze"), text("bronze"), None, text("none")]);
    assert!(skipped.is_empty());
    let fold = DerivedFold::cohort(&rules, Some(&Value::text("other")), ValueType::Text, &types);
    assert_eq!(values(&fold, ValueType::Text).0[3], text("other"));
}

#[test]
fn conditions_hold_where_one_row_evaluation_says_so() {
    for text in [
        "orders >= 2.5",
        "orders != 3",
        "spend < 5000",
        "country == \"UK\"",
        "country != \"UK\"",
        "country in (\"UK\", \"\")",
        "country like 'U%'",
        "skus == \"a\"",
        "skus != \"a\"",
        "skus in (\"b\", \"c\")",
        "skus like 'c%'",
        "skus is set",
        "vip == true",
        "vip != true",
        "vip is set",
        "!(vip == true)",
        "spend is set && !(country is set)",
        "spend between 0.005 and 4999.995",
        "orders in (0, 3, 2.5)",
        "skus not in (\"a\")",
        "skus has any (\"b\", \"c\")",
        "skus has all (\"a\", \"b\")",
        "country not in (\"UK\")",
        "country not like 'U%'",
        "orders not in (3)",
        "orders not between 1 and 5",
        "spend > orders",
        "spend / orders > 1",
        "coalesce(orders, 0) + 1 > 1",
        "lower(country) not in ('uk')",
        "vip || orders > 2",
        "orders is not set",
        "crowd(\"x\")",
        "!crowd(\"x\")",
    ] {
        let predicate = condition(text);
        let fold = DerivedFold::expression(
            &Expression::Condition(predicate.clone()),
            ValueType::Bool,
            &types,
        );
        let expected: Vec<_> = users()
            .iter()
            .map(|user| Some(Value::Bool(predicate.matches(&|name| user.get(name).cloned()))))
            .collect();
        assert_eq!(values(&fold, ValueType::Bool).0, expected, "{text}");
    }
}

#[test]
fn scalars_are_rounded_to_the_tag_s_scale() {
    for (text, ty) in [
        ("spend / orders", ValueType::Decimal { scale: 4 }),
        ("coalesce(spend, 0) / 3", ValueType::Decimal { scale: 2 }),
        ("orders * spend", ValueType::Decimal { scale: 1 }),
        ("if(vip == true, orders, 7)", ValueType::Int),
        ("upper(country)", ValueType::Text),
        ("country", ValueType::Text),
    ] {
        let (scalar, _) = parse_scalar(text).unwrap().check(&types, &TimeZone::UTC).unwrap();
        let fold = DerivedFold::expression(&Expression::Scalar(scalar.clone()), ty, &types);
        let expected: Vec<_> =
            users().iter().map(|user| scalar.value(ty, &|name| user.get(name).cloned())).collect();
        assert_eq!(values(&fold, ty).0, expected, "{text}");
    }
}

/// Exact to the end, then rounded once, half away from zero.
#[test]
fn quotients_are_rounded_once() {
    let ratio = |text: &str, spend: &str, orders: i64, ty| {
        let (scalar, _) = parse_scalar(text).unwrap().check(&types, &TimeZone::UTC).unwrap();
        let fold = DerivedFold::expression(&Expression::Scalar(scalar), ty, &types);
        let column = |ty, value| {
            let mut builder = ColumnBuilder::new(ty);
            builder.push(Some(&value));
            builder.finish()
        };
        let columns = BTreeMap::from([
            (
                "spend",
                column(ValueType::Decimal { scale: 2 }, Value::Decimal(spend.parse().unwrap())),
            ),
            ("orders", column(ValueType::Int, Value::Int(orders))),
        ]);
        let found = fold.values(0..1, &|name| columns.get(name)).unwrap();
        ColumnReader::new("derived", &found.array, ty)
            .unwrap()
            .value(0)
            .map(|value| value.to_string())
    };
    let decimal = |scale| ValueType::Decimal { scale };
    for (text, spend, orders, ty, expected) in [
        ("spend / orders", "10.00", 3, decimal(6), "3.333333"),
        ("round(spend / orders * 3, 0)", "89.00", 6, ValueType::Int, "45"),
        ("round(spend / orders * 3, 0)", "-89.00", 6, ValueType::Int, "-45"),
        ("spend / orders * 3", "89.00", 6, decimal(0), "45"),
        (
            "spend / orders + spend / orders + spend / orders",
            "0.01",
            3,
            decimal(12),
            "0.010000000000",
        ),
        ("spend / orders", "92233720368547758.07", 1, decimal(12), "-"),
        ("spend / orders", "92233720368547.58", 1, decimal(12), "92233720368547.580000000000"),
    ] {
        assert_eq!(
            ratio(text, spend, orders, ty).as_deref().unwrap_or("-"),
            expected,
            "{text} of {spend} and {orders}"
        );
    }
}

#[test]
fn what_a_tag_does_not_hold_is_skipped_and_counted() {
    let (scalar, _) =
        parse_scalar("orders * 1000000000.0").unwrap().check(&types, &TimeZone::UTC).unwrap();
    let ty = ValueType::Decimal { scale: 2 };
    let (found, skipped) =
        values(&DerivedFold::expression(&Expression::Scalar(scalar), ty, &types), ty);
    assert_eq!(found, [Some(decimal(300_000_000_000)), Some(decimal(0)), None, None, None]);
    assert_eq!(skipped, BTreeMap::from([(SkipReason::OutOfRange, 1)]));
}
