//! Versions that wait, roll back, are pinned, and come to users share by share: the size shown, the
//! users exported and the users judged are the same after each step.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use shop::{Row, Shop};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use taghouse_crowd::{CrowdVersion, Error, Exception, RolloutRequest, Waits};
use taghouse_model::Value;
use taghouse_rules::{CrowdChecks, CrowdDefinition, CrowdPolicy, RolloutPlan, Share};

fn share(text: &str) -> Share {
    Share::parse(text).unwrap()
}

/// So many users, whose number of orders is their number.
fn users(count: usize) -> Vec<Row> {
    (0..count).map(|n| Row::from([("orders", Value::Int(n as i64))])).collect()
}

async fn shop(count: usize) -> Shop {
    Shop::with(&users(count)).await
}

fn define(shop: &mut Shop, text: &str, policy: &CrowdPolicy) -> CrowdDefinition {
    let crowd = shop.define("busy", text);
    let crowd = CrowdDefinition { policy: policy.clone(), ..crowd };
    shop.definitions.crowds.insert(crowd.name.clone(), crowd.clone());
    crowd
}

async fn compute(shop: &Shop, crowd: &CrowdDefinition) -> CrowdVersion {
    shop.crowds.compute(&shop.definitions, crowd).await.unwrap()
}

/// The members, by whichever way: listed, exported and judged, in this process and in another.
async fn members(shop: &Shop, count: usize) -> BTreeSet<String> {
    let exported: BTreeSet<String> = shop.exported("busy").await.into_iter().collect();
    let listed = shop.crowds.list(&shop.app).await.unwrap();
    assert_eq!(listed[0].current.size, exported.len() as u64, "the size shown");
    let all: Vec<String> = (0..count).map(|n| format!("u{n}")).collect();
    for crowds in [shop.crowds.clone(), shop.other_process()] {
        for some in all.chunks(1000) {
            let judged = crowds.judge_batch(&shop.app, some, &["busy".to_owned()]).await.unwrap();
            for (user, row) in some.iter().zip(judged.in_crowd) {
                assert_eq!(row, [exported.contains(user)], "{user}");
            }
        }
    }
    assert_eq!(shop.count("crowd(\"busy\")").await, exported.len() as u64, "in a question");
    exported
}

fn above(least: usize, count: usize) -> BTreeSet<String> {
    (least + 1..count).map(|n| format!("u{n}")).collect()
}

#[tokio::test]
async fn goes_back_and_stays_there_until_somebody_goes_on() {
    let mut shop = shop(10).await;
    let plain = CrowdPolicy::default();
    for least in [2, 5, 7] {
        let crowd = define(&mut shop, &format!("orders > {least}"), &plain);
        compute(&shop, &crowd).await;
    }
    let versions = shop.crowds.roll_back(&shop.app, "busy", None).await.unwrap();
    assert_eq!(versions.current, 2);
    assert_eq!(members(&shop, 10).await, above(5, 10));

    let crowd = define(&mut shop, "orders > 8", &plain);
    let version = compute(&shop, &crowd).await;
    assert_eq!((version.version, version.waits), (4, Some(Waits::Held)));
    assert_eq!(members(&shop, 10).await, above(5, 10), "what is computed later waits");

    let error = shop.crowds.roll_back(&shop.app, "busy", None).await.unwrap_err();
    assert!(error.to_string().contains("held at version 2"), "not forward again: {error}");
    shop.crowds.roll_back(&shop.app, "busy", Some(1)).await.unwrap();
    assert_eq!(members(&shop, 10).await, above(2, 10));

    let versions = shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    assert_eq!((versions.current, versions.held_ms), (4, None));
    assert_eq!(members(&shop, 10).await, above(8, 10));
    assert_eq!(compute(&shop, &crowd).await.waits, None, "and goes on");

    let error = shop.crowds.publish_version(&shop.app, "busy", Some(77)).await.unwrap_err();
    assert!(matches!(error, Error::UnknownVersion { version: 77, .. }), "{error}");
    let error = shop.crowds.roll_back(&shop.app, "buzy", None).await.unwrap_err();
    assert!(error.to_string().contains("did you mean `busy`"), "{error}");
}

#[tokio::test]
async fn a_version_that_fails_a_check_waits() {
    let mut shop = shop(100).await;
    let checks = CrowdChecks { min_size: Some(10), max_size: None, max_change: Some(share("50%")) };
    let policy = CrowdPolicy { checks, ..CrowdPolicy::default() };
    let small = define(&mut shop, "orders > 95", &policy);
    let version = compute(&shop, &small).await;
    assert_eq!(version.waits.unwrap().to_string(), "it has 4 members, and min_size is 10");
    let error = shop.crowds.judge(&shop.app, "u99", "busy").await.unwrap_err();
    assert!(error.to_string().contains("version 1 waits, for it has 4 members"), "{error}");
    assert!(shop.crowds.list(&shop.app).await.unwrap().is_empty());

    let good = define(&mut shop, "orders > 79", &policy);
    assert_eq!(compute(&shop, &good).await.waits, None);
    assert_eq!(members(&shop, 100).await, above(79, 100));

    let large = define(&mut shop, "orders > 9", &policy);
    let version = compute(&shop, &large).await;
    assert!(version.waits.unwrap().to_string().contains("differ by more than 50%"));
    assert_eq!(members(&shop, 100).await, above(79, 100));
    shop.crowds.publish_version(&shop.app, "busy", Some(version.version)).await.unwrap();
    assert_eq!(members(&shop, 100).await, above(9, 100));
}

#[tokio::test]
async fn each_version_is_approved_where_that_is_asked() {
    let mut shop = shop(10).await;
    let policy = CrowdPolicy { needs_approval: true, ..CrowdPolicy::default() };
    let crowd = define(&mut shop, "orders > 5", &policy);
    assert_eq!(compute(&shop, &crowd).await.waits, Some(Waits::Approval));
    shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    let crowd = define(&mut shop, "orders > 6", &policy);
    assert_eq!(compute(&shop, &crowd).await.waits, Some(Waits::Approval));
    assert_eq!(members(&shop, 10).await, above(5, 10));
}

#[tokio::test]
async fn pinned_versions_outlive_others() {
    let mut shop = shop(10).await;
    let policy = CrowdPolicy { keep: 2, ..CrowdPolicy::default() };
    let crowd = define(&mut shop, "orders > 1", &policy);
    compute(&shop, &crowd).await;
    shop.crowds.pin(&shop.app, "busy", 1, true).await.unwrap();
    for least in 2..6 {
        let crowd = define(&mut shop, &format!("orders > {least}"), &policy);
        compute(&shop, &crowd).await;
    }
    let kept = async |shop: &Shop| -> Vec<u64> {
        let versions = shop.crowds.versions(&shop.app, "busy").await.unwrap();
        versions.versions.iter().map(|version| version.version).collect()
    };
    assert_eq!(kept(&shop).await, [1, 4, 5]);
    assert_eq!(shop.objects("busy"), ["1.crowd", "4.crowd", "5.crowd"]);
    let difference =
        shop.crowds.difference(&shop.app, "busy", [Some(1), None], 3, 0).await.unwrap();
    assert_eq!((difference.entered.count, difference.left.count), (0, 4));
    assert_eq!(difference.left.sample.len(), 3);
    assert!(difference.left.sample.iter().all(|user| above(1, 6).contains(user)));

    shop.crowds.pin(&shop.app, "busy", 1, false).await.unwrap();
    assert_eq!(kept(&shop).await, [4, 5]);
    assert_eq!(shop.objects("busy"), ["4.crowd", "5.crowd"]);
}

#[tokio::test]
async fn a_rollout_is_sticky_and_monotone_and_can_end_at_any_share() {
    let count = 3000;
    let mut shop = shop(count).await;
    let plain = CrowdPolicy::default();
    let old = define(&mut shop, "orders < 1000", &plain);
    compute(&shop, &old).await;
    let before = members(&shop, count).await;
    let new = define(&mut shop, "orders >= 2000", &CrowdPolicy { needs_approval: true, ..plain });
    assert_eq!(compute(&shop, &new).await.version, 2);
    let after = above(1999, count);

    let roll = async |shop: &Shop, text: &str| {
        let request = RolloutRequest {
            version: Some(2),
            share: share(text),
            stages: Vec::new(),
            every_ms: None,
        };
        shop.crowds.roll_out(&shop.app, "busy", &request).await.unwrap()
    };
    let mut entered = BTreeSet::new();
    for (text, wanted) in [("5%", 50_usize), ("25%", 250), ("80%", 800)] {
        roll(&shop, text).await;
        let now = members(&shop, count).await;
        let new: BTreeSet<String> = now.intersection(&after).cloned().collect();
        let gone = before.difference(&now).count();
        assert!(now.is_subset(&before.union(&after).cloned().collect()));
        assert!(new.len().abs_diff(wanted) < 50, "{} entered at {text}", new.len());
        assert!(gone.abs_diff(wanted) < 50, "{gone} left at {text}");
        assert!(entered.is_subset(&new), "nobody leaves as the share grows");
        entered = new;
    }
    let smaller = roll(&shop, "5%").await;
    assert!(smaller.versions.last().unwrap().blend.is_some());
    assert!(members(&shop, count).await.intersection(&after).count() < 100);
    let ended = roll(&shop, "0%").await;
    assert_eq!((ended.current, ended.held_ms.is_some()), (1, true), "it is a way back");
    assert_eq!(roll(&shop, "0%").await, ended, "asked for once more");
    assert_eq!(members(&shop, count).await, before);
    roll(&shop, "50%").await;
    assert_eq!(roll(&shop, "50%").await.last(), roll(&shop, "50%").await.last(), "no new version");
    let done = roll(&shop, "100%").await;
    assert_eq!((done.current, &done.rollout), (2, &None));
    assert_eq!(roll(&shop, "100%").await, done);
    assert_eq!(members(&shop, count).await, after);
}

#[tokio::test]
async fn a_new_rule_comes_by_stages_beside_the_old_one_as_of_today() {
    let count = 2000;
    let mut shop = shop(count).await;
    let day_ms = 86_400_000;
    let plan = RolloutPlan { stages: vec![share("10%"), share("50%")], every_ms: day_ms };
    let policy = CrowdPolicy { rollout: Some(plan), ..CrowdPolicy::default() };
    let old = define(&mut shop, "orders < 1000", &policy);
    compute(&shop, &old).await;
    compute(&shop, &old).await;
    assert_eq!(members(&shop, count).await.len(), 1000, "newer values of the same rule: at once");

    let new = define(&mut shop, "orders >= 1000", &policy);
    compute(&shop, &new).await;
    let first = members(&shop, count).await;
    let by_new: BTreeSet<String> = first.intersection(&above(999, count)).cloned().collect();
    assert!(by_new.len().abs_diff(100) < 40, "{}", by_new.len());

    // Everybody has one order less; those outside of the share are seen by the old rule all the same.
    let less: Vec<Row> =
        (0..count).map(|n| Row::from([("orders", Value::Int(n as i64 - 1))])).collect();
    shop.produce(&less).await;
    compute(&shop, &new).await;
    let now = members(&shop, count).await;
    assert_eq!(now.contains("u1000"), !by_new.contains("u1000"), "999 orders by the old rule");
    let rollout = shop.crowds.versions(&shop.app, "busy").await.unwrap().rollout.unwrap();
    assert_eq!(rollout.share(), share("10%"));

    let clock = &shop.clock.0;
    assert_eq!(shop.crowds.due_rollouts(&shop.app).await.unwrap(), []);
    let mut seen = now;
    for (text, wanted) in [("50%", 500_usize), ("100%", 999)] {
        clock.fetch_add(day_ms, Ordering::SeqCst);
        let due = shop.crowds.due_rollouts(&shop.app).await.unwrap();
        assert_eq!(due.iter().map(|end| end.share.to_string()).collect::<Vec<_>>(), [text]);
        shop.crowds.go_on(&shop.app, "busy").await.unwrap();
        shop.crowds.go_on(&shop.app, "busy").await.unwrap();
        let now = members(&shop, count).await;
        let by_new = now.intersection(&above(1000, count)).count();
        assert!(by_new.abs_diff(wanted) < 60, "{by_new} at {text}");
        assert_ne!(now, seen);
        seen = now;
    }
    assert_eq!(seen, above(1000, count));
    assert_eq!(shop.crowds.versions(&shop.app, "busy").await.unwrap().rollout, None);
    assert_eq!(shop.crowds.due_rollouts(&shop.app).await.unwrap(), []);
}

#[tokio::test]
async fn a_rollout_goes_back_and_begins_again_with_the_same_users() {
    let count = 500;
    let mut shop = shop(count).await;
    let plain = CrowdPolicy::default();
    let old = define(&mut shop, "orders < 100", &plain);
    compute(&shop, &old).await;
    let held = CrowdPolicy { needs_approval: true, ..plain.clone() };
    let new = define(&mut shop, "orders >= 100", &held);
    compute(&shop, &new).await;
    let request =
        RolloutRequest { version: None, share: share("50%"), stages: vec![], every_ms: None };
    shop.crowds.roll_out(&shop.app, "busy", &request).await.unwrap();
    let mixed = members(&shop, count).await;
    let back = shop.crowds.roll_back(&shop.app, "busy", None).await.unwrap();
    assert_eq!((back.current, back.rollout), (1, None));
    assert_eq!(members(&shop, count).await.len(), 100);

    shop.crowds.roll_out(&shop.app, "busy", &request).await.unwrap();
    assert_eq!(members(&shop, count).await, mixed, "the same users");

    // Who is deleted is in no version, nor in the stages that follow.
    let gone = mixed.iter().next().unwrap();
    let ordinal = shop.dictionary.lookup(&shop.app, &[gone]).unwrap()[0].unwrap();
    let generation = shop.dictionary.generation(&shop.app);
    shop.index.delete_users(&shop.app, generation, &[ordinal]).await.unwrap();
    let without = members(&shop, count).await;
    assert!(!without.contains(gone) && without.len() == mixed.len() - 1);
    let more = RolloutRequest { share: share("75%"), ..request };
    shop.crowds.roll_out(&shop.app, "busy", &more).await.unwrap();
    assert!(!members(&shop, count).await.contains(gone));
}

/// A plan by which a new rule comes to a tenth of the users at first.
fn planned(more: CrowdPolicy) -> CrowdPolicy {
    let plan = RolloutPlan { stages: vec![share("10%")], every_ms: 86_400_000 };
    CrowdPolicy { rollout: Some(plan), ..more }
}

#[tokio::test]
async fn what_is_published_in_a_rollout_is_the_new_rule() {
    let count = 1000;
    let mut shop = shop(count).await;
    let policy = planned(CrowdPolicy::default());
    let old = define(&mut shop, "orders < 500", &policy);
    compute(&shop, &old).await;
    let new = define(&mut shop, "orders >= 500", &policy);
    let computed = compute(&shop, &new).await;
    assert!(members(&shop, count).await.contains("u0"));
    let done = shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    assert_eq!((done.current, &done.rollout), (computed.version, &None));
    assert_eq!(members(&shop, count).await, above(499, count));
    let back = shop.crowds.roll_back(&shop.app, "busy", None).await.unwrap();
    assert_eq!(back.current().unwrap().expression, "orders < 500", "from before the rollout");
    let on = shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    assert_eq!(on.current, computed.version, "the newest is of the new rule");
}

#[tokio::test]
async fn a_third_rule_waits_while_the_second_is_rolled_out() {
    let count = 1000;
    let mut shop = shop(count).await;
    let policy = planned(CrowdPolicy::default());
    for rule in ["orders < 500", "orders >= 500"] {
        let crowd = define(&mut shop, rule, &policy);
        compute(&shop, &crowd).await;
    }
    let mixed = members(&shop, count).await;
    for rule in ["orders >= 900", "orders < 500"] {
        let crowd = define(&mut shop, rule, &policy);
        assert_eq!(compute(&shop, &crowd).await.waits, Some(Waits::Rollout), "{rule}");
        assert_eq!(members(&shop, count).await, mixed, "{rule}");
    }
    // Back to the first rule: at once, for all.
    let back = shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    assert_eq!(back.rollout, None);
    assert_eq!(members(&shop, count).await.len(), 500);
    assert!(members(&shop, count).await.contains("u0"));
}

#[tokio::test]
async fn a_plan_is_followed_by_versions_that_waited() {
    let count = 1000;
    let mut shop = shop(count).await;
    let policy = planned(CrowdPolicy { needs_approval: true, ..CrowdPolicy::default() });
    let old = define(&mut shop, "orders < 500", &policy);
    compute(&shop, &old).await;
    shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    let new = define(&mut shop, "orders >= 500", &policy);
    compute(&shop, &new).await;
    assert_eq!(members(&shop, count).await.len(), 500, "nobody approved it");
    let begun = shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    let share_now = begun.rollout.unwrap().share();
    assert_eq!(share_now, share("10%"));
    let mixed = members(&shop, count).await;
    assert!(mixed.contains("u0") && mixed != above(499, count));

    // The next version of the rule waits, and the rollout goes on when it is approved and when not.
    let next = compute(&shop, &new).await;
    assert_eq!(next.waits, Some(Waits::Approval));
    let on = shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    let rollout = on.rollout.unwrap();
    assert_eq!((rollout.to, rollout.share()), (next.version, share_now));
    assert_eq!(members(&shop, count).await, mixed);
    compute(&shop, &new).await;
    shop.clock.0.fetch_add(86_400_000, Ordering::SeqCst);
    shop.crowds.go_on(&shop.app, "busy").await.unwrap();
    assert_eq!(members(&shop, count).await, above(499, count));
}

#[tokio::test]
async fn a_rollout_whose_former_version_is_lost_ends_and_the_new_one_waits() {
    let count = 100;
    let mut shop = shop(count).await;
    let plain = CrowdPolicy::default();
    let old = define(&mut shop, "orders < 50", &plain);
    compute(&shop, &old).await;
    let held = CrowdPolicy { needs_approval: true, ..plain.clone() };
    let new = define(&mut shop, "orders >= 50", &held);
    compute(&shop, &new).await;
    let request =
        RolloutRequest { version: None, share: share("50%"), stages: vec![], every_ms: None };
    shop.crowds.roll_out(&shop.app, "busy", &request).await.unwrap();
    let mixed = members(&shop, count).await;
    // Another process has nothing in memory, and cannot evaluate the old rule, whose tags are gone.
    std::fs::remove_file(shop.folder.path().join("objects/crowds/shop/busy/1.crowd")).unwrap();
    let new = define(&mut shop, "orders >= 50", &plain);
    let other = shop.other_process();
    let computed = other.compute(&shop.definitions, &new).await.unwrap();
    assert!(matches!(computed.waits, Some(Waits::Check(_))), "{computed:?}");
    shop.crowds.refresh().await.unwrap();
    assert_eq!(members(&shop, count).await, mixed, "what answered goes on to answer");
    let on = shop.crowds.publish_version(&shop.app, "busy", None).await.unwrap();
    assert_eq!((on.current, on.rollout), (computed.version, None));
    assert_eq!(members(&shop, count).await, above(49, count));
}

#[tokio::test]
async fn some_users_are_kept_out_and_some_are_named() {
    let count = 3000;
    let mut shop = shop(count).await;
    let policy = CrowdPolicy {
        holdout: share("10%"),
        always: ["u1", "nobody"].map(str::to_owned).into(),
        never: ["u2999"].map(str::to_owned).into(),
        ..CrowdPolicy::default()
    };
    let crowd = define(&mut shop, "orders >= 1000", &policy);
    let version = compute(&shop, &crowd).await;
    assert!(version.is_of(&crowd));
    let first = members(&shop, count).await;
    assert!(first.contains("u1") && !first.contains("u2999") && !first.contains("nobody"));
    let kept_out = 2000 - (first.len() - 1);
    assert!(kept_out.abs_diff(200) < 50, "{kept_out}");

    // The reasons say so.
    let shown = shop.definitions.clone();
    let why = |user: String| {
        let (crowds, shown, crowd) = (shop.crowds.clone(), shown.clone(), crowd.clone());
        async move { crowds.why(&shown, &crowd, &user).await.unwrap() }
    };
    for n in (0..40).chain([1990, 2998, 2999]) {
        let user = format!("u{n}");
        let said = why(user.clone()).await;
        let rule = said.rule.as_ref().unwrap().holds;
        assert_eq!((said.in_crowd, rule), (first.contains(&user), n >= 1000), "{user}");
        let expected = said.exception.map_or(rule, Exception::is_in);
        assert_eq!(expected, said.in_crowd, "{user}: {:?}", said.exception);
    }
    assert_eq!(why("u1".to_owned()).await.exception, Some(Exception::Always));
    assert_eq!(why("u2999".to_owned()).await.exception, Some(Exception::Never));
    let held_out = above(999, count).into_iter().find(|user| !first.contains(user)).unwrap();
    assert_eq!(why(held_out).await.exception, Some(Exception::Holdout));
    assert_eq!(why("nobody".to_owned()).await.exception, None);

    // The same users, whatever the rule.
    let wider = define(&mut shop, "orders >= 0", &policy);
    compute(&shop, &wider).await;
    let second = members(&shop, count).await;
    let of_first: BTreeSet<String> = second.intersection(&above(999, count)).cloned().collect();
    assert_eq!(of_first, first.iter().filter(|user| *user != "u1").cloned().collect());

    let without = define(&mut shop, "orders >= 0", &CrowdPolicy::default());
    let version = shop.crowds.versions(&shop.app, "busy").await.unwrap();
    assert!(!version.current().unwrap().is_of(&without), "another definition");
}

#[tokio::test]
async fn a_version_that_cannot_be_read_never_answers() {
    let mut shop = shop(10).await;
    let plain = CrowdPolicy::default();
    for least in [2, 5] {
        let crowd = define(&mut shop, &format!("orders > {least}"), &plain);
        compute(&shop, &crowd).await;
    }
    let object = shop.folder.path().join("objects/crowds/shop/busy/1.crowd");
    std::fs::write(&object, b"damaged").unwrap();
    // This process has it in memory; another reads it.
    let other = shop.other_process();
    let error = other.roll_back(&shop.app, "busy", Some(1)).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(members(&shop, 10).await, above(5, 10));
}
