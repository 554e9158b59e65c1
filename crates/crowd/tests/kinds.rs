//! Crowds that are no rules: who is in one is what a naive reckoning says, and the size shown, the
//! rows exported and the members admitted are that set, also of a crowd that is made of it.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use proptest::prelude::*;
use shop::{Row, Shop, ten};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use taghouse_crowd::IdCounts;
use taghouse_model::{ErrorKind, Name, Value};
use taghouse_rules::{
    CrowdCondition, CrowdDefinition, CrowdPolicy, CrowdSample, CrowdSize, CrowdSource, CrowdTop,
    IdList, Percent, TopEnd,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

fn defined(shop: &mut Shop, source: CrowdSource) -> CrowdDefinition {
    let name = Name::new("asked").unwrap();
    let policy = CrowdPolicy::default();
    let crowd = CrowdDefinition {
        name: name.clone(),
        description: None,
        source,
        is_live: false,
        policy,
        split: None,
        marks: taghouse_rules::Marks::default(),
    };
    shop.definitions.crowds.insert(name, crowd.clone());
    crowd
}

fn condition(shop: &mut Shop, text: Option<&str>) -> Option<CrowdCondition> {
    text.map(|text| shop.define("condition", text).rule().unwrap().clone())
}

fn listed<'a>(ids: impl IntoIterator<Item = &'a str>) -> CrowdSource {
    CrowdSource::Ids(IdList { ids: ids.into_iter().map(str::to_owned).collect() })
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (proptest::option::of(-2i64..4), proptest::option::of(any::<bool>())).prop_map(
        |(orders, vip)| {
            let mut row = Row::new();
            orders.map(|v| row.insert("orders", Value::Int(v)));
            vip.map(|v| row.insert("vip", Value::Bool(v)));
            row
        },
    );
    proptest::collection::vec(row, 1..40)
}

fn size() -> impl Strategy<Value = CrowdSize> {
    prop_oneof![
        (1u64..50).prop_map(CrowdSize::Users),
        prop::sample::select(vec!["0.1%", "10%", "33.4%", "50%", "100%"])
            .prop_map(|text| CrowdSize::Share(Percent::parse(text).unwrap())),
    ]
}

/// What a crowd is to be made of.
#[derive(Debug, Clone)]
enum Asked {
    /// Users of these numbers, of whom there may be none.
    Ids(Vec<usize>),
    Top(CrowdSize, TopEnd, Option<&'static str>),
    Sample(CrowdSize, Option<&'static str>, &'static str),
}

fn asked() -> impl Strategy<Value = Asked> {
    let within = || proptest::option::of(Just("vip == true"));
    let end = prop_oneof![Just(TopEnd::Highest), Just(TopEnd::Lowest)];
    prop_oneof![
        proptest::collection::vec(0usize..60, 1..30).prop_map(Asked::Ids),
        (size(), end, within()).prop_map(|(size, end, among)| Asked::Top(size, end, among)),
        (size(), within(), prop_oneof![Just("a"), Just("b")])
            .prop_map(|(size, of, salt)| Asked::Sample(size, of, salt)),
    ]
}

fn hash(salt: &str, id: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), xxh3_64(salt.as_bytes()))
}

/// Who is in it, reckoned user by user.
fn expected(rows: &BTreeMap<String, Row>, asked: &Asked) -> BTreeSet<String> {
    let within = |row: &Row, condition: &Option<&str>| {
        condition.is_none() || row.get("vip") == Some(&Value::Bool(true))
    };
    match asked {
        Asked::Ids(numbers) => {
            let ids = numbers.iter().map(|n| format!("u{n}"));
            ids.filter(|id| rows.contains_key(id)).collect()
        }
        Asked::Top(size, end, among) => {
            let mut all: Vec<(i64, u64, &String)> = rows
                .iter()
                .filter(|(_, row)| within(row, among))
                .filter_map(|(id, row)| {
                    let Some(Value::Int(orders)) = row.get("orders") else { return None };
                    Some((*orders, hash("asked", id), id))
                })
                .collect();
            match end {
                TopEnd::Highest => all.sort_by_key(|(orders, hash, _)| (Reverse(*orders), *hash)),
                TopEnd::Lowest => all.sort(),
            }
            let count = match size {
                CrowdSize::Users(users) => *users,
                CrowdSize::Share(share) => share.of(all.len() as u64),
            };
            all.into_iter().take(count as usize).map(|(_, _, id)| id.clone()).collect()
        }
        Asked::Sample(size, of, salt) => {
            let of = rows.iter().filter(|(_, row)| within(row, of));
            let mut all: Vec<(u64, &String)> = of.map(|(id, _)| (hash(salt, id), id)).collect();
            all.sort();
            let is_in = |place: usize, hash: u64| match size {
                CrowdSize::Users(users) => (place as u64) < *users,
                CrowdSize::Share(share) => {
                    u128::from(hash) * 100_000_000 < u128::from(share.parts_per_100m()) << u64::BITS
                }
            };
            let chosen = all.into_iter().enumerate().filter(|(n, (hash, _))| is_in(*n, *hash));
            chosen.map(|(_, (_, id))| id.clone()).collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn one_set_however_it_is_asked(
        before in rows(),
        now in rows(),
        gone in proptest::collection::vec(0usize..40, 0..4),
        all in proptest::collection::vec(asked(), 6),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut shop = Shop::with(&before).await;
            // Live changes lie on top of what was produced, and users are deleted.
            let now: Vec<Row> = (0..before.len().max(now.len()))
                .map(|n| now.get(n).or(before.get(n)).cloned().unwrap())
                .collect();
            shop.change(&before, &now).await;
            let gone: BTreeSet<String> =
                gone.into_iter().filter(|n| *n < now.len()).map(|n| format!("u{n}")).collect();
            let ids: Vec<&str> = gone.iter().map(String::as_str).collect();
            let ordinals: Vec<u32> =
                shop.dictionary.lookup(&shop.app, &ids).unwrap().into_iter().flatten().collect();
            let generation = shop.dictionary.generation(&shop.app);
            // The index does not know who never had a value.
            let snapshot = shop.index.snapshot(&shop.app).await.unwrap().unwrap();
            let known = |n: usize| {
                let id = format!("u{n}");
                let ordinal = shop.dictionary.lookup(&shop.app, &[&id]).unwrap()[0];
                ordinal.is_some_and(|ordinal| snapshot.users().contains(ordinal))
            };
            let rows: BTreeMap<String, Row> = now
                .iter()
                .enumerate()
                .filter(|(n, _)| known(*n))
                .map(|(n, row)| (format!("u{n}"), row.clone()))
                .filter(|(id, _)| !gone.contains(id))
                .collect();
            if !ordinals.is_empty() {
                shop.index.delete_users(&shop.app, generation, &ordinals).await.unwrap();
            }
            for asked in &all {
                check(&mut shop, &rows, asked).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

async fn check(
    shop: &mut Shop,
    rows: &BTreeMap<String, Row>,
    asked: &Asked,
) -> Result<(), TestCaseError> {
    let source = match asked {
        Asked::Ids(numbers) => {
            let ids: Vec<String> = numbers.iter().map(|n| format!("u{n}")).collect();
            listed(ids.iter().map(String::as_str))
        }
        Asked::Top(size, end, among) => CrowdSource::Top(CrowdTop {
            by: Name::new("orders").unwrap(),
            size: *size,
            end: *end,
            among: condition(shop, *among),
        }),
        Asked::Sample(size, of, salt) => CrowdSource::Sample(CrowdSample {
            size: *size,
            of: condition(shop, *of),
            salt: (*salt).to_owned(),
        }),
    };
    let crowd = defined(shop, source);
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let expected = expected(rows, asked);

    let exported: BTreeSet<String> = shop.exported("asked").await.into_iter().collect();
    prop_assert_eq!(&exported, &expected, "{:?}", asked);
    prop_assert_eq!(version.size, expected.len() as u64);
    prop_assert_eq!(version.expression, crowd.source.to_string());
    let listed = shop.crowds.list(&shop.app).await.unwrap();
    let shown = listed.iter().find(|crowd| crowd.name.as_str() == "asked").unwrap();
    prop_assert_eq!(shown.current.size, version.size);
    if let Some(IdCounts { given, unknown, duplicates, .. }) = version.ids {
        prop_assert_eq!(given, version.size + unknown + duplicates);
    }
    for n in 0..60 {
        let user = format!("u{n}");
        let judgment = shop.crowds.judge(&shop.app, &user, "asked").await.unwrap();
        prop_assert_eq!(judgment.in_crowd, expected.contains(&user), "{} {:?}", user, asked);
    }
    let other = shop.define("others", "!crowd(\"asked\")");
    let others = shop.crowds.compute(&shop.definitions, &other).await.unwrap();
    prop_assert_eq!(others.size, (rows.len() - expected.len()) as u64);
    prop_assert_eq!(shop.count("crowd(\"asked\")").await, version.size);
    Ok(())
}

#[tokio::test]
async fn every_id_of_a_list_is_accounted_for() {
    let mut shop = Shop::with(&ten()).await;
    let ids = ["u3", "zed", "u1", "u3", "zed", "u3", "yan"];
    let crowd = defined(&mut shop, listed(ids));
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    assert_eq!(version.ids, Some(IdCounts { given: 7, unknown: 3, duplicates: 2, invalid: 0 }));
    assert_eq!((version.size, version.oldest_as_of_ms), (2, None));
    let ids: Vec<String> = ids.map(str::to_owned).to_vec();
    assert_eq!(shop.crowds.unknown_ids(&shop.app, &ids, 2).await.unwrap(), ["zed", "zed"]);

    // What another process reads is the same version.
    let known = shop.other_process().versions(&shop.app, "asked").await.unwrap();
    assert_eq!(known.versions, [version]);
}

#[tokio::test]
async fn an_order_needs_numbers_that_are_there() {
    let mut shop = Shop::with(&ten()).await;
    let top = |by: &str| {
        CrowdSource::Top(CrowdTop {
            by: Name::new(by).unwrap(),
            size: CrowdSize::Users(3),
            end: TopEnd::Highest,
            among: None,
        })
    };
    for (by, kind, said) in [
        ("country", ErrorKind::Invalid, "tag country is of type enum: an order by numbers"),
        ("visits", ErrorKind::NotFound, "there is no tag `visits`"),
    ] {
        let crowd = defined(&mut shop, top(by));
        let error = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(said), "{error}");
    }
    // A tag that nobody has a value of.
    let crowd = defined(&mut shop, top("since"));
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    assert_eq!((version.size, version.oldest_as_of_ms), (0, Some(600)));

    let crowd = defined(&mut shop, CrowdSource::Sql { query: "SELECT user_id".to_owned() });
    let error = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap_err();
    assert!(error.to_string().contains("taghouse produce"), "{error}");
    let mut given = shop.crowds.given_users(&shop.app, Some(700)).await.unwrap();
    given.add(&["u1", "u2", "nobody"]).unwrap();
    given.add_missing(4);
    given.add(&["u2"]).unwrap();
    let version = shop.crowds.compute_given(&shop.definitions, &crowd, Some(&given)).await.unwrap();
    assert_eq!(version.ids, Some(IdCounts { given: 8, unknown: 5, duplicates: 1, invalid: 0 }));
    assert_eq!((version.size, version.newest_as_of_ms), (2, Some(700)));
    assert_eq!(shop.exported("asked").await, ["u1", "u2"]);
}
