//! All that is kept of a user, by any of the user's ids; nothing of who was deleted, and a clear
//! answer for who was never seen.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{Answer, House, Server, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: Europe/Berlin
identities: {}
---
{kind: source, name: site, format: segment, properties: {amount: {column: amount, type: decimal, scale: 2}}, attributes: {plan: plan}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: plan, type: enum, mode: stream, attribute: plan}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 1"}
"#;

struct Site {
    house: House,
    server: Server,
    admin: String,
    write_key: String,
}

impl Site {
    fn open() -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
        let server = house.serve_with(&["--land-every", "3600"]);
        let admin = server.admin_key.clone().unwrap();
        eventually("readiness", || {
            (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
        });
        let write_key = house.json(&["keys", "create", "--role", "write"])["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { house, server, admin, write_key }
    }

    fn call(&self, kind: &str, body: &Value) {
        let answer = self.server.post(&format!("/v1/{kind}"), &self.write_key, body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn asked(&self, id: &str) -> Answer {
        self.server.get(&format!("/api/v1/apps/t/users/{id}/export"), &self.admin)
    }

    /// The lines of an export that is complete.
    fn export(&self, id: &str) -> Vec<Value> {
        let answer = self.asked(id);
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(answer.content_type, "application/x-ndjson");
        let text = String::from_utf8(answer.body).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.last().unwrap();
        assert_eq!(*last, json!({"kind": "end", "lines": lines.len() - 1}));
        lines
    }
}

fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[test]
fn all_ids_lead_to_all_that_is_kept_of_the_user() {
    let site = Site::open();
    site.call("track", &json!({"anonymousId": "anon-1", "event": "order", "messageId": "m-1", "properties": {"amount": 10.5, "note": "first"}}));
    site.call("identify", &json!({"userId": "ann", "anonymousId": "anon-1", "messageId": "m-2", "traits": {"plan": "pro"}}));
    site.call("track", &json!({"userId": "ann", "event": "order", "messageId": "m-3", "properties": {"amount": 2}}));
    site.call("track", &json!({"userId": "bob", "event": "order", "messageId": "m-4", "properties": {"amount": 3}}));
    site.house.ok(&["change", "ann", "plan", "gold", "--create"]);
    eventually("the user's value", || {
        let profile = site.server.get("/api/v1/apps/t/profile?user=ann", &site.admin).json();
        (profile["tags"]["orders"] == 2).then_some(())
    });

    let lines = site.export("ann");
    let head = &lines[0];
    assert_eq!((&head["kind"], &head["user"]), (&json!("user"), &json!("ann")));
    assert_eq!(head["ids"], json!([{"id": "anon-1", "id_type": "anonymous"}]));
    let events = of_kind(&lines, "event");
    let came_under: BTreeSet<&str> =
        events.iter().map(|event| event["user_id"].as_str().unwrap()).collect();
    assert_eq!((events.len(), came_under), (2, BTreeSet::from(["ann", "anon-1"])), "{lines:?}");
    let first = events.iter().find(|event| event["message_id"] == "m-1").unwrap();
    assert_eq!(first["properties"], json!({"amount": "10.50"}));
    assert_eq!(first["other"]["note"], "first", "what no property names is there too: {first}");
    let attributes = of_kind(&lines, "attribute");
    assert_eq!((attributes.len(), &attributes[0]["value"]), (1, &json!("pro")), "{lines:?}");
    assert_eq!(of_kind(&lines, "change")[0]["value"], "gold", "{lines:?}");
    let orders = of_kind(&lines, "tag").into_iter().find(|tag| tag["tag"] == "orders").unwrap();
    assert_eq!(orders["value"], 2);
    assert_eq!(of_kind(&lines, "crowd"), [&json!({"kind": "crowd", "crowd": "buyers"})]);
    assert_eq!(of_kind(&lines, "link")[0]["id"], "anon-1");
    assert!(!lines.iter().any(|line| line.to_string().contains("bob")), "{lines:?}");

    let by_other = site.export("anon-1");
    assert_eq!(by_other[0]["user"], "ann");
    assert_eq!(by_other.len(), lines.len());

    let audit = site.house.json(&["audit", "--action", "export"]).to_string();
    assert!(audit.contains("1 users, sha256") && !audit.contains("anon-1"), "{audit}");
}

#[test]
fn of_who_was_deleted_or_never_seen_there_is_nothing() {
    let site = Site::open();
    for (user, message) in [("ann", "m-1"), ("bob", "m-2")] {
        site.call("track", &json!({"userId": user, "event": "order", "messageId": message, "properties": {"amount": 1}}));
    }
    assert_eq!(of_kind(&site.export("ann"), "event").len(), 1);
    site.house.ok(&["delete", "ann"]);
    for id in ["ann", "nobody"] {
        let answer = site.asked(id);
        assert_eq!(answer.status, 404, "{id}");
        let words = format!("nothing is kept of the user \"{id}\"");
        assert!(answer.json()["detail"].as_str().unwrap().contains(&words), "{}", answer.json());
    }
    let refused = site.house.refused(&["users", "export", "nobody"]);
    assert!(refused.contains("nothing is kept of the user"), "{refused}");
    assert_eq!(site.asked(&"x".repeat(600)).status, 400);

    // Who comes back is another user.
    std::thread::sleep(std::time::Duration::from_millis(5));
    site.call("track", &json!({"userId": "ann", "event": "order", "messageId": "m-3", "properties": {"amount": 1}}));
    let lines = site.export("ann");
    let events = of_kind(&lines, "event");
    assert_eq!((events.len(), &events[0]["message_id"]), (1, &json!("m-3")), "{lines:?}");

    let file = site.house.path("bob.jsonl");
    site.house.ok(&["users", "export", "bob", "-o", file.to_str().unwrap()]);
    let written = std::fs::read_to_string(file).unwrap();
    assert!(written.lines().last().unwrap().contains("\"end\""), "{written}");
}
