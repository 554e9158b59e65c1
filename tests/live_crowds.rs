//! Live crowds as a caller sees them: an event puts a user in, time alone takes a user out; the
//! judgment, the size, the rows, the change feed and the membership history say the same.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;
mod subscriber;

use driver::{House, Server, eventually};
use serde_json::{Value, json};
use std::process::Command;

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment, properties: {amount: {column: amount, type: decimal, scale: 2}}, attributes: {plan: plan}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: plan, type: enum, mode: stream, attribute: plan}
---
{kind: tag, name: visits_1m, type: int, mode: stream, aggregate: {events: [visit], function: count, window: 1m}}
---
{kind: tag, name: good, type: bool, mode: stream, expression: "orders >= 2"}
---
{kind: crowd, name: buyers, live: true, expression: "good == true && !(plan == \"test\")"}
---
{kind: crowd, name: here_now, live: true, expression: "visits_1m >= 1"}
---
{kind: crowd, name: away_buyers, expression: "crowd(\"buyers\") && !crowd(\"here_now\")"}
"#;

struct Site {
    house: House,
    server: Server,
    admin: String,
    write_key: String,
}

impl Site {
    fn open(flags: &[&str]) -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
        let server = house.serve_with(flags);
        let admin = server.admin_key.clone().unwrap();
        ready(&server);
        let write_key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
        Self { house, server, admin, write_key }
    }

    fn track(&self, user: &str, event: &str, message: &str) {
        let body = json!({"userId": user, "event": event, "messageId": message});
        let answer = self.server.post("/v1/track", &self.write_key, &body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn judged(&self, user: &str, crowd: &str) -> Value {
        let path = format!("/api/v1/apps/t/judge?user={user}&crowd={crowd}");
        self.server.get(&path, &self.admin).json()
    }

    fn becomes(&self, user: &str, crowd: &str, in_crowd: bool) {
        eventually(&format!("{user} in {crowd}: {in_crowd}"), || {
            (self.judged(user, crowd)["in_crowd"] == in_crowd).then_some(())
        });
    }

    fn count(&self, expression: &str) -> u64 {
        let body = json!({"expression": expression});
        let answer = self.server.post("/api/v1/apps/t/count", &self.admin, &body);
        answer.json()["count"].as_u64().unwrap_or_else(|| panic!("{}", answer.json()))
    }

    /// What the feed says of a crowd: user and event, in order.
    fn told(&self, crowd: &str) -> Vec<(String, String)> {
        let path = format!("/api/v1/apps/t/changes?follow=false&from=earliest&crowd={crowd}");
        let body = self.server.get(&path, &self.admin).body;
        let records = subscriber::records(&String::from_utf8(body).unwrap());
        let text = |record: &Value, name: &str| record[name].as_str().unwrap_or("-").to_owned();
        records.iter().map(|record| (text(record, "user"), text(record, "event"))).collect()
    }

    fn tells(&self, crowd: &str, expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(user, event)| ((*user).to_owned(), (*event).to_owned()))
            .collect();
        eventually(&format!("{expected:?} of {crowd}, not {:?}", self.told(crowd)), || {
            (self.told(crowd) == expected).then_some(())
        });
    }

    fn killed(self, flags: &[&str]) -> Self {
        let Self { house, server, admin, write_key } = self;
        drop(server);
        let server = house.serve_with(flags);
        ready(&server);
        Self { house, server, admin, write_key }
    }
}

fn ready(server: &Server) {
    eventually("readiness", || {
        (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
    });
}

#[test]
fn an_event_puts_a_user_in_and_every_answer_says_so() {
    let site = Site::open(&[]);
    let judged = site.judged("ann", "buyers");
    assert_eq!((&judged["in_crowd"], &judged["reason"]), (&json!(false), &json!("unknown_user")));
    for (user, message) in [("ann", "1"), ("ann", "2"), ("bob", "3"), ("cid", "4"), ("cid", "5")] {
        site.track(user, "order", message);
    }
    site.becomes("ann", "buyers", true);
    site.becomes("cid", "buyers", true);
    let judged = site.judged("bob", "buyers");
    assert_eq!((&judged["in_crowd"], &judged["version"]), (&json!(false), &json!(0)), "{judged}");
    assert!(judged["live"] == true && judged["age_ms"].as_u64().unwrap() < 60_000, "{judged}");
    assert_eq!(site.judged("nobody", "buyers")["reason"], "unknown_user");
    let body = json!({"users": ["ann", "bob", "cid"], "crowds": ["buyers", "here_now"]});
    let batch = site.server.post("/api/v1/apps/t/judge", &site.admin, &body).json();
    let row = |at: usize| batch["judgments"][at]["crowds"].clone();
    assert_eq!(row(0), json!({"buyers": true, "here_now": false}), "{batch}");
    assert_eq!(row(1), json!({"buyers": false, "here_now": false}), "{batch}");

    let crowd = site.server.get("/api/v1/apps/t/crowds/buyers", &site.admin).json();
    assert_eq!((&crowd["live"], &crowd["size"]), (&json!(true), &json!(2)), "{crowd}");
    assert!(crowd["as_of"].is_string() && crowd["version"].is_null(), "{crowd}");
    assert_eq!(site.count("crowd(\"buyers\")"), 2);
    assert_eq!(site.count("good == true && !(plan == \"test\")"), 2);
    let exported = site.house.ok(&["export", "buyers"]);
    let mut rows: Vec<&str> = exported.lines().skip(1).collect();
    rows.sort_unstable();
    assert_eq!(rows, ["ann", "cid"]);
    assert_eq!(site.house.json(&["crowds", "buyers"])["versions"], json!([]));
    site.tells("buyers", &[("ann", "enter"), ("cid", "enter")]);

    // A crowd that productions compute takes those who are in the live one then.
    site.house.ok(&["produce"]);
    assert_eq!(site.judged("ann", "away_buyers")["in_crowd"], true);

    // Out again by an attribute, and by deletion.
    let traits = json!({"userId": "ann", "messageId": "6", "traits": {"plan": "test"}});
    assert_eq!(site.server.post("/v1/identify", &site.write_key, &traits).status, 200);
    site.becomes("ann", "buyers", false);
    site.tells("buyers", &[("ann", "enter"), ("cid", "enter"), ("ann", "exit")]);
    site.house.ok(&["delete", "cid"]);
    assert_eq!(site.judged("cid", "buyers")["in_crowd"], false);
    assert_eq!(site.count("crowd(\"buyers\")"), 0);
    let told = [("ann", "enter"), ("cid", "enter"), ("ann", "exit"), ("cid", "-")];
    site.tells("buyers", &told);
    // Who comes back is another user.
    site.track("cid", "order", "7");
    site.track("cid", "order", "8");
    site.becomes("cid", "buyers", true);
    site.tells("buyers", &[&told[..], &[("cid", "enter")]].concat());
}

#[test]
fn who_leaves_by_time_alone_leaves_on_time() {
    let site = Site::open(&[]);
    site.track("ann", "visit", "1");
    site.becomes("ann", "here_now", true);
    // A window of a minute: until the clock shows another minute.
    site.becomes("ann", "here_now", false);
    site.tells("here_now", &[("ann", "enter"), ("ann", "exit")]);
    let path = "/api/v1/apps/t/changes?follow=false&from=earliest&crowd=here_now";
    let body = String::from_utf8(site.server.get(path, &site.admin).body).unwrap();
    let records = subscriber::records(&body);
    let at = records[1]["as_of"].as_str().unwrap();
    assert!(at[17..].starts_with("00"), "in the first second of a minute: {at}");
}

#[test]
fn nobody_enters_twice_over_kill_9_and_a_crowd_that_becomes_live_begins_with_its_members() {
    for land_every in ["3600", "0.2"] {
        let flags = ["--land-every", land_every];
        let site = Site::open(&flags);
        site.track("ann", "order", "1");
        site.track("ann", "order", "2");
        site.track("bob", "order", "3");
        site.tells("buyers", &[("ann", "enter")]);
        let site = site.killed(&flags);
        site.track("bob", "order", "4");
        site.becomes("bob", "buyers", true);
        site.becomes("ann", "buyers", true);
        site.tells("buyers", &[("ann", "enter"), ("bob", "enter")]);
        let site = site.killed(&flags);
        site.track("cid", "order", "5");
        site.track("cid", "order", "6");
        site.tells("buyers", &[("ann", "enter"), ("bob", "enter"), ("cid", "enter")]);

        // Another rule, and another crowd.
        let changed = DEFINITIONS.replace("good == true &&", "orders >= 1 &&");
        let more = "---\n{kind: crowd, name: many, live: true, expression: \"orders >= 2\"}\n";
        let file = site.house.file("app.yaml", format!("{changed}{more}"));
        site.track("dee", "order", "7");
        site.house.ok(&["apply", "-f", file.to_str().unwrap()]);
        site.tells("many", &[("ann", "enter"), ("bob", "enter"), ("cid", "enter")]);
        let told = [("ann", "enter"), ("bob", "enter"), ("cid", "enter"), ("dee", "enter")];
        site.tells("buyers", &told);
        eventually("the size", || (site.count("crowd(\"buyers\")") == 4).then_some(()));
    }
}

/// The rows of the membership history, as another engine reads them: crowd, user, event; by crowd
/// in order.
fn history(house: &House, python: &str) -> Vec<Vec<String>> {
    let script = "
import json, sys
from pyiceberg.catalog.sql import SqlCatalog
catalog = SqlCatalog('taghouse', uri=f'sqlite:///{sys.argv[1]}', init_catalog_tables='false')
rows = catalog.load_table(('t', 'crowd_changes')).scan().to_arrow().to_pylist()
rows.sort(key=lambda row: (row['crowd'] or '', row['time'], row['feed_id'] or 0, row['user_id'] or ''))
print(json.dumps([[row['crowd'] or '-', row['user_id'] or '-', row['event']] for row in rows]))
";
    let file = house.data().join("catalog.db");
    let ended = Command::new(python).args(["-c", script]).arg(file).output().unwrap();
    if !ended.status.success() {
        return Vec::new();
    }
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[test]
fn the_history_has_who_entered_and_left_once_whatever_is_killed() {
    let name = "the_history_has_who_entered_and_left_once_whatever_is_killed";
    let Some(python) = needs::peers(name) else { return };
    let flags = ["--land-every", "0.2"];
    let site = Site::open(&flags);
    let mut expected: Vec<Vec<String>> = Vec::new();
    let row = |crowd: &str, user: &str, event: &str| {
        vec![crowd.to_owned(), user.to_owned(), event.to_owned()]
    };
    let lands = |house: &House, expected: &[Vec<String>]| {
        eventually(&format!("the history {expected:?}, not {:?}", history(house, &python)), || {
            (history(house, &python) == expected).then_some(())
        });
    };
    for (user, message) in [("ann", "1"), ("ann", "2"), ("bob", "3"), ("bob", "4")] {
        site.track(user, "order", message);
    }
    site.tells("buyers", &[("ann", "enter"), ("bob", "enter")]);
    expected.extend([row("buyers", "ann", "enter"), row("buyers", "bob", "enter")]);
    lands(&site.house, &expected);
    let site = site.killed(&flags);
    let traits = json!({"userId": "ann", "messageId": "6", "traits": {"plan": "test"}});
    assert_eq!(site.server.post("/v1/identify", &site.write_key, &traits).status, 200);
    site.becomes("ann", "buyers", false);
    let site = site.killed(&flags);
    expected.push(row("buyers", "ann", "exit"));
    lands(&site.house, &expected);

    // Of a crowd that productions compute, the difference between two versions.
    site.house.ok(&["produce"]);
    expected.insert(0, row("away_buyers", "bob", "enter"));
    lands(&site.house, &expected);
    site.track("cid", "order", "7");
    site.track("cid", "order", "8");
    site.becomes("cid", "buyers", true);
    site.house.ok(&["delete", "bob"]);
    site.house.ok(&["produce"]);
    expected = vec![
        row("-", "bob", "delete"),
        row("away_buyers", "bob", "enter"),
        row("away_buyers", "cid", "enter"),
        row("buyers", "ann", "enter"),
        row("buyers", "bob", "enter"),
        row("buyers", "ann", "exit"),
        row("buyers", "cid", "enter"),
    ];
    let site = site.killed(&flags);
    lands(&site.house, &expected);
}

/// Changes a user's value of `plan` or `orders` by hand.
fn by_hand(site: &Site, user: &str, change: Value) {
    let mut change = change;
    change["user"] = json!(user);
    let body = json!({"create": true, "changes": [change]});
    let answer = site.server.post("/api/v1/apps/t/changes", &site.admin, &body);
    assert_eq!(answer.status, 200, "{}", answer.json());
}

#[test]
fn a_value_set_by_hand_lets_users_enter_and_leave_once_whatever_is_killed() {
    let flags = ["--land-every", "0.2"];
    let site = Site::open(&flags);
    let more = "---\n{kind: crowd, name: regulars, live: true, expression: \"orders >= 3 && !(plan == \\\"test\\\")\"}\n";
    let file = site.house.file("app.yaml", format!("{DEFINITIONS}{more}"));
    site.house.ok(&["apply", "-f", file.to_str().unwrap()]);
    for (user, message) in [("ann", "1"), ("ann", "2"), ("ann", "3"), ("bob", "4")] {
        site.track(user, "order", message);
    }
    let mut told = vec![("ann", "enter")];
    site.tells("regulars", &told);

    // In and out by hand, of somebody with events and of somebody without.
    by_hand(&site, "bob", json!({"tag": "orders", "set": 5}));
    told.push(("bob", "enter"));
    site.tells("regulars", &told);
    by_hand(&site, "ann", json!({"tag": "plan", "set": "test"}));
    told.push(("ann", "exit"));
    site.tells("regulars", &told);
    by_hand(&site, "dee", json!({"tag": "orders", "set": 3}));
    told.push(("dee", "enter"));
    site.tells("regulars", &told);
    let site = site.killed(&flags);

    // What the states say of another tag changes nothing of that.
    let traits = json!({"userId": "bob", "messageId": "5", "traits": {"plan": "gold"}});
    assert_eq!(site.server.post("/v1/identify", &site.write_key, &traits).status, 200);
    by_hand(&site, "ann", json!({"tag": "plan", "unset": true}));
    told.push(("ann", "enter"));
    site.tells("regulars", &told);
    // A value of the states is shown over it.
    site.track("bob", "order", "6");
    told.push(("bob", "exit"));
    site.tells("regulars", &told);
    let site = site.killed(&flags);
    by_hand(&site, "dee", json!({"tag": "orders", "set": 1}));
    told.push(("dee", "exit"));
    site.tells("regulars", &told);
    for user in ["ann", "bob", "dee"] {
        let judged = site.judged(user, "regulars")["in_crowd"].clone();
        assert_eq!(judged, user == "ann", "{user}");
    }

    // Killed before anybody has looked.
    by_hand(&site, "eve", json!({"tag": "orders", "set": 9}));
    let site = site.killed(&flags);
    told.push(("eve", "enter"));
    site.tells("regulars", &told);
    // With another rule everybody is looked at.
    let other = more.replace("orders >= 3", "orders >= 2");
    let file = site.house.file("app.yaml", format!("{DEFINITIONS}{other}"));
    site.house.ok(&["apply", "-f", file.to_str().unwrap()]);
    told.push(("bob", "enter"));
    site.tells("regulars", &told);
    let site = site.killed(&flags);
    site.track("fay", "order", "7");
    eventually("all was looked at", || (site.count("orders >= 1") == 5).then_some(()));
    site.tells("regulars", &told);
}
