//! What labels forbid, which values they mask, and how exact numbers are, through HTTP.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{Answer, House, Server};
use serde_json::{Value, json};
use std::fmt::Write;

const APP: &str = "/api/v1/apps/corner";

const SHOP: &str = r#"kind: app
id: corner
ACCESS
---
kind: source
name: hr
format: csv
files: "hr*.csv"
user_id: id
attributes:
  income: {column: salary, type: int, labels: [no-export, sensitive]}
  city: city
  age: {column: age, type: int}
---
{kind: tag, name: income, type: int, attribute: income}
---
{kind: tag, name: city, type: enum, attribute: city}
---
{kind: tag, name: age, type: int, attribute: age}
---
{kind: tag, name: band, type: enum, cohort: {rules: [{when: income > 100, value: high}, {when: income > 0, value: low}]}}
---
{kind: crowd, name: rich, expression: income > 100}
---
{kind: crowd, name: nested, expression: 'crowd("rich") && city is set'}
---
{kind: crowd, name: northern, expression: city == "Oslo"}
---
{kind: crowd, name: few, expression: age < 3}
"#;

struct Shop {
    house: House,
    server: Server,
    admin: String,
}

impl Shop {
    /// A hundred users: 60 of Oslo, 40 of Rome, with ages 0 to 99; 30 are rich.
    fn open(access: &str) -> Self {
        let house = House::new();
        let file = house.file("shop.yaml", SHOP.replace("ACCESS", access));
        house.ok(&["apply", "-f", file.to_str().unwrap()]);
        let mut rows = String::from("id,salary,city,age\n");
        for n in 0..100 {
            let city = if n < 60 { "Oslo" } else { "Rome" };
            let salary = if n < 30 { 200 } else { 50 };
            writeln!(rows, "u{n},{salary},{city},{n}").unwrap();
        }
        let rows = house.file("hr-1.csv", rows);
        house.ok(&["ingest", "--source", "hr", rows.to_str().unwrap()]);
        house.ok(&["produce"]);
        let server = house.serve();
        let admin = server.admin_key.clone().unwrap();
        Self { house, server, admin }
    }

    fn key(&self, role: &str, grants: &[&str]) -> String {
        let body = json!({"role": role, "app": "corner", "grants": grants});
        let made = self.server.post("/api/v1/keys", &self.admin, &body);
        made.json()["secret"].as_str().unwrap().to_owned()
    }

    fn get(&self, key: &str, place: &str) -> Answer {
        self.server.get(&format!("{APP}/{place}"), key)
    }

    fn post(&self, key: &str, place: &str, body: Value) -> Answer {
        self.server.post(&format!("{APP}/{place}"), key, &body)
    }

    fn count(&self, key: &str, expression: &str) -> u64 {
        let answer = self.post(key, "count", json!({"expression": expression}));
        answer.json()["count"].as_u64().unwrap_or_else(|| panic!("{}", answer.json()))
    }
}

/// The reason of a refusal.
fn refused(answer: &Answer) -> String {
    assert_eq!(answer.status, 403, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[test]
fn what_may_not_be_exported_is_refused_with_the_way_on_which_the_label_came() {
    let shop = Shop::open("");
    let all = shop.key("admin", &["label:sensitive"]);
    let way = "crowd nested uses crowd rich, which uses tag income, which reads column salary of source hr, labelled no-export";
    assert!(refused(&shop.get(&all, "crowds/nested/export")).starts_with(way));
    let way =
        "tag band uses tag income, which reads column salary of source hr, labelled no-export";
    for (place, body) in [
        ("list", json!({"expression": "band == \"high\""})),
        ("list", json!({"expression": "city is set && !(band is set)"})),
        ("sample", json!({"expression": {"is_set": {"name": "band"}}})),
    ] {
        assert!(refused(&shop.post(&all, place, body)).starts_with(way));
    }
    let crowd = "crowd rich uses tag income";
    assert!(
        refused(&shop.post(&all, "list", json!({"expression": "crowd(\"rich\")"})))
            .starts_with(crowd)
    );
    assert!(refused(&shop.get(&all, "crowds/rich/difference?from=1&to=1")).contains("sample=0"));
    assert_eq!(shop.get(&all, "crowds/rich/difference?from=1&to=1&sample=0").status, 200);
    // The folder's own key is bound, too: it is the data that may not leave.
    assert!(shop.house.refused(&["export", "nested"]).contains("labelled no-export"));
    // Counting and judging are other uses.
    assert_eq!(shop.count(&all, "crowd(\"nested\")"), 30);
    assert_eq!(shop.get(&all, "judge?user=u1&crowd=nested").json()["in_crowd"], true);
    assert_eq!(shop.get(&all, "crowds/northern/export").status, 200);

    // Without the label, what was refused works, at once.
    let file =
        shop.house.file("shop.yaml", SHOP.replace("ACCESS", "access: {labels: {no-export: []}}"));
    shop.house.ok(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(shop.get(&all, "crowds/nested/export").status, 200);
    let file = shop
        .house
        .file("shop.yaml", SHOP.replace("ACCESS", "access: {labels: {no-export: [view, judge]}}"));
    shop.house.ok(&["apply", "-f", file.to_str().unwrap()]);
    for place in [
        "tags/income",
        "crowds/rich",
        "crowds/rich/versions",
        "judge?user=u1&crowd=nested",
        "judge/why?user=u1&crowd=rich",
        "profile?user=u1&tags=band",
    ] {
        assert!(refused(&shop.get(&all, place)).contains("labelled no-export"));
    }
    assert!(
        refused(&shop.post(&all, "count", json!({"expression": "crowd(\"nested\")"})))
            .contains("forbids to view")
    );
    let listed = shop.get(&all, "crowds").json();
    let size = |name: &str| {
        listed["crowds"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap()["size"]
            .clone()
    };
    assert_eq!((size("rich"), size("northern")), (Value::Null, json!(60)));
    assert_eq!(shop.get(&all, "profile?user=u1").json()["tags"], json!({"age": 1, "city": "Oslo"}));
}

#[test]
fn sensitive_values_are_masked_for_keys_without_the_grant() {
    let shop = Shop::open("access: {labels: {no-export: []}}");
    let (plain, sees) = (shop.key("admin", &[]), shop.key("admin", &["label:sensitive"]));
    let profile = shop.get(&plain, "profile?user=u1").json();
    assert_eq!(profile["tags"], json!({"age": 1, "city": "Oslo"}));
    assert_eq!(profile["masked"], json!({"income": "sensitive", "band": "sensitive"}));
    let profile = shop.get(&sees, "profile?user=u1").json();
    assert_eq!(profile["tags"], json!({"age": 1, "band": "high", "city": "Oslo", "income": 200}));
    let why = shop.get(&plain, "judge/why?user=u1&crowd=rich").json();
    assert_eq!((&why["in_crowd"], &why["rule"]), (&json!(true), &Value::Null));
    assert_eq!(why["masked"], "tag income reads column salary of source hr, labelled sensitive");
    assert!(shop.get(&sees, "judge/why?user=u1&crowd=rich").json()["rule"]["text"].is_string());
    // Whether a condition holds for single users would tell the value.
    for (place, body) in [
        ("judge", json!({"users": ["u1"], "expressions": {"a": "income > 150"}})),
        ("list", json!({"expression": "income > 150"})),
        ("sample", json!({"expression": "band == \"high\""})),
    ] {
        let said = refused(&shop.post(&plain, place, body.clone()));
        assert!(
            said.contains("labelled sensitive") && said.contains("--grant label:sensitive"),
            "{said}"
        );
        assert_eq!(shop.post(&sees, place, body).status, 200);
    }
    for place in
        ["users/u1/export", "rejected", "rejected?source=hr", "changes?follow=false&tag=income"]
    {
        assert!(refused(&shop.get(&plain, place)).contains("sensitive"), "{place}");
    }
    assert_eq!(shop.get(&sees, "users/u1/export").status, 200);
    // Numbers of many users are not values of single ones.
    assert_eq!(shop.count(&plain, "income > 150"), 30);
    let receipt = shop.post(&plain, "users/delete", json!({"users": ["u99"]})).json();
    let tags: Vec<&str> =
        receipt["tags"].as_array().unwrap().iter().map(|of| of["tag"].as_str().unwrap()).collect();
    assert_eq!(tags, ["age", "city"], "{receipt}");
}

#[test]
fn small_numbers_are_rounded_and_single_users_are_not_told() {
    let shop = Shop::open("access: {min_audience: 20, labels: {no-export: [], sensitive: []}}");
    let (plain, exact) = (shop.key("admin", &[]), shop.key("viewer", &["exact"]));
    for (expression, shown, is) in [
        ("age < 19", 0, 19),
        ("age < 20", 20, 20),
        ("age < 59", 40, 59),
        ("age < 3", 0, 3),
        ("!(age < 3)", 80, 97),
        ("city is set", 100, 100),
        ("crowd(\"few\")", 0, 3),
        // One user more or less makes no difference.
        ("city == \"Oslo\" && !(age == 7)", 40, 59),
    ] {
        assert_eq!(
            (shop.count(&plain, expression), shop.count(&exact, expression)),
            (shown, is),
            "{expression}"
        );
    }
    // No number of any answer tells more: each is a multiple, or no number of users.
    let numbers = [
        (
            "count/estimate",
            json!({"expression": "age < 59"}),
            vec!["/at_least", "/at_most", "/users"],
        ),
        (
            "top",
            json!({"tag": "city", "expression": "age < 67"}),
            vec!["/users", "/with_value", "/values/0/users"],
        ),
        (
            "group",
            json!({"rows": {"tag": "city"}, "columns": {"tag": "band"}}),
            vec!["/users", "/counts/0/0", "/counts/0/1", "/rows/0/users", "/columns/0/users"],
        ),
        (
            "histogram",
            json!({"tag": "age", "expression": "age < 59", "edges": [5, 50, 55]}),
            vec!["/users", "/count", "/bins/0/users", "/below", "/above"],
        ),
        (
            "overlap",
            json!({"rows": ["age < 59", "city == \"Oslo\""], "jaccard": true}),
            vec!["/users", "/rows/0/users", "/counts/0/1", "/columns/0/users"],
        ),
        (
            "compare",
            json!({"expression": "age < 59", "tags": ["city"]}),
            vec!["/crowd", "/base", "/both", "/values/0/crowd_users", "/values/0/base_users"],
        ),
    ];
    for (place, body, pointers) in numbers {
        let answer = shop.post(&plain, place, body);
        assert_eq!(answer.status, 200, "{place}: {}", answer.json());
        for pointer in pointers {
            let number = answer.json().pointer(pointer).and_then(Value::as_u64);
            let number = number.unwrap_or_else(|| panic!("{place} {pointer}: {}", answer.json()));
            assert_eq!(number % 20, 0, "{place} {pointer}: {}", answer.json());
        }
    }
    let told = |key: &str| {
        shop.post(key, "count", json!({"expression": "age < 3"})).header("taghouse-min-audience")
    };
    assert_eq!((told(&plain).as_deref(), told(&exact)), (Some("20"), None));
    let streamed = shop.post(&plain, "count/stream", json!({"expression": "age < 59"}));
    assert!(String::from_utf8_lossy(&streamed.body).contains("\"count\":40"));
    let histogram = shop
        .post(
            &plain,
            "histogram",
            json!({"tag": "age", "edges": [0, 100], "quantiles": [0.0, 0.01, 0.5, 1.0]}),
        )
        .json();
    for value in ["sum", "average", "min", "max"] {
        assert_eq!(histogram[value], Value::Null, "{histogram}");
    }
    let shown: Vec<f64> = histogram["quantiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|q| q["quantile"].as_f64().unwrap())
        .collect();
    assert_eq!(shown, [0.5]);
    for (place, body) in [
        ("histogram", json!({"tag": "age"})),
        ("group", json!({"rows": {"tag": "city"}, "columns": {"tag": "age"}})),
        ("compare", json!({"expression": "city is set", "tags": ["age"]})),
    ] {
        assert!(refused(&shop.post(&plain, place, body.clone())).contains("ranges of age"));
        assert_eq!(shop.post(&exact, place, body).status, 200);
    }
    let top = shop.post(&plain, "top", json!({"tag": "age"})).json();
    assert_eq!(
        (&top["values"], &top["distinct"]),
        (&json!([]), &json!(0)),
        "each value is one user's"
    );
    assert_eq!(shop.get(&plain, "tags/age").json()["values"], json!([]));
    let sizes = |key: &str| -> Vec<Value> {
        let crowds = shop.get(key, "crowds").json();
        crowds["crowds"].as_array().unwrap().iter().map(|crowd| crowd["size"].clone()).collect()
    };
    assert_eq!(sizes(&plain), [0, 20, 60, 20].map(|size| json!(size)));
    assert_eq!(sizes(&exact), [3, 30, 60, 30].map(|size| json!(size)));
    assert_eq!(shop.get(&plain, "crowds/few/versions").json()["versions"][0]["size"], 0);

    for (place, body) in [
        ("list", json!({"expression": "city is set"})),
        ("sample", json!({"expression": "city is set"})),
        ("judge", json!({"users": ["u1"], "expressions": {"a": "age < 3"}})),
    ] {
        let said = refused(&shop.post(&plain, place, body.clone()));
        assert!(said.contains("at least 20 users") && said.contains("--grant exact"), "{said}");
        assert_eq!(shop.post(&exact, place, body).status, 200);
    }
    assert!(refused(&shop.get(&plain, "crowds/few/export")).contains("fewer than 20 members"));
    assert_eq!(shop.get(&exact, "crowds/few/export").status, 200);
    assert_eq!(shop.get(&plain, "crowds/northern/export").status, 200);
    refused(&shop.get(&plain, "crowds/northern/difference?from=1&to=1"));
    let run = shop.post(&plain, "refresh", json!({"crowds": ["few"], "dependents": false})).json();
    let run = shop.server.run_ended(run["id"].as_str().unwrap(), &plain);
    assert!(run["tasks"].as_array().unwrap().iter().all(|task| task["result"].is_null()), "{run}");
}
