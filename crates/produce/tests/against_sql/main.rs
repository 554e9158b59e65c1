//! Every aggregate kind and the other kinds of tags, produced from generated events, against
//! DataFusion's SQL over the same tables. Window edges are written by hand, across the change to
//! summer time in London.

#![allow(clippy::unwrap_used, clippy::panic)]

mod house;
mod shop;

use house::House;
use rust_decimal::{Decimal, RoundingStrategy};
use shop::{Cut, DEFINITIONS, cases};
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_model::{Name, Value};

/// As of midnight, and in the middle of a day and an hour.
const CUTS: [Cut; 2] = [
    Cut {
        as_of: "2023-04-09T23:00:00Z",
        days_30: "2023-03-11T00:00:00Z",
        days_7: "2023-04-02T23:00:00Z",
        day: "2023-04-08T23:00:00Z",
        hours_36: "2023-04-08T11:00:00Z",
    },
    Cut {
        as_of: "2023-04-05T14:30:00Z",
        days_30: "2023-03-07T00:00:00Z",
        days_7: "2023-03-29T23:00:00Z",
        day: "2023-04-04T23:00:00Z",
        hours_36: "2023-04-04T03:00:00Z",
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_equals_sql() {
    let house = House::with_shop(3000).await;
    let definitions = Arc::new(shop::definitions(DEFINITIONS));
    for cut in &CUTS {
        let produced = house.produce(&definitions, cut.as_of_ms(), None).await.unwrap();
        assert_eq!(produced.tags.len(), definitions.tags.len());
        for (tag, query) in cases(cut) {
            let ty = definitions.tags[tag].value_type;
            let expected = house.query(&query, ty).await;
            let found = house.indexed(tag).await;
            assert!(!expected.is_empty(), "{tag}: a case that compares nothing");
            assert_eq!(found, expected, "{tag} as of {}\n{query}", cut.as_of);
        }
        for (name, definition) in &definitions.tags {
            let indexed = house.indexed(name.as_str()).await;
            let as_of = format!("TIMESTAMP '{}'", cut.as_of);
            let own = house
                .query(
                    &format!("SELECT user_id, value FROM tag_{name} WHERE as_of = {as_of}"),
                    definition.value_type,
                )
                .await;
            let wide = house
                .query(
                    &format!("SELECT user_id, {name} AS value FROM users_wide WHERE as_of = {as_of} AND {name} IS NOT NULL"),
                    definition.value_type,
                )
                .await;
            assert_eq!(own, indexed, "tag_{name}");
            assert_eq!(wide, indexed, "users_wide.{name}");
            let told = produced.tags.iter().find(|tag| tag.name == *name).unwrap();
            assert_eq!(told.users, indexed.len() as u64, "{name}");
        }
        let (spend, orders) = (house.indexed("spend_30d").await, house.indexed("orders").await);
        let quotient = |user: &String| match (spend.get(user)?, orders.get(user)?) {
            (Value::Decimal(spend), Value::Int(orders)) => {
                let exact = *spend / Decimal::from(*orders);
                Some(Value::Decimal(
                    exact.round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero),
                ))
            }
            _ => None,
        };
        let expected: BTreeMap<String, Value> =
            spend.keys().filter_map(|user| Some((user.clone(), quotient(user)?))).collect();
        assert!(!expected.is_empty());
        assert_eq!(house.indexed("spend_an_order").await, expected);
        // All users of any time exist, those too who come only after the as-of time or have
        // attributes only.
        let all = "SELECT user_id, 1 AS value FROM (SELECT user_id FROM events UNION SELECT user_id FROM attributes)";
        let all = house.query(all, taghouse_model::ValueType::Int).await;
        assert_eq!(produced.users, all.len() as u64);
        assert_eq!(
            house.index.snapshot(&house.app).await.unwrap().unwrap().users().len(),
            all.len() as u64
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_again_gives_the_same_and_vanished_tags_go() {
    let house = House::with_shop(500).await;
    let definitions = Arc::new(shop::definitions(DEFINITIONS));
    let values = async || {
        let mut all: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for name in definitions.tags.keys() {
            all.insert(name.to_string(), house.indexed(name.as_str()).await);
        }
        all
    };
    let first = house.produce(&definitions, CUTS[0].as_of_ms(), None).await.unwrap();
    let before = values().await;
    let second = house.produce(&definitions, CUTS[0].as_of_ms(), None).await.unwrap();
    assert!(second.revision > first.revision);
    assert_eq!(values().await, before);
    // One as-of partition, written over.
    let twice = house.query(
        "SELECT user_id, count(*) AS value FROM users_wide GROUP BY user_id HAVING count(*) > 1",
        taghouse_model::ValueType::Int,
    );
    assert!(twice.await.is_empty());

    let mut fewer = (*definitions).clone();
    let gone: Name = Name::new("orders").unwrap();
    fewer.tags.retain(|name, _| *name != gone && name.as_str() != "spend_an_order");
    house.produce(&Arc::new(fewer), CUTS[0].as_of_ms(), None).await.unwrap();
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert!(snapshot.info("orders").is_none() && snapshot.info("countries").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_some_tags_take_along_what_depends_on_them() {
    let house = House::with_shop(500).await;
    let definitions = Arc::new(shop::definitions(DEFINITIONS));
    house.produce(&definitions, CUTS[1].as_of_ms(), None).await.unwrap();
    let before = house.indexed("countries").await;
    let only = [Name::new("spend_30d").unwrap()];
    let produced = house.produce(&definitions, CUTS[0].as_of_ms(), Some(&only)).await.unwrap();
    let mut names: Vec<&str> = produced.tags.iter().map(|tag| tag.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["band", "spend_30d", "spend_an_order"]);
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    let as_of = |tag: &str| snapshot.info(tag).unwrap().as_of_ms;
    assert_eq!(
        (as_of("spend_30d"), as_of("band"), as_of("countries")),
        (CUTS[0].as_of_ms(), CUTS[0].as_of_ms(), CUTS[1].as_of_ms())
    );
    assert_eq!(house.indexed("countries").await, before);
    for (tag, query) in cases(&CUTS[0]).into_iter().filter(|(tag, _)| names.contains(tag)) {
        assert_eq!(
            house.indexed(tag).await,
            house.query(&query, definitions.tags[tag].value_type).await,
            "{tag}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_another_shape_is_refused_by_name() {
    let house = House::with_shop(50).await;
    let tag = |query: &str| {
        format!("{}\n---\nkind: tag\nname: bad\ntype: int\nsql: \"{query}\"\n", shop::BASE)
    };
    for (query, says) in [
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id", "user_id and value"),
        ("SELECT user_id, event AS value FROM events", "type"),
        ("SELECT 'u1' AS user_id, 1 AS value UNION ALL SELECT 'u1', 2", "\"u1\""),
        ("SELECT user_id, nothing AS value FROM events", "nothing"),
    ] {
        let definitions = Arc::new(shop::definitions(&tag(query)));
        let error = house.produce(&definitions, CUTS[0].as_of_ms(), None).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("bad") && text.contains(says), "{query}: {text}");
        assert_eq!(error.kind(), taghouse_model::ErrorKind::Invalid, "{query}");
        assert!(
            house.index.snapshot(&house.app).await.unwrap().is_none(),
            "{query}: nothing is published"
        );
    }
}
