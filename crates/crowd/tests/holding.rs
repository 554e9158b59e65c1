//! Which crowds hold a user: what judging each of them says.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use shop::away::Mood;
use shop::{Shop, ten};
use std::sync::Arc;
use taghouse_crowd::{Crowds, Error, Holding, MAX_UNANSWERED};
use taghouse_model::ErrorKind;

/// Twenty versioned crowds, a live one, and one that was never computed.
async fn with_crowds() -> Shop {
    let mut shop = Shop::with(&ten()).await;
    for n in 0..20 {
        let text = match n % 3 {
            0 => format!("orders >= {n}"),
            1 => format!("!(orders >= {n})"),
            _ => "country == \"France\" || orders < 3".to_owned(),
        };
        let crowd = shop.define(&format!("crowd_{n}"), &text);
        shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    }
    for text in ["orders >= 5", "orders + 1 >= 6"] {
        let name = if text.contains('+') { "live_sum" } else { "live" };
        shop.define(name, text);
        shop.definitions.crowds.get_mut(name).unwrap().is_live = true;
    }
    shop.define("idle", "orders >= 1");
    shop.crowds.define(&shop.definitions);
    shop
}

async fn holding(shop: &Shop, crowds: &Crowds, user: &str) -> Holding {
    crowds.crowds_of(&Arc::new(shop.definitions.clone()), user).await.unwrap()
}

/// Holds the answer against judging each crowd.
async fn check(shop: &Shop, crowds: &Crowds, user: &str) -> Holding {
    let holding = holding(shop, crowds, user).await;
    let mut expected = Vec::new();
    let mut unanswered = Vec::new();
    for crowd in shop.definitions.crowds.keys() {
        match crowds.judge(&shop.app, user, crowd.as_str()).await {
            Ok(judgment) => {
                assert_eq!(judgment.unknown_user, holding.unknown_user, "{user} {crowd}");
                if judgment.in_crowd {
                    expected.push((crowd.clone(), judgment.version));
                }
            }
            // Here definitions are not in the catalog, so that it cannot say why.
            Err(Error::UnknownCrowd(_)) => {
                let error = Error::NotComputed { crowd: crowd.to_string() };
                unanswered.push((crowd.clone(), error.to_string()));
            }
            Err(error) => unanswered.push((crowd.clone(), error.to_string())),
        }
    }
    let found: Vec<_> = holding.crowds.iter().map(|h| (h.crowd.clone(), h.version)).collect();
    assert_eq!(found, expected, "{user}");
    let why: Vec<_> = holding.unanswered.iter().map(|u| (u.crowd.clone(), u.why.clone())).collect();
    assert_eq!((why, holding.unanswered_count), (unanswered.clone(), unanswered.len()), "{user}");
    assert!(holding.crowds.iter().all(|h| h.live == h.crowd.as_str().starts_with("live")));
    holding
}

#[tokio::test]
async fn it_is_what_judging_each_says() {
    let shop = with_crowds().await;
    for user in ["u0", "u1", "u4", "u5", "u9", "nobody"] {
        let holding = check(&shop, &shop.crowds, user).await;
        assert_eq!(
            holding.unanswered[0].why,
            "crowd idle has no version yet: run `taghouse produce` or, if it is made of files, `taghouse import idle FILE`"
        );
        assert_eq!(holding.crowds.is_empty(), user == "nobody");
    }
    // Nothing is in memory there.
    let other = shop.other_process();
    other.define(&shop.definitions);
    check(&shop, &other, "u5").await;
    check(&shop, &other, "u9").await;
}

#[tokio::test]
async fn nobody_is_held_after_a_deletion() {
    let shop = with_crowds().await;
    assert!(!holding(&shop, &shop.crowds, "u8").await.crowds.is_empty());
    let gone = shop.dictionary.lookup(&shop.app, &["u8"]).unwrap()[0].unwrap();
    shop.index
        .delete_users(&shop.app, shop.dictionary.generation(&shop.app), &[gone])
        .await
        .unwrap();
    // Deleted, and still in the dictionary.
    assert!(check(&shop, &shop.crowds, "u8").await.crowds.is_empty());
    shop.dictionary.delete(&shop.app, &[gone]).unwrap();
    let holding = check(&shop, &shop.crowds, "u8").await;
    assert!(holding.crowds.is_empty() && holding.unknown_user);
    assert!(!check(&shop, &shop.crowds, "u9").await.crowds.is_empty());
}

#[tokio::test]
async fn a_new_version_and_a_new_definition_count_at_once() {
    let mut shop = with_crowds().await;
    check(&shop, &shop.crowds, "u5").await;
    let crowd = shop.define("crowd_0", "orders > 100");
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap().version;
    assert_eq!(version, 2);
    let holding = check(&shop, &shop.crowds, "u5").await;
    assert!(holding.crowds.iter().all(|held| held.crowd.as_str() != "crowd_0"));
    let idle = shop.definitions.crowds["idle"].clone();
    shop.crowds.compute(&shop.definitions, &idle).await.unwrap();
    assert_eq!(check(&shop, &shop.crowds, "u5").await.unanswered, []);
    shop.definitions.crowds.remove("idle");
    let holding = holding_names(&shop, "u5").await;
    assert!(!holding.contains(&"idle".to_owned()), "{holding:?}");
}

async fn holding_names(shop: &Shop, user: &str) -> Vec<String> {
    let holding = holding(shop, &shop.crowds, user).await;
    holding.crowds.iter().map(|held| held.crowd.to_string()).collect()
}

#[tokio::test]
async fn a_damaged_crowd_is_named_and_the_others_answer() {
    let shop = with_crowds().await;
    let object = shop.objects("crowd_0").pop().unwrap();
    std::fs::remove_file(shop.folder.path().join("objects/crowds/shop/crowd_0").join(object))
        .unwrap();
    let other = shop.other_process();
    other.define(&shop.definitions);
    let holding = check(&shop, &other, "u5").await;
    let named: Vec<&str> = holding.unanswered.iter().map(|u| u.crowd.as_str()).collect();
    assert_eq!(named, ["crowd_0", "idle"]);
    assert!(holding.unanswered[0].why.contains("is missing"), "{:?}", holding.unanswered);
    assert!(!holding.crowds.is_empty());
}

#[tokio::test]
async fn versions_from_before_a_renumbering_are_named() {
    let shop = with_crowds().await;
    shop.dictionary.renew(&shop.app, 2).unwrap();
    let holding = holding(&shop, &shop.crowds, "u5").await;
    assert_eq!((holding.crowds.len(), holding.unanswered_count), (0, 23));
    let why = |crowd: &str| {
        let found = holding.unanswered.iter().find(|unanswered| unanswered.crowd.as_str() == crowd);
        found.unwrap().why.clone()
    };
    assert!(why("crowd_1").contains("before the users were renumbered"), "{}", why("crowd_1"));
    assert!(why("live").contains("before its users were renumbered"), "{}", why("live"));
}

#[tokio::test]
async fn of_many_that_cannot_answer_some_are_named_and_all_counted() {
    let mut shop = Shop::with(&ten()).await;
    for n in 0..250 {
        shop.define(&format!("idle_{n}"), "orders >= 1");
    }
    let holding = holding(&shop, &shop.crowds, "u5").await;
    assert_eq!((holding.unanswered.len(), holding.unanswered_count), (MAX_UNANSWERED, 250));
    assert!(!holding.unknown_user);
}

#[tokio::test]
async fn without_the_catalog_it_is_unavailable_until_it_was_read_once() {
    let shop = with_crowds().await;
    let definitions = Arc::new(shop.definitions.clone());
    let other = shop.other_process();
    check(&shop, &shop.crowds, "u5").await;
    shop.away.become_one_that(Mood::Fails);
    let error = other.crowds_of(&definitions, "u5").await.unwrap_err();
    assert!(matches!(error, Error::Unread { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!shop.crowds.crowds_of(&definitions, "u5").await.unwrap().crowds.is_empty());
}
