//! For how many users each part of a rule held in two versions, against one user after the other.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use proptest::prelude::*;
use shop::{Row, Shop, TAGS};
use taghouse_model::Value;
use taghouse_rules::parse_predicate;

/// Rules, and the texts of their parts, each before its own parts.
const RULES: [(&str, &[&str]); 4] = [
    ("orders > 1", &["orders > 1"]),
    (
        "orders > 1 && !(vip == true || country == \"France\")",
        &[
            "orders > 1 && !(vip == true || country == \"France\")",
            "orders > 1",
            "!(vip == true || country == \"France\")",
            "vip == true || country == \"France\"",
            "vip == true",
            "country == \"France\"",
        ],
    ),
    // Of conditions on computed values nothing is noted.
    ("orders + 1 > 2 || vip == true", &[]),
    (
        "vip is set && orders in (0, 2)",
        &["vip is set && orders in (0, 2)", "vip is set", "orders in (0, 2)"],
    ),
];

/// So many users, some of whom have values.
const USERS: usize = 24;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let country = proptest::option::of(prop_oneof![Just("France"), Just("Spain")]);
    let row = (proptest::option::of(0i64..4), proptest::option::of(any::<bool>()), country)
        .prop_map(|(orders, vip, country)| {
            let mut row = Row::new();
            orders.map(|v| row.insert("orders", Value::Int(v)));
            vip.map(|v| row.insert("vip", Value::Bool(v)));
            country.map(|v| row.insert("country", Value::Text(v.into())));
            row
        });
    proptest::collection::vec(row, USERS..=USERS)
}

/// For how many users a condition holds.
fn holding(text: &str, rows: &[Row]) -> u64 {
    let types = |name: &str| TAGS.iter().find(|(tag, _)| *tag == name).map(|(_, ty)| *ty);
    let rule = parse_predicate(text).unwrap();
    let rule = rule.check(&types, &|_| true, &jiff::tz::TimeZone::UTC).unwrap();
    rows.iter().filter(|row| rule.matches(&|name: &str| row.get(name).cloned())).count() as u64
}

async fn check(rule: &str, parts: &[&str], before: Vec<Row>, now: Vec<Row>) {
    let mut shop = Shop::with(&before).await;
    let crowd = shop.define("asked", rule);
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    shop.produce(&now).await;
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();

    let found = shop.crowds.difference(&shop.app, "asked", [Some(1), Some(2)], 0, 0).await.unwrap();
    let found_parts: Vec<(&str, u64, u64)> =
        found.parts.iter().map(|part| (part.text.as_str(), part.from, part.to)).collect();
    let wanted: Vec<(&str, u64, u64)> =
        parts.iter().map(|part| (*part, holding(part, &before), holding(part, &now))).collect();
    assert_eq!(found_parts, wanted);

    let moved = |part: &&taghouse_crowd::PartChange| part.from.abs_diff(part.to);
    let conditions = || found.parts.iter().filter(|part| !part.tags.is_empty());
    let largest = conditions().map(|part| moved(&part)).max().unwrap_or(0);
    assert_eq!(found.moved_most().map(|part| moved(&part)), Some(largest).filter(|of| *of > 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn parts_are_as_large_as_one_user_after_the_other_says(
        rule in 0..RULES.len(), before in rows(), now in rows(),
    ) {
        let (rule, parts) = RULES[rule];
        tokio::runtime::Runtime::new().unwrap().block_on(check(rule, parts, before, now));
    }
}

#[tokio::test]
async fn of_two_rules_nothing_is_compared_and_sizes_outlive_their_versions() {
    let mut shop = Shop::with(&shop::ten()).await;
    for number in 0..8 {
        let crowd = shop.define("busy", &format!("orders > {number}"));
        shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    }
    let found = shop.crowds.difference(&shop.app, "busy", [Some(7), None], 0, 0).await.unwrap();
    assert_eq!((found.parts.len(), found.moved_most()), (0, None));

    let versions = shop.crowds.versions(&shop.app, "busy").await.unwrap();
    let sizes: Vec<Option<u64>> = versions.turns().iter().map(|turn| turn.size).collect();
    assert_eq!(sizes, (0..8).map(|number| Some(9 - number)).collect::<Vec<_>>());
}
