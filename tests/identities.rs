//! Ids of one user as a caller sees them: somebody browses, then signs in; from then on every id
//! leads to the same user, after kill −9 and in productions too; and ids are taken apart again.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, Server, eventually};
use serde_json::{Value, json};

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
identities: {}
---
{kind: source, name: site, format: segment, properties: {amount: {column: amount, type: decimal, scale: 2}}, attributes: {plan: plan}}
---
{kind: tag, name: orders, type: int, mode: both, aggregate: {events: [order], function: count}}
---
{kind: tag, name: plan, type: enum, mode: stream, attribute: plan}
---
{kind: tag, name: good, type: bool, mode: stream, expression: "orders >= 2 && plan == \"pro\""}
---
{kind: tag, name: visits, type: int, aggregate: {events: [visit], function: count}}
---
{kind: tag, name: asked, type: int, sql: "SELECT user_id, CAST(count(*) AS BIGINT) AS value FROM events WHERE event = 'visit' GROUP BY user_id"}
---
{kind: crowd, name: buyers, expression: "orders >= 2"}
---
{kind: crowd, name: others, expression: "!(orders >= 2)"}
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
        let server = house.serve();
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

    fn profile(&self, user: &str) -> Value {
        let path = format!("/api/v1/apps/t/profile?user={user}");
        self.server.get(&path, &self.admin).json()["tags"].take()
    }

    fn becomes(&self, user: &str, tag: &str, value: &Value) {
        eventually(&format!("{tag} {value} of {user}, not {}", self.profile(user)), || {
            (self.profile(user)[tag] == *value).then_some(())
        });
    }

    /// All ids lead to one user, whose values these are.
    fn are_one(&self, ids: &[&str], tags: &Value) {
        for id in ids {
            assert_eq!(self.profile(id), *tags, "{id}");
        }
    }

    fn judged(&self, user: &str, crowd: &str) -> Value {
        let path = format!("/api/v1/apps/t/judge?user={user}&crowd={crowd}");
        self.server.get(&path, &self.admin).json()["in_crowd"].take()
    }

    fn members(&self, crowd: &str) -> Vec<String> {
        let rows = self.house.ok(&["export", crowd]);
        let mut rows: Vec<String> = rows.lines().skip(1).map(str::to_owned).collect();
        rows.sort();
        rows
    }

    /// Kills the server as a power cut would, and starts another.
    fn killed(self) -> Self {
        let Self { house, server, admin, write_key } = self;
        drop(server);
        let server = house.serve();
        Self { house, server, admin, write_key }
    }
}

#[test]
fn an_anonymous_visitor_who_signs_in_is_one_user_with_all_ids() {
    let site = Site::open();
    let order = |id: &str| json!({"anonymousId": id, "event": "order"});
    site.call("track", &order("a1"));
    site.call("track", &order("a1"));
    site.call("track", &json!({"anonymousId": "a1", "event": "visit"}));
    site.call("track", &json!({"userId": "u2", "event": "order"}));
    site.becomes("a1", "orders", &json!(2));

    // Signing in makes both one, and what was computed from either is of both.
    site.call("identify", &json!({"userId": "u1", "anonymousId": "a1", "traits": {"plan": "pro"}}));
    site.becomes("u1", "good", &json!(true));
    let tags = json!({"orders": 2, "plan": "pro", "good": true});
    site.are_one(&["u1", "a1"], &tags);
    site.call("track", &json!({"userId": "u1", "event": "order"}));
    site.becomes("a1", "orders", &json!(3));

    // A process that is killed, and another that knows the same.
    let site = site.killed();
    site.becomes("a1", "orders", &json!(3));
    site.are_one(&["u1", "a1"], &json!({"orders": 3, "plan": "pro", "good": true}));
    site.call("track", &order("a1"));
    site.becomes("u1", "orders", &json!(4));

    // Productions count all rows as the user's, queries too.
    site.house.ok(&["produce"]);
    let tags = json!({"orders": 4, "plan": "pro", "good": true, "visits": 1, "asked": 1});
    site.are_one(&["u1", "a1"], &tags);
    assert_eq!(
        (site.judged("u1", "buyers"), site.judged("a1", "buyers")),
        (json!(true), json!(true))
    );
    assert_eq!(site.members("buyers"), ["u1"]);
    assert_eq!(site.members("others"), ["u2"], "the earlier id is nobody else");

    // Nobody takes over a known user, and what is nobody's id is refused.
    site.call("identify", &json!({"userId": "mallory", "anonymousId": "u2"}));
    site.call("identify", &json!({"userId": "u2", "anonymousId": "null"}));
    site.call("alias", &json!({"userId": "u2", "previousId": "u1"}));
    site.house.ok(&["produce"]);
    let refused = site.house.json(&["rejected", "--limit", "10"]);
    let reasons: Vec<&str> = refused["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["reason"].as_str())
        .collect();
    assert_eq!(reasons, ["identity_refused"; 3], "{refused}");
    site.are_one(&["u1", "a1"], &tags);
    assert_eq!(site.profile("u2")["orders"], json!(1));

    // A change by any id is the user's.
    site.house.ok(&["change", "a1", "visits", "7"]);
    site.becomes("u1", "visits", &json!(7));

    let shown = site.house.json(&["identities", "show", "a1"]);
    assert_eq!(shown["user"], "u1");
    assert_eq!(shown["ids"], json!([{"id": "a1", "id_type": "anonymous"}]));
    assert_eq!(shown["log"][0]["event"], "link");
}

#[test]
fn ids_are_taken_apart_and_put_together_by_hand() {
    let site = Site::open();
    let order = |user: &Value| json!({"userId": user, "event": "order"});
    for user in ["u1", "u1", "u3"] {
        site.call("track", &order(&json!(user)));
    }
    site.call("track", &json!({"anonymousId": "a1", "event": "order"}));
    site.call("identify", &json!({"userId": "u1", "anonymousId": "a1"}));
    site.becomes("a1", "orders", &json!(3));

    // Apart: each has its own again, live and in productions.
    let apart = site.house.json(&["identities", "unlink", "a1"]);
    assert_eq!((&apart["user"], &apart["log"][0]["event"]), (&json!("a1"), &json!("unlink")));
    site.becomes("a1", "orders", &json!(1));
    site.becomes("u1", "orders", &json!(2));
    site.house.ok(&["produce"]);
    assert_eq!(site.profile("a1")["orders"], json!(1));
    assert_eq!(site.members("buyers"), ["u1"]);

    // Together again, by hand; two known users are not.
    let link = |id: &str, id_type: &str, user: &str| {
        let body = json!({"id": id, "id_type": id_type, "user": user});
        site.server.post("/api/v1/apps/t/identities/link", &site.admin, &body)
    };
    let answer = link("u3", "user", "u1");
    assert_eq!(answer.status, 409);
    assert!(answer.json().to_string().contains("merge_known_users"), "{}", answer.json());
    assert_eq!(link("a1", "card", "u1").status, 409);
    assert_eq!(link("a1", "device", "u1").status, 200);
    site.becomes("a1", "orders", &json!(3));
    let audit = site.house.json(&["audit"]).to_string();
    assert!(audit.contains("\"unlink\"") && audit.contains("\"link\""), "{audit}");

    // The deletion of any id is that of the user.
    site.house.ok(&["delete", "a1"]);
    for id in ["a1", "u1"] {
        assert_eq!(site.profile(id), json!(null), "{id}");
    }
    site.house.ok(&["produce"]);
    assert_eq!(site.members("others"), ["u3"]);
    assert_eq!(site.house.json(&["identities", "show", "a1"])["user"], "a1");
}
