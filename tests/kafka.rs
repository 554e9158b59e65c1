//! Topics of a real broker as sources: each record counts once, whatever ends in between.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "kafka/broker.rs"]
mod broker;
mod driver;
mod needs;

use broker::{Broker, Login, certified};
use driver::{House, Server, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// The definitions of an app that reads `orders`.
fn definitions(source: &str) -> String {
    format!(
        r#"
kind: app
id: t
time_zone: UTC
---
{source}---
{{kind: tag, name: orders, type: int, mode: stream, aggregate: {{events: [order], function: count}}}}
---
{{kind: tag, name: spend, type: int, mode: stream, aggregate: {{events: [order], function: sum, value: amount}}}}
---
{{kind: tag, name: plan, type: enum, mode: stream, attribute: plan}}
---
{{kind: crowd, name: buyers, expression: "orders >= 1"}}
"#
    )
}

fn source(broker: &Broker, more: &str) -> String {
    format!(
        r#"kind: source
name: shop
format: kafka
kafka: {{ brokers: ["{}"], topic: orders, group: test{more} }}
user_id: {{ key: true }}
event: order
properties: {{ amount: {{ column: line.amount, type: int, required: true }} }}
attributes: {{ plan: plan }}
"#,
        broker.address()
    )
}

struct Site {
    house: House,
    server: Server,
    admin: String,
}

impl Site {
    fn open(definitions: &str) -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", definitions).to_str().unwrap()]);
        let server = house.serve_with(&["--land-every", "0.5"]);
        let admin = server.admin_key.clone().unwrap();
        Self { house, server, admin }
    }

    /// Kills the server as a power cut would, and starts another.
    fn killed(self) -> Self {
        let Self { house, mut server, admin } = self;
        server.kill();
        let server = house.serve_with(&["--land-every", "0.5"]);
        Self { house, server, admin }
    }

    fn apply(&self, definitions: &str) {
        let file = self.house.file("app.yaml", definitions);
        self.house.ok(&["apply", "--prune", "-f", file.to_str().unwrap()]);
    }

    fn value(&self, user: &str, tag: &str) -> Value {
        let path = format!("/api/v1/apps/t/profile?user={user}");
        self.server.get(&path, &self.admin).json()["tags"][tag].take()
    }

    fn becomes(&self, user: &str, tag: &str, value: &Value) {
        eventually(&format!("{tag} {value} of {user}"), || {
            (self.value(user, tag) == *value).then_some(())
        });
    }

    /// How the source stands, once that is so.
    fn topic(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{what}: {}", self.live()["topics"]), || {
            let topic = self.live()["topics"][0].take();
            so(&topic).then_some(topic)
        })
    }

    fn live(&self) -> Value {
        self.server.get("/api/v1/apps/t/live", &self.admin).json()
    }
}

fn order(user: &str, amount: i64) -> Value {
    json!({"key": user, "value": json!({"line": {"amount": amount}}).to_string()})
}

#[test]
fn records_become_tags_and_what_cannot_be_mapped_is_told_with_its_place() {
    let Some(python) = needs::kafka("records_become_tags") else { return };
    let broker = Broker::start(python, None);
    broker.create("orders", 2);
    let site = Site::open(&definitions(&source(&broker, "")));
    let plan = json!({"line": {"amount": 5}, "plan": "pro", "new_field": [1]}).to_string();
    let mut records = vec![order("ann", 3), json!({"key": "ann", "value": plan, "partition": 1})];
    // Poison, a tombstone, and what comes behind them.
    records.push(json!({"key": "bob", "value": "{not json"}));
    records.push(json!({"key": "bob", "hex": "fffe"}));
    records.push(json!({"key": "bob", "value": null}));
    records.push(json!({"value": "{\"line\":{\"amount\":1}}"}));
    records.push(json!({"key": "bob", "value": "{\"line\":{\"amount\":\"much\"}}"}));
    records.push(order("bob", 7));
    broker.send("orders", &records);
    site.becomes("bob", "spend", &json!(7));
    site.becomes("ann", "orders", &json!(2));
    assert_eq!(site.value("ann", "spend"), 8);
    assert_eq!(site.value("ann", "plan"), "pro");
    assert_eq!(site.value("bob", "orders"), 1);

    let topic = site.topic("all has landed", |topic| topic["records"] == 8);
    let counts = ["accepted", "rejected", "filtered", "duplicates"].map(|name| topic[name].clone());
    assert_eq!(counts, [json!(3), json!(4), json!(1), json!(0)], "{topic}");
    let topic = site.topic("lag", |topic| topic["lag_records"] == 0);
    assert_eq!(topic["state"], "reading", "{topic}");
    assert_eq!(topic["partitions"].as_array().unwrap().len(), 2, "{topic}");
    let rejected = site.server.get("/api/v1/apps/t/rejected", &site.admin).json();
    let mut places: Vec<String> = rejected["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["file"], row["row"], row["reason"]).replace('"', ""))
        .collect();
    places.sort();
    let expected = ["1 broken_line", "2 not_utf8", "4 no_user_id", "5 bad_type"];
    assert_eq!(places, expected.map(|place| format!("orders/0 {place}")));
    eventually("the group's offsets are committed once all has landed", || {
        let committed = broker.committed("test", "orders");
        (committed.get(&0) == Some(&7) && committed.get(&1) == Some(&1)).then_some(())
    });

    let listed = site.server.get("/api/v1/apps/t/sources", &site.admin).json();
    let listed = &listed["sources"][0];
    assert_eq!((&listed["format"], &listed["rows"]), (&json!("kafka"), &json!(8)), "{listed}");
    let metrics = site.server.get("/metrics", &site.admin);
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "taghouse_kafka_records_total{app=\"t\",source=\"shop\"} 8",
        "taghouse_kafka_rejected_total{app=\"t\",source=\"shop\"} 4",
        "taghouse_kafka_lag_records{app=\"t\",source=\"shop\"} 0",
        "taghouse_kafka_partitions{app=\"t\",source=\"shop\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let status = site.house.ok(&["--app", "t", "status"]);
    assert!(status.contains("reading, partitions 2, lag 0, records 8, rejected 4"), "{status}");

    // A second app reads the same topic, in a group of its own name.
    let other = definitions(&source(&broker, "").replace(", group: test", ""))
        .replace("id: t", "id: other");
    let file = site.house.file("other.yaml", other);
    site.house.ok(&["apply", "-f", file.to_str().unwrap()]);
    eventually("the other app's values", || {
        let path = "/api/v1/apps/other/profile?user=ann";
        (site.server.get(path, &site.admin).json()["tags"]["orders"] == 2).then_some(())
    });
    assert!(!broker.committed("taghouse-other-shop", "orders").is_empty());

    // Deleted and made again, the topic's offsets begin again, and its records are others.
    broker.delete("orders");
    broker.create("orders", 2);
    broker.send("orders", &[order("ann", 100)]);
    site.becomes("ann", "spend", &json!(108));
    let topic = site.topic("the remark", |topic| topic["last_error"] != Value::Null);
    assert!(topic["last_error"].as_str().unwrap().contains("topic"), "{topic}");

    // Without the source nothing is read any more; with it again, all that came meanwhile.
    site.apply(
        "kind: app\nid: t\ntime_zone: UTC\n---\n{kind: source, name: web, format: segment}\n",
    );
    assert_eq!(site.live()["topics"], json!([]));
    broker.send("orders", &[order("ann", 1000)]);
    site.apply(&definitions(&source(&broker, "")));
    site.becomes("ann", "spend", &json!(1108));
}

/// Records of many users: each has as many orders as the other.
fn many(users: usize, each: usize) -> Vec<Value> {
    let mut records = Vec::new();
    for round in 0..each {
        for user in 0..users {
            let mut record = order(&format!("u{user}"), 1);
            record["partition"] = json!((user + round) % 3);
            records.push(record);
        }
    }
    records
}

#[test]
fn each_record_counts_once_though_server_and_broker_are_killed() {
    let Some(python) = needs::kafka("each_record_counts_once") else { return };
    let broker = Broker::start(python, None);
    broker.create("orders", 3);
    let mut site = Site::open(&definitions(&source(&broker, "")));
    let (users, each) = (20, 400);
    let sending = broker.sending("orders", &many(users, each), "0.0005");
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1500));
        site = site.killed();
    }
    broker.kill();
    site.topic("the broker is gone", |topic| topic["problem"] != Value::Null);
    site = site.killed();
    broker.go_on();
    let sent = sending.wait_with_output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    for user in 0..users {
        site.becomes(&format!("u{user}"), "orders", &json!(each));
    }
    let site = site.killed();
    let topic = site.topic("all has landed", |topic| topic["accepted"] == users * each);
    assert_eq!(topic["rejected"], 0, "{topic}");
    site.topic("no problem is left", |topic| {
        topic["problem"] == Value::Null && topic["lag_records"] == 0
    });
    for user in 0..users {
        site.becomes(&format!("u{user}"), "spend", &json!(each));
    }
}

#[test]
fn two_servers_of_one_group_share_the_partitions() {
    let Some(python) = needs::kafka("two_servers_of_one_group") else { return };
    let broker = Broker::start(python, None);
    broker.create("orders", 3);
    let first = Site::open(&definitions(&source(&broker, "")));
    let (users, each) = (10, 600);
    let sending = broker.sending("orders", &many(users, each), "0.0005");
    first.topic("all partitions", |topic| topic["partitions"].as_array().unwrap().len() == 3);
    let second = Site::open(&definitions(&source(&broker, "")));
    let shared = |site: &Site, parts: usize| {
        site.topic("a share of the partitions", |topic| {
            topic["partitions"].as_array().unwrap().len() == parts
        });
    };
    shared(&second, 1);
    shared(&first, 2);
    let sent = sending.wait_with_output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    broker.send("orders", &many(users, 10));
    let accepted = |site: &Site| site.topic("any", |_| true)["accepted"].as_u64().unwrap();
    let all = (users * (each + 10)) as u64;
    eventually("all records", || (accepted(&first) + accepted(&second) >= all).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(accepted(&first) + accepted(&second), all);
    assert!(accepted(&second) > 0);

    // The one that stays takes over.
    let Site { server: mut ending, .. } = second;
    ending.terminate();
    shared(&first, 3);
    let before = accepted(&first);
    broker.send("orders", &many(users, 3));
    eventually("the rest", || (accepted(&first) == before + users as u64 * 3).then_some(()));
}

#[test]
fn a_secret_is_named_and_never_shown() {
    let Some(python) = needs::kafka("a_secret_is_named") else { return };
    let login = Login { user: "ann", password: "s3cret-of-ann" };
    let broker = Broker::start(python, Some(login.clone()));
    broker.create("orders", 1);
    broker.send("orders", &[order("ann", 3)]);
    let settings = ", settings: { security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: ann, sasl.password: \"${KAFKA_TEST_PASSWORD}\" }";
    let house = House::new();
    let text = definitions(&source(&broker, settings));
    house.ok(&["apply", "-f", house.file("app.yaml", &text).to_str().unwrap()]);
    let serve = |password: Option<&str>| {
        let mut command =
            house.command(&["serve", "--listen", "127.0.0.1:0", "--land-every", "0.1"]);
        if let Some(password) = password {
            command.env("KAFKA_TEST_PASSWORD", password);
        }
        Server::of(command, &house.path("serve.stderr")).unwrap()
    };
    let server = serve(None);
    let admin = server.admin_key.clone().unwrap();
    let problem = |server: &Server, part: &str| {
        eventually(part, || {
            let live = server.get("/api/v1/apps/t/live", &admin).json();
            let problem = live["topics"][0]["problem"].as_str()?.to_owned();
            problem.contains(part).then_some(problem)
        })
    };
    problem(&server, "KAFKA_TEST_PASSWORD");
    drop(server);
    let server = serve(Some("wrong-secret"));
    problem(&server, "uthentication");
    drop(server);
    let server = serve(Some(login.password));
    eventually("the value", || {
        let profile = server.get("/api/v1/apps/t/profile?user=ann", &admin).json();
        (profile["tags"]["spend"] == 3).then_some(())
    });
    let listed = server.get("/api/v1/apps/t/definitions", &admin).body;
    let shown =
        [String::from_utf8(listed).unwrap(), house.ok(&["status", "--json"]), house.complaint()]
            .concat();
    assert!(shown.contains("${KAFKA_TEST_PASSWORD}"), "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains("wrong-secret"), "{shown}");
}

#[test]
fn a_broker_is_trusted_by_its_certificate_alone() {
    let Some(python) = needs::kafka("a_broker_is_trusted") else { return };
    let login = Login { user: "ann", password: "s3cret-of-ann" };
    let broker = Broker::with_certificate(python, Some(login.clone()));
    broker.create("orders", 1);
    broker.send("orders", &[order("ann", 3)]);
    let settings = |authority: &std::path::Path| {
        format!(
            ", settings: {{ security.protocol: sasl_ssl, ssl.ca.location: \"{}\", sasl.mechanism: PLAIN, sasl.username: ann, sasl.password: \"${{KAFKA_TEST_PASSWORD}}\" }}",
            authority.display()
        )
    };
    // An authority that did not vouch for it.
    let house = House::new();
    let other = house.file("other.pem", certified("127.0.0.1").authority);
    let apply = |authority: &std::path::Path| {
        let text = definitions(&source(&broker, &settings(authority)));
        house.ok(&["apply", "-f", house.file("app.yaml", &text).to_str().unwrap()]);
    };
    apply(&other);
    let mut command = house.command(&["serve", "--listen", "127.0.0.1:0", "--land-every", "0.1"]);
    command.env("KAFKA_TEST_PASSWORD", login.password);
    let server = Server::of(command, &house.path("serve.stderr")).unwrap();
    let admin = server.admin_key.clone().unwrap();
    eventually("its certificate is refused", || {
        let live = server.get("/api/v1/apps/t/live", &admin).json();
        let problem = live["topics"][0]["problem"].as_str()?.to_owned();
        problem.contains("certificate").then_some(())
    });

    // Its own, without a restart.
    apply(&broker.authority());
    eventually("the value", || {
        let profile = server.get("/api/v1/apps/t/profile?user=ann", &admin).json();
        (profile["tags"]["spend"] == 3).then_some(())
    });
}

/// How long the broker is gone, in seconds: TAGHOUSE_KAFKA_OUTAGE, by default 5.
fn outage() -> Duration {
    let given = std::env::var("TAGHOUSE_KAFKA_OUTAGE").ok();
    Duration::from_secs(given.map_or(5, |seconds| seconds.parse().unwrap()))
}

#[test]
fn a_broker_that_is_gone_for_long_is_read_and_written_again_by_itself() {
    let Some(python) = needs::kafka("a_broker_that_is_gone") else { return };
    let broker = Broker::start(python, None);
    broker.create("orders", 3);
    broker.create("changes", 1);
    let sink = SINK.replace("BROKER", &broker.address());
    let calls = "---\n{kind: source, name: web, format: segment}\n";
    let site = Site::open(&(definitions(&source(&broker, "")) + calls + &sink));
    broker.send("orders", &many(5, 2));
    (0..5).for_each(|user| site.becomes(&format!("u{user}"), "orders", &json!(2)));
    broker.kill();
    site.topic("the broker is gone", |topic| topic["problem"] != Value::Null);

    // Calls go on, and their changes wait in the feed.
    let key = site.house.json(&["keys", "create", "--role", "write", "--app", "t"]);
    let key = key["secret"].as_str().unwrap().to_owned();
    let gone_at = std::time::Instant::now();
    let mut calls = 0;
    while gone_at.elapsed() < outage() || calls < 5 {
        let call = json!({"userId": "caller", "event": "order", "messageId": format!("c-{calls}")});
        assert_eq!(site.server.post("/v1/track", &key, &call).status, 200);
        calls += 1;
        std::thread::sleep(Duration::from_millis(500));
    }
    site.becomes("caller", "orders", &json!(calls));
    let live = site.live();
    assert!(live["sinks"][0]["problem"] != Value::Null, "{live}");

    broker.go_on();
    broker.send("orders", &many(5, 2));
    (0..5).for_each(|user| site.becomes(&format!("u{user}"), "orders", &json!(4)));
    site.topic("no problem is left", |topic| topic["problem"] == Value::Null);
    eventually("what happened meanwhile is written", || {
        let last =
            broker.read("changes").into_iter().rev().find(|record| record["key"] == "caller");
        (last?["value"]["data"]["value"] == calls).then_some(())
    });
}

const SINK: &str = r#"
---
kind: sink
name: out
kafka: { brokers: ["BROKER"], topic: changes }
tags: [orders]
"#;

#[test]
fn changes_are_written_as_cloud_events_and_none_is_missing_after_kill_9() {
    let Some(python) = needs::kafka("changes_are_written") else { return };
    let broker = Broker::start(python, None);
    broker.create("orders", 1);
    broker.create("changes", 3);
    let sink = SINK.replace("BROKER", &broker.address());
    let mut site = Site::open(&(definitions(&source(&broker, "")) + &sink));
    let sinks = |site: &Site, what: &str, so: &dyn Fn(&Value) -> bool| {
        eventually(&format!("{what}: {}", site.live()["sinks"]), || {
            let sink = site.live()["sinks"][0].take();
            so(&sink).then_some(())
        });
    };
    sinks(&site, "the writer follows", &|sink| sink["state"] == "reading");
    site.topic("the reader reads", |topic| topic["state"] == "reading");
    for round in 0..3 {
        for user in ["ann", "bob"] {
            broker.send("orders", &[order(user, 1)]);
            site.becomes(user, "orders", &json!(round + 1));
        }
        site = site.killed();
    }
    sinks(&site, "all is sent", &|sink| sink["state"] == "reading" && sink["lag_records"] == 0);
    let events = broker.read("changes");
    let mut last = std::collections::BTreeMap::new();
    let mut by_id = std::collections::BTreeMap::new();
    for record in &events {
        assert_eq!(
            record["headers"]["content-type"],
            "application/cloudevents+json; charset=UTF-8"
        );
        let event = &record["value"];
        assert_eq!(
            (&event["specversion"], &event["source"]),
            (&json!("1.0"), &json!("/taghouse/apps/t")),
            "{event}"
        );
        // One that is sent again is the same.
        let id = event["id"].as_str().unwrap().to_owned();
        assert_eq!(by_id.entry(id).or_insert(event.clone()), event);
        assert_eq!(record["key"], event["subject"], "{record}");
        if event["type"] == "taghouse.tag.changed" {
            assert_eq!(event["data"]["tag"], "orders", "of other tags nothing is wanted: {event}");
            last.insert(
                event["subject"].as_str().unwrap().to_owned(),
                event["data"]["value"].clone(),
            );
        }
    }
    let expected = [("ann".to_owned(), json!(3)), ("bob".to_owned(), json!(3))];
    assert_eq!(last.into_iter().collect::<Vec<_>>(), expected, "{events:?}");
    let each: std::collections::BTreeSet<String> = by_id
        .values()
        .filter(|event| event["subject"] == "ann")
        .map(|event| event["data"]["value"].to_string())
        .collect();
    assert!(["1", "2", "3"].iter().all(|value| each.contains(*value)), "{each:?}");

    // What comes while the cluster is gone waits.
    broker.kill();
    site.house.ok(&["status"]);
    broker.go_on();
    broker.send("orders", &[order("cho", 1)]);
    site.becomes("cho", "orders", &json!(1));
    eventually("the change of cho", || {
        broker.read("changes").iter().any(|record| record["key"] == "cho").then_some(())
    });
}

/// A crowd goes to a topic user by user; a server that is killed goes on with it.
#[test]
fn a_crowd_is_sent_to_a_topic() {
    let Some(python) = needs::kafka("a_crowd_is_sent_to_a_topic") else { return };
    let broker = Broker::start(python, None);
    broker.create("buyers", 3);
    let house = House::new();
    let activation = format!(
        "---\n{{kind: crowd, name: busy, expression: 'orders >= 10'}}\n---\n{{kind: activation, name: out, crowd: busy, send: delta, fields: {{n: orders}}, retry_for: 2m, to: {{kafka: {{brokers: [\"{}\"], topic: buyers}}}}}}\n",
        broker.address()
    );
    let app = house.file("app.yaml", format!("{}{activation}", driver::PEOPLE));
    house.ok(&["apply", "-f", app.to_str().unwrap()]);
    house.ingest_people(5000);
    house.ok(&["produce"]);
    let mut server = house.serve();
    // It is down, and the server ends; both come back.
    broker.kill();
    house.ok(&["activate", "out"]);
    eventually("it is begun", || {
        let all = house.json(&["activations"]);
        (all["activations"][0]["last"]["state"] == "running").then_some(())
    });
    server.kill();
    broker.go_on();
    let _server = house.serve();
    let last = eventually("it is delivered", || {
        let last = house.json(&["activations"])["activations"][0]["last"].clone();
        (last["state"] == "succeeded").then_some(last)
    });
    assert_eq!((&last["entered"], &last["delivery"]), (&json!(4990), &json!(1)), "{last}");

    house.ok(&["change", "u11", "orders", "1"]);
    house.ok(&["change", "u5", "orders", "77"]);
    house.ok(&["refresh", "busy"]);
    let report = house.json(&["activate", "out", "--wait"]);
    assert_eq!(
        (&report["delivery"]["entered"], &report["delivery"]["left"]),
        (&json!(1), &json!(1))
    );

    let mut members = std::collections::BTreeSet::new();
    let mut completed = Vec::new();
    let mut records = broker.read("buyers");
    // Partitions are read one beside the other: what belongs together has a number.
    records.sort_by_key(|record| record["value"]["delivery"].as_u64());
    for record in &records {
        let value = &record["value"];
        if !value["complete"].is_null() {
            completed.push(value["complete"]["members"].clone());
            continue;
        }
        let id = value["user"]["user_id"].as_str().unwrap().to_owned();
        assert_eq!(record["key"].as_str(), Some(id.as_str()));
        match value["change"].as_str().unwrap() {
            "entered" => assert!(members.insert(id.clone()), "{id} came twice"),
            _ => assert!(members.remove(&id)),
        }
        if id == "u5" {
            assert_eq!(value["user"]["n"], 77);
        }
    }
    let expected = (10..5000).filter(|n| *n != 11).chain([5]).map(|n| format!("u{n}"));
    assert_eq!(members, expected.collect());
    assert_eq!(completed, [json!(4990), json!(4990)]);
}
