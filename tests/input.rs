//! Files as other systems write them, through the binary: each case is a public bug report of a
//! system that takes files in, with what must come out.
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
    for text in [
        "user,age\ru1,31\ru2,42\r",
        "user,age\ru1,31\ru2,42\r\n",
        "user,age\r\nu1,31\r\nu2,42\r\n",
        "user,age\nu1,31\nu2,42",
    ] {
        let house = house(PEOPLE);
        assert_eq!(ingest(&house, "people.csv", text)["rows"], 2, "{text:?}");
        produce(&house);
        assert_eq!(house.count("age > 0"), 2, "{text:?}");
        assert_eq!(
            (profile(&house, "u1"), profile(&house, "u2")),
            (json!({"age": 31}), json!({"age": 42})),
            "{text:?}"
        );
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
        assert!(said.contains("people.csv has no rows: it was skipped"), "{content:?}: {said}");
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
        let ingest: Vec<&str> =
            ["ingest"].into_iter().chain(paths.iter().map(String::as_str)).collect();
        assert_eq!(house.json(&ingest)["files_new"], 2, "{more:?}");
        // They are the same files however they are given.
        for paths in [
            vec![folder.clone()],
            vec![format!("{folder}/dt=2026-03-02")],
            vec![format!("{folder}/dt=2026-03-03/part-00000.csv")],
        ] {
            let again: Vec<&str> =
                ["ingest"].into_iter().chain(paths.iter().map(String::as_str)).collect();
            assert_eq!(house.json(&again)["files_new"], 0, "{paths:?}");
        }
        produce(&house);
        let all: u64 = ["u1", "u2", "u9"]
            .iter()
            .map(|user| profile(&house, user)["orders"].as_u64().unwrap())
            .sum();
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
    house.file(
        "in/shop/dt=2026-03-03/country=__HIVE_DEFAULT_PARTITION__/a.csv",
        "user,page\nu2,/y\n",
    );
    house.file("in/shop/dt=2026-03-04/a.csv", "user,page,country\nu3,/z,Norway\n");
    let folder = house.path("in");
    let said = house.refused(&["ingest", folder.to_str().unwrap()]);
    assert!(
        said.contains("subfolders are looked into where they are called column=value"),
        "{said}"
    );
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
    assert_eq!(
        (report["duplicates"].clone(), report["accepted"].clone()),
        (json!(2), json!({"buy": 1}))
    );
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
    assert_eq!(
        (report["duplicates"].clone(), report["accepted_total"].clone()),
        (json!(3), json!(0))
    );
    produce(&house);
    assert_eq!(
        (profile(&house, "u1")["orders"].clone(), profile(&house, "u2")["orders"].clone()),
        (json!(3), json!(1))
    );
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
    for corrected in [
        "qty: { column: qty, type: decimal, scale: 1 }",
        "qty2: { column: qty, type: decimal, scale: 1 }",
    ] {
        let house = house(MAPPED);
        let report = ingest(&house, "orders.csv", rows);
        assert_eq!(
            (report["accepted_total"].clone(), report["rejected_total"].clone()),
            (json!(2), json!(1))
        );
        let other = ingest(&house, "more.csv", "msg,user,at,qty\nm9,u1,2026-03-01T05:00:00Z,1\n");
        assert_eq!(other["accepted_total"], 1);
        if corrected.starts_with("qty:") {
            // A property's type stands in the tables: the corrected one is another property.
            let wrong = MAPPED.replace("qty: { column: qty, type: int }", corrected);
            let said =
                house.refused(&["apply", "-f", house.file("v2.yaml", &wrong).to_str().unwrap()]);
            assert!(said.contains("give the property another name"), "{said}");
            continue;
        }
        apply(&house, &MAPPED.replace("qty: { column: qty, type: int }", corrected));
        let replaced =
            house.json(&["ingest", "--replace", house.path("orders.csv").to_str().unwrap()]);
        assert_eq!(replaced["files_replaced"], 1, "{replaced}");
        assert_eq!(
            (replaced["accepted_total"].clone(), replaced["rejected_total"].clone()),
            (json!(3), json!(0))
        );
        produce(&house);
        assert_eq!(
            (profile(&house, "u1")["orders"].clone(), profile(&house, "u2")["orders"].clone()),
            (json!(3), json!(1))
        );
        // A row that was dropped as a duplicate of another file's is one still.
        let twice = format!("{rows}m9,u1,2026-03-01T05:00:00Z,1\n");
        let replaced =
            house.json(&["ingest", "--replace", house.file("orders.csv", twice).to_str().unwrap()]);
        assert_eq!(
            (replaced["accepted_total"].clone(), replaced["duplicates"].clone()),
            (json!(3), json!(1))
        );
        let said = house.ok(&["ingest", "--replace", house.path("orders.csv").to_str().unwrap()]);
        assert!(said.contains("files replaced"), "{said}");
        produce(&house);
        assert_eq!(profile(&house, "u1")["orders"], 3);
    }
}

#[test]
fn what_came_in_and_what_did_not_is_listed() {
    let house = house(ORDERS);
    let rows: String = (0..7)
        .map(|row| {
            format!("x{row},u1,{},1.00\n", if row < 5 { "never" } else { "2026-03-02T10:00:00Z" })
        })
        .collect();
    house.json(&[
        "ingest",
        "--allow-rejects",
        house.file("bad.csv", format!("msg,user,at,amount\n{rows}")).to_str().unwrap(),
    ]);
    ingest(&house, "monday.csv", format!("{MONDAY}m9,,2026-03-02T12:00:00Z,5.00\n"));

    let source = house.json(&["sources"])["sources"][0].clone();
    let counts =
        ["files", "rows", "accepted", "rejected", "duplicates", "last_rows", "last_rejected"]
            .map(|name| source[name].as_u64().unwrap());
    assert_eq!(counts, [2, 11, 5, 6, 0, 4, 1], "{source}");
    assert!(
        (source["rejected_share"].as_f64().unwrap() - 6.0 / 11.0).abs() < 1e-9
            && source["last_landed"].is_string(),
        "{source}"
    );
    assert!(house.ok(&["sources"]).contains("54.5%"));

    let files = house.json(&["files", "--limit", "1"]);
    assert_eq!(
        (files["files"].as_array().unwrap().len(), files["files"][0]["file"].clone()),
        (1, json!("monday.csv"))
    );
    let more =
        house.json(&["files", "--source", "orders", "--after", files["next"].as_str().unwrap()]);
    assert_eq!(
        (
            more["files"][0]["file"].clone(),
            more["files"][0]["rejected"].clone(),
            more["next"].clone()
        ),
        (json!("bad.csv"), json!(5), Value::Null)
    );
    assert!(house.refused(&["files", "--source", "nothing"]).contains("the sources are orders"));

    let all = house.json(&["rejected"]);
    assert_eq!(
        (all["rows"].as_array().unwrap().len(), all["reasons"].clone()),
        (6, json!({"bad_time": 5, "no_user_id": 1}))
    );
    let text = house.ok(&["rejected", "--reason", "bad_time"]);
    assert!(
        text.contains("bad.csv row 1")
            && text.contains("\"never\" is not a valid time")
            && !text.contains("no_user_id"),
        "{text}"
    );
    // Page by page, each row once.
    let mut rows = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut arguments = vec!["rejected", "--source", "orders", "--limit", "2"];
        if let Some(next) = &next {
            arguments.extend(["--after", next]);
        }
        let page = house.json(&arguments);
        rows.extend(
            page["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| (row["file"].clone(), row["row"].as_i64().unwrap())),
        );
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    let bad = |row: i64| (json!("bad.csv"), row);
    assert_eq!(rows, [(json!("monday.csv"), 4), bad(1), bad(2), bad(3), bad(4), bad(5)]);
    assert_eq!(
        house.json(&["rejected", "--file", "monday.csv"])["rows"][0]["raw"],
        "m9,,2026-03-02T12:00:00Z,5.00"
    );
    assert!(house.refused(&["rejected", "--after", "nonsense"]).contains("give it as it came"));

    // Live calls, too.
    let server = house.serve();
    let key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
    call(
        &house,
        &server,
        &key,
        &json!({"userId": "u7", "event": "buy", "messageId": "c1", "properties": {"amount": 3}}),
    );
    let live = house.json(&["sources"])["sources"][1].clone();
    assert_eq!(
        (live["name"].clone(), live["rows"].clone(), live["accepted"].clone()),
        (json!("segment"), json!(1), json!(1)),
        "{live}"
    );
}

const GERMAN: &str = "kind: app
id: t
time_zone: UTC
---
kind: source
name: orders
format: csv
delimiter: \";\"
user_id: Kunde
event: buy
time: { column: Datum, format: \"%d.%m.%Y %H:%M\", zone: Europe/Berlin }
properties:
  betrag: { column: Betrag, type: decimal, scale: 2 }
---
{kind: tag, name: spend, type: decimal, scale: 2, aggregate: {events: [buy], function: sum, value: betrag}}
";

const GERMAN_ROWS: &str = "Kunde;Datum;Betrag\r\n4711;01.03.2026 10:00;1234.56\r\n";

/// What customer 4711 has spent after this file.
fn spent(definitions: &str, content: impl AsRef<[u8]>) -> Value {
    let house = house(definitions);
    let report = ingest(&house, "orders.csv", content);
    assert_eq!(report["rejected_total"], 0, "{report}");
    produce(&house);
    profile(&house, "4711")["spend"].clone()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn spreadsheets_of_other_countries() {
    let comma = GERMAN.replace("format: csv", "format: csv\ndecimal: ','");
    let rows = "\u{feff}Kunde;Datum;Betrag\r\n4711;01.03.2026 10:00;1234,56\r\n4711;02.03.2026 10:00;1.000,00\r\n4712;03.03.2026 10:00;\"7,5\"\r\n";
    assert_eq!(spent(&comma, rows), "2234.56");
    // Read with a point it is told, row by row.
    let house = house(GERMAN);
    assert!(refused(&house, "orders.csv", rows).contains("rejects 3 of 3 rows"));
    // And the other way round: what has a point is not a valid number with a comma.
    let house = self::house(&comma);
    let said = refused(&house, "orders.csv", GERMAN_ROWS);
    assert!(said.contains("\"1234.56\" is not a number with a decimal comma"), "{said}");

    for rows in [
        format!("sep=;\r\n{GERMAN_ROWS}"),
        format!("\u{feff}\"sep=;\"\n{GERMAN_ROWS}"),
        format!("SEP=,\r\n{}", GERMAN_ROWS.replace(';', ",")),
        "Kunde;Datum;Betrag;\r\n4711;01.03.2026 10:00;1234.56;\r\n".to_owned(),
    ] {
        assert_eq!(spent(GERMAN, &rows), "1234.56", "{rows:?}");
    }
    let house = self::house(GERMAN);
    let said =
        refused(&house, "orders.csv", "Kunde;Datum;Betrag;\r\n4711;01.03.2026 10:00;1234.56;x\r\n");
    assert!(said.contains("a value stands in column 4, which has no name"), "{said}");
}

#[test]
fn texts_in_other_encodings() {
    let marked = [b"\xff\xfe".to_vec(), utf16(GERMAN_ROWS, u16::to_le_bytes)].concat();
    assert_eq!(spent(GERMAN, &marked), "1234.56");
    let bare = utf16(GERMAN_ROWS, u16::to_le_bytes);
    let house = house(GERMAN);
    let said = refused(&house, "orders.csv", &bare);
    assert!(
        said.contains("it looks like UTF-16 without a byte order mark: say `encoding: utf-16le`"),
        "{said}"
    );
    assert_eq!(
        spent(&GERMAN.replace("format: csv", "format: csv\nencoding: utf-16"), &bare),
        "1234.56"
    );
    let big = utf16(GERMAN_ROWS, u16::to_be_bytes);
    assert_eq!(
        spent(&GERMAN.replace("format: csv", "format: csv\nencoding: utf-16be"), &big),
        "1234.56"
    );

    // What other encodings say is what people see.
    let people = "kind: app\nid: t\n---\nkind: source\nname: people\nformat: csv\nencoding: windows-1252\nuser_id: id\nattributes: { city: Größe }\n---\n{kind: tag, name: city, type: enum, attribute: city}\n";
    let house = self::house(people);
    assert_eq!(ingest(&house, "people.csv", b"id,Gr\xf6\xdfe\nu1,K\xf6ln \x80\n")["attributes"], 1);
    produce(&house);
    assert_eq!(profile(&house, "u1"), json!({"city": "Köln €"}));
    let house = self::house(&people.replace("encoding: windows-1252\n", ""));
    let said = refused(&house, "people.csv", b"id,Gr\xf6\xdfe\nu1,K\xf6ln\n");
    assert!(said.contains("it is not UTF-8; if it is windows-1252"), "{said}");
    let lines = people.replace("format: csv", "format: jsonl").replace("windows-1252", "utf-16");
    let house = self::house(&lines);
    assert_eq!(
        ingest(
            &house,
            "people.jsonl",
            utf16("{\"id\":\"u1\",\"Größe\":\"Köln\"}\n", u16::to_le_bytes)
        )["attributes"],
        1
    );
    let wrong = house.refused(&[
        "apply",
        "-f",
        house.file("w.yaml", people.replace("windows-1252", "klingon")).to_str().unwrap(),
    ]);
    assert!(wrong.contains("\"klingon\", which is not a known encoding"), "{wrong}");
}

#[test]
fn a_wrong_delimiter_is_told() {
    let house = house(&GERMAN.replace("delimiter: \";\"", "delimiter: \",\""));
    let said = refused(&house, "orders.csv", GERMAN_ROWS);
    assert!(said.contains("the delimiter seems to be ;: say `delimiter: \";\"`"), "{said}");
    let said = refused(&house, "orders.csv", GERMAN_ROWS.replace(';', "\t"));
    assert!(said.contains("the delimiter seems to be a tab: say `delimiter: \"\\t\"`"), "{said}");
}

const SHOPIFY: &str = "kind: app
id: t
time_zone: UTC
---
kind: source
name: shopify
format: csv
user_id: Email
event: order_line
time: { column: Created at, format: \"%Y-%m-%d %H:%M:%S %z\" }
fill_down: [Email, Created at]
properties:
  name: Name
  total: { column: Total, type: decimal, scale: 2 }
  qty: { column: Lineitem quantity, type: int }
  price: { column: Lineitem price, type: decimal, scale: 2 }
---
{kind: tag, name: lines, type: int, aggregate: {events: [order_line], function: count}}
---
{kind: tag, name: items_value, type: decimal, scale: 2, aggregate: {events: [order_line], function: sum, value: qty * price}}
---
{kind: tag, name: total, type: decimal, scale: 2, aggregate: {events: [order_line], function: sum, value: total}}
";

#[test]
fn rows_that_leave_out_what_the_row_above_says() {
    let rows = "Name,Email,Created at,Total,Lineitem quantity,Lineitem price
#1001,kim@example.org,2026-03-01 10:00:00 -0500,35.00,1,15.00
#1001,,,,2,10.00
#1002,lee@example.org,2026-03-02 11:00:00 -0500,9.00,1,9.00
";
    let house = house(SHOPIFY);
    assert_eq!(ingest(&house, "orders.csv", rows)["rejected_total"], 0);
    produce(&house);
    assert_eq!(
        profile(&house, "kim@example.org"),
        json!({"lines": 2, "items_value": "35.00", "total": "35.00"})
    );
    assert_eq!(
        profile(&house, "lee@example.org"),
        json!({"lines": 1, "items_value": "9.00", "total": "9.00"})
    );
    // Nothing is filled from another file, and nothing before the first value.
    let said = ingest(
        &house,
        "more.csv",
        "Name,Email,Created at,Total,Lineitem quantity,Lineitem price\n#1,,,1.00,1,1.00\n#2,max@example.org,2026-03-02 11:00:00 -0500,9.00,1,9.00\n",
    );
    assert_eq!(
        (said["rejected"].clone(), said["accepted_total"].clone()),
        (json!({"no_user_id": 1}), json!(1))
    );
    let wrong = SHOPIFY.replace("fill_down: [Email, Created at]", "fill_down: [Mail]");
    let said = house.refused(&["apply", "-f", house.file("w.yaml", wrong).to_str().unwrap()]);
    assert!(said.contains("column `Mail` is filled down here, but nothing reads it"), "{said}");
}

#[test]
fn what_inspect_proposes_can_be_applied_as_it_is() {
    let house = house("kind: app\nid: t\ntime_zone: UTC\n");
    let users =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/values/users.parquet"))
            .unwrap();
    let files = [
        ("orders.csv", TUESDAY.as_bytes().to_vec()),
        ("german.csv", utf16(GERMAN_ROWS, u16::to_le_bytes)),
        ("users.parquet", users),
    ];
    for (name, content) in files {
        let file = house.file(name, content);
        let proposed = house.ok(&["inspect", file.to_str().unwrap()]);
        house.ok(&["apply", "-f", house.file("proposed.yaml", &proposed).to_str().unwrap()]);
        let source = name.split('.').next().unwrap();
        let report = house.json(&["ingest", "--source", source, file.to_str().unwrap()]);
        assert_eq!(
            (report["rejected_total"].clone(), report["failed"].clone()),
            (json!(0), json!([])),
            "{proposed}"
        );
        assert!(
            report["accepted"][source].as_u64().is_some_and(|events| events > 0),
            "{proposed}: {report}"
        );
    }
    assert!(house.refused(&["inspect", "nowhere.csv"]).contains("nowhere.csv"));
}

fn snapshots(time: &str) -> String {
    PEOPLE.replace("user_id: user\n", &format!("user_id: user\n{time}"))
}

#[test]
fn files_date_their_rows_by_their_name_or_when_they_were_written() {
    let house = house(&snapshots("time: file\n"));
    ingest(&house, "in/people-2026-03-02.csv", "user,age\nann,30\n");
    ingest(&house, "in/people_20260305.csv", "user,age\nann,31\n");
    let ages = |house: &House, at: &str| {
        house.ok(&["produce", "--as-of", at]);
        [30, 31, 32].map(|age| house.count(&format!("age == {age}")))
    };
    assert_eq!(
        ages(&house, "2026-03-02T00:00"),
        [0, 0, 0],
        "it holds from the beginning of that day on"
    );
    assert_eq!(ages(&house, "2026-03-02T00:01"), [1, 0, 0]);
    assert_eq!(ages(&house, "2026-03-06T00:00"), [0, 1, 0]);
    // An older file that comes later is older all the same.
    ingest(&house, "in/people-2026-03-01.csv", "user,age\nann,32\n");
    assert_eq!(ages(&house, "2026-03-06T00:00"), [0, 1, 0]);

    let written = house.file("in/people.csv", "user,age\nann,32\n");
    assert!(
        std::process::Command::new("touch")
            .args(["-d", "2026-03-10T00:00:00Z"])
            .arg(&written)
            .status()
            .unwrap()
            .success()
    );
    house.ok(&["ingest", written.to_str().unwrap()]);
    assert_eq!(ages(&house, "2026-03-09T00:00"), [0, 1, 0]);
    assert_eq!(ages(&house, "2026-03-11T00:00"), [0, 0, 1]);
}

#[test]
fn a_file_whose_time_cannot_be_told_is_refused() {
    let house = house(&snapshots("time: { file: name }\n"));
    let said = refused(&house, "in/people.csv", "user,age\nann,30\n");
    assert!(said.contains("holds no date") && said.contains("file: modified"), "{said}");
    let said = refused(&house, "in/people-2190-01-01.csv", "user,age\nann,30\n");
    assert!(said.contains("ahead of the clock"), "{said}");
    assert_eq!(ingest(&house, "in/people-2026-03-02.csv", "user,age\nann,30\n")["files_new"], 1);
}

#[test]
fn who_dates_attributes_by_their_ingestion_is_told_what_that_means() {
    let house = House::new();
    let said = house.ok(&["apply", "-f", house.file("defs.yaml", PEOPLE).to_str().unwrap()]);
    assert!(said.contains("no time column") && said.contains("`time: file`"), "{said}");
    ingest(&house, "in/people.csv", "user,age\nann,30\n");
    let said = house.ok(&["produce", "--as-of", "2020-01-01T00:00"]);
    assert!(said.contains("none of its attributes counts"), "{said}");
    assert!(!house.ok(&["produce"]).contains("none of its attributes counts"));
    // Nothing to be told where the files say it.
    let said = house.ok(&[
        "apply",
        "-f",
        house.file("defs.yaml", snapshots("time: file\n")).to_str().unwrap(),
    ]);
    assert!(!said.contains("no time column"), "{said}");
}
