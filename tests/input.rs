//! Files as other systems write them, through the binary: each case is a public bug report of a system that takes files in, with what must
//! come out.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::House;
use serde_json::{Value, json};

/// A house with these definitions applied.
fn house(definitions: &str) -> House {
    let house = House::new();
    apply(&house, definitions);
    house
}

fn apply(house: &House, definitions: &str) {
    house.ok(&["apply", "-f", house.file("defs.yaml", definitions).to_str().unwrap()]);
}

/// Writes the file and ingests it.
fn ingest(house: &House, name: &str, content: impl AsRef<[u8]>) -> Value {
    house.json(&["ingest", house.file(name, content).to_str().unwrap()])
}

/// What an ingestion that must fail says.
fn refused(house: &House, name: &str, content: impl AsRef<[u8]>) -> String {
    house.refused(&["ingest", house.file(name, content).to_str().unwrap()])
}

fn produce(house: &House) {
    house.ok(&["produce"]);
}

/// All tag values of a user.
fn profile(house: &House, user: &str) -> Value {
    house.json(&["profile", user])["tags"].clone()
}

const PEOPLE: &str = "kind: app
id: t
time_zone: UTC
---
kind: source
name: people
format: csv
user_id: user
attributes:
  age: { column: age, type: int }
---
{kind: tag, name: age, type: int, attribute: age}
";

#[test]
fn every_line_end_ends_a_line() {
    for text in ["user,age\ru1,31\ru2,42\r", "user,age\ru1,31\ru2,42\r\n", "user,age\r\nu1,31\r\nu2,42\r\n", "user,age\nu1,31\nu2,42"] {
        let house = house(PEOPLE);
        assert_eq!(ingest(&house, "people.csv", text)["rows"], 2, "{text:?}");
        produce(&house);
        assert_eq!(house.count("age > 0"), 2, "{text:?}");
        assert_eq!((profile(&house, "u1"), profile(&house, "u2")), (json!({"age": 31}), json!({"age": 42})), "{text:?}");
    }
    let house = house(&PEOPLE.replace("format: csv", "format: jsonl"));
    let lines = "{\"user\":\"u1\",\"age\":31}\r{\"user\":\"u2\",\"age\":42}\r";
    assert_eq!(ingest(&house, "people.jsonl", lines)["rows"], 2);
}

#[test]
fn a_file_without_rows_is_told_and_does_not_take_its_name() {
    let house = house(PEOPLE);
    for content in ["", "user,age\n", "user,age\r", "\n\n"] {
        let said = house.ok(&["ingest", house.file("people.csv", content).to_str().unwrap()]);
        assert!(said.contains("people.csv has no rows: it was passed over"), "{content:?}: {said}");
    }
    let report = ingest(&house, "people.csv", "user,age\nu1,31\n");
    assert_eq!((report["files_new"].clone(), report["empty"].clone()), (json!(1), json!([])));
    assert_eq!(ingest(&house, "people.csv", "user,age\nu1,31\n")["files_unchanged"], 1);
}

#[test]
fn a_header_name_that_stands_twice_is_refused_where_it_is_read() {
    let people = "kind: app
id: t
---
kind: source
name: people
format: csv
user_id: id
attributes:
  email: email
";
    let house = house(people);
    let text = "id,email,email\nu1,first@example.org,second@example.org\nu2,,only@example.org\n";
    let said = refused(&house, "people.csv", text);
    assert!(said.contains("people.csv: columns 2 and 3 are both called \"email\""), "{said}");
    // Nothing of it landed, and its name is free.
    let report = ingest(&house, "people.csv", "id,email\nu1,first@example.org\n");
    assert_eq!((report["files_new"].clone(), report["attributes"].clone()), (json!(1), json!(1)));

    let orders = "kind: app
id: t
---
kind: source
name: orders
format: csv
user_id: user
event: buy
time: at
properties:
  amount: { column: amount, type: int }
";
    let house = self::house(orders);
    let said = refused(&house, "orders.csv", "user,at,amount,amount\nu1,2026-03-01,1,100\n");
    assert!(said.contains("columns 3 and 4 are both called \"amount\""), "{said}");
}

const ORDERS: &str = "kind: app
id: t
time_zone: UTC
---
kind: source
name: orders
format: csv
user_id: user
event: buy
time: at
message_id: msg
properties:
  amount: { column: amount, type: decimal, scale: 2 }
---
{kind: tag, name: orders, type: int, aggregate: {events: [buy], function: count}}
---
{kind: tag, name: spend, type: decimal, scale: 2, aggregate: {events: [buy], function: sum, value: amount}}
";

const SECOND: &str = "msg,user,at,amount
m1,u1,2026-03-02T10:00:00Z,10.00
m2,u1,2026-03-02T11:00:00Z,20.00
m3,u2,2026-03-02T12:00:00Z,5.00
";

const THIRD: &str = "msg,user,at,amount\nm5,u9,2026-03-03T09:00:00Z,7.00\n";

/// The folder with two files of one name.
fn dated(house: &House) -> String {
    house.file("in/dt=2026-03-02/part-00000.csv", SECOND);
    house.file("in/dt=2026-03-03/part-00000.csv", THIRD);
    house.path("in").to_str().unwrap().to_owned()
}

#[test]
fn files_of_one_name_in_dated_folders_are_two() {
    let given = |more: &[&str], definitions: &str| {
        let house = house(definitions);
        let folder = dated(&house);
        let paths: Vec<String> = more.iter().map(|rest| format!("{folder}{rest}")).collect();
        let ingest: Vec<&str> = ["ingest"].into_iter().chain(paths.iter().map(String::as_str)).collect();
        assert_eq!(house.json(&ingest)["files_new"], 2, "{more:?}");
        // They are the same files however they are given.
        for paths in [vec![folder.clone()], vec![format!("{folder}/dt=2026-03-02")], vec![format!("{folder}/dt=2026-03-03/part-00000.csv")]]
        {
            let again: Vec<&str> = ["ingest"].into_iter().chain(paths.iter().map(String::as_str)).collect();
            assert_eq!(house.json(&again)["files_new"], 0, "{paths:?}");
        }
        produce(&house);
        let all: u64 = ["u1", "u2", "u9"].iter().map(|user| profile(&house, user)["orders"].as_u64().unwrap()).sum();
        assert_eq!(all, 4, "{more:?}");
    };
    given(&[""], ORDERS);
    given(&["/dt=2026-03-02", "/dt=2026-03-03"], ORDERS);
    given(&["/dt=2026-03-02/part-00000.csv", "/dt=2026-03-03/part-00000.csv"], ORDERS);
    given(&[""], &ORDERS.replace("format: csv", "format: csv\nfiles: '**/*.csv'"));
}

#[test]
fn folders_give_columns_and_other_subfolders_are_read_by_a_pattern() {
    let definitions = "kind: app
id: t
time_zone: UTC
---
kind: source
name: visits
format: csv
user_id: user
event: visit
time: dt
properties:
  country: country
  page: page
---
{kind: tag, name: seen, type: date, aggregate: {events: [visit], function: max, value: time}}
---
{kind: tag, name: country, type: enum, aggregate: {events: [visit], function: last, value: country}}
";
    let house = house(definitions);
    house.file("in/shop/dt=2026-03-02/country=C%C3%B4te d'Ivoire/a.csv", "user,page\nu1,/x\n");
    house.file("in/shop/dt=2026-03-03/country=__HIVE_DEFAULT_PARTITION__/a.csv", "user,page\nu2,/y\n");
    house.file("in/shop/dt=2026-03-04/a.csv", "user,page,country\nu3,/z,Norway\n");
    let folder = house.path("in");
    let said = house.refused(&["ingest", folder.to_str().unwrap()]);
    assert!(said.contains("subfolders are looked into where they are called column=value"), "{said}");
    apply(&house, &definitions.replace("format: csv", "format: csv\nfiles: '**/*.csv'"));
    assert_eq!(house.json(&["ingest", folder.to_str().unwrap()])["files_new"], 3);
    produce(&house);
    let seen = |user: &str| profile(&house, user);
    assert_eq!(seen("u1"), json!({"seen": "2026-03-02", "country": "Côte d'Ivoire"}));
    assert_eq!(seen("u2"), json!({"seen": "2026-03-03"}));
    assert_eq!(seen("u3"), json!({"seen": "2026-03-04", "country": "Norway"}));
}

#[test]
fn folders_are_sent_to_a_server_elsewhere_with_their_names() {
    let house = house(ORDERS);
    let server = house.serve();
    let key = house.ok(&["keys", "create", "--role", "admin"]).trim().to_owned();
    let far = House::new();
    let folder = dated(&far);
    let remote = |path: &str| far.json(&["--server", &server.base, "--key", &key, "ingest", path]);
    assert_eq!(remote(&folder)["files_new"], 2);
    assert_eq!(remote(&folder)["files_unchanged"], 2);
    assert_eq!(remote(&format!("{folder}/dt=2026-03-02"))["files_unchanged"], 1);
    assert_eq!(remote(&format!("{folder}/dt=2026-03-03/part-00000.csv"))["files_unchanged"], 1);
}

const MONDAY: &str = "msg,user,at,amount
m1,u1,2026-03-02T10:00:00Z,10.00
m2,u1,2026-03-02T11:00:00Z,20.00
m3,u2,2026-03-02T12:00:00Z,5.00
";

const TUESDAY: &str = "msg,user,at,amount
m2,u1,2026-03-02T11:00:00Z,20.00
m3,u2,2026-03-02T12:00:00Z,5.00
m4,u2,2026-03-03T09:00:00Z,7.00
";

#[test]
fn a_message_id_counts_once_across_runs() {
    let house = house(ORDERS);
    assert_eq!(ingest(&house, "monday.csv", MONDAY)["duplicates"], 0);
    let report = ingest(&house, "tuesday.csv", TUESDAY);
    assert_eq!((report["duplicates"].clone(), report["accepted"].clone()), (json!(2), json!({"buy": 1})));
    produce(&house);
    assert_eq!(profile(&house, "u1"), json!({"orders": 2, "spend": "30.00"}));
    assert_eq!(profile(&house, "u2"), json!({"orders": 2, "spend": "12.00"}));
}

fn track(id: &str, time: &str) -> Value {
    json!({"userId": "u1", "event": "buy", "messageId": id, "timestamp": time, "properties": {"amount": 1}})
}

/// Sends a call and waits until it has landed.
fn call(house: &House, server: &driver::Server, key: &str, body: &Value) {
    assert_eq!(server.post("/v1/track", key, body).status, 200);
    house.ok(&["produce"]);
}

#[test]
fn a_message_id_counts_once_across_files_and_calls() {
    let house = house(ORDERS);
    let server = house.serve();
    let key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
    // A file, then a call.
    ingest(&house, "monday.csv", MONDAY);
    call(&house, &server, &key, &track("m1", "2026-03-02T23:59:00Z"));
    assert_eq!(profile(&house, "u1")["orders"], 2);
    // A call, then a file.
    call(&house, &server, &key, &track("m4", "2026-03-03T01:00:00Z"));
    assert_eq!(profile(&house, "u1")["orders"], 3);
    let report = ingest(&house, "tuesday.csv", TUESDAY);
    assert_eq!((report["duplicates"].clone(), report["accepted_total"].clone()), (json!(3), json!(0)));
    produce(&house);
    assert_eq!((profile(&house, "u1")["orders"].clone(), profile(&house, "u2")["orders"].clone()), (json!(3), json!(1)));
}

const MAPPED: &str = "kind: app
id: t
---
kind: source
name: orders
format: csv
user_id: user
event: buy
time: at
message_id: msg
properties:
  qty: { column: qty, type: int }
---
{kind: tag, name: orders, type: int, aggregate: {events: [buy], function: count}}
";

#[test]
fn a_file_is_ingested_again_after_the_mapping_was_corrected() {
    let rows = "msg,user,at,qty\nm1,u1,2026-03-01T00:00:00Z,1\nm2,u1,2026-03-01T01:00:00Z,2\nm3,u2,2026-03-01T02:00:00Z,1.5\n";
    for corrected in ["qty: { column: qty, type: decimal, scale: 1 }", "qty2: { column: qty, type: decimal, scale: 1 }"] {
        let house = house(MAPPED);
        let report = ingest(&house, "orders.csv", rows);
        assert_eq!((report["accepted_total"].clone(), report["rejected_total"].clone()), (json!(2), json!(1)));
        let other = ingest(&house, "more.csv", "msg,user,at,qty\nm9,u1,2026-03-01T05:00:00Z,1\n");
        assert_eq!(other["accepted_total"], 1);
        if corrected.starts_with("qty:") {
            // A property's type stands in the table: it is another property then.
            let wrong = MAPPED.replace("qty: { column: qty, type: int }", corrected);
            house.ok(&["apply", "-f", house.file("v2.yaml", &wrong).to_str().unwrap()]);
            let said = house.refused(&["ingest", "--replace", house.path("orders.csv").to_str().unwrap()]);
            assert!(said.contains("qty"), "{said}");
            continue;
        }
        apply(&house, &MAPPED.replace("qty: { column: qty, type: int }", corrected));
        let replaced = house.json(&["ingest", "--replace", house.path("orders.csv").to_str().unwrap()]);
        assert_eq!(replaced["files_replaced"], 1, "{replaced}");
        assert_eq!((replaced["accepted_total"].clone(), replaced["rejected_total"].clone()), (json!(3), json!(0)));
        produce(&house);
        assert_eq!((profile(&house, "u1")["orders"].clone(), profile(&house, "u2")["orders"].clone()), (json!(3), json!(1)));
        // A row that was dropped as a duplicate of another file's is one still.
        let twice = format!("{rows}m9,u1,2026-03-01T05:00:00Z,1\n");
        let replaced = house.json(&["ingest", "--replace", house.file("orders.csv", twice).to_str().unwrap()]);
        assert_eq!((replaced["accepted_total"].clone(), replaced["duplicates"].clone()), (json!(3), json!(1)));
        let said = house.ok(&["ingest", "--replace", house.path("orders.csv").to_str().unwrap()]);
        assert!(said.contains("files replaced"), "{said}");
        produce(&house);
        assert_eq!(profile(&house, "u1")["orders"], 3);
    }
}

#[test]
fn what_came_in_and_what_did_not_is_listed() {
    let house = house(ORDERS);
    let rows: String = (0..7).map(|row| format!("x{row},u1,{},1.00\n", if row < 5 { "never" } else { "2026-03-02T10:00:00Z" })).collect();
    house.json(&["ingest", "--allow-rejects", house.file("bad.csv", format!("msg,user,at,amount\n{rows}")).to_str().unwrap()]);
    ingest(&house, "monday.csv", format!("{MONDAY}m9,,2026-03-02T12:00:00Z,5.00\n"));

    let source = house.json(&["sources"])["sources"][0].clone();
    let counts =
        ["files", "rows", "accepted", "rejected", "duplicates", "last_rows", "last_rejected"].map(|name| source[name].as_u64().unwrap());
    assert_eq!(counts, [2, 11, 5, 6, 0, 4, 1], "{source}");
    assert!((source["rejected_share"].as_f64().unwrap() - 6.0 / 11.0).abs() < 1e-9 && source["last_landed"].is_string(), "{source}");
    assert!(house.ok(&["sources"]).contains("54.5%"));

    let files = house.json(&["files", "--limit", "1"]);
    assert_eq!((files["files"].as_array().unwrap().len(), files["files"][0]["file"].clone()), (1, json!("monday.csv")));
    let more = house.json(&["files", "--source", "orders", "--after", files["next"].as_str().unwrap()]);
    assert_eq!(
        (more["files"][0]["file"].clone(), more["files"][0]["rejected"].clone(), more["next"].clone()),
        (json!("bad.csv"), json!(5), Value::Null)
    );
    assert!(house.refused(&["files", "--source", "nothing"]).contains("the sources are orders"));

    let all = house.json(&["rejected"]);
    assert_eq!((all["rows"].as_array().unwrap().len(), all["reasons"].clone()), (6, json!({"bad_time": 5, "no_user_id": 1})));
    let text = house.ok(&["rejected", "--reason", "bad_time"]);
    assert!(text.contains("bad.csv row 1") && text.contains("\"never\" is no time") && !text.contains("no_user_id"), "{text}");
    // Page by page, each row once.
    let mut rows = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut arguments = vec!["rejected", "--source", "orders", "--limit", "2"];
        if let Some(next) = &next {
            arguments.extend(["--after", next]);
        }
        let page = house.json(&arguments);
        rows.extend(page["rows"].as_array().unwrap().iter().map(|row| (row["file"].clone(), row["row"].as_i64().unwrap())));
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    let bad = |row: i64| (json!("bad.csv"), row);
    assert_eq!(rows, [(json!("monday.csv"), 4), bad(1), bad(2), bad(3), bad(4), bad(5)]);
    assert_eq!(house.json(&["rejected", "--file", "monday.csv"])["rows"][0]["raw"], "m9,,2026-03-02T12:00:00Z,5.00");
    assert!(house.refused(&["rejected", "--after", "nonsense"]).contains("give it as it came"));

    // Live calls, too.
    let server = house.serve();
    let key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
    call(&house, &server, &key, &json!({"userId": "u7", "event": "buy", "messageId": "c1", "properties": {"amount": 3}}));
    let live = house.json(&["sources"])["sources"][1].clone();
    assert_eq!((live["name"].clone(), live["rows"].clone(), live["accepted"].clone()), (json!("segment"), json!(1), json!(1)), "{live}");
}
