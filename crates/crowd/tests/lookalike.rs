//! Users who are like those of a crowd: the scores are those of a plain reckoning, user by user, and a
//! planted likeness is found.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use proptest::prelude::*;
use shop::{Row, Shop};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_crowd::{Group, Question};
use taghouse_model::{Name, Value};
use taghouse_rules::{CrowdLookalike, CrowdSize, CrowdSource, Percent};
use taghouse_testkit::Dice;

fn names(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

/// Users of whom one in five is a vip; of vips most are French and have a badge.
fn people(users: usize, seed: u64) -> Vec<Row> {
    let mut dice = Dice::new(seed);
    let person = |_| {
        let vip = dice.one_in(5);
        let french = if vip { !dice.one_in(10) } else { dice.one_in(4) };
        let badged = if vip { !dice.one_in(5) } else { dice.one_in(5) };
        let mut row = Row::new();
        row.insert("vip", Value::Bool(vip));
        row.insert("country", Value::Text(if french { "France" } else { "Spain" }.into()));
        row.insert("orders", Value::Int(dice.below(9) as i64));
        if badged {
            row.insert("badges", Value::Set(BTreeSet::from(["gold".into()])));
        }
        row
    };
    (0..users).map(person).collect()
}

async fn like(shop: &mut Shop, of: &str, tags: &[&str], size: CrowdSize) -> BTreeSet<String> {
    let mut crowd = shop.define("alike", "vip == true");
    crowd.source = CrowdSource::Lookalike(CrowdLookalike {
        of: shop.define("seed_condition", of).rule().unwrap().clone(),
        tags: tags.iter().map(|tag| Name::new(tag).unwrap()).collect(),
        size,
        among: None,
    });
    shop.definitions.crowds.insert(crowd.name.clone(), crowd.clone());
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let users: BTreeSet<String> = shop.exported("alike").await.into_iter().collect();
    assert_eq!(version.size, users.len() as u64);
    users
}

/// The values of a user, as the affinities name them.
fn holds(row: &Row, tag: &str, group: &Group) -> bool {
    match (group, row.get(tag)) {
        (Group::Value(Value::Text(member)), Some(Value::Set(members))) => members.contains(member),
        (Group::Value(value), Some(own)) => value == own,
        (Group::Range(Value::Int(low), Value::Int(high)), Some(Value::Int(own))) => {
            (low..=high).contains(&own)
        }
        _ => false,
    }
}

#[tokio::test]
async fn a_planted_likeness_is_found_and_the_best_come_first() {
    let rows = people(2_000, 3);
    let mut shop = Shop::with(&rows).await;
    let tags = ["country", "badges", "orders"];
    let seed = Question::parse("vip == true").unwrap();
    let found = shop
        .crowds
        .lookalikes(&shop.app, &shop.definitions, &seed, None, &names(&tags))
        .await
        .unwrap();

    // 1. What was planted, and nothing else: orders are by chance.
    let told: BTreeSet<&str> = found.affinities.iter().map(|of| of.contrast.tag.as_str()).collect();
    assert!(told.contains("country") && told.contains("badges"), "{told:?}");
    let vips = rows.iter().filter(|row| row["vip"] == Value::Bool(true)).count() as u64;
    assert_eq!((found.seed, found.candidates), (vips, 2_000 - vips));
    for of in &found.affinities {
        let with = |row: &&Row| holds(row, &of.contrast.tag, &of.contrast.group);
        let all = rows.iter().filter(with).count() as f64;
        let own = rows.iter().filter(|row| row["vip"] == Value::Bool(true)).filter(with).count();
        let weight = ((own as f64 + 0.5) / (vips as f64 + 1.0) / ((all + 0.5) / 2_001.0)).ln();
        assert!((of.weight - weight).abs() < 1e-9, "{of:?}, {weight}");
    }

    // 2. Scores, user by user.
    let score = |row: &Row| -> i64 {
        let mine =
            found.affinities.iter().filter(|of| holds(row, &of.contrast.tag, &of.contrast.group));
        mine.map(|of| (of.weight * 1000.0).round() as i64).sum()
    };
    let mut others: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for (n, row) in rows.iter().enumerate().filter(|(_, row)| row["vip"] == Value::Bool(false)) {
        others.entry(score(row)).or_default().insert(format!("u{n}"));
    }
    for count in [1, 7, 50, 300, 5_000] {
        let chosen = like(&mut shop, "vip == true", &tags, CrowdSize::Users(count)).await;
        let positive: u64 = others.range(1..).map(|(_, users)| users.len() as u64).sum();
        assert_eq!(chosen.len() as u64, count.min(positive), "{count}");
        let mut left = count;
        for (score, users) in others.range(1..).rev() {
            let here = users.intersection(&chosen).count() as u64;
            assert_eq!(here, left.min(users.len() as u64), "{count}: score {score}");
            left -= here;
        }
    }
    // 5% of those who are not in the crowd, rounded up.
    let share = CrowdSize::Share(Percent::parse("5%").unwrap());
    let chosen = like(&mut shop, "vip == true", &tags, share).await;
    assert_eq!(chosen.len() as u64, (2_000 - vips).div_ceil(20));

    // 3. The further one reaches, the less like they are.
    assert!(found.curve.len() >= 2, "{:?}", found.curve);
    for pair in found.curve.windows(2) {
        assert!(pair[0].users < pair[1].users && pair[0].recall <= pair[1].recall);
        assert!(
            pair[0].similarity >= pair[1].similarity && pair[0].least_score > pair[1].least_score
        );
    }
}

#[tokio::test]
async fn where_nothing_tells_them_apart_nobody_is_like_them() {
    let mut shop = Shop::with(&people(200, 5)).await;
    let chosen = like(&mut shop, "orders >= 0", &["country"], CrowdSize::Users(10)).await;
    assert!(chosen.is_empty(), "all are in the crowd");
    let nobody = like(&mut shop, "orders > 100", &["country"], CrowdSize::Users(10)).await;
    assert!(nobody.is_empty(), "nobody is");
    let error = shop
        .crowds
        .lookalikes(
            &shop.app,
            &shop.definitions,
            &Question::parse("vip == true").unwrap(),
            None,
            &names(&["nothing"]),
        )
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn the_same_users_are_chosen_each_time(seed in any::<u64>(), count in 1u64..40) {
        let (once, again) = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut shop = Shop::with(&people(120, seed)).await;
            let tags = ["country", "badges"];
            let once = like(&mut shop, "vip == true", &tags, CrowdSize::Users(count)).await;
            (once, like(&mut shop, "vip == true", &tags, CrowdSize::Users(count)).await)
        });
        prop_assert_eq!(once, again);
    }
}
