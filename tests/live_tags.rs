//! Live tags as a caller sees them: values a moment after the call, right again after kill −9,
//! computed again when files or definitions come, gone with their user, kept by productions; and
//! what tells how they are doing.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, Server, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment, properties: {amount: {column: amount, type: decimal, scale: 2}}, attributes: {plan: plan}}
---
kind: source
name: old
format: csv
files: "old*.csv"
message_id: id
user_id: user
event: {column: event}
time: time
properties: {amount: {column: amount, type: decimal, scale: 2}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: spend, type: decimal, scale: 2, mode: both, aggregate: {events: [order], function: sum, value: amount}}
---
{kind: tag, name: plan, type: enum, mode: stream, attribute: plan}
---
{kind: tag, name: good, type: bool, mode: stream, expression: "orders >= 2 && plan == \"pro\""}
---
{kind: tag, name: visits, type: int, aggregate: {events: [visit], function: count}}
---
{kind: crowd, name: buyers, expression: "orders >= 2"}
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
        // From here on calls change values, and are not merely among what is computed at first.
        eventually("readiness", || {
            (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
        });
        let write_key = house.json(&["keys", "create", "--role", "write"])["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { house, server, admin, write_key }
    }

    /// An order now.
    fn order(&self, user: &str, message: &str) {
        self.call("track", &json!({"userId": user, "event": "order", "messageId": message, "properties": {"amount": 10.5}}));
    }

    fn call(&self, kind: &str, body: &Value) {
        let answer = self.server.post(&format!("/v1/{kind}"), &self.write_key, body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn value(&self, user: &str, tag: &str) -> Value {
        let path = format!("/api/v1/apps/t/profile?user={user}");
        self.server.get(&path, &self.admin).json()["tags"][tag].take()
    }

    /// Waits for a value, for longer than is promised: the machine may do much else.
    fn becomes(&self, user: &str, tag: &str, value: &Value) {
        eventually(&format!("{tag} {value} of {user}"), || {
            (self.value(user, tag) == *value).then_some(())
        });
    }

    /// How many users an expression holds for, as a question now sees it.
    fn counted(&self, expression: &str) -> Value {
        let body = json!({"expression": expression});
        self.server.post("/api/v1/apps/t/count", &self.admin, &body).json()["count"].take()
    }

    fn live(&self) -> Value {
        self.server.get("/api/v1/apps/t/live", &self.admin).json()
    }

    /// Kills the server as a power cut would, and starts another.
    fn killed(self, flags: &[&str]) -> Self {
        let Self { house, server, admin, write_key } = self;
        drop(server);
        let server = house.serve_with(flags);
        Self { house, server, admin, write_key }
    }
}

#[test]
fn a_value_follows_the_call_and_a_crowd_the_value() {
    let site = Site::open(&["--land-every", "3600"]);
    site.order("ann", "m-1");
    site.becomes("ann", "orders", &json!(1));
    assert_eq!(site.counted("orders >= 2"), 0);
    site.order("ann", "m-2");
    site.call("identify", &json!({"userId": "ann", "messageId": "m-3", "traits": {"plan": "pro"}}));
    site.becomes("ann", "good", &json!(true));
    assert_eq!(site.value("ann", "orders"), 2);
    assert_eq!(site.value("ann", "spend"), "21.00");
    assert_eq!(site.counted("orders >= 2"), 1);
    assert_eq!(site.counted("good == true"), 1);

    // A message that is sent again counts once.
    site.order("ann", "m-2");
    site.order("bob", "m-4");
    site.becomes("bob", "orders", &json!(1));
    assert_eq!(site.value("ann", "orders"), 2);

    let live = site.live();
    assert_eq!((&live["live_tags"], &live["lag_records"]), (&json!(4), &json!(0)), "{live}");
    assert_eq!(live["position"], live["log_end"], "{live}");
    // By the calls, and not by a computation from the lake.
    assert!(live["values"].as_u64() > Some(4), "{live}");
    assert_eq!((&live["live_users"], &live["computing"]), (&json!(2), &json!(false)), "{live}");
}

#[test]
fn after_kill_9_values_are_right_and_what_had_not_landed_counts_once() {
    for land_every in ["3600", "0.2"] {
        let flags = ["--land-every", land_every];
        let site = Site::open(&flags);
        site.order("ann", "m-1");
        site.becomes("ann", "orders", &json!(1));
        if land_every != "3600" {
            eventually("a landing", || (site.live()["waiting_records"] == 0).then_some(()));
        }
        site.order("ann", "m-2");
        let site = site.killed(&flags);
        site.becomes("ann", "orders", &json!(2));
        site.becomes("ann", "spend", &json!("21.00"));
        // Sent again by a library that did not get the answer.
        site.order("ann", "m-2");
        site.order("ann", "m-3");
        site.becomes("ann", "orders", &json!(3));
        let site = site.killed(&flags);
        site.becomes("ann", "orders", &json!(3));
        assert_eq!(site.counted("orders >= 2"), 1);
    }
}

#[test]
fn a_deleted_user_is_gone_and_comes_back_with_what_is_new_alone() {
    let site = Site::open(&[]);
    site.order("ann", "m-1");
    site.order("bob", "m-2");
    site.becomes("ann", "orders", &json!(1));
    site.becomes("bob", "orders", &json!(1));
    site.house.ok(&["delete", "ann"]);
    assert_eq!(site.value("ann", "orders"), Value::Null);
    assert_eq!(site.counted("orders >= 1"), 1);
    site.order("ann", "m-3");
    site.becomes("ann", "orders", &json!(1));
    let site = site.killed(&[]);
    site.becomes("ann", "orders", &json!(1));
    assert_eq!(site.counted("orders >= 1"), 2);
}

#[test]
fn productions_leave_live_values_as_they_are_and_write_the_tables_of_both() {
    let site = Site::open(&[]);
    site.order("ann", "m-1");
    site.order("ann", "m-2");
    site.call("track", &json!({"userId": "ann", "event": "visit", "messageId": "m-3"}));
    site.becomes("ann", "orders", &json!(2));
    // As of a time before all calls: what the tables hold, and not what is shown.
    site.house.ok(&["produce", "--as-of", "2020-01-01T00:00"]);
    site.becomes("ann", "orders", &json!(2));
    site.becomes("ann", "spend", &json!("21.00"));
    assert_eq!(site.value("ann", "visits"), Value::Null);
    site.house.ok(&["produce"]);
    site.becomes("ann", "visits", &json!(1));
    assert_eq!(site.value("ann", "orders"), 2);
    assert_eq!(site.value("ann", "spend"), "21.00");
    let lake = site.house.data().join("lake");
    let has_table = |tag: &str| !files_named(&lake, &format!("tag_{tag}")).is_empty();
    assert!(has_table("spend") && has_table("visits"), "tables of batch and both");
    assert!(!has_table("orders"), "a tag of mode stream has no table");

    let judged = site.house.json(&["judge", "ann", "buyers"]);
    assert_eq!(judged["in_crowd"], true, "{judged}");
    site.order("ann", "m-4");
    site.becomes("ann", "orders", &json!(3));
}

/// Folders of this name, at any depth.
fn files_named(folder: &std::path::Path, name: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_named(&path, name));
            if path.file_name().is_some_and(|own| own == name) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn files_of_older_events_are_in_the_values() {
    let site = Site::open(&[]);
    site.order("ann", "m-1");
    site.becomes("ann", "orders", &json!(1));
    let old = "id,user,event,time,amount\no-1,ann,order,2020-01-01T00:00:00,5\no-2,eve,order,2020-01-02T00:00:00,7.25\n";
    let old = site.house.file("old-1.csv", old);
    site.house.ok(&["ingest", "--source", "old", old.to_str().unwrap()]);
    site.becomes("ann", "orders", &json!(2));
    site.becomes("eve", "spend", &json!("7.25"));
    site.order("eve", "m-2");
    site.becomes("eve", "orders", &json!(2));
    assert_eq!(site.value("ann", "spend"), "15.50");

    // Without a server, and then with one.
    let Site { house, server, admin, write_key } = site;
    drop(server);
    let more =
        house.file("old-2.csv", "id,user,event,time,amount\no-3,ann,order,2020-02-01T00:00:00,1\n");
    house.ok(&["ingest", "--source", "old", more.to_str().unwrap()]);
    let server = house.serve();
    let site = Site { house, server, admin, write_key };
    site.becomes("ann", "orders", &json!(3));
}

#[test]
fn a_changed_definition_gets_its_values_from_history() {
    let site = Site::open(&[]);
    site.order("ann", "m-1");
    site.order("ann", "m-2");
    site.order("bob", "m-3");
    site.becomes("ann", "orders", &json!(2));
    let applied = |orders: &str, more: &str| {
        let changed = DEFINITIONS.replace(
            "name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}",
            orders,
        );
        let file = site.house.file("app.yaml", format!("{changed}{more}"));
        site.house.ok(&["apply", "-f", file.to_str().unwrap()]);
    };
    let summed = "name: orders, type: int, mode: stream, aggregate: {events: [order, visit], function: count}";
    site.call("track", &json!({"userId": "bob", "event": "visit", "messageId": "m-4"}));
    applied(
        summed,
        "---\n{kind: tag, name: top, type: decimal, scale: 2, mode: stream, aggregate: {events: [order], function: max, value: amount}}\n",
    );
    site.becomes("bob", "orders", &json!(2));
    site.becomes("bob", "top", &json!("10.50"));
    assert_eq!(site.value("ann", "orders"), 2);
    site.order("bob", "m-5");
    site.becomes("bob", "orders", &json!(3));

    // Another type, and back to batch.
    applied(
        "name: orders, type: decimal, scale: 1, mode: stream, aggregate: {events: [order], function: sum, value: amount}",
        "",
    );
    site.becomes("ann", "orders", &json!("21.0"));
    site.order("ann", "m-6");
    site.becomes("ann", "orders", &json!("31.5"));
    let problems = site.live()["problem"].clone();
    assert_eq!(problems, Value::Null);
}

#[test]
fn status_tells_how_an_app_stands_with_a_server_and_without() {
    let site = Site::open(&["--land-every", "3600"]);
    let other = site.house.file("other.yaml", "kind: app\nid: other\ntime_zone: UTC\n");
    site.house.ok(&["apply", "-f", other.to_str().unwrap()]);
    site.order("ann", "m-1");
    site.becomes("ann", "orders", &json!(1));
    let of = |status: &Value, app: &str| {
        status["apps"].as_array().unwrap().iter().find(|each| each["app"] == app).unwrap().clone()
    };
    let status = site.house.json(&["status"]);
    let (own, plain) = (of(&status, "t"), of(&status, "other"));
    let numbers = |status: &Value| -> Vec<Value> {
        ["live_tags", "log_end", "position", "lag_records", "landed_position", "waiting_records"]
            .iter()
            .map(|name| status[name].clone())
            .collect()
    };
    assert_eq!(numbers(&own), [json!(4), json!(1), json!(1), json!(0), json!(0), json!(1)]);
    let none = Value::Null;
    assert_eq!(numbers(&plain), [json!(0), json!(0), none.clone(), none, json!(0), json!(0)]);
    let shown = site.house.ok(&["--app", "t", "status"]);
    assert!(shown.contains("current") && !shown.contains("other"), "{shown}");

    let Site { house, server, .. } = site;
    drop(server);
    let own = of(&house.json(&["status"]), "t");
    assert_eq!((&own["live_tags"], &own["log_end"]), (&json!(4), &json!(1)), "{own}");
    assert_eq!((&own["position"], &own["lag_records"]), (&Value::Null, &Value::Null), "{own}");
    let shown = house.ok(&["--app", "t", "status"]);
    assert!(shown.contains("no server runs"), "{shown}");
}

#[test]
fn probes_say_whether_a_server_lives_and_can_be_asked() {
    let site = Site::open(&[]);
    let probe = |path: &str| site.server.call("GET", path, None, b"");
    let alive = probe("/livez");
    assert_eq!((alive.status, alive.json()), (200, json!({"status": "ok"})));
    eventually("readiness", || (probe("/readyz").status == 200).then_some(()));

    // Definitions that cannot be read any more: it lives, and is not ready.
    let damage = "UPDATE definitions SET body = '{\"kind\": \"tag\"}' WHERE kind = 'tag' AND name = 'visits'";
    let Site { house, server, .. } = site;
    drop(server);
    sqlite(&house, damage);
    let server = house.serve();
    let admin = house.ok(&["keys", "create", "--role", "admin"]).trim().to_owned();
    assert_eq!(server.call("GET", "/livez", None, b"").status, 200);
    let refused = server.call("GET", "/readyz", None, b"");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!((refused.status, refused.content_type.as_str()), (503, "application/problem+json"));
    assert!(detail.contains("definitions cannot be read"), "{detail}");
    assert!(!detail.contains("\"t\"") && !detail.contains("visits"), "{detail}");
    let told = server.get("/readyz", &admin).json()["detail"].as_str().unwrap().to_owned();
    assert!(told.contains("\"t\"") && told.contains("visits"), "{told}");
    let scraped = server.get("/metrics", &admin);
    let text = String::from_utf8(scraped.body).unwrap();
    assert!(text.contains("taghouse_app_ready{app=\"t\"} 0"), "{text}");
}

fn sqlite(house: &House, statement: &str) {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); n = c.execute(sys.argv[2]).rowcount; c.commit(); sys.exit(0 if n == 1 else f'{n} rows')";
    let file = house.data().join("catalog.db");
    let ended =
        Command::new("python3").args(["-c", script]).arg(file).arg(statement).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn metrics_are_what_prometheus_reads_and_right_after_known_traffic() {
    let Some(python) =
        needs::peers("metrics_are_what_prometheus_reads_and_right_after_known_traffic")
    else {
        return;
    };
    let site = Site::open(&[]);
    let other = site.house.file("other.yaml", "kind: app\nid: other\ntime_zone: UTC\n");
    site.house.ok(&["apply", "-f", other.to_str().unwrap()]);
    for (user, message) in [("ann", "m-1"), ("ann", "m-2"), ("bob", "m-3"), ("bob", "m-3")] {
        site.order(user, message);
    }
    site.call(
        "track",
        &json!({"userId": "ann", "event": "order", "messageId": "m-4", "properties": {"amount": "much"}}),
    );
    site.becomes("ann", "orders", &json!(3));
    eventually("a landing", || (site.live()["waiting_records"] == 0).then_some(()));

    let scraped = site.server.get("/metrics", &site.admin);
    assert_eq!((scraped.status, scraped.content_type.as_str()), (200, "text/plain; version=0.0.4"));
    let file = site.house.file("metrics.txt", &scraped.body);
    let parse = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parse
samples = {}
for family in parse(open(sys.argv[1]).read()):
    assert family.documentation and family.type in ('gauge', 'counter'), family
    for sample in family.samples:
        assert sample.name.endswith('_total') == (family.type == 'counter'), sample
        key = sample.name + ''.join(f' {k}={v}' for k, v in sorted(sample.labels.items()))
        assert key not in samples, key
        samples[key] = sample.value
print(json.dumps(samples))
";
    let parsed = Command::new(python).args(["-c", parse]).arg(file).output().unwrap();
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    let samples: BTreeMap<String, f64> = serde_json::from_slice(&parsed.stdout).unwrap();
    let expected = [
        ("taghouse_app_ready app=t", 1.0),
        ("taghouse_app_ready app=other", 1.0),
        ("taghouse_live_tags app=t", 4.0),
        ("taghouse_live_tags app=other", 0.0),
        ("taghouse_log_end_position app=t", 5.0),
        ("taghouse_log_landed_position app=t", 5.0),
        ("taghouse_log_waiting_records app=t", 0.0),
        ("taghouse_live_position app=t", 5.0),
        ("taghouse_live_lag_records app=t", 0.0),
        ("taghouse_live_lag_seconds app=t", 0.0),
        ("taghouse_live_computing app=t", 0.0),
        ("taghouse_live_seen_users app=t", 2.0),
        ("taghouse_messages_total app=t", 5.0),
        ("taghouse_messages_accepted_total app=t", 4.0),
        ("taghouse_messages_duplicate_total app=t", 1.0),
        ("taghouse_rejected_rows_total app=t", 1.0),
        ("taghouse_messages_total app=other", 0.0),
        ("taghouse_build_info version=0.0.0", 1.0),
        ("taghouse_open_requests kind=question", 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(samples.get(name), Some(&value), "{name} in {samples:#?}");
    }
    for name in ["taghouse_uptime_seconds", "taghouse_live_state_disk_bytes app=t"] {
        assert!(samples[name] > 0.0, "{name} in {samples:#?}");
    }
    // Orders and money of two users at least.
    assert!(samples["taghouse_live_values_changed_total app=t"] >= 4.0, "{samples:#?}");

    // A key of one app is told of that app.
    let own = site.house.ok(&["keys", "create", "--role", "viewer", "--app", "other"]);
    let scraped = site.server.get("/metrics", own.trim());
    let text = String::from_utf8(scraped.body).unwrap();
    assert!(text.contains("app=\"other\"") && !text.contains("app=\"t\""), "{text}");
    assert_eq!(site.server.call("GET", "/metrics", None, b"").status, 401);
    assert_eq!(site.server.get("/metrics", &site.write_key).status, 403);
}
