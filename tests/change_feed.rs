//! The change feed as a subscriber sees it: every change once it is there, in order and without a
//! gap over reconnections and kill −9, and never at odds with the values that are asked for.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod subscriber;

use driver::{House, Server, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use subscriber::Subscriber;

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment, properties: {amount: {column: amount, type: decimal, scale: 2}}, attributes: {plan: plan, skus: {column: skus, type: set}}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: spend, type: decimal, scale: 2, mode: both, aggregate: {events: [order], function: sum, value: amount}}
---
{kind: tag, name: skus, type: set, mode: stream, attribute: skus}
---
{kind: tag, name: good, type: bool, mode: stream, expression: "orders >= 2"}
---
{kind: tag, name: visits, type: int, aggregate: {events: [visit], function: count}}
---
{kind: crowd, name: buyers, expression: "orders >= 2"}
"#;

const TAGS: [&str; 3] = ["orders", "spend", "good"];

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

    fn order(&self, user: &str, message: &str) {
        let answer = self.server.post("/v1/track", &self.write_key, &order(user, message));
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    /// The records that are kept now.
    fn kept(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/v1/apps/t/changes?follow=false&{query}");
        let answer = self.server.get(&path, &self.admin);
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "text/event-stream"));
        subscriber::records(&String::from_utf8(answer.body).unwrap())
    }

    fn refused(&self, query: &str, key: &str) -> (u16, String) {
        let path = format!("/api/v1/apps/t/changes?{query}");
        let answer = self.server.get(&path, key);
        (answer.status, answer.json()["detail"].as_str().unwrap().to_owned())
    }

    /// Waits until a record says this of a user.
    fn says(&self, user: &str, tag: &str, value: &Value) {
        eventually(&format!("{tag} {value} of {user} in the feed"), || {
            let mut records = self.kept("from=earliest").into_iter().rev();
            let last = records.find(|record| record["user"] == user && record["tag"] == tag)?;
            (last["value"] == *value).then_some(())
        });
    }
}

fn ready(server: &Server) {
    eventually("readiness", || {
        (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
    });
}

fn order(user: &str, message: &str) -> Value {
    json!({"userId": user, "event": "order", "messageId": message, "properties": {"amount": 10.5}})
}

#[test]
fn after_kill_9_the_last_value_of_the_feed_is_the_value_that_is_asked_for() {
    let flags = ["--land-every", "0.3"];
    let Site { house, server, admin, write_key } = Site::open(&flags);
    let subscriber = Subscriber::follow(&server.base, "t", &admin, "earliest");
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // Each call is sent until it is acknowledged.
    let caller = {
        let (base, stop, sent) = (subscriber.base(), stop.clone(), sent.clone());
        std::thread::spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let body = order(&format!("u{}", number % 7), &format!("m-{number}"));
                while !subscriber::posted(&base, "/v1/track", &write_key, &body) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                number += 1;
                sent.store(number, Ordering::Relaxed);
            }
        })
    };
    let mut server = Some(server);
    for round in 0..4_u64 {
        let before = sent.load(Ordering::Relaxed);
        eventually("calls", || (sent.load(Ordering::Relaxed) > before + 40).then_some(()));
        eventually("records", || (subscriber.len() > 20 * (round as usize + 1)).then_some(()));
        drop(server.take());
        let again = house.serve_with(&flags);
        subscriber.moved(&again.base);
        server = Some(again);
    }
    stop.store(true, Ordering::Relaxed);
    caller.join().unwrap();
    let server = server.unwrap();
    let total = sent.load(Ordering::Relaxed);

    // Everything that was acknowledged is in the values, and then in the feed.
    let profile = |user: &str| -> Value {
        server.get(&format!("/api/v1/apps/t/profile?user={user}"), &admin).json()["tags"].take()
    };
    let users: Vec<String> = (0..7).map(|user| format!("u{user}")).collect();
    eventually("all orders", || {
        let orders = users.iter().map(|user| profile(user)["orders"].as_u64().unwrap_or(0));
        (orders.sum::<u64>() == total).then_some(())
    });
    eventually("the last values in the feed", || {
        let last = last_values(&subscriber.records());
        let same = |user: &String, tag: &str| {
            last.get(&(user.clone(), tag.to_owned())) == Some(&profile(user)[tag])
        };
        users.iter().all(|user| TAGS.iter().all(|tag| same(user, tag))).then_some(())
    });

    let records = subscriber.records();
    let ids: Vec<u64> = records.iter().map(|record| record["id"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (ids[0]..ids[0] + ids.len() as u64).collect();
    assert_eq!(ids, expected, "no gap, and nothing twice");
    assert!(subscriber.connections() >= 5, "{}", subscriber.connections());
    // A count of orders only grows, by the position of the log that it is of.
    let mut highest: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for record in
        records.iter().filter(|record| record["tag"] == "orders" && record["user"].is_string())
    {
        let user = record["user"].as_str().unwrap().to_owned();
        let now = (record["position"].as_u64().unwrap(), record["value"].as_u64().unwrap());
        let before = highest.insert(user, now).unwrap_or_default();
        assert!(now.0 < before.0 || now.1 >= before.1, "{record} after {before:?}");
    }
    // What a reader gets who begins now is the same.
    let path = "/api/v1/apps/t/changes?follow=false&from=earliest";
    let kept = subscriber::records(&String::from_utf8(server.get(path, &admin).body).unwrap());
    assert_eq!(kept[kept.len() - 50..], records[records.len() - 50..]);
}

/// What the feed says last of each user and tag, where nothing said since that all was computed
/// again.
fn last_values(records: &[Value]) -> BTreeMap<(String, String), Value> {
    let mut last = BTreeMap::new();
    for record in records {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        match record["kind"].as_str().unwrap() {
            "tag" => drop(last.insert((text("user"), text("tag")), record["value"].clone())),
            "tag_published" => last.retain(|(_, tag), _| *tag != text("tag")),
            "user_deleted" => last.retain(|(user, _), _| *user != text("user")),
            other => panic!("a record of kind {other}"),
        }
    }
    last
}

#[test]
fn every_kind_of_change_is_a_record_and_filters_leave_the_others_out() {
    let site = Site::open(&[]);
    site.order("ann", "m-1");
    site.order("ann", "m-2");
    site.order("bob", "m-3");
    site.says("ann", "spend", &json!("21.00"));
    site.says("bob", "good", &json!(false));
    let last = site.kept("tag=orders&from=earliest").into_iter().rfind(|r| r["user"] == "ann");
    let last = last.unwrap();
    assert_eq!((&last["kind"], &last["value"]), (&json!("tag"), &json!(2)), "{last}");
    let seen = last["position"].as_u64().unwrap();
    assert!(last["as_of"].as_str().unwrap().ends_with("+00:00") && seen >= 2, "{last}");

    // By hand, and by deletion.
    site.house.ok(&["change", "ann", "orders", "7"]);
    site.says("ann", "orders", &json!(7));
    site.house.ok(&["change", "ann", "skus", "--add", "s1"]);
    site.house.ok(&["change", "ann", "skus", "--add", "s2"]);
    site.says("ann", "skus", &json!(["s1", "s2"]));
    site.house.ok(&["change", "ann", "orders", "--unset"]);
    site.says("ann", "orders", &Value::Null);
    site.house.ok(&["delete", "bob"]);
    eventually("the deletion", || {
        let last = site.kept("tag=skus&from=earliest").pop()?;
        (last["kind"] == "user_deleted" && last["user"] == "bob").then_some(())
    });

    let of = |query: &str| -> Vec<String> {
        let tag = |record: Value| record["tag"].as_str().map(str::to_owned);
        let mut tags: Vec<String> = site.kept(query).into_iter().filter_map(tag).collect();
        tags.sort();
        tags.dedup();
        tags
    };
    assert_eq!(of("tag=orders&from=earliest"), ["orders"]);
    assert_eq!(of("tag=orders&tag=good&from=earliest"), ["good", "orders"]);
    assert_eq!(of("from=latest"), Vec::<String>::new());
    let all = site.kept("from=earliest");
    let three = site.kept(&format!("from={}&limit=3", all[1]["id"]));
    assert_eq!(three, all[2..5]);

    // A definition that changes: all values are others.
    let changed = DEFINITIONS
        .replace("events: [order], function: count", "events: [order, visit], function: count");
    site.house.ok(&["apply", "-f", site.house.file("app.yaml", changed).to_str().unwrap()]);
    eventually("the publication", || {
        let records = site.kept("tag=orders&from=earliest");
        records.iter().any(|record| record["kind"] == "tag_published").then_some(())
    });
}

#[test]
fn who_may_not_read_or_asks_for_what_is_gone_is_told() {
    let site = Site::open(&["--subscribers-per-key", "1"]);
    site.order("ann", "m-1");
    site.says("ann", "orders", &json!(1));
    let (status, detail) = site.refused("from=4000", &site.admin);
    assert_eq!(status, 410);
    assert!(detail.contains("read the current values, then follow from \"latest\""), "{detail}");
    for (query, status, words) in [
        ("tag=visits", 400, "`mode: stream`"),
        ("tag=order", 404, "did you mean `orders`?"),
        ("crowd=buyer", 404, "did you mean `buyers`?"),
        ("limit=0", 400, "limit"),
    ] {
        let (said, detail) = site.refused(query, &site.admin);
        assert!(said == status && detail.contains(words), "{query}: {said} {detail}");
    }
    assert_eq!(site.refused("follow=false", &site.write_key).0, 403);
    let header = [("last-event-id", "4000")];
    let bearer = format!("Bearer {}", site.admin);
    let path = "/api/v1/apps/t/changes";
    assert_eq!(site.server.call_with("GET", path, Some(&bearer), &header, b"").status, 410);

    // One reader a key, and it is counted.
    let own = site.house.ok(&["keys", "create", "--role", "viewer"]).trim().to_owned();
    let subscriber = Subscriber::follow(&site.server.base, "t", &own, "earliest");
    eventually("records", || (subscriber.len() > 0).then_some(()));
    let (status, detail) = site.refused("from=earliest", &own);
    assert!(status == 429 && detail.contains("--subscribers-per-key"), "{status} {detail}");
    let scraped = site.server.get("/metrics", &site.admin);
    let text = String::from_utf8(scraped.body).unwrap();
    for line in [
        "taghouse_feed_subscribers{app=\"t\"} 1".to_owned(),
        format!("taghouse_feed_last_id{{app=\"t\"}} {}", subscriber.len()),
        "taghouse_open_requests{kind=\"subscription\"} 1".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }

    // Told to stop, the server does not wait for who follows.
    let Site { mut server, .. } = site;
    let took = server.terminate();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn tail_prints_what_happens() {
    let site = Site::open(&[]);
    let arguments = ["tail", "--tag", "orders", "--limit", "2", "--json"];
    let tail = site.house.command(&arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
    eventually("the reader", || {
        let text = String::from_utf8(site.server.get("/metrics", &site.admin).body).unwrap();
        text.contains("taghouse_feed_subscribers{app=\"t\"} 1").then_some(())
    });
    site.order("ann", "m-1");
    site.says("ann", "orders", &json!(1));
    site.order("bob", "m-2");
    let output = tail.wait_with_output().unwrap();
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said: Vec<_> = lines.iter().map(|line| (&line["user"], &line["value"])).collect();
    assert_eq!(said, [(&json!("ann"), &json!(1)), (&json!("bob"), &json!(1))]);
    let shown = site.house.ok(&["tail", "--tag", "orders", "--from", "earliest", "--no-follow"]);
    assert!(shown.lines().any(|line| line.contains("ann") && line.ends_with('1')), "{shown}");

    // Without a server.
    let Site { house, server, .. } = site;
    drop(server);
    let again = house.ok(&["tail", "--tag", "orders", "--from", "earliest"]);
    assert_eq!(again, shown);
    let refused = house.refused(&["tail"]);
    assert!(refused.contains("no server runs"), "{refused}");
}
