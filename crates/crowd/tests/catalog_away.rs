//! Judgments do not need the catalog: what is known answers, and says its age.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use shop::away::Mood;
use shop::{Shop, ten};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use taghouse_crowd::Error;
use taghouse_model::ErrorKind;

/// Far more than any of this takes.
const AT_ONCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn crowds_that_are_known_are_judged_by_while_the_catalog_is_away() {
    let mut shop = Shop::with(&ten()).await;
    let busy = shop.define("busy", "orders > 5");
    let french = shop.define("french", "country == \"France\"");
    shop.crowds.compute(&shop.definitions, &busy).await.unwrap();
    shop.crowds.compute(&shop.definitions, &french).await.unwrap();
    shop.crowds.refresh().await.unwrap();
    assert_eq!(shop.crowds.judge(&shop.app, "u7", "busy").await.unwrap().age_ms, 0);
    for mood in [Mood::Fails, Mood::Hangs] {
        shop.away.become_one_that(mood);
        let (asked, now) =
            (shop.away.asked(), shop.clock.0.fetch_add(3_600_000, Ordering::SeqCst) + 3_600_000);
        let answers = async {
            for _ in 0..100 {
                let judgment = shop.crowds.judge(&shop.app, "u7", "busy").await.unwrap();
                assert!(
                    judgment.in_crowd && judgment.age_ms == now.abs_diff(1_000_000),
                    "{judgment:?}"
                );
            }
            let users = ["u7".to_owned(), "u2".to_owned()];
            let batch = shop
                .crowds
                .judge_batch(&shop.app, &users, &["busy".to_owned(), "french".to_owned()])
                .await
                .unwrap();
            assert_eq!(
                (batch.in_crowd, batch.age_ms),
                (vec![vec![true, true], vec![false, false]], now.abs_diff(1_000_000))
            );
            assert_eq!(shop.exported("french").await.len(), 5);
            assert_eq!(shop.crowds.list(&shop.app).await.unwrap().len(), 2);
            assert_eq!(shop.crowds.versions(&shop.app, "busy").await.unwrap().current, 1);
        };
        tokio::time::timeout(AT_ONCE, answers).await.unwrap();
        assert_eq!(
            shop.away.asked(),
            asked,
            "{mood:?}: the catalog is asked of nothing that is known"
        );
        assert_eq!(shop.crowds.stalest_ms(), Some(now.abs_diff(1_000_000)));
    }
    shop.away.become_one_that(Mood::Fails);
    assert!(shop.crowds.refresh().await.is_err());
    shop.away.become_one_that(Mood::Answers);
    shop.crowds.refresh().await.unwrap();
    assert_eq!(shop.crowds.judge(&shop.app, "u7", "busy").await.unwrap().age_ms, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn crowds_that_were_never_read_are_unavailable_and_say_why() {
    let mut shop = Shop::with(&ten()).await;
    let busy = shop.define("busy", "orders > 5");
    shop.crowds.compute(&shop.definitions, &busy).await.unwrap();
    for mood in [Mood::Fails, Mood::Hangs] {
        let fresh = shop.other_process();
        shop.away.become_one_that(mood);
        let asked = shop.away.asked();
        let judgments: Vec<_> = (0..20)
            .map(|_| {
                let (crowds, app) = (Arc::clone(&fresh), shop.app.clone());
                tokio::spawn(async move { crowds.judge(&app, "u7", "busy").await })
            })
            .collect();
        for judgment in judgments {
            let error =
                tokio::time::timeout(AT_ONCE, judgment).await.unwrap().unwrap().unwrap_err();
            assert!(
                matches!(error, Error::Unread { .. }) && error.kind() == ErrorKind::Unavailable,
                "{error}"
            );
            assert!(error.to_string().contains("the catalog cannot be asked now"), "{error}");
        }
        // What fails at once is asked one by one; for what does not answer all wait together.
        assert!(
            shop.away.asked() - asked <= if mood == Mood::Hangs { 1 } else { 20 },
            "{mood:?}: {} questions",
            shop.away.asked() - asked
        );
        shop.away.become_one_that(Mood::Answers);
        assert!(fresh.judge(&shop.app, "u7", "busy").await.unwrap().in_crowd);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_come_first_ask_once() {
    let mut shop = Shop::with(&ten()).await;
    for n in 0..8 {
        let crowd = shop.define(&format!("over_{n}"), &format!("orders > {n}"));
        shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    }
    let fresh = shop.other_process();
    shop.away.become_one_that(Mood::Hangs);
    let asked = shop.away.asked();
    let judgments: Vec<_> = (0..64)
        .map(|n| {
            let (crowds, app, crowd) =
                (Arc::clone(&fresh), shop.app.clone(), format!("over_{}", n % 8));
            tokio::spawn(async move { crowds.judge(&app, "u9", &crowd).await.unwrap().in_crowd })
        })
        .collect();
    while shop.away.asked() == asked {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    shop.away.become_one_that(Mood::Answers);
    for judgment in judgments {
        assert!(judgment.await.unwrap());
    }
    assert_eq!(shop.away.asked() - asked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_process_publishes_is_judged_by_at_once_and_others_after_a_refresh() {
    let mut shop = Shop::with(&ten()).await;
    let (first, second) = (shop.define("busy", "orders > 5"), shop.define("busy", "orders > 8"));
    let other = shop.other_process();
    shop.crowds.compute(&shop.definitions, &first).await.unwrap();
    assert_eq!(other.judge(&shop.app, "u7", "busy").await.unwrap().version, 1);
    shop.crowds.compute(&shop.definitions, &second).await.unwrap();
    // Nothing is asked between the publication and the judgment.
    shop.away.become_one_that(Mood::Hangs);
    let judgment = tokio::time::timeout(AT_ONCE, shop.crowds.judge(&shop.app, "u7", "busy"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((judgment.version, judgment.in_crowd), (2, false));
    assert_eq!(other.judge(&shop.app, "u7", "busy").await.unwrap().version, 1);
    shop.away.become_one_that(Mood::Answers);
    other.refresh().await.unwrap();
    assert_eq!(other.judge(&shop.app, "u7", "busy").await.unwrap().version, 2);
    let asked = shop.away.asked();
    other.refresh().await.unwrap();
    assert_eq!(shop.away.asked() - asked, 1, "where nothing moved only the revisions are read");
}
