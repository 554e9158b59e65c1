//! Versions of crowds as people use them: checks, rollback, rollout by stages, pins; by command and by
//! HTTP, over restarts, and in the membership history.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, PEOPLE, Server, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

/// Users in the file; user `uN` has N orders.
const USERS: usize = 400;

fn crowd(expression: &str, more: &str) -> String {
    format!("{PEOPLE}---\n{{kind: crowd, name: busy, expression: '{expression}'{more}}}\n")
}

fn opened() -> House {
    let house = House::new();
    apply(&house, "orders >= 300", "");
    house.ingest_people(USERS);
    house.ok(&["produce"]);
    house
}

fn apply(house: &House, expression: &str, more: &str) {
    house.ok(&["apply", "-f", house.file("app.yaml", crowd(expression, more)).to_str().unwrap()]);
}

/// A server on the house, and a key for it.
struct Site {
    server: Server,
    key: String,
}

fn serve(house: &House, flags: &[&str]) -> Site {
    let server = house.serve_with(flags);
    let key = house.ok(&["keys", "create", "--role", "admin"]).trim().to_owned();
    Site { server, key }
}

/// The members as they are shown, exported and judged, which must be the same users.
fn members(house: &House, Site { server, key }: &Site) -> BTreeSet<String> {
    let exported = house.ok(&["export", "busy"]);
    let exported: BTreeSet<String> = exported.lines().skip(1).map(str::to_owned).collect();
    let crowd = server.get("/api/v1/apps/shop/crowds/busy", key).json();
    assert_eq!(size_of(&crowd), exported.len() as u64, "{crowd}");
    let users: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
    let body = json!({"users": users, "crowds": ["busy"]});
    let judged = server.post("/api/v1/apps/shop/judge", key, &body).json();
    for row in judged["judgments"].as_array().unwrap() {
        let user = row["user"].as_str().unwrap();
        assert_eq!(row["crowds"]["busy"], exported.contains(user), "{user}");
    }
    exported
}

/// Of the version that answers, be it of the present rule or of the one before.
fn size_of(crowd: &Value) -> u64 {
    crowd["size"].as_u64().or_else(|| crowd["answering"]["size"].as_u64()).unwrap()
}

fn at_least(orders: usize) -> BTreeSet<String> {
    (orders..USERS).map(|n| format!("u{n}")).collect()
}

fn state(Site { server, key }: &Site) -> Value {
    server.get("/api/v1/apps/shop/crowds/busy", key).json()["state"].clone()
}

#[test]
fn a_version_that_changes_too_much_waits_and_a_rollback_holds() {
    let house = opened();
    let site = serve(&house, &[]);
    assert_eq!((members(&house, &site), state(&site)), (at_least(300), json!("active")));

    apply(&house, "orders >= 10", ", publish: {checks: {max_change: 50%}}");
    let said = house.ok(&["produce"]);
    assert!(
        said.contains("crowd busy: version 2 does not answer, for it has 390 members"),
        "{said}"
    );
    assert_eq!(members(&house, &site), at_least(300));
    let listed = house.ok(&["crowds", "busy"]);
    assert!(
        listed.contains("waits: it has 390 members and version 1, which answers, 100"),
        "{listed}"
    );

    house.ok(&["versions", "publish", "busy"]);
    assert_eq!(members(&house, &site), at_least(10));
    let difference = house.ok(&["versions", "diff", "busy", "1", "--sample", "2"]);
    assert!(difference.contains("290 entered: u") && difference.contains(", …"), "{difference}");
    assert!(difference.contains("0 left\n"), "{difference}");

    let held = house.ok(&["versions", "rollback", "busy"]);
    assert!(held.contains("held since"), "{held}");
    assert_eq!((members(&house, &site), state(&site)), (at_least(300), json!("held")));
    apply(&house, "orders >= 250", "");
    let said = house.ok(&["produce"]);
    assert!(said.contains("was rolled back and is held"), "{said}");
    assert_eq!(members(&house, &site), at_least(300));

    // After kill -9 it is held all the same.
    drop(site);
    let site = serve(&house, &[]);
    assert_eq!((members(&house, &site), state(&site)), (at_least(300), json!("held")));
    house.ok(&["versions", "publish", "busy", "3"]);
    assert_eq!((members(&house, &site), state(&site)), (at_least(250), json!("active")));

    let trail = house.json(&["audit", "--action", "crowd"]);
    let lines: Vec<(String, String)> = trail["lines"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["outcome"].as_str().unwrap().starts_with("done"))
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            (text("action"), text("subject"))
        })
        .collect();
    let expected = [
        ("crowd.publish", "busy version 3"),
        ("crowd.rollback", "busy"),
        ("crowd.publish", "busy"),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(action, on)| ((*action).to_owned(), (*on).to_owned())).collect();
    assert_eq!(lines, expected, "{trail}");

    let refused = house.refused(&["versions", "publish", "busy", "9"]);
    assert!(
        refused.contains("crowd busy has no version 9: versions 1, 2, 3 are kept"),
        "{refused}"
    );
    let refused = house.refused(&["versions", "rollout", "busy", "5", "--version", "1"]);
    assert!(refused.contains("`5` is not a share of users"), "{refused}");
}

#[test]
fn a_new_rule_comes_to_everybody_by_stages() {
    let house = opened();
    let site = serve(&house, &[]);
    let plan = ", publish: {rollout: {stages: [10%, 50%], every: 1s}}";
    apply(&house, "orders < 100", plan);
    house.ok(&["produce"]);
    let new: BTreeSet<String> = (0..100).map(|n| format!("u{n}")).collect();
    let mut entered = BTreeSet::new();
    eventually("the end of the rollout", || {
        let now = members_at_once(&house);
        let of_new: BTreeSet<String> = now.intersection(&new).cloned().collect();
        assert!(entered.is_subset(&of_new), "nobody leaves as the share grows");
        entered = of_new;
        (now == new).then_some(())
    });
    eventually("its state", || (state(&site) == "active").then_some(()));
    let versions = house.json(&["crowds", "busy"])["versions"].clone();
    let blends: Vec<&Value> =
        versions.as_array().unwrap().iter().map(|version| &version["blend"]["share"]).collect();
    assert_eq!(blends, [&json!("50%"), &json!("10%"), &Value::Null, &Value::Null, &Value::Null]);
    assert_eq!(versions[2]["current"], true, "the new rule's own version: {versions}");
    assert_eq!(members(&house, &site), new);
}

fn members_at_once(house: &House) -> BTreeSet<String> {
    house.ok(&["export", "busy"]).lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn the_history_follows_the_version_that_answers() {
    let name = "the_history_follows_the_version_that_answers";
    let Some(python) = needs::peers(name) else { return };
    let house = opened();
    let site = serve(&house, &["--land-every", "0.2"]);
    apply(&house, "orders >= 398", "");
    house.ok(&["produce"]);
    house.ok(&["versions", "rollback", "busy"]);
    apply(&house, "orders >= 397", "");
    house.ok(&["produce"]);
    assert_eq!(members(&house, &site).len(), 100, "held");
    house.ok(&["versions", "publish", "busy"]);
    house.ok(&["versions", "pin", "busy", "1"]);
    // 100 at first; 98 leave and come back; then 97 leave.
    let expected = json!({"1 enter": 198, "2 exit": 98, "3 exit": 97});
    eventually(&format!("{expected}, not {}", history(&house, &python)), || {
        (history(&house, &python) == expected).then_some(())
    });
}

/// How many entered and left with each version, as another engine reads the history.
fn history(house: &House, python: &str) -> Value {
    let script = "
import collections, json, sys
from pyiceberg.catalog.sql import SqlCatalog
catalog = SqlCatalog('taghouse', uri=f'sqlite:///{sys.argv[1]}', init_catalog_tables='false')
rows = catalog.load_table(('shop', 'crowd_changes')).scan().to_arrow().to_pylist()
counts = collections.Counter(f\"{row['version']} {row['event']}\" for row in rows)
print(json.dumps(counts))
";
    let file = house.data().join("catalog.db");
    let ended = Command::new(python).args(["-c", script]).arg(file).output().unwrap();
    if !ended.status.success() {
        // The table is made with its first rows.
        return Value::Null;
    }
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[test]
fn crowds_are_computed_without_a_production() {
    let house = opened();
    let site = serve(&house, &[]);
    let more = "---\n{kind: crowd, name: few, expression: 'crowd(\"busy\") && orders < 310'}\n";
    let rule = format!("{}{more}", crowd("orders >= 300", ""));
    house.ok(&["apply", "-f", house.file("app.yaml", rule).to_str().unwrap()]);
    let said = house.ok(&["refresh", "few"]);
    assert!(said.contains("few") && !said.contains("busy"), "{said}");
    assert_eq!(house.count("crowd(\"few\")"), 10);

    house.ok(&["change", "u0", "orders", "305"]);
    assert!(!members(&house, &site).contains("u0"), "until it is computed");
    let said = house.ok(&["refresh", "busy", "--dependents"]);
    assert!(said.contains("few") && said.contains("busy"), "{said}");
    assert!(members(&house, &site).contains("u0"));
    assert_eq!(house.count("crowd(\"few\")"), 11);
    let refused = house.refused(&["refresh", "bussy"]);
    assert!(refused.contains("did you mean `busy`"), "{refused}");

    // By itself: soon after it was defined, and then every minute.
    let often = "---\n{kind: crowd, name: often, expression: 'orders >= 305', refresh: 1m}\n";
    let rule = format!("{}{more}{often}", crowd("orders >= 300", ""));
    house.ok(&["apply", "-f", house.file("app.yaml", rule).to_str().unwrap()]);
    let version = || house.json(&["crowds", "often"])["versions"][0]["version"].as_u64();
    let server = &site.server;
    let size = || {
        let answer = server.get("/api/v1/apps/shop/crowds/often", &site.key).json();
        answer["size"].as_u64()
    };
    eventually("its first version", || (size() == Some(96)).then_some(()));
    house.ok(&["change", "u1", "orders", "305"]);
    eventually("its second version", || (size() == Some(97)).then_some(()));
    assert_eq!(version(), Some(2));
}

#[test]
fn nothing_answers_until_the_first_version_is_approved() {
    let house = House::new();
    apply(&house, "orders >= 2", ", publish: {approval: required}, holdout: 10%, always: [u0]");
    let file = house.file("in/people.csv", "user,orders\nu0,0\nu1,1\nu2,2\nu3,3\n");
    house.ok(&["ingest", "--source", "people", file.to_str().unwrap()]);
    house.ok(&["produce"]);
    let site = serve(&house, &[]);
    let judged = site.server.get("/api/v1/apps/shop/judge?user=u0&crowd=busy", &site.key);
    assert_eq!(judged.status, 404, "{}", judged.json());
    let said = judged.json()["detail"].as_str().unwrap().to_owned();
    assert!(said.contains("version 1 waits, for each version is to be approved"), "{said}");
    assert_eq!(state(&site), "ready");
    assert!(house.ok(&["crowds"]).contains("version 1 waits"), "{}", house.ok(&["crowds"]));
    house.ok(&["versions", "publish", "busy"]);
    assert_eq!(state(&site), "active");
    let members = members_at_once(&house);
    assert!(members.contains("u0") && !members.contains("u1"), "{members:?}");
    let why = house.ok(&["why", "u0", "busy"]);
    assert!(why.contains("the crowd names the user under `always`\nno  orders >= 2"), "{why}");
    assert!(!why.contains("otherwise"), "{why}");
}
