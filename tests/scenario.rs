//! A day with the binary: define, ingest, produce, ask, export, judge; wrong input of every sort;
//! with and without a server.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "scenario/crowd_kinds.rs"]
mod crowd_kinds;
mod driver;
mod needs;

use arrow::array::{AsArray, RecordBatch};
use driver::{House, shop_definitions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

const ORDERS: &str = "id,user,event,time,sku,amount
1,ann,purchase,2026-06-20T10:00:00,s1,60.10
2,ann,purchase,2026-06-21T10:00:00,s2,60.15
3,ann,visit,2026-06-21T11:00:00,,
4,bob,purchase,2026-06-22T10:00:00,s2,12.50
4,bob,purchase,2026-06-22T10:00:00,s2,12.50
5,cid,visit,2026-06-22T10:00:00,,
6,dot,purchase,2026-05-01T10:00:00,s1,99.99
7,,purchase,2026-06-22T10:00:00,s1,1.00
8,eve,purchase,never,s1,1.00
9,eve,purchase,2026-06-22T10:00:00,s1,cheap
10,eve,purchase,2026-06-22T10:00:00,s1,-1.00
11,eve,purchase
";

const AS_OF: &str = "2026-07-01T00:00";

fn produced() -> House {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let orders = house.file("in/orders-1.csv", ORDERS);
    house.ok(&["ingest", "--source", "orders", orders.parent().unwrap().to_str().unwrap()]);
    house.ok(&["produce", "--as-of", AS_OF]);
    house
}

#[test]
fn apply_plans_applies_and_then_finds_nothing_to_do() {
    let house = House::new();
    let definitions = shop_definitions();
    let definitions = definitions.to_str().unwrap();
    let actions = |plan: &Value| {
        plan["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| change["action"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let said = house.refused(&["apply", "-f", definitions, "--dry-run"]);
    assert!(
        said.contains("no data folder") && !house.data().exists(),
        "a dry run makes nothing: {said}"
    );
    house.ok(&["keys", "create", "--role", "admin", "--all-apps"]);
    let plan = house.json(&["apply", "-f", definitions, "--dry-run"]);
    assert_eq!(
        (plan["applied"].clone(), actions(&plan)),
        (json!(false), BTreeSet::from(["create".to_owned()]))
    );
    assert_eq!(
        actions(&house.json(&["apply", "-f", definitions])),
        BTreeSet::from(["create".to_owned()])
    );
    assert_eq!(
        actions(&house.json(&["apply", "-f", definitions])),
        BTreeSet::from(["unchanged".to_owned()])
    );

    let changed =
        house.file("more.yaml", "kind: crowd\nname: others\nexpression: 'purchases >= 1'\n");
    let plan = house.json(&["apply", "-f", changed.to_str().unwrap()]);
    assert_eq!(plan["changes"], json!([{"kind": "crowd", "name": "others", "action": "change"}]));
}

#[test]
fn definitions_that_do_not_check_are_refused_whole_with_place_and_suggestion() {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let cases = [
        ("kind: tag\nname: t\ntype: int\nagregate: { function: count }\n", "aggregate"),
        ("kind: crowd\nname: c\nexpression: 'purchase >= 1'\n", "purchases"),
        ("kind: crowd\nname: c\nexpression: 'purchases >= \"x\"'\n", "purchases"),
        ("kind: crowd\nname: c\nexpression: 'purchases >='\n", "expected"),
        (
            "kind: tag\nname: a\ntype: int\nexpression: b + 1\n---\nkind: tag\nname: b\ntype: int\nexpression: a + 1\n",
            "a",
        ),
    ];
    for (text, word) in cases {
        let good = "kind: tag\nname: fine\ntype: int\naggregate: { function: count }\n---\n";
        let file = house.file("bad.yaml", format!("{good}{text}"));
        let said = house.refused(&["apply", "-f", file.to_str().unwrap()]);
        assert!(said.contains("bad.yaml") && said.contains(word), "{said}");
        let tags = house.json(&["tags"]);
        assert!(
            tags["tags"].as_array().unwrap().iter().all(|tag| tag["name"] != "fine"),
            "nothing of a refused file is applied"
        );
    }
}

#[test]
fn tags_and_crowds_are_as_reckoned_by_hand() {
    let house = produced();
    let users: Vec<(&str, u64)> = vec![
        ("purchases >= 1", 3),
        ("purchases >= 2", 1),
        ("spend_30d >= 120.25", 1),
        ("spend_30d > 120.25", 0),
        ("spend_30d is set", 2),
        ("!(spend_30d is set)", 2),
        ("favourite == \"s1\"", 2),
        ("favourite like 's%'", 3),
        ("band in (\"high\", \"low\")", 2),
        ("mean == 60.13", 1),
        ("visits == 1", 2),
        ("crowd(\"high_spenders\") || visits == 1", 2),
    ];
    for (expression, count) in users {
        assert_eq!(house.count(expression), count, "{expression}");
    }
    let tags = house.json(&["tags"]);
    let spend = tags["tags"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tag| tag["name"] == "spend_30d")
        .unwrap()
        .clone();
    assert_eq!(
        (spend["users"].clone(), spend["sum"].clone(), tags["users"].clone()),
        (json!(2), json!("132.75"), json!(4))
    );
    let crowds = house.json(&["crowds"]);
    let sizes: Vec<_> = crowds["crowds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|crowd| (crowd["name"].clone(), crowd["size"].clone()))
        .collect();
    assert_eq!(sizes, [(json!("high_spenders"), json!(1)), (json!("others"), json!(3))]);
    let profile = house.json(&["profile", "ann"]);
    assert_eq!(profile["tags"]["spend_30d"], "120.25");
    assert_eq!(
        (profile["tags"]["band"].clone(), profile["tags"]["visits"].clone()),
        (json!("high"), json!(1))
    );
}

#[test]
fn the_size_shown_the_rows_exported_and_the_members_admitted_are_one_set() {
    let house = produced();
    let csv = house.ok(&["export", "others"]);
    let members: BTreeSet<&str> = csv.lines().skip(1).collect();
    assert_eq!(members, BTreeSet::from(["bob", "cid", "dot"]));
    let jsonl = house.ok(&["export", "others", "--format", "jsonl"]);
    let same: BTreeSet<String> = jsonl
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["user_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(same, members.iter().map(|id| (*id).to_owned()).collect());
    let file = house.path("members.parquet");
    house.ok(&["export", "others", "--format", "parquet", "-o", file.to_str().unwrap()]);
    let ids = parquet_ids(&std::fs::read(&file).unwrap());
    assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>()), (members.len(), same));
    let python = needs::peers(
        "the_size_shown_the_rows_exported_and_the_members_admitted_are_one_set, of Roaring files",
    );
    for (format, reader) in [("roaring", "BitMap"), ("roaring64", "BitMap64")] {
        let file = house.path("members.roaring");
        house.ok(&["export", "others", "--format", format, "-o", file.to_str().unwrap()]);
        let script = format!(
            "import sys, pyroaring; print(len(pyroaring.{reader}.deserialize(open(sys.argv[1], 'rb').read())))"
        );
        let Some(python) = &python else { continue };
        let counted = Command::new(python).args(["-c", &script]).arg(&file).output().unwrap();
        assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
        assert_eq!(String::from_utf8(counted.stdout).unwrap().trim(), members.len().to_string());
    }
    for user in ["ann", "bob", "cid", "dot", "nobody"] {
        let judged = house.json(&["judge", user, "others"]);
        assert_eq!(judged["in_crowd"], json!(members.contains(user)), "{user}");
    }
    assert!(
        house.refused(&["judge", "ann", "other"]).contains("others"),
        "a wrong name gets a suggestion"
    );
}

fn parquet_ids(bytes: &[u8]) -> Vec<String> {
    let reader =
        ParquetRecordBatchReader::try_new(bytes::Bytes::copy_from_slice(bytes), 1024).unwrap();
    let column =
        |batch: RecordBatch| batch.column_by_name("user_id").unwrap().as_string::<i32>().clone();
    reader
        .flat_map(|batch| {
            column(batch.unwrap()).iter().map(|id| id.unwrap().to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn definitions_that_do_not_fit_the_lake_are_refused_with_their_place() {
    let tag =
        |name: &str, query: &str| format!("kind: tag\nname: {name}\ntype: int\nsql: \"{query}\"\n");
    let wrong_queries = [
        ("DELETE FROM events", "SELECT"),
        ("SELECT user_id, count(*) AS value FROM purchases GROUP BY user_id", "purchases"),
        ("SELECT user_id, sum(amonut) AS value FROM events GROUP BY user_id", "amonut"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id", "value"),
        ("SELECT user_id, (1 AS value FROM events", "SQL"),
    ];
    let fresh = House::new();
    fresh.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let house = produced();
    for house in [&fresh, &house] {
        for (query, word) in wrong_queries {
            let file = house.file("bad.yaml", tag("t", query));
            let said = house.refused(&["apply", "-f", file.to_str().unwrap()]);
            assert!(
                said.contains("bad.yaml:1:1") && said.contains("sql tag t") && said.contains(word),
                "{query}: {said}"
            );
        }
        for query in [
            "SELECT user_id, count(*) AS value FROM events WHERE time < {as_of} AND amount > 1.5 GROUP BY user_id; -- all",
            "WITH e AS (SELECT * FROM attributes WHERE name = 'city') SELECT user_id, count(*) AS value FROM e GROUP BY user_id",
        ] {
            house.ok(&["apply", "-f", house.file("good.yaml", tag("t", query)).to_str().unwrap()]);
        }
    }
    fresh.ok(&[
        "ingest",
        "--source",
        "orders",
        fresh.file("orders-1.csv", ORDERS).to_str().unwrap(),
    ]);
    for house in [&fresh, &house] {
        house.ok(&["produce", "--as-of", AS_OF]);
    }

    let text = std::fs::read_to_string(shop_definitions().join("shop.yaml")).unwrap();
    let file = house
        .file("shop.yaml", text.replace("type: decimal, scale: 2 }", "type: decimal, scale: 1 }"));
    let said = house.refused(&["apply", "-f", file.to_str().unwrap()]);
    assert!(
        said.contains("shop.yaml:6:1")
            && said.contains("`amount`")
            && said.contains("another name"),
        "{said}"
    );
    let file = house.file("shop.yaml", text.replace("  sku: sku\n", "  sku: sku\n  note: note\n"));
    house.ok(&["apply", "-f", file.to_str().unwrap()]);
}

#[test]
fn some_tags_are_produced_with_the_crowds_that_use_them() {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let orders = house.file("orders-1.csv", ORDERS);
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    let crowds = |tag: &str| {
        let report = house.json(&["produce", "--as-of", AS_OF, "--tag", tag]);
        report["crowds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|crowd| crowd["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(crowds("visits"), Vec::<String>::new());
    assert_eq!(
        crowds("spend_30d"),
        ["high_spenders", "others"],
        "by way of band and of each other"
    );
    assert_eq!(house.count("crowd(\"high_spenders\")"), 1);
}

#[test]
fn as_of_times_are_shown_in_the_apps_zone() {
    let house = produced();
    let shown = json!("2026-07-01T00:00:00+02:00");
    let tags = house.json(&["tags"]);
    assert!(
        tags["tags"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|tag| tag["name"] != "city")
            .all(|tag| tag["as_of"] == shown),
        "{tags}"
    );
    assert_eq!(house.json(&["crowds"])["crowds"][0]["as_of"], shown);
    assert_eq!(house.json(&["crowds", "others"])["versions"][0]["as_of"], shown);
    assert_eq!(house.json(&["count", "purchases >= 1"])["as_of"], shown);
    assert_eq!(house.json(&["profile", "ann"])["as_of"]["purchases"], shown);
    assert_eq!(
        house.json(&["produce", "--as-of", "2026-01-01"])["as_of"],
        "2026-01-01T00:00:00+01:00"
    );
}

#[test]
fn a_reader_that_leaves_is_no_error_and_nothing_is_made_by_reading() {
    let house = produced();
    for arguments in [&["tags", "--json"][..], &["export", "others"], &["schema"]] {
        let mut child =
            house.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let nowhere = House::new();
    for arguments in [&["tags"][..], &["runs"], &["keys"], &["ingest", "."], &["produce"]] {
        let said = nowhere.refused(arguments);
        assert!(
            said.contains("no data folder at") && !nowhere.data().exists(),
            "{arguments:?}: {said}"
        );
    }
    assert!(
        house
            .refused(&["tags", "--app", "my shop"])
            .contains("--app: \"my shop\" is not an app id")
    );
}

#[test]
fn what_does_not_fit_is_rejected_with_its_reason_and_the_rest_goes_on() {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let orders = house.file("in/orders-1.csv", ORDERS);
    let report = house.json(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    assert_eq!(report["accepted"], json!({"purchase": 4, "visit": 2}));
    assert_eq!(report["duplicates"], 1);
    assert_eq!(report["rejected_total"], 5);
    assert_eq!(report["rejected"]["no_user_id"], 1);

    let again = house.json(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    assert_eq!(
        (again["files_new"].clone(), again["files_unchanged"].clone()),
        (json!(0), json!(1))
    );

    house.file("in/orders-1.csv", &ORDERS[..200]);
    let said = house.refused(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    assert!(said.contains("orders-1.csv"), "{said}");
    let runs = house.json(&["runs"]);
    assert_eq!(
        (runs["runs"][0]["kind"].clone(), runs["runs"][0]["state"].clone()),
        (json!("ingest"), json!("failed"))
    );

    let elsewhere = house.file("empty/notes.txt", "").parent().unwrap().to_owned();
    let said = house.refused(&["ingest", "--source", "orders", elsewhere.to_str().unwrap()]);
    assert!(
        said.contains("empty") && said.contains("orders*.csv"),
        "the folder and the pattern are named: {said}"
    );

    let dirty = house.file(
        "in/orders-2.csv",
        "id,user,event,time,sku,amount\n1,,x,2026-06-01T00:00:00,,\n2,a,x,2026-06-01T00:00:00,,\n3,,x,2026-06-01T00:00:00,,\n",
    );
    let said = house.refused(&["ingest", "--source", "orders", dirty.to_str().unwrap()]);
    assert!(
        said.contains("allow-rejects") || said.contains("max_reject_share"),
        "the fix is named: {said}"
    );
    let report =
        house.json(&["ingest", "--source", "orders", dirty.to_str().unwrap(), "--allow-rejects"]);
    assert_eq!(report["accepted_total"], 1);
}

#[test]
fn errors_say_what_to_do() {
    let house = House::new();
    let cases: [(&[&str], &str); 4] = [
        (&["tags"], "apply"),
        (&["produce", "--as-of", "yesterday", "--app", "corner"], "apply"),
        (&["apply", "-f", "/no/such/folder"], "/no/such/folder"),
        (&["tags", "--server", "http://127.0.0.1:1"], "--key"),
    ];
    for (arguments, word) in cases {
        let said = house.refused(arguments);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    let file = house.file("kind.yaml", "kind: tga\nname: x\n");
    let said = house.refused(&["apply", "-f", file.to_str().unwrap()]);
    assert!(
        said.contains("kind.yaml:1:7") && said.contains("tag"),
        "wrong files are told before a missing app: {said}"
    );
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    assert!(house.refused(&["count", "purchases >= 1"]).contains("produce"));
    assert!(house.refused(&["produce", "--as-of", "yesterday"]).contains("2026-07-01T00:00"));
    let house = produced();
    let said = house.refused(&["count", "purchases >= 1 && && city == \"x\""]);
    assert!(said.contains('^') && said.contains("expected"), "{said}");
}

/// An answer without the age of what is known, which grows from one call to the next.
fn without_age(answer: String) -> String {
    match serde_json::from_str::<Value>(&answer) {
        Ok(Value::Object(mut fields)) if fields.contains_key("age_ms") => {
            fields.remove("age_ms");
            Value::Object(fields).to_string()
        }
        _ => answer,
    }
}

#[test]
fn every_command_means_the_same_with_a_server_running() {
    let house = produced();
    let commands: [&[&str]; 7] = [
        &["tags", "--json"],
        &["crowds", "--json"],
        &["count", "purchases >= 1", "--json"],
        &["judge", "ann", "high_spenders", "--json"],
        &["profile", "ann", "--json"],
        &["export", "others"],
        &["sample", "purchases >= 1", "--size", "2", "--seed", "7", "--json"],
    ];
    let answers = || -> Vec<String> {
        commands.iter().map(|arguments| without_age(house.ok(arguments))).collect()
    };
    let alone = answers();
    let server = house.serve();
    assert_eq!(alone, answers());
    let said = house.refused(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains(&server.base), "a second server is told the first one's address: {said}");
    let before = house.json(&["crowds", "others"]);
    house.ok(&["produce", "--as-of", AS_OF]);
    assert_eq!(
        house.json(&["crowds", "others"])["versions"].as_array().unwrap().len(),
        before["versions"].as_array().unwrap().len() + 1
    );

    // Another machine has only the URL and a key, and sends its files.
    let key = server.admin_key.clone().unwrap();
    let far = House::new();
    let more = far.file(
        "orders-9.csv",
        "id,user,event,time,sku,amount\n90,zoe,purchase,2026-06-20T10:00:00,s1,5.00\n",
    );
    let remote = |arguments: &[&str]| {
        let mut all = vec!["--server", server.base.as_str(), "--key", key.as_str()];
        all.extend(arguments);
        far.json(&all)
    };
    assert_eq!(
        remote(&["ingest", "--source", "orders", more.to_str().unwrap()])["accepted_total"],
        1
    );
    far.file(
        "more/orders-10.csv",
        "id,user,event,time,sku,amount\n91,zoe,visit,2026-06-20T10:00:00,,\n",
    );
    let folder = far.file("more/notes.txt", "not an order");
    assert_eq!(
        remote(&["ingest", "--source", "orders", folder.parent().unwrap().to_str().unwrap()])["files_new"],
        1
    );
    remote(&["produce", "--as-of", AS_OF]);
    assert_eq!(remote(&["count", "purchases >= 1"])["count"], 4);
}

#[test]
fn a_copied_data_folder_is_one_of_its_own_and_a_moved_one_goes_on() {
    let house = produced();
    let copy = house.beside("copy");
    assert!(
        Command::new("cp").arg("-r").arg(house.data()).arg(copy.data()).status().unwrap().success()
    );
    let more = house.file(
        "more/orders-2.csv",
        "id,user,event,time,sku,amount\n90,zoe,purchase,2026-06-20T10:00:00,s1,1.00\n",
    );
    copy.ok(&["ingest", "--source", "orders", more.to_str().unwrap()]);
    copy.ok(&["produce", "--as-of", AS_OF]);
    assert_eq!((copy.count("purchases >= 1"), house.count("purchases >= 1")), (4, 3));
    house.ok(&["produce", "--as-of", AS_OF]);
    assert_eq!(house.count("purchases >= 1"), 3);

    let moved = house.beside("moved");
    std::fs::rename(house.data(), moved.data()).unwrap();
    assert_eq!(moved.count("purchases >= 1"), 3);
    moved.ok(&["ingest", "--source", "orders", more.to_str().unwrap()]);
    moved.ok(&["produce", "--as-of", AS_OF]);
    assert_eq!(moved.count("purchases >= 1"), 4);
    // Nothing names the former place any more.
    let former = house.data().display().to_string();
    for answer in [moved.json(&["tags"]), moved.json(&["runs"])] {
        assert!(!answer.to_string().contains(&former), "{answer}");
    }
}
