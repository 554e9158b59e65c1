//! Real invoice lines through the binary, against the table of known answers and against a second,
//! plain computation of every tag: the slice of the Online Retail files in tests/retail/slice, or
//! all of them where `TAGHOUSE_RETAIL` names their folder.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "retail/naive.rs"]
mod naive;
mod needs;

use naive::{Lines, User};
use needs::{Known, retail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TAGHOUSE: &str = env!("CARGO_BIN_EXE_taghouse");

/// A crowd expression and the same as code.
type Case = (&'static str, fn(&User) -> bool);

/// Together they ask every tag, with every operator. A user without a value fits no condition on
/// it, and every negated one.
const CASES: [Case; 25] = [
    ("orders_30d >= 1", |u| u.orders_30d >= Some(1)),
    ("orders_30d < 2", |u| u.orders_30d.is_some_and(|n| n < 2)),
    ("!(orders_30d < 2)", |u| u.orders_30d.is_none_or(|n| n >= 2)),
    ("orders_30d != 1", |u| u.orders_30d.is_some_and(|n| n != 1)),
    ("orders_30d is set && !(refunds_90d is set)", |u| {
        u.orders_30d.is_some() && u.refunds_90d.is_none()
    }),
    ("spend_365d >= 1000.05", |u| u.spend_365d >= Some(10_000_500)),
    ("spend_365d between 99.5 and 300", |u| {
        u.spend_365d.is_some_and(|s| (995_000..=3_000_000).contains(&s))
    }),
    ("BETWEEN(spend_365d, 0, 0)", |u| u.spend_365d == Some(0)),
    ("spend_365d <= 0.01", |u| u.spend_365d.is_some_and(|s| s <= 100)),
    ("refunds_90d > 2.5", |u| u.refunds_90d >= Some(3)),
    ("refunds_90d in (1, 3, 5)", |u| [Some(1), Some(3), Some(5)].contains(&u.refunds_90d)),
    ("skus between 10 and 20 || skus == 1", |u| {
        u.skus.is_some_and(|n| (10..=20).contains(&n) || n == 1)
    }),
    (r#"last_purchase >= "2011-06-01""#, |u| {
        u.last_purchase_ms >= Some(naive::london("2011-06-01T00:00"))
    }),
    (r#"last_purchase < "2011-03-27T12:00""#, |u| {
        u.last_purchase_ms.is_some_and(|t| t < naive::london("2011-03-27T12:00"))
    }),
    (r#"country == "Germany""#, |u| u.country.as_deref() == Some("Germany")),
    (r#"country like "United%""#, |u| {
        u.country.as_deref().is_some_and(|c| c.starts_with("United"))
    }),
    (r#"countries == "Belgium" && country != "Belgium""#, |u| {
        u.countries.contains("Belgium") && u.country.as_deref().is_some_and(|c| c != "Belgium")
    }),
    (r#"top_sku == "85123A""#, |u| u.top_sku.as_deref() == Some("85123A")),
    (r#"top_sku like "2241_" || top_sku in ("POST", "22423")"#, |u| {
        u.top_sku.as_deref().is_some_and(|s| {
            (s.starts_with("2241") && s.chars().count() == 5) || s == "POST" || s == "22423"
        })
    }),
    (r#"value_band == "gold""#, |u| u.value_band == Some("gold")),
    (r#"IN(value_band, "silver", "bronze")"#, |u| {
        matches!(u.value_band, Some("silver" | "bronze"))
    }),
    ("refund_rate > 0.5", |u| u.refund_rate.is_some_and(|r| r > 5_000)),
    ("refund_rate == 0.3333", |u| u.refund_rate == Some(3_333)),
    ("refunds >= 1 && !(orders >= 1)", |u| u.refunds >= Some(1) && u.orders.is_none()),
    (
        r#"value_band != "gold" && (orders > 3 || LESS(skus, 3)) && !(country == "United Kingdom")"#,
        |u| {
            u.value_band.is_some_and(|b| b != "gold")
                && (u.orders.is_some_and(|n| n > 3) || u.skus.is_some_and(|n| n < 3))
                && u.country.as_deref() != Some("United Kingdom")
        },
    ),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All that verify.sh prints as of 2011-12-10T00:00.
fn table(known: &Known) -> Vec<(&'static str, String)> {
    let counts = [
        ("events_accepted", known.purchases + known.refunds),
        ("purchases", known.purchases),
        ("refunds", known.refunds),
        ("rejected_no_user_id", known.without_user),
        ("users", known.users),
    ];
    let counts = counts.into_iter().map(|(name, count)| (name, count.to_string()));
    counts
        .chain(known.answers.into_iter().map(|(name, answer)| (name, answer.to_owned())))
        .collect()
}

fn stdout_of(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs verify.sh, and gives its lines.
fn verify(folder: &Path, as_of: &str, expressions: &[&str]) -> BTreeMap<String, String> {
    let script = repository().join("examples/online-retail/verify.sh");
    let output = Command::new(script)
        .arg(folder)
        .args(expressions)
        .env("TAGHOUSE", TAGHOUSE)
        .env("AS_OF", as_of)
        .output()
        .unwrap();
    let text = stdout_of(&output);
    text.lines()
        .map(|line| line.rsplit_once(": ").unwrap())
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn expressions() -> Vec<&'static str> {
    CASES.iter().map(|(text, _)| *text).collect()
}

fn compare(as_of: &str, users: &[User], found: impl Fn(&str) -> String) {
    for (text, fits) in CASES {
        let expected = users.iter().filter(|user| fits(user)).count();
        assert_eq!(found(text), expected.to_string(), "{text}, as of {as_of}");
    }
}

#[test]
fn the_definitions_check() {
    let folder = repository().join("examples/online-retail");
    let files = ["app.yaml", "source.yaml", "tags.yaml", "crowds.yaml"].map(|name| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        taghouse_rules::DefinitionFile { path: name.into(), text }
    });
    let documents = taghouse_rules::parse_definitions(&files).unwrap();
    let definitions = taghouse_rules::Definitions::check(&documents).unwrap();
    assert_eq!((definitions.tags.len(), definitions.crowds.len()), (12, 2));
    let no_crowd = |_: &str| false;
    for (text, _) in CASES {
        let types = |name: &str| definitions.tags.get(name).map(|tag| tag.value_type);
        taghouse_rules::parse_predicate(text)
            .unwrap()
            .check(&types, &no_crowd, &definitions.app.time_zone)
            .unwrap();
    }
}

#[test]
fn the_table_is_exact() {
    let retail = retail();
    let as_of = "2011-12-10T00:00";
    let found = verify(&retail.folder, as_of, &expressions());
    for (name, expected) in table(retail.known) {
        assert_eq!(found.get(name), Some(&expected), "{name}");
    }
    compare(as_of, &Lines::read(&retail.folder).users_as_of(as_of), |text| found[text].clone());
}

#[test]
fn another_as_of_is_as_exact() {
    let retail = retail();
    let as_of = "2011-07-01T00:00";
    let found = verify(&retail.folder, as_of, &expressions());
    let accepted = retail.known.purchases + retail.known.refunds;
    assert_eq!(
        (found["events_accepted"].clone(), found["users"].clone()),
        (accepted.to_string(), retail.known.users.to_string())
    );
    compare(as_of, &Lines::read(&retail.folder).users_as_of(as_of), |text| found[text].clone());
}

/// One data folder, produced as of several times one after the other; and the files given twice.
#[test]
fn one_folder_serves_many_times() {
    let retail = retail();
    let data = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(TAGHOUSE);
        command.env_remove("TAGHOUSE_SERVER").env_remove("TAGHOUSE_KEY");
        stdout_of(
            &command
                .arg("--data")
                .arg(data.path())
                .args(["--app", "retail"])
                .args(arguments)
                .output()
                .unwrap(),
        )
    };
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&run(arguments)).unwrap() };
    let files = retail.folder.to_str().unwrap();
    run(&["apply", "-f", repository().join("examples/online-retail").to_str().unwrap()]);
    let first = json(&["ingest", "--source", "online_retail", files, "--json"]);
    assert_eq!(
        (&first["accepted_total"], &first["files_new"]),
        (
            &Value::from(retail.known.purchases + retail.known.refunds),
            &Value::from(retail.known.files)
        )
    );
    let again = json(&["ingest", "--source", "online_retail", files, "--json"]);
    assert_eq!(
        (&again["accepted_total"], &again["files_new"]),
        (&Value::from(0), &Value::from(0)),
        "the same files again"
    );

    let lines = Lines::read(&retail.folder);
    // In the middle of the day on which the clocks go forward; on a day without files; a second
    // before midnight; later than all events.
    for as_of in ["2011-03-27T12:30", "2010-12-25T00:00", "2011-11-10T23:59:59", "2012-06-01T00:00"]
    {
        run(&["produce", "--as-of", as_of]);
        let users = lines.users_as_of(as_of);
        compare(as_of, &users, |text| run(&["count", text]).trim().to_owned());
        let answer = json(&["tags", "--json"]);
        for (name, expected_users, expected_sum) in naive::totals(&users) {
            let tag =
                answer["tags"].as_array().unwrap().iter().find(|tag| tag["name"] == name).unwrap();
            assert_eq!(tag["users"], Value::from(expected_users), "users of {name}, as of {as_of}");
            if let Some(sum) = expected_sum.filter(|_| expected_users > 0) {
                assert_eq!(tag["sum"], Value::from(sum), "sum of {name}, as of {as_of}");
            }
        }
    }
}

/// The second computation is itself held against the known answers.
#[test]
fn the_plain_computation_agrees_with_the_table() {
    let retail = retail();
    let lines = Lines::read(&retail.folder);
    let users = lines.users_as_of("2011-12-10T00:00");
    let count =
        |fits: fn(&User) -> bool| users.iter().filter(|user| fits(user)).count().to_string();
    let (_, spenders, spent) =
        naive::totals(&users).into_iter().find(|(name, ..)| *name == "spend_365d").unwrap();
    let found = [
        lines.accepted().to_string(),
        lines.purchases().to_string(),
        (lines.accepted() - lines.purchases()).to_string(),
        lines.without_user.to_string(),
        users.len().to_string(),
        count(|u| u.orders_30d >= Some(1)),
        count(|u| u.orders_30d >= Some(2)),
        spenders.to_string(),
        spent.unwrap(),
        count(|u| u.spend_365d >= Some(50_000_000)),
        count(|u| u.refunds_90d >= Some(1)),
        count(|u| {
            u.country.as_deref() == Some("United Kingdom")
                && u.orders_30d >= Some(2)
                && u.refunds_90d.is_none()
        }),
        count(|u| {
            (matches!(u.country.as_deref(), Some("Germany" | "France"))
                || u.spend_365d >= Some(50_000_000))
                && u.orders_30d.is_none()
        }),
    ];
    let expected: Vec<String> =
        table(retail.known).into_iter().map(|(_, expected)| expected).collect();
    assert_eq!(expected, found);
}
