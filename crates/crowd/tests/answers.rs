//! What callers are told, also when they ask for what there is not.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use shop::{Shop, ten};
use taghouse_catalog::Change;
use taghouse_crowd::{Error, MAX_SAMPLE, Question};
use taghouse_model::{AppId, ErrorKind, Value};

#[tokio::test]
async fn without_an_index_it_says_to_produce() {
    let mut shop = Shop::empty().await;
    let crowd = shop.define("busy", "orders > 5");
    let errors = [
        shop.crowds.compute(&shop.app, &crowd).await.unwrap_err(),
        shop.crowds.count(&shop.app, &shop.definitions, &Question::parse("orders > 5").unwrap()).await.unwrap_err(),
        shop.crowds.profile(&shop.app, "u1").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "no tags produced yet for app shop: run `taghouse produce`");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert!(shop.crowds.list(&shop.app).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unknown_user_is_an_answer_and_an_unknown_crowd_an_error() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("big_spenders", "orders > 5");
    shop.crowds.compute(&shop.app, &crowd).await.unwrap();
    let stranger = shop.crowds.judge(&shop.app, "nobody", "big_spenders").await.unwrap();
    assert_eq!((stranger.in_crowd, stranger.version, stranger.reason()), (false, 1, Some("unknown_user")));
    let known = shop.crowds.judge(&shop.app, "u1", "big_spenders").await.unwrap();
    assert_eq!((known.in_crowd, known.reason()), (false, None));
    let error = shop.crowds.judge(&shop.app, "u1", "big_spender").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no crowd `big_spender` in app shop; did you mean `big_spenders`?");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let other = AppId::new("other").unwrap();
    let error = shop.crowds.judge(&other, "u1", "big_spenders").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no crowd `big_spenders` in app other", "another app's crowd is not even suggested");
}

#[tokio::test]
async fn a_crowd_that_is_defined_only_says_to_produce() {
    let mut shop = Shop::with(&ten()).await;
    let body = serde_json::json!({});
    let (kind, name) = ("crowd".to_owned(), "planned".to_owned());
    let put = Change::PutDefinition { app: shop.app.clone(), kind, name, expected: None, body, at_ms: 0 };
    shop.catalog.commit(vec![put]).await.unwrap();
    shop.define("planned", "orders > 1");
    let above = shop.define("above", "!crowd(\"planned\")");
    let errors = [
        shop.crowds.judge(&shop.app, "u1", "planned").await.unwrap_err(),
        shop.crowds.versions(&shop.app, "planned").await.unwrap_err(),
        shop.crowds.compute(&shop.app, &above).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "crowd planned has no version yet: run `taghouse produce`");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn questions_are_counted() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("french", "country == 'France'");
    shop.crowds.compute(&shop.app, &crowd).await.unwrap();
    let question = Question::parse("crowd('french') && orders >= 3 || vip == true").unwrap();
    let count = shop.crowds.count(&shop.app, &shop.definitions, &question).await.unwrap();
    assert_eq!((count.count, count.users, count.revision), (5, 10, 1));
    assert_eq!((count.oldest_as_of_ms, count.newest_as_of_ms), (Some(100), Some(300)));
    assert_eq!(Question::from_json(&question.to_json()).unwrap().to_string(), question.to_string());
    assert_eq!(shop.count("!(orders >= 1)").await, 1, "u0 has no value: the negation holds");
    assert_eq!(shop.count("orders < 1").await, 0, "and the comparison does not");
}

#[tokio::test]
async fn questions_that_do_not_fit_are_shown_their_place() {
    let shop = Shop::with(&ten()).await;
    let cases = [
        ("country == 'France' && order > 3", "did you mean `orders`", 24),
        ("orders > 'many'", "orders", 1),
        ("crowd('frensh')", "there is no crowd `frensh`", 1),
    ];
    for (text, expected, column) in cases {
        let error = shop.crowds.count(&shop.app, &shop.definitions, &Question::parse(text).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let Error::Rules(taghouse_rules::Error::Syntax(place)) = error else { panic!("{text}: no place") };
        assert_eq!(place.column, column, "{text}: {place}");
    }
    let error = Question::parse("orders >").unwrap_err();
    assert!(error.to_string().contains('^'), "{error}");
}

#[tokio::test]
async fn samples_are_the_seeds() {
    let rows: Vec<_> = (0..30).flat_map(|_| ten()).collect();
    let shop = Shop::with(&rows).await;
    let question = Question::parse("orders >= 5").unwrap();
    let sample = async |size, seed| shop.crowds.sample(&shop.app, &shop.definitions, &question, size, seed).await;
    let first = sample(20, 1).await.unwrap();
    assert_eq!((first.users.len(), first.count), (20, 150));
    assert_eq!(sample(20, 1).await.unwrap(), first);
    assert_ne!(sample(20, 2).await.unwrap(), first);
    for user in &first.users {
        let number: usize = user[1..].parse().unwrap();
        assert!(number % 10 >= 5, "{user} is none of those asked for");
    }
    let error = sample(MAX_SAMPLE + 1, 1).await.unwrap_err();
    assert_eq!(error.to_string(), "10001 users in one call: 10000 are allowed");
}

#[tokio::test]
async fn batches_have_their_limits() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("busy", "orders > 5");
    shop.crowds.compute(&shop.app, &crowd).await.unwrap();
    let (users, crowds) = (vec!["u7".to_owned(); 1000], vec!["busy".to_owned(); 100]);
    let full = shop.crowds.judge_batch(&shop.app, &users, &crowds).await.unwrap();
    assert!(full.in_crowd.len() == 1000 && full.in_crowd.iter().all(|row| row == &[true; 100]));
    assert_eq!(full.versions, [1; 100]);
    for (users, crowds) in [(vec![String::new(); 1001], vec![]), (vec![], vec![String::new(); 101])] {
        let error = shop.crowds.judge_batch(&shop.app, &users, &crowds).await.unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let asked = [String::new(), "x".repeat(600), "stranger".to_owned()];
    let strangers = shop.crowds.judge_batch(&shop.app, &asked, &["busy".to_owned()]).await.unwrap();
    assert_eq!((strangers.in_crowd, strangers.unknown_user), (vec![vec![false]; 3], vec![true; 3]));
}

#[tokio::test]
async fn a_profile_has_all_values_and_only_those() {
    let shop = Shop::with(&ten()).await;
    let profile = shop.crowds.profile(&shop.app, "u9").await.unwrap();
    let values: Vec<_> = profile.iter().map(|tag| (tag.name.as_str(), tag.value.clone(), tag.as_of_ms)).collect();
    let expected = [("country", Value::text("France"), 200), ("orders", Value::Int(9), 100), ("vip", Value::Bool(true), 300)];
    assert_eq!(values, expected);
    assert!(shop.crowds.profile(&shop.app, "u0").await.unwrap().is_empty());
    let error = shop.crowds.profile(&shop.app, "u10").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no user \"u10\" in app shop");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_definition_older_or_newer_than_the_index_is_refused() {
    let mut shop = Shop::with(&ten()).await;
    let mut crowd = shop.define("busy", "orders > 5");
    crowd.checked = taghouse_rules::Predicate::IsSet { name: "visits".to_owned() };
    let error = shop.crowds.compute(&shop.app, &crowd).await.unwrap_err();
    assert!(error.to_string().contains("visits") && error.to_string().contains("produce"), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    crowd.checked = taghouse_rules::Predicate::Like { name: "orders".to_owned(), pattern: "many%".to_owned() };
    let error = shop.crowds.compute(&shop.app, &crowd).await.unwrap_err();
    assert!(error.to_string().contains("orders"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(shop.crowds.list(&shop.app).await.unwrap().is_empty(), "nothing was published");
}
