//! Crowds of every kind: whoever is shown, exported and judged is one set, also after deletions and
//! when the users were renumbered.

use super::{AS_OF, ORDERS, produced};
use crate::driver::{House, shop_definitions};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const KINDS: &str = r#"
kind: crowd
name: listed
ids: [ann, "no one", card-1, bob, cid]
---
kind: crowd
name: best
top: { by: spend_30d, users: 1 }
---
kind: crowd
name: most_frequent
top: { by: purchases, share: 60%, among: '!crowd("best")' }
---
kind: crowd
name: some
sample: { users: 2, salt: kinds }
---
kind: crowd
name: half
sample: { share: 50%, of: did("purchase") }
---
kind: crowd
name: visitors
sql: SELECT user_id FROM tag_visits WHERE value >= 1
---
kind: crowd
name: everybody_twice
sql: SELECT user_id FROM events UNION ALL SELECT 'no one' UNION ALL SELECT CAST(NULL AS VARCHAR)
---
kind: crowd
name: neither
expression: '!crowd("listed") && !crowd("visitors")'
"#;

const NAMES: [&str; 8] =
    ["listed", "best", "most_frequent", "some", "half", "visitors", "everybody_twice", "neither"];

/// The members of a crowd, after they were found to be the same however they are asked for.
fn members(house: &House, crowd: &str) -> BTreeSet<String> {
    let csv = house.ok(&["export", crowd]);
    let rows: Vec<String> = csv.lines().skip(1).map(str::to_owned).collect();
    let members: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), members.len(), "{crowd}");
    let crowds = house.json(&["crowds"]);
    let shown = crowds["crowds"].as_array().unwrap().iter().find(|c| c["name"] == crowd).unwrap();
    assert_eq!(shown["size"], json!(rows.len()), "{shown}");
    assert_eq!(house.count(&format!("crowd(\"{crowd}\")")), rows.len() as u64, "{crowd}");
    for user in ["ann", "bob", "cid", "dot", "eve", "no one"] {
        let judged = house.json(&["judge", user, crowd]);
        assert_eq!(judged["in_crowd"], json!(members.contains(user)), "{user} in {crowd}");
    }
    members
}

fn all_members(house: &House) -> Vec<BTreeSet<String>> {
    NAMES.iter().map(|crowd| members(house, crowd)).collect()
}

fn set(users: &[&str]) -> BTreeSet<String> {
    users.iter().map(|user| (*user).to_owned()).collect()
}

fn crowd<'a>(list: &'a Value, name: &str) -> &'a Value {
    list["crowds"].as_array().unwrap().iter().find(|crowd| crowd["name"] == name).unwrap()
}

#[test]
fn crowds_of_every_kind_are_one_set_however_they_are_asked() {
    let house = produced();
    let _server = house.serve();
    house.ok(&["identities", "link", "card-1", "bob", "--type", "device"]);
    house.ok(&["apply", "-f", house.file("kinds.yaml", KINDS).to_str().unwrap()]);

    let report = house.json(&["produce", "--as-of", AS_OF]);
    assert_eq!(
        report["warnings"],
        json!([
            "crowd everybody_twice: there is no user for 2 of the 8 rows that its query gives",
            "crowd listed: there is no user for 1 of its 5 ids: \"no one\""
        ])
    );
    let counts = json!({"given": 5, "unknown": 1, "duplicates": 1, "invalid": 0});
    assert_eq!(crowd(&report, "listed")["ids"], counts);
    assert_eq!(
        crowd(&report, "everybody_twice")["ids"],
        json!({"given": 8, "unknown": 2, "duplicates": 2, "invalid": 0})
    );
    let listed = house.json(&["crowds"]);
    assert_eq!(crowd(&listed, "listed")["ids"], counts);
    assert_eq!(crowd(&listed, "listed")["made_by"], "ids");
    assert_eq!(crowd(&listed, "visitors")["as_of"], "2026-07-01T00:00:00+02:00");
    assert_eq!(crowd(&listed, "neither")["ids"], Value::Null);

    let before = all_members(&house);
    assert_eq!(before[0], set(&["ann", "bob", "cid"]));
    assert_eq!(before[1], set(&["ann"]));
    assert_eq!(before[2], set(&["bob", "dot"]), "60% of two users with one purchase, rounded up");
    assert_eq!(before[3].len(), 2);
    assert!(before[4].is_subset(&set(&["ann", "bob", "dot"])));
    assert_eq!(before[5], set(&["ann", "cid"]));
    assert_eq!(before[6], set(&["ann", "bob", "cid", "dot"]));
    assert_eq!(before[7], set(&["dot"]));

    // A production of one tag leaves those alone that are not made of tags.
    let report = house.json(&["produce", "--as-of", AS_OF, "--tag", "spend_30d"]);
    let computed: Vec<&str> =
        report["crowds"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(computed, ["best", "high_spenders", "most_frequent", "others"]);

    house.ok(&["delete", "ann"]);
    let without = |members: &BTreeSet<String>| -> BTreeSet<String> {
        members.iter().filter(|user| *user != "ann").cloned().collect()
    };
    let left: Vec<BTreeSet<String>> = before.iter().map(without).collect();
    assert_eq!(all_members(&house), left);
    house.ok(&["compact"]);
    assert_eq!(all_members(&house), left, "renumbered");

    let report = house.json(&["produce", "--as-of", AS_OF]);
    assert_eq!(
        crowd(&report, "listed")["ids"],
        json!({"given": 5, "unknown": 2, "duplicates": 1, "invalid": 0})
    );
    let after = all_members(&house);
    assert_eq!(after[1], set(&["bob"]), "the next one");
    assert!(after[3].is_superset(&left[3]) && after[3].len() == 2, "those chosen stay chosen");
    assert_eq!(after[4], left[4]);
    assert_eq!(after[5], set(&["cid"]));

    // Another list is another definition, and the version of the former one goes on to answer.
    let changed = KINDS.replace("ids: [ann, ", "ids: [");
    house.ok(&["apply", "-f", house.file("kinds.yaml", changed).to_str().unwrap()]);
    let list = house.json(&["crowds"]);
    let listed = crowd(&list, "listed");
    assert_eq!((&listed["size"], &listed["answering"]["size"]), (&Value::Null, &json!(2)));
}

#[test]
fn queries_of_crowds_are_checked_when_they_are_defined() {
    // All at once, before anything was ingested: the tables of tags come with the production.
    let house = House::new();
    let shop = std::fs::read_to_string(shop_definitions().join("shop.yaml")).unwrap();
    let all = house.file("all.yaml", format!("{shop}---{KINDS}"));
    house.ok(&["apply", "-f", all.to_str().unwrap()]);
    let orders = house.file("orders-1.csv", ORDERS);
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", AS_OF]);
    assert_eq!(members(&house, "visitors"), set(&["ann", "cid"]));

    // Of two days the query sees the one that is produced.
    house.ok(&["produce", "--as-of", "2026-06-21T00:00"]);
    assert_eq!(members(&house, "visitors"), set(&[]));

    for (sql, said) in [
        ("SELECT user_id, 1 AS value FROM events", "select exactly user_id"),
        ("SELECT user_id FROM tag_visit", "tag_visit"),
        ("DELETE FROM events", "SELECT"),
        ("SELECT user_id FROM other.events", "only the app's own tables"),
    ] {
        let bad = format!("kind: crowd\nname: asked\nsql: {sql}\n");
        let file = house.file("bad.yaml", bad);
        let refused = house.refused(&["apply", "-f", file.to_str().unwrap()]);
        assert!(refused.contains("crowd asked: ") && refused.contains(said), "{refused}");
    }

    // What fails when it is run fails its crowd alone, and those made of it.
    let bad = "kind: crowd\nname: asked\nsql: SELECT user_id FROM events WHERE 1 / (event = 'visit')::int > 0\n---\nkind: crowd\nname: of_asked\nexpression: '!crowd(\"asked\")'\n";
    house.ok(&["apply", "-f", house.file("bad.yaml", bad).to_str().unwrap()]);
    let refused = house.refused(&["produce", "--as-of", AS_OF]);
    assert!(refused.contains("crowd asked: ") && refused.contains("ivide by zero"), "{refused}");
    assert_eq!(members(&house, "visitors"), set(&["ann", "cid"]));
}
