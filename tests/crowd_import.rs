//! Imports of crowds as people make them: by command and over HTTP, from files of every form, beside
//! productions, deletions, renumbering, and a server that is killed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, PEOPLE};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const CROWDS: &str = "
{kind: crowd, name: listed, import: {}}
---
{kind: crowd, name: busy_listed, expression: 'crowd(\"listed\") && orders >= 50'}
---
{kind: crowd, name: others, expression: '!crowd(\"busy_listed\")'}
";

/// User `uN` has N orders.
const USERS: usize = 100;

fn opened() -> House {
    let house = House::new();
    let app = house.file("app.yaml", format!("{PEOPLE}---{CROWDS}"));
    house.ok(&["apply", "-f", app.to_str().unwrap()]);
    house.ingest_people(USERS);
    house
}

fn produce(house: &House) -> Value {
    house.json(&["produce"])
}

fn import(house: &House, file: &Path, flags: &[&str]) -> Value {
    let mut arguments = vec!["import", "listed", file.to_str().unwrap()];
    arguments.extend(flags);
    house.json(&arguments)
}

/// The members as they are shown, exported, judged and counted, which must be the same users.
fn members(house: &House, crowd: &str) -> BTreeSet<String> {
    let exported = house.ok(&["export", crowd]);
    let exported: BTreeSet<String> = exported.lines().skip(1).map(str::to_owned).collect();
    let crowds = house.json(&["crowds"]);
    let shown = crowds["crowds"].as_array().unwrap().iter().find(|c| c["name"] == crowd).unwrap();
    assert_eq!(shown["size"], json!(exported.len()), "{shown}");
    assert_eq!(house.count(&format!("crowd(\"{crowd}\")")), exported.len() as u64);
    for user in ["u1", "u60", "u99", "nobody"] {
        let judged = house.json(&["judge", user, crowd]);
        assert_eq!(judged["in_crowd"], json!(exported.contains(user)), "{user} in {crowd}");
    }
    exported
}

fn users(names: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    names.into_iter().map(|n| format!("u{n}")).collect()
}

fn counts(report: &Value) -> [u64; 5] {
    ["rows", "matched", "duplicates", "unknown", "invalid"]
        .map(|count| report["import"][count].as_u64().unwrap())
}

#[test]
fn a_crowd_of_files() {
    let house = opened();
    let _server = house.serve();
    // Nothing was imported: what is made of it waits, and the production succeeds.
    let report = produce(&house);
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "also of what is made of that: {report}");
    assert!(warnings[0].as_str().unwrap().contains("`taghouse import listed FILE`"), "{report}");

    let file = house.file(
        "first.csv",
        "\u{feff}Name;User ID\r\nAnn;u1\r\nBob;u60\r\nCid;u60\r\nDee;nobody\r\nEve;\r\nFay;u99;more\r\n",
    );
    let report = import(&house, &file, &[]);
    assert_eq!(counts(&report), [6, 2, 1, 1, 2], "{report}");
    assert_eq!(report["import"]["header"], "User ID");
    assert_eq!(members(&house, "listed"), users([1, 60]));
    assert_eq!(
        house.ok(&["versions", "rows", "listed", "1"]),
        "first_row,last_row,problem\n4,4,\"its user stands in an earlier row\"\n5,5,\"it is the id of nobody\"\n\
         6,6,\"the user id is empty\"\n7,7,\"it has 3 fields, the first row 2\"\n"
    );
    produce(&house);
    assert_eq!(members(&house, "busy_listed"), users([60]));

    // What is made of it follows at once.
    let more = house.file("more.csv", (50..60).map(|n| format!("u{n}\n")).collect::<String>());
    let report = import(&house, &more, &["--mode", "append", "--batch", "monday"]);
    assert_eq!(report["crowds"][0]["name"], "busy_listed", "{report}");
    assert_eq!(members(&house, "busy_listed"), users(50..=60));
    let again = import(&house, &more, &["--mode", "append", "--batch", "monday"]);
    assert_eq!(
        (&again["import"]["repeated"], &again["import"]["version"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(again["crowds"], json!([]), "nothing follows from it");

    import(&house, &more, &["--mode", "remove"]);
    assert_eq!(members(&house, "listed"), users([1, 60]));
    house.ok(&["versions", "rollback", "listed"]);
    let expected: BTreeSet<String> = users((50..=60).chain([1]));
    assert_eq!(members(&house, "listed"), expected);
    house.ok(&["versions", "publish", "listed"]);

    // Productions leave it as it is; deletions and renumbering do not lose it.
    produce(&house);
    house.ok(&["delete", "u60"]);
    assert_eq!(members(&house, "listed"), users([1]));
    house.ok(&["compact"]);
    import(&house, &house.file("one.csv", "u99\n"), &["--mode", "append"]);
    assert_eq!(members(&house, "listed"), users([1, 99]));
    assert_eq!(members(&house, "busy_listed"), users([99]));
}

#[test]
fn a_workbook_over_http() {
    let house = opened();
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (row, text) in ["Customer ID", "u1", "u2", "who?"].iter().enumerate() {
        sheet.write(u32::try_from(row).unwrap(), 1, *text).unwrap();
    }
    let bytes = book.save_to_buffer().unwrap();
    let server = house.serve();
    produce(&house);
    let key = house.ok(&["keys", "create", "--role", "editor"]).trim().to_owned();
    let upload = server.post("/api/v1/apps/shop/uploads", &key, &json!({})).json();
    let id = upload["id"].as_str().unwrap();
    let place = format!("/api/v1/apps/shop/uploads/{id}/files?name=ids.xlsx");
    assert_eq!(server.call("PUT", &place, Some(&format!("Bearer {key}")), &bytes).status, 204);
    let begun = server.post("/api/v1/apps/shop/crowds/listed/import", &key, &json!({"upload": id}));
    assert_eq!(begun.status, 202);
    let run =
        format!("/api/v1/apps/shop/runs/{}?wait_ms=20000", begun.json()["id"].as_str().unwrap());
    let ended = server.get(&run, &key).json();
    assert_eq!(ended["state"], "succeeded_with_warnings", "{ended}");
    let result = &ended["tasks"][0]["result"];
    assert_eq!((&result["matched"], &result["unknown"]), (&json!(2), &json!(1)), "{result}");
    assert_eq!(members(&house, "listed"), users([1, 2]));
    let rows = server.get("/api/v1/apps/shop/crowds/listed/versions/1/rows", &key);
    assert_eq!(
        String::from_utf8(rows.body).unwrap(),
        "first_row,last_row,problem\n4,4,\"it is the id of nobody\"\n"
    );
    let trail = house.json(&["audit"]).to_string();
    assert!(
        trail.contains("crowd.import") && trail.contains("crowd listed, replacing with ids.xlsx"),
        "{trail}"
    );
}

#[test]
fn what_cannot_be_imported_changes_nothing() {
    let house = opened();
    let server = house.serve();
    produce(&house);
    import(&house, &house.file("good.csv", "u1\n"), &[]);
    let refused = |name: &str, bytes: &[u8], flags: &[&str], problem: &str| {
        let file = house.file(name, bytes);
        let mut arguments = vec!["import", "listed", file.to_str().unwrap()];
        arguments.extend(flags);
        let said = house.refused(&arguments);
        assert!(said.contains(problem), "{name}: {said}");
    };
    refused("empty.csv", b"", &[], "it has no rows");
    refused("nobody.csv", b"x\ny\n", &[], "none of the 2 rows of the file has the id of a user");
    refused("column.csv", b"a,b\nu1,u2\n", &["--column", "c"], "no column \"c\"");
    refused("cut.csv.gz", b"\x1f\x8b\x08\x00", &[], "cut off");
    refused("book.xlsx", b"PK\x03\x04", &[], "cannot be read as .xlsx");
    refused("long.csv", b"u2\n", &["--batch", &"x".repeat(200)], "has 200 characters");
    let said = house.refused(&["import", "busy_listed", house.path("good.csv").to_str().unwrap()]);
    assert!(said.contains("made by its `expression`"), "{said}");
    let said = house.refused(&["refresh", "listed"]);
    assert!(said.contains("`taghouse import listed FILE`"), "{said}");
    assert_eq!(members(&house, "listed"), users([1]));

    drop(server);
}

/// Killed at any time, a file counts whole or not at all.
#[test]
fn an_import_is_whole_over_kill_9() {
    let house = opened();
    let one = house.file("one.csv", "u1\n");
    let all = house.file("all.csv", (0..USERS).map(|n| format!("u{n}\n")).collect::<String>());
    let mut server = house.serve();
    produce(&house);
    import(&house, &one, &[]);
    for delay_ms in [0, 20, 40, 60, 80, 120] {
        let mut child = house
            .command(&["import", "listed", all.to_str().unwrap(), "--mode", "append"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        server.kill();
        child.wait().unwrap();
        server = house.serve();
        let size = members(&house, "listed").len();
        assert!([1, USERS].contains(&size), "{size} after {delay_ms} ms");
        import(&house, &all, &["--mode", "append"]);
        assert_eq!(members(&house, "listed").len(), USERS);
        import(&house, &one, &[]);
        assert_eq!(members(&house, "listed").len(), 1);
    }
}
