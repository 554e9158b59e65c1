//! What values come in, whatever way they come: files, live calls, changes by hand.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, eventually};
use serde_json::{Value, json};

const NAMES: &str = "kind: app
id: t
time_zone: UTC
---
kind: source
name: seg
format: segment
attributes:
  plan: plan
  ids: { column: ids, type: set }
  colours: { column: colours, type: set }
  city: address.city
  bio: bio
---
# The same names from a file, as a shop with a nightly customer file has them.
kind: source
name: nightly
format: csv
user_id: id
unknown_columns: ignore
attributes:
  k_ids: { column: k_ids, type: set }
  k_plan: k_plan
  k_age: { column: k_age, type: int }
  k_born: { column: k_born, type: date }
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: ids, type: set, attribute: ids}
---
{kind: tag, name: colours, type: set, attribute: colours}
---
{kind: tag, name: city, type: enum, attribute: city}
---
{kind: tag, name: bio, type: enum, attribute: bio}
---
{kind: tag, name: k_ids, type: set, attribute: k_ids}
---
{kind: tag, name: k_plan, type: enum, attribute: k_plan}
---
{kind: tag, name: k_age, type: int, attribute: k_age}
---
{kind: tag, name: k_born, type: date, attribute: k_born}
---
{kind: tag, name: events_all, type: int, aggregate: {function: count}}
";

/// A house with these definitions.
fn house(definitions: &str) -> House {
    let house = House::new();
    apply(&house, definitions);
    house
}

fn apply(house: &House, definitions: &str) {
    house.ok(&["apply", "-f", house.file("defs.yaml", definitions).to_str().unwrap()]);
}

/// Ingests one file.
fn ingest(house: &House, source: &str, name: &str, content: impl AsRef<[u8]>) -> String {
    house.ok(&["ingest", "--source", source, house.file(name, content).to_str().unwrap()])
}

/// A call of the tracking API that must be taken.
fn send(server: &Server, call: &str, body: &str) -> Value {
    let key = server.admin_key.as_ref().unwrap();
    let made = server.post("/api/v1/keys", key, &json!({"role": "write", "app": "t"}));
    let write = made.json()["secret"].as_str().unwrap().to_owned();
    let answer = server.call(
        "POST",
        &format!("/v1/{call}"),
        Some(&format!("Bearer {write}")),
        body.as_bytes(),
    );
    assert_eq!(answer.status, 200, "{call} {body}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

/// So many minutes ago, by the clock that the server goes by.
#[allow(clippy::disallowed_methods, reason = "the server under test has the system's clock")]
fn ago(minutes: i64) -> jiff::Timestamp {
    jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes)
}

/// An identify of a user, so many minutes ago.
fn identify(server: &Server, user: &str, minutes_ago: i64, traits: &str) {
    let at = ago(minutes_ago);
    send(
        server,
        "identify",
        &format!(r#"{{"userId":"{user}","timestamp":"{at}","traits":{traits}}}"#),
    );
}

fn value(house: &House, user: &str, tag: &str) -> Value {
    house.json(&["profile", user])["tags"][tag].clone()
}

#[test]
fn a_null_trait_takes_the_value_away() {
    let house = house(NAMES);
    let mut server = house.serve();
    identify(
        &server,
        "n1",
        10,
        r#"{"plan":"pro","ids":["a"],"address":{"city":"Oslo"},"k_plan":"gold","k_ids":["x"]}"#,
    );
    identify(
        &server,
        "n1",
        5,
        r#"{"plan":null,"ids":null,"address":null,"k_plan":null,"k_ids":null}"#,
    );
    identify(&server, "n2", 10, r#"{"plan":"pro","k_plan":"gold"}"#);
    identify(&server, "n2", 5, r#"{"colours":["red"]}"#);
    // An empty text and an empty list say the same; what comes late does not hold.
    identify(&server, "n3", 10, r#"{"plan":"pro","colours":["red"],"address":{"city":"Rome"}}"#);
    identify(&server, "n3", 5, r#"{"plan":"","colours":[],"address":{"city":" "}}"#);
    identify(&server, "n4", 5, r#"{"plan":"pro","bio":"here"}"#);
    identify(&server, "n4", 10, r#"{"plan":null}"#);
    // Taken away, and given again.
    identify(&server, "n5", 10, r#"{"plan":null}"#);
    identify(&server, "n5", 5, r#"{"plan":"free"}"#);
    server.terminate();
    house.ok(&["produce"]);
    assert_eq!(house.count("plan == 'pro'"), 2);
    for (tag, users) in
        [("plan", 3), ("ids", 0), ("city", 0), ("colours", 1), ("k_plan", 1), ("k_ids", 0)]
    {
        assert_eq!(house.count(&format!("{tag} is set")), users, "{tag}");
    }
    assert_eq!(house.count("!(plan is set)"), 2);
    assert_eq!(
        (value(&house, "n4", "plan"), value(&house, "n5", "plan")),
        (json!("pro"), json!("free"))
    );
    // Before the second calls came, the first ones held.
    let earlier = ago(7);
    house.ok(&["produce", "--as-of", &earlier.to_string()]);
    assert_eq!(house.count("plan == 'pro'"), 3);
    assert_eq!(house.count("city is set"), 2);
}

const PEOPLE: &str = "kind: app
id: t
---
kind: source
name: people
format: csv
user_id: id
time: at
attributes:
  plan: plan
  tags: { column: tags, type: set }
  age: { column: age, type: int }
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: tags, type: set, attribute: tags}
---
{kind: tag, name: age, type: int, attribute: age}
---
kind: tag
name: plan_by_sql
type: enum
sql: |
  SELECT user_id, last_value(value ORDER BY time) AS value FROM attributes WHERE name = 'plan' GROUP BY user_id
---
{kind: crowd, name: without_plan, expression: '!(plan is set)'}
";

#[test]
fn a_blank_cell_takes_the_value_away_unless_the_source_keeps() {
    let first = "id,at,plan,tags,age\nu1,2026-01-01,pro,wine,30\nu2,2026-01-01,free,wine,40\nu3,2026-01-01,pro,,\n";
    let second =
        "id,at,plan,tags,age\nu1,2026-02-01,,,\nu2,2026-02-01, ,beer,\nu3,2025-12-01,,,20\n";
    let house = house(PEOPLE);
    ingest(&house, "people", "a.csv", first);
    ingest(&house, "people", "b.csv", second);
    house.ok(&["produce"]);
    assert_eq!(
        (value(&house, "u1", "plan"), value(&house, "u1", "tags"), value(&house, "u1", "age")),
        (json!(null), json!(null), json!(null))
    );
    assert_eq!(
        (value(&house, "u2", "plan"), value(&house, "u2", "tags")),
        (json!(null), json!(["beer"]))
    );
    // What the second file says of u3 is older.
    assert_eq!(
        (value(&house, "u3", "plan"), value(&house, "u3", "age")),
        (json!("pro"), json!(null))
    );
    assert_eq!(house.count("plan_by_sql == 'pro'"), 1);
    assert_eq!(house.count("plan_by_sql is set"), 1);
    house.ok(&["produce", "--as-of", "2026-01-15T00:00"]);
    assert_eq!(house.count("plan == 'pro'"), 2);

    let house = house_that_keeps();
    ingest(&house, "people", "a.csv", first);
    ingest(&house, "people", "b.csv", second);
    house.ok(&["produce"]);
    assert_eq!(
        (value(&house, "u1", "plan"), value(&house, "u1", "age")),
        (json!("pro"), json!(30))
    );
    assert_eq!(
        (value(&house, "u2", "plan"), value(&house, "u2", "tags")),
        (json!("free"), json!(["beer"]))
    );
    assert_eq!(value(&house, "u3", "age"), json!(20));
}

fn house_that_keeps() -> House {
    house(&PEOPLE.replace("time: at", "time: at\nblank: keep"))
}

#[test]
fn null_takes_away_in_json_lines_and_a_missing_key_does_not() {
    let lines = r#"{"id":"u1","at":"2026-01-01","plan":"pro","tags":["a"],"age":1}
{"id":"u1","at":"2026-01-02","plan":null}
{"id":"u2","at":"2026-01-01","plan":"pro","tags":["a"],"age":1}
{"id":"u2","at":"2026-01-02","plan":"","tags":[],"age":null}
{"id":"u3","at":"2026-01-02"}
"#;
    for (source, plan_of_u2) in
        [("format: jsonl", json!(null)), ("format: jsonl\nblank: keep", json!("pro"))]
    {
        let house = house(&PEOPLE.replace("format: csv", source));
        ingest(&house, "people", "a.jsonl", lines);
        house.ok(&["produce"]);
        assert_eq!(
            (value(&house, "u1", "plan"), value(&house, "u1", "age")),
            (json!(null), json!(1)),
            "{source}"
        );
        assert_eq!(value(&house, "u2", "plan"), plan_of_u2, "{source}");
        assert_eq!(
            (value(&house, "u2", "tags"), value(&house, "u2", "age")),
            (json!(null), json!(null)),
            "{source}"
        );
        assert_eq!(house.count("!(age is set)"), 2, "{source}");
    }
}

const WITHOUT: &str = "kind: app
id: t
---
kind: source
name: people
format: csv
user_id: id
attributes:
  plan: plan
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: crowd, name: without_plan, expression: '!(plan is set)'}
";

#[test]
fn a_row_without_a_value_makes_its_user_exist() {
    for keep in ["", "\nblank: keep"] {
        let house = house(&WITHOUT.replace("format: csv", &format!("format: csv{keep}")));
        ingest(&house, "people", "people.csv", "id,plan\nu1,pro\nu2,\nu3,\nu4,free\n");
        house.ok(&["produce"]);
        assert_eq!(
            (house.count("!(plan is set)"), house.count("!(plan == 'pro')")),
            (2, 3),
            "{keep}"
        );
        assert_eq!(
            house.ok(&["export", "without_plan"]).lines().skip(1).collect::<Vec<_>>(),
            ["u2", "u3"],
            "{keep}"
        );
    }
    // The file lacks the column.
    let house = house(WITHOUT);
    ingest(&house, "people", "ids.csv", "id\nu1\n");
    house.ok(&["produce"]);
    assert_eq!(house.count("!(plan is set)"), 1);
}

#[test]
fn a_call_without_a_value_makes_its_user_exist() {
    let house = house(NAMES);
    let mut server = house.serve();
    send(&server, "identify", r#"{"userId":"e1"}"#);
    send(&server, "identify", r#"{"userId":"e2","traits":{}}"#);
    send(&server, "identify", r#"{"userId":"e3","traits":{"ids":[]}}"#);
    send(&server, "identify", r#"{"userId":"e4","traits":{"plan":null}}"#);
    // The only trait cannot be read: it is left out, the user is not.
    send(&server, "identify", r#"{"userId":"e5","traits":{"k_age":"old"}}"#);
    send(
        &server,
        "batch",
        r#"{"batch":[{"type":"identify","userId":"e6","traits":null},{"type":"identify","userId":"e7","traits":{"plan":"pro"}}]}"#,
    );
    server.terminate();
    house.ok(&["produce"]);
    assert_eq!((house.count("!(plan is set)"), house.count("plan is set")), (6, 1));
}

#[test]
fn null_by_hand_takes_the_value_away() {
    let house = house(PEOPLE);
    ingest(
        &house,
        "people",
        "a.csv",
        "id,at,plan,tags,age\nu1,2026-01-01,pro,wine,30\nu2,2026-01-01,free,beer,40\n",
    );
    house.ok(&["produce"]);
    let server = house.serve();
    let key = server.admin_key.as_ref().unwrap();
    let changes = json!([
        {"user": "u1", "tag": "plan", "set": null}, {"user": "u1", "tag": "tags", "set": []}, {"user": "u1", "tag": "age", "set": null},
        {"user": "u2", "tag": "plan", "set": ""}]);
    let answer =
        server.post("/api/v1/apps/t/changes", key, &json!({"changes": changes, "create": true}));
    assert_eq!(answer.status, 200, "{}", answer.json());
    let set = |expression: &str| {
        let answer = server.post("/api/v1/apps/t/count", key, &json!({"expression": expression}));
        answer.json()["count"].as_u64().unwrap()
    };
    eventually("the values are gone", || {
        (set("plan is set || tags is set && age == 30") == 0).then_some(())
    });
    assert_eq!((set("tags is set"), set("age is set"), set("!(plan is set)")), (1, 1, 2));
    // Nothing, and two things, are said at once of no change.
    for wrong in [
        json!({"user": "u1", "tag": "plan"}),
        json!({"user": "u1", "tag": "plan", "set": null, "unset": true}),
    ] {
        let answer = server.post(
            "/api/v1/apps/t/changes",
            key,
            &json!({"changes": [wrong], "create": true}),
        );
        assert_eq!(answer.status, 400, "{}", answer.json());
    }
    drop(server);
    house.ok(&["change", "u2", "tags", ""]);
    house.ok(&["change", "u2", "age", "--clear"]);
    assert_eq!((house.count("tags is set"), house.count("age is set")), (0, 0));
}

/// The report of the ingestion of one file.
fn report(house: &House, source: &str, name: &str, content: impl AsRef<[u8]>) -> Value {
    house.json(&[
        "ingest",
        "--source",
        source,
        house.file(name, content).to_str().unwrap(),
        "--allow-rejects",
    ])
}

#[test]
fn arrays_and_texts_are_read_alike_mapped_or_not() {
    let house = house(NAMES);
    let mut server = house.serve();
    identify(&server, "a1", 1, r#"{"ids":[1,2]}"#);
    identify(&server, "k0", 1, r#"{"k_ids":[1,2]}"#);
    identify(&server, "k5", 1, r#"{"k_ids":["1",2,true]}"#);
    identify(&server, "a4", 1, r#"{"ids":["1",null]}"#);
    identify(&server, "k4", 1, r#"{"k_ids":["1",null]}"#);
    identify(&server, "a9", 1, r#"{"ids":"[VIP] customer"}"#);
    identify(&server, "k9", 1, r#"{"k_ids":"[VIP] customer"}"#);
    identify(&server, "k8", 1, r#"{"k_ids":"[1,2]"}"#);
    // What cannot be read is left out alone.
    identify(&server, "ka4", 1, r#"{"k_age":"1_0","k_plan":"gold"}"#);
    identify(&server, "ka5", 1, r#"{"k_age":"10","k_born":"1990-05-17","k_ids":[["deep"]]}"#);
    identify(&server, "ka6", 1, r#"{"k_age":10.0,"k_born":"soon"}"#);
    server.terminate();
    let landed = house.json(&["produce"]);
    let sets = [
        ("a1", "ids", json!(["1", "2"])),
        ("k0", "k_ids", json!(["1", "2"])),
        ("k5", "k_ids", json!(["1", "2", "true"])),
        ("a4", "ids", json!(["1"])),
        ("k4", "k_ids", json!(["1"])),
        ("a9", "ids", json!(["[VIP] customer"])),
        ("k9", "k_ids", json!(["[VIP] customer"])),
        ("k8", "k_ids", json!(["[1,2]"])),
        ("ka4", "k_age", json!(null)),
        ("ka4", "k_plan", json!("gold")),
        ("ka5", "k_age", json!(10)),
        ("ka5", "k_born", json!("1990-05-17")),
        ("ka5", "k_ids", json!(null)),
        ("ka6", "k_age", json!(10)),
        ("ka6", "k_born", json!(null)),
    ];
    for (user, tag, expected) in sets {
        assert_eq!(value(&house, user, tag), expected, "{tag} of {user}; {landed}");
    }
    // By hand the same.
    let made = house.ok(&["keys", "create", "--role", "write", "--app", "t"]);
    let key = made.trim();
    let server = house.serve();
    let change = |tag: &str, set: Value| {
        let changes =
            json!({"create": true, "changes": [{"user": "h1", "tag": tag, "set": set, }]});
        server.post("/api/v1/apps/t/changes", key, &changes).status
    };
    for (tag, set, status) in [
        ("ids", json!([1, "2", true, null]), 200),
        ("k_ids", json!("[VIP] customer"), 200),
        ("k_age", json!("10"), 200),
        ("k_born", json!("1990-05-17"), 200),
        ("k_age", json!("1_0"), 400),
        ("k_age", json!(1.5), 400),
        ("ids", json!([["deep"]]), 400),
        ("k_born", json!("soon"), 400),
    ] {
        assert_eq!(change(tag, set.clone()), status, "{tag} {set}");
    }
    drop(server);
    for (tag, expected) in [
        ("ids", json!(["1", "2", "true"])),
        ("k_ids", json!(["[VIP] customer"])),
        ("k_age", json!(10)),
    ] {
        assert_eq!(value(&house, "h1", tag), expected, "{tag}");
    }
}

#[test]
fn half_a_surrogate_spoils_one_field_only() {
    let half = House::new();
    apply(&half, NAMES);
    let mut server = half.serve();
    send(&server, "identify", r#"{"userId":"s1","traits":{"plan":"pro","bio":"hi \ud83d"}}"#);
    send(
        &server,
        "identify",
        r#"{"userId":"s2","traits":{"plan":"pro \ud83d\ude00","k_plan":"\ude00 gold","\ud83d":1}}"#,
    );
    send(&server, "track", r#"{"userId":"s6","event":"say \ud83d","messageId":"su6"}"#);
    send(
        &server,
        "batch",
        r#"{"batch":[{"type":"track","userId":"s7","event":"say \ud83d"},{"type":"identify","userId":"s8","traits":{"plan":"free"}}],"context":"\ud83d"}"#,
    );
    let made = server.post(
        "/api/v1/keys",
        server.admin_key.as_ref().unwrap(),
        &json!({"role": "write", "app": "t"}),
    );
    let key = format!("Bearer {}", made.json()["secret"].as_str().unwrap());
    for (call, body, field) in [
        ("identify", r#"{"userId":"s\ud83d","traits":{"plan":"pro"}}"#, "`userId`"),
        ("track", r#"{"userId":"s9","event":"e","messageId":"m\ud83d"}"#, "`messageId`"),
    ] {
        let answer = server.call("POST", &format!("/v1/{call}"), Some(&key), body.as_bytes());
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == 400 && said.contains(field), "{said}");
    }
    server.terminate();
    half.ok(&["produce"]);
    assert_eq!(
        (value(&half, "s1", "plan"), value(&half, "s1", "bio")),
        (json!("pro"), json!("hi \u{fffd}"))
    );
    assert_eq!(
        (value(&half, "s2", "plan"), value(&half, "s2", "k_plan")),
        (json!("pro \u{1f600}"), json!("\u{fffd} gold"))
    );
    assert_eq!(
        (value(&half, "s6", "events_all"), value(&half, "s7", "events_all")),
        (json!(1), json!(1))
    );
    assert_eq!(value(&half, "s8", "plan"), json!("free"));

    let yaml = "kind: app\nid: t\n---\nkind: source\nname: s\nformat: jsonl\nuser_id: u\nevent: say\ntime: at\nproperties:\n  text: text\nunknown_columns: keep\n---\n{kind: tag, name: n, type: int, aggregate: {function: count}}\n---\n{kind: tag, name: said, type: set, aggregate: {function: set, value: text}}\n";
    let lines = r#"{"u":"u1","at":"2026-03-01T00:00:00Z","text":"ok"}
{"u":"u1","at":"2026-03-01T00:01:00Z","text":"cut \ud83d"}
{"u":"u1","at":"2026-03-01T00:02:00Z","text":"ok","other":"cut \ud83d"}
{"u":"u\ud83d","at":"2026-03-01T00:02:00Z","text":"ok"}
"#;
    let house = house(yaml);
    let report = report(&house, "s", "cut.jsonl", lines);
    assert_eq!(
        (&report["accepted_total"], &report["replaced"], &report["rejected"]),
        (&json!(3), &json!(2), &json!({"bad_type": 1}))
    );
    house.ok(&["produce"]);
    assert_eq!(
        (value(&house, "u1", "n"), value(&house, "u1", "said")),
        (json!(3), json!(["cut \u{fffd}", "ok"]))
    );
}

#[test]
fn ids_that_lost_digits_are_refused() {
    let yaml = "kind: app\nid: t\n---\nkind: source\nname: people\nformat: FORMAT\nuser_id: { column: id, type: int }\nattributes:\n  plan: plan\n---\n{kind: tag, name: plan, type: enum, attribute: plan}\n";
    let csv = "id,plan\n9.91214E+15,pro\n9.91214E+15,free\n17850.0,pro\n";
    let lines = "{\"id\":9.91214E+15,\"plan\":\"pro\"}\n{\"id\":\"9.91214E+15\",\"plan\":\"pro\"}\n{\"id\":17850.0,\"plan\":\"pro\"}\n";
    for (format, name, content) in [("csv", "people.csv", csv), ("jsonl", "people.jsonl", lines)] {
        let house = house(&yaml.replace("FORMAT", format));
        let refused = house.refused(&[
            "ingest",
            "--source",
            "people",
            house.file(name, content).to_str().unwrap(),
        ]);
        assert!(refused.contains("has lost digits"), "{refused}");
        assert_eq!(
            report(&house, "people", name, content)["rejected"],
            json!({"bad_type": 2}),
            "{format}"
        );
        house.ok(&["produce"]);
        assert_eq!(
            (house.count("plan is set"), value(&house, "17850", "plan")),
            (1, json!("pro")),
            "{format}"
        );
    }
    // A call's id may be a number, of digits too.
    let house = house(NAMES);
    let server = house.serve();
    let made = server.post(
        "/api/v1/keys",
        server.admin_key.as_ref().unwrap(),
        &json!({"role": "write", "app": "t"}),
    );
    let key = format!("Bearer {}", made.json()["secret"].as_str().unwrap());
    for (id, status) in [("9.91214E+15", 400), ("9912140000000001", 200), ("17850.0", 200)] {
        let body = format!(r#"{{"userId":{id},"traits":{{"plan":"pro"}}}}"#);
        assert_eq!(
            server.call("POST", "/v1/identify", Some(&key), body.as_bytes()).status,
            status,
            "{id}"
        );
    }
}

#[test]
fn numbers_are_rounded_where_the_source_says_so() {
    let yaml = "kind: app\nid: t\ntime_zone: UTC\n---\nkind: source\nname: orders\nformat: jsonl\nuser_id: userId\nevent: Order Completed\ntime: timestamp\nmessage_id: messageId\nmax_reject_share: 1\nproperties:\n  revenue: { column: properties.revenue, type: decimal, scale: 2, round: true }\n  qty: { column: properties.qty, type: int }\nattributes:\n  rate: { column: rate, type: decimal, scale: 1, round: true }\n---\n{kind: tag, name: revenue, type: decimal, scale: 2, aggregate: {events: [Order Completed], function: sum, value: revenue}}\n---\n{kind: tag, name: orders, type: int, aggregate: {events: [Order Completed], function: count}}\n---\n{kind: tag, name: rate, type: decimal, scale: 1, attribute: rate}\n";
    let lines = r#"{"userId":"u1","messageId":"a1","timestamp":"2026-03-01T10:00:00Z","properties":{"revenue":59.97,"qty":3},"rate":0.25}
{"userId":"u1","messageId":"a2","timestamp":"2026-03-01T11:00:00Z","properties":{"revenue":59.970000000000006,"qty":3}}
{"userId":"u2","messageId":"a3","timestamp":"2026-03-01T12:00:00Z","properties":{"revenue":0.30000000000000004,"qty":1},"rate":-0.25}
"#;
    let rounding = house(yaml);
    ingest(&rounding, "orders", "orders.jsonl", lines);
    rounding.ok(&["produce"]);
    assert_eq!(
        (value(&rounding, "u1", "orders"), value(&rounding, "u1", "revenue")),
        (json!(2), json!("119.94"))
    );
    assert_eq!(
        (value(&rounding, "u2", "orders"), value(&rounding, "u2", "revenue")),
        (json!(1), json!("0.30"))
    );
    assert_eq!(
        (value(&rounding, "u1", "rate"), value(&rounding, "u2", "rate")),
        (json!("0.3"), json!("-0.3"))
    );
    // Without it, digits are not lost in silence.
    let exact = house(&yaml.replace(", round: true", ""));
    assert_eq!(
        report(&exact, "orders", "orders.jsonl", lines)["rejected"],
        json!({"number_out_of_range": 3})
    );
    let wrong = exact.refused(&[
        "apply",
        "-f",
        exact
            .file("w.yaml", yaml.replace("type: int }", "type: int, round: true }"))
            .to_str()
            .unwrap(),
    ]);
    assert!(wrong.contains("`round` is for `type: decimal` only"), "{wrong}");
}

#[test]
fn numbers_of_time_are_read_in_their_unit_and_another_is_named() {
    let yaml = "kind: app\nid: t\ntime_zone: UTC\n---\nkind: source\nname: ga\nformat: FORMAT\nuser_id: user_pseudo_id\nevent: { column: event_name }\ntime: { column: event_timestamp, format: UNIT }\nmax_reject_share: 1\nproperties:\n  first: { column: first, type: date, format: epoch_s }\n---\n{kind: tag, name: views, type: int, aggregate: {function: count}}\n---\n{kind: tag, name: seen, type: date, aggregate: {function: last, value: first}}\n";
    let numbers = ["1772359200", "1772359200123", "1772359200123456", "1772359200123456789"];
    let units = ["epoch_s", "epoch_ms", "epoch_us", "epoch_ns"];
    for (unit, format) in units.into_iter().zip(["csv", "jsonl", "csv", "jsonl"]) {
        let house = house(&yaml.replace("UNIT", unit).replace("FORMAT", format));
        let rows: String = match format {
            "csv" => numbers.iter().map(|n| format!("g1,page_view,{n},1772359200\n")).collect(),
            _ => numbers
                .iter()
                .map(|n| {
                    format!("{{\"user_pseudo_id\":\"g1\",\"event_name\":\"page_view\",\"event_timestamp\":{n},\"first\":1772359200}}\n")
                })
                .collect(),
        };
        let head =
            if format == "csv" { "user_pseudo_id,event_name,event_timestamp,first\n" } else { "" };
        let report = report(&house, "ga", &format!("ga.{format}"), format!("{head}{rows}"));
        assert_eq!(
            (&report["accepted_total"], &report["rejected"]),
            (&json!(1), &json!({"bad_time": 3})),
            "{unit}"
        );
        house.ok(&["produce"]);
        assert_eq!(
            (house.count("views == 1"), value(&house, "g1", "seen")),
            (1, json!("2026-03-01")),
            "{unit}"
        );
    }
    let house = house(
        &yaml
            .replace("UNIT", "epoch_ms")
            .replace("FORMAT", "jsonl")
            .replace("share: 1", "share: 0"),
    );
    let line =
        r#"{"user_pseudo_id":"g1","event_name":"page_view","event_timestamp":1772359200123456}"#;
    let refused = house.refused(&[
        "ingest",
        "--source",
        "ga",
        house.file("ga.jsonl", line).to_str().unwrap(),
    ]);
    assert!(
        refused.contains("seems to be microseconds since 1970: write `format: epoch_us`"),
        "{refused}"
    );
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/values").join(name),
    )
    .unwrap()
}

const USERS: &str = "kind: app
id: t
---
kind: source
name: people
format: parquet
user_id: { column: id, type: int }
max_reject_share: 1
attributes:
  born: { column: born, type: date }
  born_d: { column: born_d, type: date }
  city: city
  tags: { column: tags, type: set }
  vip: { column: vip, type: bool }
  ltv: { column: ltv, type: decimal, scale: 2, round: true }
---
{kind: tag, name: born, type: date, attribute: born}
---
{kind: tag, name: born_d, type: date, attribute: born_d}
---
{kind: tag, name: city, type: enum, attribute: city}
---
{kind: tag, name: tags, type: set, attribute: tags}
---
{kind: tag, name: vip, type: bool, attribute: vip}
---
{kind: tag, name: ltv, type: decimal, scale: 2, attribute: ltv}
";

#[test]
fn parquet_as_pandas_writes_it() {
    for (nan, rejected, ltv) in [
        ("", json!({"bad_type": 1}), 4),
        ("\nnan: no_value", json!({}), 4),
        ("\nnan: reject", json!({"bad_type": 2}), 4),
    ] {
        let house = house(&USERS.replace("format: parquet", &format!("format: parquet{nan}")));
        let report = report(&house, "people", "users.parquet", fixture("users.parquet"));
        assert_eq!(report["rejected"], rejected, "{nan}");
        house.ok(&["produce"]);
        assert_eq!(
            (value(&house, "1", "born"), value(&house, "1", "born_d")),
            (json!("1990-05-17"), json!("1990-05-17"))
        );
        assert_eq!(
            (value(&house, "1", "tags"), value(&house, "5", "tags")),
            (json!(["1", "2"]), json!(["4"]))
        );
        assert_eq!(
            (value(&house, "1", "city"), value(&house, "6", "city")),
            (json!("Köln"), json!(null))
        );
        assert_eq!(
            (value(&house, "1", "vip"), value(&house, "5", "vip")),
            (json!(true), json!(false))
        );
        let ltvs: Vec<Value> =
            ["1", "4", "5", "6"].iter().map(|user| value(&house, user, "ltv")).collect();
        assert_eq!(ltvs, [json!("10.50"), json!("0.00"), json!("0.30"), json!("0.00")]);
        assert_eq!(house.count("ltv is set"), ltv, "{nan}");
    }
}

#[test]
fn parquet_of_every_kind_of_time_list_and_dictionary() {
    let mut yaml = "kind: app\nid: t\ntime_zone: America/New_York\n---\nkind: source\nname: people\nformat: parquet\nuser_id: id\nmax_reject_share: 1\nattributes:\n".to_owned();
    let mut tags = String::new();
    let columns = [
        ("s", "date", json!("1990-05-17")),
        ("ms", "date", json!("1990-05-17")),
        ("us", "date", json!("1990-05-17")),
        ("ns", "date", json!("1990-05-17")),
        // 21:30 in UTC is the afternoon in New York.
        ("s_z", "date", json!("1990-05-17")),
        ("ms_z", "date, precision: millisecond", json!("1990-05-17T21:30:00Z")),
        ("us_z", "date, precision: millisecond", json!("1990-05-17T21:30:00Z")),
        ("ns_z", "date, precision: millisecond", json!("1990-05-17T21:30:00Z")),
        ("d64", "date", json!("1990-05-17")),
        ("words", "text", json!("a")),
        ("numbers", "int", json!(7)),
        ("days", "date", json!("1990-05-17")),
        ("floats", "set", json!(["0.5", "4"])),
        ("flags", "set", json!(["true"])),
        ("price", "decimal, scale: 4", json!("1.2345")),
        ("vip", "bool", json!(true)),
        ("nothing", "int", json!(null)),
    ];
    for (name, ty, _) in &columns {
        yaml += &format!("  {name}: {{ column: {name}, type: {ty} }}\n");
        let ty = ty.replace("text", "enum");
        tags += &format!("---\n{{kind: tag, name: {name}, type: {ty}, attribute: {name}}}\n");
    }
    let house = house(&(yaml + &tags));
    // The second id is a float beyond 2^53.
    assert_eq!(
        report(&house, "people", "stamps.parquet", fixture("stamps.parquet"))["rejected"],
        json!({"bad_type": 1})
    );
    house.ok(&["produce"]);
    for (name, _, expected) in columns {
        assert_eq!(value(&house, "1", name), expected, "{name}");
    }
}

#[test]
fn parquet_of_the_old_times_of_96_bits() {
    let yaml = "kind: app\nid: t\ntime_zone: Asia/Tokyo\n---\nkind: source\nname: people\nformat: parquet\nuser_id: id\nattributes:\n  day: { column: at, type: date }\n  at: { column: at, type: date, precision: millisecond }\n---\n{kind: tag, name: day, type: date, attribute: day}\n---\n{kind: tag, name: at, type: date, precision: millisecond, attribute: at}\n";
    // Without a zone it is local time; Spark means an instant.
    for (name, day, at) in [
        ("int96.parquet", "1990-05-17", "1990-05-17T12:30:00Z"),
        ("int96-spark.parquet", "1990-05-18", "1990-05-17T21:30:00Z"),
    ] {
        let house = house(yaml);
        ingest(&house, "people", name, fixture(name));
        house.ok(&["produce"]);
        assert_eq!(
            (value(&house, "1", "day"), value(&house, "1", "at")),
            (json!(day), json!(at)),
            "{name}"
        );
        assert_eq!(
            (value(&house, "2", "day"), value(&house, "3", "day")),
            (json!("1600-01-01"), json!(null)),
            "{name}"
        );
        assert_eq!(house.count("!(day is set)"), 1, "{name}");
    }
}

const DUMP: &str = "kind: app
id: t
---
kind: source
name: s
format: csv
escape: \"\\\\\"
null_values: [\"\\\\N\", \"NULL\", \"\", \"NA\"]
user_id: id
max_reject_share: 1
attributes:
  name: name
  age: { column: age, type: int }
  ok: { column: ok, type: bool }
  born: { column: born, type: date }
  topics: { column: topics, type: set, separator: \"|\" }
---
{kind: tag, name: name, type: enum, attribute: name}
---
{kind: tag, name: age, type: int, attribute: age}
---
{kind: tag, name: ok, type: bool, attribute: ok}
---
{kind: tag, name: born, type: date, attribute: born}
---
{kind: tag, name: topics, type: set, attribute: topics}
";

const DUMP_ROWS: &str = r#"id,name,age,ok,born,topics
u1,"he said \"hi\"",30,1,1990-01-01,wine|beer
u2,\N,31,0,1990-01-02,\N
u3,NULL,NULL,t,1990-01-03,NULL
u4,"plain" ,33,f,1990-01-04, a | b
u5, "lead, space",34,true,1990-01-05,"[x]|y"
u6,x,"1,234",TRUE,1990-01-06 00:00:00,
u7,ok\, fine, 35 ,True, 1990-01-07 ,tab\there
u8,NA,NA,NA,NA,NA
NULL,anon,36,true,1990-01-08,
u9,"back\\slash
two lines",37,true,1990-01-09,
"#;

#[test]
fn dumps_of_databases() {
    let house = house(DUMP);
    let report = report(&house, "s", "mysql.csv", DUMP_ROWS);
    assert_eq!(report["rejected"], json!({"bad_type": 1, "no_user_id": 1}), "{report}");
    house.ok(&["produce"]);
    for (user, tag, expected) in [
        ("u1", "name", json!("he said \"hi\"")),
        ("u1", "topics", json!(["beer", "wine"])),
        ("u2", "name", json!(null)),
        ("u2", "topics", json!(null)),
        ("u3", "name", json!(null)),
        ("u3", "age", json!(null)),
        ("u3", "ok", json!(true)),
        ("u4", "name", json!("plain")),
        ("u4", "topics", json!(["a", "b"])),
        ("u5", "name", json!("lead, space")),
        ("u5", "topics", json!(["[x]", "y"])),
        ("u7", "name", json!("ok, fine")),
        ("u7", "age", json!(35)),
        ("u7", "born", json!("1990-01-07")),
        ("u7", "topics", json!(["tab\there"])),
        ("u9", "name", json!("back\\slash\ntwo lines")),
    ] {
        assert_eq!(value(&house, user, tag), expected, "{tag} of {user}");
    }
    // A user without a value exists.
    assert_eq!((house.count("!(name is set)"), house.count("!(age is set)")), (3, 2));
}

#[test]
fn words_for_no_value_in_every_format() {
    let yaml = "kind: app\nid: t\n---\nkind: source\nname: s\nformat: FORMAT\nnull_values: [NA, \"-999\"]\nuser_id: id\nattributes:\n  plan: plan\n  age: { column: age, type: int }\n---\n{kind: tag, name: plan, type: enum, attribute: plan}\n---\n{kind: tag, name: age, type: int, attribute: age}\n";
    let csv = "id,plan,age\nu1,NA,-999\nu2,pro, NA \nNA,pro,1\n";
    let lines = "{\"id\":\"u1\",\"plan\":\"NA\",\"age\":-999}\n{\"id\":\"u2\",\"plan\":\"pro\",\"age\":\"NA\"}\n{\"id\":\"NA\",\"plan\":\"pro\"}\n";
    for (format, name, content) in [("csv", "a.csv", csv), ("jsonl", "a.jsonl", lines)] {
        let house = house(&yaml.replace("FORMAT", format));
        assert_eq!(
            report(&house, "s", name, content)["rejected"],
            json!({"no_user_id": 1}),
            "{format}"
        );
        house.ok(&["produce"]);
        assert_eq!(
            (house.count("plan is set"), house.count("age is set"), house.count("!(age is set)")),
            (1, 0, 2),
            "{format}"
        );
    }
    let house = house(&NAMES.replace("format: segment", "format: segment\nnull_values: [NA]"));
    let mut server = house.serve();
    identify(&server, "u1", 5, r#"{"plan":"pro","k_plan":"gold"}"#);
    identify(&server, "u1", 1, r#"{"plan":"NA","k_plan":"NA"}"#);
    server.terminate();
    house.ok(&["produce"]);
    assert_eq!(
        (value(&house, "u1", "plan"), value(&house, "u1", "k_plan")),
        (json!(null), json!(null))
    );
}
