//! What callers are told, also when they ask for what there is not.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use rust_decimal::Decimal;
use shop::{Row, Shop, ten};
use taghouse_catalog::Change;
use taghouse_crowd::{Error, MAX_SAMPLE, Question};
use taghouse_model::{AppId, ErrorKind, Value};
use taghouse_rules::{CrowdDefinition, CrowdSource, Predicate};

#[tokio::test]
async fn without_an_index_it_says_to_produce() {
    let mut shop = Shop::empty().await;
    let crowd = shop.define("busy", "orders > 5");
    let errors = [
        shop.crowds.compute(&shop.definitions, &crowd).await.unwrap_err(),
        shop.crowds
            .count(&shop.app, &shop.definitions, &Question::parse("orders > 5").unwrap())
            .await
            .unwrap_err(),
        shop.crowds.profile(&shop.app, "u1", None).await.unwrap_err(),
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
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let unknown = shop.crowds.judge(&shop.app, "nobody", "big_spenders").await.unwrap();
    assert_eq!(
        (unknown.in_crowd, unknown.version, unknown.reason()),
        (false, 1, Some("unknown_user"))
    );
    let known = shop.crowds.judge(&shop.app, "u1", "big_spenders").await.unwrap();
    assert_eq!((known.in_crowd, known.reason()), (false, None));
    let error = shop.crowds.judge(&shop.app, "u1", "big_spender").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no crowd `big_spender` in app shop; did you mean `big_spenders`?"
    );
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let other = AppId::new("other").unwrap();
    let error = shop.crowds.judge(&other, "u1", "big_spenders").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no crowd `big_spenders` in app other",
        "another app's crowd is not even suggested"
    );
}

#[tokio::test]
async fn a_crowd_that_is_defined_only_says_to_produce() {
    let mut shop = Shop::with(&ten()).await;
    let body = serde_json::json!({});
    let (kind, name) = ("crowd".to_owned(), "planned".to_owned());
    let put =
        Change::PutDefinition { app: shop.app.clone(), kind, name, expected: None, body, at_ms: 0 };
    shop.catalog.commit(vec![put]).await.unwrap();
    shop.define("planned", "orders > 1");
    let above = shop.define("above", "!crowd(\"planned\")");
    let errors = [
        shop.crowds.judge(&shop.app, "u1", "planned").await.unwrap_err(),
        shop.crowds.versions(&shop.app, "planned").await.unwrap_err(),
        shop.crowds.compute(&shop.definitions, &above).await.unwrap_err(),
    ];
    for error in errors {
        assert!(
            error
                .to_string()
                .starts_with("crowd planned has no version yet: run `taghouse produce`")
        );
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn questions_are_counted() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("french", "country == 'France'");
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
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
        let error = shop
            .crowds
            .count(&shop.app, &shop.definitions, &Question::parse(text).unwrap())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let Error::Rules(taghouse_rules::Error::Syntax(place)) = error else {
            panic!("{text}: no place")
        };
        assert_eq!(place.column, column, "{text}: {place}");
    }
    let error = Question::parse("orders >").unwrap_err();
    assert!(error.to_string().contains('^'), "{error}");
}

/// In every way of asking, also where so many are asked that all values of a tag are gone through,
/// and with live changes on top.
#[tokio::test]
async fn computed_conditions_are_exact_for_few_and_for_many() {
    let row = |n: i64| {
        let mut row = Row::from([
            ("orders", Value::Int(n % 7)),
            ("country", Value::text(if n % 3 == 0 { "France" } else { "Spain" })),
        ]);
        if n % 5 > 0 {
            row.insert("spend", Value::Decimal(Decimal::new(n % 11 * 50, 2)));
        }
        if n % 4 == 0 {
            row.insert(
                "badges",
                Value::Set(["a".into(), format!("b{}", n % 6).as_str().into()].into()),
            );
        }
        row
    };
    let before: Vec<Row> = (0..5_000).map(row).collect();
    let mut now: Vec<Row> = before.clone();
    for n in (0..5_000_usize).step_by(37) {
        now[n].insert("orders", Value::Int(100 + n as i64));
        now[n].remove("spend");
        now[n].insert("country", Value::text("Italy"));
    }
    now.push(row(3));
    let mut shop = Shop::with(&before).await;
    let texts = [
        "orders > spend",
        "spend / orders > 1",
        "coalesce(orders, 0) + coalesce(spend, 0) between 3 and 4.5",
        "country == \"Italy\" && orders * 2 > 5000",
        "!(orders > spend) && upper(country) == \"ITALY\"",
        "country == \"France\" || orders / 2 > spend",
        "orders == 3 && spend / 2 == 1",
        "badges has all (\"a\", \"b4\") && coalesce(orders, 1) + 1 > 2",
        "upper(country) in (\"FRANCE\", \"ITALY\") && orders is set",
        "badges not in (\"b0\", \"b2\")",
    ];
    for live in [false, true] {
        let rows = if live { &now } else { &before };
        if live {
            shop.change(&before, &now).await;
        }
        for text in texts {
            let checked = shop.define("asked", text).rule().unwrap().checked.clone();
            let expected =
                rows.iter().filter(|row| checked.matches(&|name| row.get(name).cloned())).count()
                    as u64;
            assert!(!live || (1..4_900).contains(&expected), "{text} says something: {expected}");
            assert_eq!(shop.count(text).await, expected, "{text}, live: {live}");
            let question = Question::parse(text).unwrap();
            let tree = Question::from_json(&question.to_json()).unwrap();
            assert_eq!(
                shop.crowds.count(&shop.app, &shop.definitions, &tree).await.unwrap().count,
                expected,
                "{text} as a tree"
            );
            let estimate =
                shop.crowds.estimate(&shop.app, &shop.definitions, &question).await.unwrap();
            assert!(
                estimate.at_least <= expected && expected <= estimate.at_most,
                "{text}: {estimate:?}"
            );
            let (_, counting) =
                shop.crowds.counting(&shop.app, &shop.definitions, &question).await.unwrap();
            assert_eq!(counting.await.unwrap().count, expected, "{text} behind its bounds");
        }
    }
}

#[tokio::test]
async fn numbers_of_28_digits_are_compared_and_counted() {
    let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
    let spends = [
        "99999999999999999999999999.99",
        "-99999999999999999999999999.99",
        "92233720368547758.07",
        "92233720368547758.08",
        "0.01",
    ];
    let rows: Vec<Row> =
        spends.iter().map(|spend| Row::from([("spend", decimal(spend))])).collect();
    let shop = Shop::with(&rows).await;
    for (text, expected) in [
        ("spend >= 92233720368547758.08", 2),
        ("spend > 92233720368547758.07", 2),
        ("spend == 92233720368547758.08", 1),
        ("spend < 0", 1),
        ("spend between 0 and 92233720368547758.08", 3),
        ("spend in (0.01, 99999999999999999999999999.99)", 2),
        ("spend + 0.01 > 99999999999999999999999999.99", 1),
        ("spend is set", 5),
    ] {
        assert_eq!(shop.count(text).await, expected, "{text}");
    }
    let profile = shop.crowds.profile(&shop.app, "u1", None).await.unwrap();
    assert_eq!(profile[0].value, decimal(spends[1]));
    let request = taghouse_crowd::DistributionRequest {
        tag: "spend".to_owned(),
        bins: taghouse_crowd::Bins::Count(4),
        quantiles: vec![0.0, 0.5, 1.0],
    };
    let found =
        shop.crowds.distribution(&shop.app, &shop.definitions, None, &request).await.unwrap();
    assert_eq!((found.min, found.max), (Some(decimal(spends[1])), Some(decimal(spends[0]))));
    assert_eq!(found.sum.map(|units| units.to_string()).as_deref(), Some("18446744073709551616"));
    assert_eq!(found.bins.iter().map(|bin| bin.users).sum::<u64>(), 5);
    assert_eq!(found.quantiles[1].1, decimal("92233720368547758.07"));
}

#[tokio::test]
async fn a_tag_that_is_not_produced_yet_is_said_to_be_that() {
    let mut shop = Shop::with(&ten()).await;
    let name = taghouse_model::Name::new("visits").unwrap();
    let kind = taghouse_rules::TagKind::Sql { query: "SELECT 1".to_owned() };
    let tag = taghouse_rules::TagDefinition {
        name: name.clone(),
        description: None,
        value_type: taghouse_model::ValueType::Int,
        mode: taghouse_rules::TagMode::Batch,
        kind,
        marks: taghouse_rules::Marks::default(),
    };
    shop.definitions.tags.insert(name, tag);
    let said = "tag `visits` is defined and not produced yet: run `taghouse produce`";
    for question in [
        Question::parse("orders > 1 && visits > 2").unwrap(),
        Question::parse("orders > visits").unwrap(),
        Question::from_json(&serde_json::json!({"is_set": {"name": "visits"}})).unwrap(),
    ] {
        let error = shop.crowds.count(&shop.app, &shop.definitions, &question).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = shop.crowds.top(&shop.app, &shop.definitions, None, "visits", 3).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), (said, ErrorKind::NotFound));
}

#[tokio::test]
async fn as_of_times_that_differ_are_told() {
    let shop = Shop::with(&ten()).await;
    let count = async |text: &str| {
        let question = Question::parse(text).unwrap();
        shop.crowds.count(&shop.app, &shop.definitions, &question).await.unwrap().mixed_as_of()
    };
    assert_eq!(count("orders > 1").await, None);
    assert_eq!(count("orders > 1 && vip").await, Some((100, 300)));
    assert_eq!(count("orders / spend > 1").await, Some((100, 400)));
}

#[tokio::test]
async fn lists_of_ten_thousand_numbers_are_counted() {
    let rows: Vec<Row> =
        (0..20_000).map(|n| Row::from([("orders", Value::Int(10_000_000 + n))])).collect();
    let mut shop = Shop::with(&rows).await;
    let list: Vec<String> = (0..10_000).map(|n| (10_000_000 + 2 * n).to_string()).collect();
    let text = format!("orders in ({})", list.join(","));
    assert_eq!(shop.count(&text).await, 10_000);
    assert_eq!(shop.count(&text.replace(" in ", " not in ")).await, 10_000);
    assert_eq!(shop.count(&format!("orders + 0 in ({})", list.join(","))).await, 10_000);
    let tree = Question::from_json(&Question::parse(&text).unwrap().to_json()).unwrap();
    assert_eq!(shop.crowds.count(&shop.app, &shop.definitions, &tree).await.unwrap().count, 10_000);
    let crowd = shop.define("even", &text);
    assert_eq!(shop.crowds.compute(&shop.definitions, &crowd).await.unwrap().size, 10_000);
    // A change that makes one of them odd, and one odd one even.
    let mut now = rows.clone();
    now[0].insert("orders", Value::Int(10_000_001));
    now[1].insert("orders", Value::Int(10_000_000));
    now[3].insert("orders", Value::Int(10_000_000));
    shop.change(&rows, &now).await;
    assert_eq!(shop.count(&text).await, 10_001);
}

#[tokio::test]
async fn samples_are_the_seeds() {
    let rows: Vec<_> = (0..30).flat_map(|_| ten()).collect();
    let shop = Shop::with(&rows).await;
    let question = Question::parse("orders >= 5").unwrap();
    let sample = async |size, seed| {
        shop.crowds.sample(&shop.app, &shop.definitions, &question, size, seed).await
    };
    let first = sample(20, 1).await.unwrap();
    assert_eq!((first.users.len(), first.count), (20, 150));
    assert_eq!(sample(20, 1).await.unwrap(), first);
    assert_ne!(sample(20, 2).await.unwrap(), first);
    for user in &first.users {
        let number: usize = user[1..].parse().unwrap();
        assert!(number % 10 >= 5, "{user} is none of those asked for");
    }
    let error = sample(MAX_SAMPLE + 1, 1).await.unwrap_err();
    assert_eq!(error.to_string(), "10001 users in one call: the limit is 10000");
}

#[tokio::test]
async fn batches_have_their_limits() {
    let mut shop = Shop::with(&ten()).await;
    let crowd = shop.define("busy", "orders > 5");
    shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
    let (users, crowds) = (vec!["u7".to_owned(); 1000], vec!["busy".to_owned(); 100]);
    let full = shop.crowds.judge_batch(&shop.app, &users, &crowds).await.unwrap();
    assert!(full.in_crowd.len() == 1000 && full.in_crowd.iter().all(|row| row == &[true; 100]));
    assert_eq!(full.versions, [1; 100]);
    for (users, crowds) in [(vec![String::new(); 1001], vec![]), (vec![], vec![String::new(); 101])]
    {
        let error = shop.crowds.judge_batch(&shop.app, &users, &crowds).await.unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let asked = [String::new(), "x".repeat(600), "nobody".to_owned()];
    let unknown = shop.crowds.judge_batch(&shop.app, &asked, &["busy".to_owned()]).await.unwrap();
    assert_eq!((unknown.in_crowd, unknown.unknown_user), (vec![vec![false]; 3], vec![true; 3]));
}

#[tokio::test]
async fn a_profile_has_all_values_and_only_those() {
    let shop = Shop::with(&ten()).await;
    let profile = shop.crowds.profile(&shop.app, "u9", None).await.unwrap();
    let values: Vec<_> =
        profile.iter().map(|tag| (tag.name.as_str(), tag.value.clone(), tag.as_of_ms)).collect();
    let expected = [
        ("country", Value::text("France"), 200),
        ("orders", Value::Int(9), 100),
        ("vip", Value::Bool(true), 300),
    ];
    assert_eq!(values, expected);
    assert!(shop.crowds.profile(&shop.app, "u0", None).await.unwrap().is_empty());
    let error = shop.crowds.profile(&shop.app, "u10", None).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no user \"u10\" in app shop");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_definition_older_or_newer_than_the_index_is_refused() {
    let mut shop = Shop::with(&ten()).await;
    let mut crowd = shop.define("busy", "orders > 5");
    let with = |crowd: &mut CrowdDefinition, condition| {
        let CrowdSource::Rule(rule) = &mut crowd.source else { panic!("it is a rule") };
        rule.checked = condition;
    };
    with(&mut crowd, Predicate::IsSet { name: "visits".to_owned() });
    let error = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap_err();
    assert!(
        error.to_string().contains("visits") && error.to_string().contains("produce"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let pattern = "many%".to_owned();
    with(&mut crowd, Predicate::Like { name: "orders".to_owned(), pattern });
    let error = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap_err();
    assert!(error.to_string().contains("orders"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(shop.crowds.list(&shop.app).await.unwrap().is_empty(), "nothing was published");
}
