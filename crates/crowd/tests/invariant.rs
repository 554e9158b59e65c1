//! The size shown, the rows exported and the members admitted are the same set, and the one that
//! the expression says row by row.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use proptest::prelude::*;
use rust_decimal::Decimal;
use shop::{Row, Shop};
use taghouse_crowd::{NamedQuestion, Question};
use taghouse_model::Value;
use taghouse_rules::CrowdDefinition;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let country = prop_oneof![Just("France"), Just("Spain"), Just("United Kingdom")];
    let values = (
        proptest::option::of(-3i64..6),
        proptest::option::of(country),
        proptest::option::of(any::<bool>()),
        proptest::option::of(-300i64..600),
    );
    let row = values.prop_map(|(orders, country, vip, cents)| {
        let mut row = Row::new();
        orders.map(|v| row.insert("orders", Value::Int(v)));
        country.map(|v| row.insert("country", Value::text(v)));
        vip.map(|v| row.insert("vip", Value::Bool(v)));
        cents.map(|v| row.insert("spend", Value::Decimal(Decimal::new(v, 2))));
        row
    });
    proptest::collection::vec(row, 1..60)
}

/// What no bitmap holds, and other ways to write what one does.
const COMPUTED: [&str; 14] = [
    "orders > spend",
    "spend / orders >= 0.5",
    "coalesce(orders, 0) + 1 > spend",
    "coalesce(orders, spend) <= 1",
    "lower(country) == \"france\"",
    "lower(country) not in (\"france\", \"spain\")",
    "orders not in (1, 2)",
    "spend not between -1 and 2",
    "country not like \"%a%\"",
    "orders is not set",
    "vip",
    "coalesce(vip, true)",
    "if(crowd(\"first\"), orders, spend) > 1",
    "orders * orders / 3 is set",
];

fn expression() -> impl Strategy<Value = String> {
    let op = prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        (op.clone(), -3i64..6).prop_map(|(op, n)| format!("orders {op} {n}")),
        (op, -300i64..600).prop_map(|(op, n)| format!("spend {op} {}", Decimal::new(n, 2))),
        (-3i64..6, -3i64..6).prop_map(|(a, b)| format!("orders between {a} and {b}")),
        Just("country in (\"France\", \"Spain\")".to_owned()),
        Just("country like \"%n%\"".to_owned()),
        Just("vip == true".to_owned()),
        Just("spend is set".to_owned()),
        Just("crowd(\"first\")".to_owned()),
        prop::sample::select(COMPUTED.to_vec()).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|e| format!("!({e})")),
            proptest::collection::vec(inner.clone(), 2..4)
                .prop_map(|e| format!("({})", e.join(") && ("))),
            proptest::collection::vec(inner, 2..4).prop_map(|e| format!("({})", e.join(") || ("))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]
    #[test]
    fn one_set_however_it_is_asked(rows in rows(), texts in proptest::collection::vec(expression(), 8)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut shop = Shop::with(&rows).await;
            let first = shop.define("first", "orders >= 2 || country == \"France\"");
            shop.crowds.compute(&shop.definitions, &first).await.unwrap();
            for text in texts {
                check(&mut shop, &rows, &first, &text).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

async fn check(
    shop: &mut Shop,
    rows: &[Row],
    first: &CrowdDefinition,
    text: &str,
) -> Result<(), TestCaseError> {
    let crowd = shop.define("second", text);
    let version = shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();

    let holds =
        |row: &Row, within: &dyn Fn(&Row) -> bool, checked: &taghouse_rules::Predicate<Value>| {
            let value = |name: &str| {
                if name == "crowd:first" {
                    Some(Value::Bool(within(row)))
                } else {
                    row.get(name).cloned()
                }
            };
            checked.matches(&value)
        };
    let in_first = |row: &Row| holds(row, &|_| false, &first.rule().unwrap().checked);
    let expected: Vec<bool> =
        rows.iter().map(|row| holds(row, &in_first, &crowd.rule().unwrap().checked)).collect();
    let ids: Vec<String> =
        (0..rows.len()).filter(|n| expected[*n]).map(|n| format!("u{n}")).collect();

    let exported = shop.exported("second").await;
    prop_assert_eq!(&exported, &ids, "exported of {}", text);
    prop_assert_eq!(version.size, ids.len() as u64, "size of {}", text);
    prop_assert_eq!(shop.crowds.list(&shop.app).await.unwrap()[1].current.size, version.size);
    prop_assert_eq!(shop.count(text).await, version.size, "count of {}", text);

    let users: Vec<String> = (0..rows.len() + 2).map(|n| format!("u{n}")).collect();
    let names = ["first".to_owned(), "second".to_owned()];
    let batch = shop.crowds.judge_batch(&shop.app, &users, &names).await.unwrap();
    let question = Question::parse(text).unwrap();
    let not = Question::parse(&format!("!({text})")).unwrap();
    let named = [("it", question.clone()), ("not", not)]
        .map(|(name, question)| NamedQuestion { name: name.to_owned(), question });
    let matches = shop.crowds.judge_expressions(&shop.definitions, &users, &named).await.unwrap();
    for (n, user) in users.iter().enumerate() {
        let member = expected.get(n).copied().unwrap_or(false);
        let judgment = shop.crowds.judge(&shop.app, user, "second").await.unwrap();
        prop_assert_eq!(judgment.in_crowd, member, "{} in {}", user, text);
        prop_assert_eq!(judgment.unknown_user, n >= rows.len());
        prop_assert_eq!(batch.in_crowd[n][1], member);
        prop_assert_eq!(batch.in_crowd[n][0], rows.get(n).is_some_and(in_first));
        prop_assert_eq!(&matches.matches[n], &[member, !member && n < rows.len()], "{}", text);
        let why = shop.crowds.why(&shop.definitions, &crowd, user).await.unwrap();
        prop_assert_eq!(why.in_crowd, member, "why {} for {}", text, user);
        prop_assert_eq!(why.rule.map(|rule| rule.holds), rows.get(n).map(|_| member), "{}", text);
    }
    let sample =
        shop.crowds.sample(&shop.app, &shop.definitions, &question, 10_000, 3).await.unwrap();
    prop_assert_eq!((sample.users, sample.count), (ids, version.size));
    Ok(())
}
