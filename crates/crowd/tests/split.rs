//! Arms of a crowd: sticky, as large as they say, judged as they are exported, and compared as a plain
//! reckoning compares them.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use shop::{Row, Shop};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_crowd::{Effect, EffectRequest, Question};
use taghouse_model::{Name, Value};
use taghouse_rules::{Arm, CrowdDefinition, CrowdSplit, Share};
use taghouse_testkit::Dice;

fn split(shop: &mut Shop, text: &str, salt: &str, arms: &[(&str, u16)]) -> CrowdDefinition {
    let mut crowd = shop.define("tried", text);
    let arm = |(name, parts): &(&str, u16)| Arm {
        name: Name::new(name).unwrap(),
        share: Share::of_10_000(*parts).unwrap(),
    };
    crowd.split = Some(CrowdSplit { salt: salt.to_owned(), arms: arms.iter().map(arm).collect() });
    shop.definitions.crowds.insert(crowd.name.clone(), crowd.clone());
    crowd
}

async fn exported(shop: &Shop, crowd: &CrowdDefinition, arm: &str) -> BTreeSet<String> {
    let members = shop.crowds.members(&shop.app, crowd.name.as_str(), None).await.unwrap();
    let of_arm = shop.crowds.of_arm(crowd, members, arm).await.unwrap();
    let ids: BTreeSet<String> = of_arm.ids().flat_map(Result::unwrap).collect();
    assert_eq!(of_arm.len(), ids.len() as u64);
    ids
}

/// Users with 0 to 9 orders, of whom half are vips.
fn people(users: usize, seed: u64) -> Vec<Row> {
    let mut dice = Dice::new(seed);
    let person = |_| {
        Row::from([
            ("orders", Value::Int(dice.below(10) as i64)),
            ("vip", Value::Bool(dice.one_in(2))),
        ])
    };
    (0..users).map(person).collect()
}

#[tokio::test]
async fn arms_are_as_large_as_they_say_and_judged_as_they_are_exported() {
    let mut shop = Shop::with(&people(6_000, 1)).await;
    let arms = [("control", 5000), ("blue", 2500), ("red", 1500)];
    let crowd = split(&mut shop, "orders >= 1", "spring", &arms);
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let mut of: BTreeMap<String, &str> = BTreeMap::new();
    for (arm, parts) in arms {
        let users = exported(&shop, &crowd, arm).await;
        let expected = version.size as f64 * f64::from(parts) / 10_000.0;
        // Five standard deviations.
        let share = f64::from(parts) / 10_000.0;
        let most = 5.0 * (version.size as f64 * share * (1.0 - share)).sqrt();
        assert!(
            (users.len() as f64 - expected).abs() < most,
            "{arm}: {} of {expected}",
            users.len()
        );
        for user in users {
            assert_eq!(of.insert(user, arm), None, "in two arms");
        }
    }
    for n in 0..6_000 {
        let user = format!("u{n}");
        let judged = shop.crowds.judge(&shop.app, &user, "tried").await.unwrap();
        let arm = shop.crowds.arm(&shop.app, &crowd, &user).await;
        let arm = arm.filter(|_| judged.in_crowd).map(Name::as_str);
        assert_eq!(arm, of.get(&user).copied(), "{user}");
    }
    // Of another crowd with the same salt a user is in the same arm; of another salt by chance.
    let before = exported(&shop, &crowd, "control").await;
    let other = split(&mut shop, "orders >= 1", "autumn", &arms);
    let control = exported(&shop, &other, "control").await;
    let both = control.intersection(&before).count() as f64;
    let expected = before.len() as f64 / 2.0;
    assert!((both - expected).abs() < 5.0 * (expected / 2.0).sqrt(), "{both} of {expected}");

    let members = shop.crowds.members(&shop.app, "tried", None).await.unwrap();
    let error = shop.crowds.of_arm(&crowd, members.clone(), "blu").await.err().unwrap();
    assert_eq!(error.to_string(), "the crowd tried has no arm `blu`; did you mean `blue`?");
    let plain = shop.define("tried", "orders >= 1");
    let error = shop.crowds.of_arm(&plain, members, "blue").await.err().unwrap();
    assert!(error.to_string().contains("is not split"), "{error}");
}

fn asked(metric: &str, before: Option<&str>, exposed: Option<&str>) -> EffectRequest {
    EffectRequest {
        metric: metric.to_owned(),
        before: before.map(str::to_owned),
        exposed: exposed.map(|text| Question::parse(text).unwrap()),
        control: None,
    }
}

async fn effect(shop: &Shop, crowd: &CrowdDefinition, request: &EffectRequest) -> Effect {
    shop.crowds.effect(&shop.definitions, crowd, request).await.unwrap()
}

/// Each user's spending is what their orders foretell, some noise, and `lift` of whom is treated.
async fn tried(lift: i64) -> (Shop, CrowdDefinition, Vec<Row>) {
    let mut rows = people(4_000, 9);
    let mut shop = Shop::with(&rows).await;
    let crowd = split(&mut shop, "orders >= 0", "s", &[("control", 5000), ("blue", 5000)]);
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let blue = exported(&shop, &crowd, "blue").await;
    let mut dice = Dice::new(4);
    for (n, row) in rows.iter_mut().enumerate() {
        let Value::Int(orders) = row["orders"] else { panic!("{row:?}") };
        let treated = i64::from(blue.contains(&format!("u{n}"))) * lift;
        let cents = orders * 1_000 + dice.below(600) as i64 + treated;
        row.insert("spend", Value::Decimal(rust_decimal::Decimal::new(cents, 2)));
    }
    shop.produce(&rows).await;
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    (shop, crowd, rows)
}

#[tokio::test]
async fn a_planted_effect_is_found_and_means_are_those_of_a_plain_reckoning() {
    let (shop, crowd, rows) = tried(100).await;
    let plain = effect(&shop, &crowd, &asked("spend", None, None)).await;
    for arm in &plain.arms {
        let users = exported(&shop, &crowd, arm.arm.as_str()).await;
        let spent = |user: &String| -> f64 {
            let number: usize = user[1..].parse().unwrap();
            rows[number]["spend"].to_string().parse().unwrap()
        };
        let mean = users.iter().map(spent).sum::<f64>() / users.len() as f64;
        assert_eq!(arm.users, users.len() as u64);
        assert!((arm.mean.unwrap() - mean).abs() < 1e-9, "{arm:?}: {mean}");
    }
    assert_eq!((plain.control.as_str(), plain.arms[0].difference), ("control", None));
    assert!(!plain.ratio_is_off && plain.explained.is_none());

    // What orders foretold is taken away, so a lift of 1.00 in 50 is seen.
    let corrected = effect(&shop, &crowd, &asked("spend", Some("orders"), None)).await;
    assert!(corrected.explained.unwrap() > 0.9, "{corrected:?}");
    let [plain, corrected] = [&plain, &corrected].map(|of| of.arms[1].difference.unwrap());
    let width = |of: taghouse_crowd::MeanDifference| of.high - of.low;
    assert!(width(corrected) * 5.0 < width(plain), "{corrected:?} {plain:?}");
    assert!(corrected.low < 1.0 && 1.0 < corrected.high, "{corrected:?}");
    assert!(corrected.p < 1e-6, "{corrected:?}");

    // A condition narrows whom is looked at; yes and no have a mean, too.
    let exposed = effect(&shop, &crowd, &asked("vip", None, Some("vip == true"))).await;
    assert!(exposed.arms.iter().all(|arm| arm.mean == Some(1.0)), "{exposed:?}");
    let vips = rows.iter().filter(|row| row["vip"] == Value::Bool(true)).count() as u64;
    assert_eq!(exposed.arms.iter().map(|arm| arm.users).sum::<u64>(), vips);
}

#[tokio::test]
async fn where_there_is_no_effect_none_is_found() {
    let (shop, crowd, _) = tried(0).await;
    let found = effect(&shop, &crowd, &asked("spend", Some("orders"), None)).await;
    assert!(found.arms[1].difference.unwrap().p > 0.001, "{found:?}");
    let error = shop
        .crowds
        .effect(&shop.definitions, &crowd, &asked("country", None, None))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("country"), "{error}");
    let wrong = EffectRequest { control: Some("green".to_owned()), ..asked("spend", None, None) };
    let error = shop.crowds.effect(&shop.definitions, &crowd, &wrong).await.unwrap_err();
    assert_eq!(error.to_string(), "the crowd tried has no arm `green`");
}

#[tokio::test]
async fn arms_that_were_not_exposed_alike_are_told_of() {
    let (shop, crowd, mut rows) = tried(0).await;
    // All of one arm have a badge, and half of the other.
    let blue = exported(&shop, &crowd, "blue").await;
    for (n, row) in rows.iter_mut().enumerate() {
        row.insert("vip", Value::Bool(blue.contains(&format!("u{n}")) || n % 2 == 0));
    }
    shop.produce(&rows).await;
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let found = effect(&shop, &crowd, &asked("spend", None, Some("vip == true"))).await;
    assert!(found.ratio_is_off && found.ratio_p < 1e-9, "{found:?}");
    let all = effect(&shop, &crowd, &asked("spend", None, None)).await;
    assert!(!all.ratio_is_off, "{all:?}");
}
