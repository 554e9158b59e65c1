//! Ids whose data is refused, by whichever way it comes, and receipts of what was done with people's
//! data.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{Answer, House, Server, eventually};
use serde_json::{Value, json};

const DEFINITIONS: &str = r#"
kind: app
id: shop
time_zone: UTC
identities: {}
---
{kind: source, name: site, format: segment, properties: {amount: {column: amount, type: int}}, attributes: {plan: plan}}
---
{kind: source, name: people, format: csv, user_id: user, time: time, event: {column: event}, attributes: {city: city}}
---
{kind: tag, name: orders, type: int, aggregate: {events: [order], function: count}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: city, type: enum, attribute: city}
---
{kind: tag, name: clicks, type: int, mode: stream, aggregate: {events: [click], function: count}}
---
{kind: crowd, name: club, import: {}}
"#;

const ANN: &str = "ann@shop.example";

struct Shop {
    house: House,
    server: Server,
    admin: String,
    write_key: String,
}

impl Shop {
    /// ann has an order and a plan, bob an order.
    fn open() -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
        let server = house.serve();
        let admin = server.admin_key.clone().unwrap();
        let write_key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
        let shop = Self { house, server, admin, write_key };
        shop.call("track", &json!({"userId": ANN, "event": "order"}));
        shop.call("track", &json!({"userId": ANN, "event": "click"}));
        shop.call("identify", &json!({"userId": ANN, "traits": {"plan": "pro"}}));
        shop.call("track", &json!({"userId": "bob", "event": "order"}));
        shop.house.ok(&["produce"]);
        shop
    }

    fn call(&self, kind: &str, body: &Value) {
        let answer = self.server.post(&format!("/v1/{kind}"), &self.write_key, body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn post(&self, place: &str, body: &Value) -> Answer {
        self.server.post(&format!("/api/v1/apps/shop/{place}"), &self.admin, body)
    }

    fn get(&self, place: &str) -> Value {
        let answer = self.server.get(&format!("/api/v1/apps/shop/{place}"), &self.admin);
        assert_eq!(answer.status, 200, "{place}: {}", answer.json());
        answer.json()
    }

    fn tags(&self, user: &str) -> Value {
        self.house.ok(&["produce"]);
        self.get(&format!("profile?user={user}"))["tags"].clone()
    }

    fn is_suppressed(&self, id: &str) -> bool {
        let said = self.house.ok(&["suppress", "check", id]);
        said.starts_with("suppressed since ")
    }

    /// Sends an order, in order that it lands, and says what the user's tags are then.
    fn ordered(&self, user: &str) -> Value {
        self.call("track", &json!({"userId": user, "event": "order"}));
        self.tags(user)
    }

    fn restart(&mut self) {
        self.server.kill();
        self.server = self.house.serve();
    }
}

#[test]
fn no_way_leads_in_for_a_suppressed_id() {
    let mut shop = Shop::open();
    eventually("the click", || (shop.tags(ANN)["clicks"] == 1).then_some(()));
    let before = shop.tags(ANN);
    assert_eq!(before, json!({"orders": 1, "plan": "pro", "clicks": 1}));
    assert_eq!(
        shop.house.ok(&["suppress", "add", ANN]).lines().next(),
        Some("suppressed: ann@shop.example")
    );

    // Calls: what is right, what is wrong, and what says that a new id is the user's.
    shop.call("track", &json!({"userId": ANN, "event": "order"}));
    shop.call("track", &json!({"userId": ANN, "event": "click"}));
    shop.call("identify", &json!({"userId": ANN, "traits": {"plan": "free"}}));
    shop.call(
        "identify",
        &json!({"userId": ANN, "anonymousId": "a/9", "traits": {"plan": "free"}}),
    );
    shop.call(
        "batch",
        &json!({"batch": [
            {"type": "track", "userId": ANN, "event": "order", "timestamp": "1960-01-01T00:00:00Z"},
        {"type": "track", "userId": ANN, "event": ""},
            {"type": "track", "userId": "bob", "event": "order"},
        ]}),
    );
    // Files: rows that are right, of a wrong time, and that cannot be read.
    let file = shop.house.file(
        "people.csv",
        format!(
            "user,time,event,city\n{ANN},2026-01-01T00:00:00,order,Bonn\n{ANN},never,order,Bonn\n{ANN},x\nbob,2026-01-01T00:00:00,visit,Kiel\n"
        ),
    );
    let report = shop.house.json(&["ingest", "--source", "people", file.to_str().unwrap()]);
    let report = report.to_string();
    assert!(report.contains(r#""suppressed":3"#), "{report}");
    // By hand.
    let change = json!({"changes": [{"user": ANN, "tag": "plan", "set": "free"}]});
    let refused = shop.post("changes", &change);
    assert_eq!((refused.status, refused.json()["type"].as_str()), (409, Some("conflict")));
    assert!(refused.json()["detail"].as_str().unwrap().contains("taghouse suppress lift"));
    let link = json!({"id": "phone/1", "id_type": "phone", "user": ANN});
    assert_eq!(shop.post("identities/link", &link).status, 409);
    // Imports.
    let list = shop.house.file("club.csv", format!("user_id\n{ANN}\nbob\n"));
    let import = shop.house.json(&["import", "club", list.to_str().unwrap()]);
    assert_eq!(
        (&import["import"]["matched"], &import["import"]["invalid"]),
        (&json!(1), &json!(1))
    );
    let rows = shop.house.ok(&["versions", "rows", "club", "1"]);
    assert!(rows.contains("it is suppressed"), "{rows}");

    assert_eq!(shop.tags(ANN), before, "what came before stays, and nothing comes to it");
    assert_eq!(shop.tags("bob"), json!({"orders": 2, "city": "Kiel"}));
    let rejected = shop.get("rejected?limit=1000").to_string();
    assert!(!rejected.contains(ANN), "{rejected}");
    assert_eq!(shop.get("landing")["suppressed"], 6);
    let unknown = shop.server.get("/api/v1/apps/shop/profile?user=a/9", &shop.admin);
    assert_eq!(unknown.status, 404, "the other id of the call is nobody's");

    // Killed at once after it, and from a backup, it is as before.
    assert_eq!(shop.house.ok(&["suppress", "add", "eve"]).lines().next(), Some("suppressed: eve"));
    shop.restart();
    assert!(shop.is_suppressed(ANN) && shop.is_suppressed("eve") && !shop.is_suppressed("bob"));
    assert_eq!(shop.ordered(ANN), before);
    let backup = shop.house.path("backup");
    shop.house.ok(&["backup", backup.to_str().unwrap()]);
    let restored = shop.house.beside("restored");
    restored.ok(&["restore", backup.to_str().unwrap()]);
    assert!(restored.ok(&["suppress", "check", "eve"]).starts_with("suppressed since "));

    // Only digests are kept: of an id that never came otherwise, the catalog knows nothing.
    let catalog = std::fs::read(restored.data().join("catalog.db")).unwrap();
    assert!(!String::from_utf8_lossy(&catalog).contains("\"eve\""));
    let list = shop.house.json(&["suppress", "list"]);
    assert_eq!(list["count"], 2);
    assert_eq!(list["suppressions"][0]["digest"].as_str().unwrap().len(), 32);

    // Taken again, what comes from now on counts, and what was refused does not come back.
    shop.house.ok(&["suppress", "lift", ANN]);
    assert_eq!(shop.ordered(ANN)["orders"], 2);
    assert!(!shop.is_suppressed(ANN) && shop.is_suppressed("eve"));
}

#[test]
fn a_user_is_suppressed_and_deleted_with_all_ids() {
    let shop = Shop::open();
    shop.call("identify", &json!({"userId": ANN, "anonymousId": "a/1", "traits": {"plan": "pro"}}));
    shop.house.ok(&["produce"]);
    let answer = shop.post("suppressions", &json!({"ids": ["a/1"], "delete": true}));
    assert_eq!(answer.status, 200, "{}", answer.json());
    let answer = answer.json();
    assert_eq!(answer["ids"], json!(["a/1", ANN]));
    assert_eq!(answer["deletion"]["users"], json!(["a/1"]));
    for (id, body) in [
        (ANN, json!({"userId": ANN, "event": "order"})),
        ("a/1", json!({"anonymousId": "a/1", "event": "order"})),
    ] {
        shop.call("track", &body);
        shop.house.ok(&["produce"]);
        let gone = shop.server.get(&format!("/api/v1/apps/shop/profile?user={id}"), &shop.admin);
        assert_eq!(gone.status, 404, "{id} came back: {}", gone.json());
    }
    // A link that has just come counts, too.
    shop.call(
        "identify",
        &json!({"userId": "cho", "anonymousId": "a/2", "traits": {"plan": "pro"}}),
    );
    let answer = shop.post("suppressions", &json!({"ids": ["cho"]})).json();
    assert_eq!(answer["ids"], json!(["a/2", "cho"]));
    // Once more it makes no difference, and each id is lifted for itself.
    assert_eq!(shop.post("suppressions", &json!({"ids": ["a/1"]})).json()["ids"], json!([]));
    let lifted = shop.post("suppressions/lift", &json!({"ids": ["a/1", "nobody"]})).json();
    assert_eq!(lifted["ids"], json!(["a/1"]));
    assert!(shop.is_suppressed(ANN) && !shop.is_suppressed("a/1"));
}

/// The first 16 digits, by a program of others.
fn sha256_head(text: &str) -> String {
    let mut sum = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut sum.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = sum.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..16].to_owned()
}

#[test]
fn receipts_say_what_was_done_and_name_nobody() {
    let mut shop = Shop::open();
    let export = shop.server.get(&format!("/api/v1/apps/shop/users/{ANN}/export"), &shop.admin);
    let exported = export.header("taghouse-receipt").unwrap();
    let deleted = shop.house.json(&["delete", ANN])["receipt"].as_str().unwrap().to_owned();
    let suppressed = shop.post("suppressions", &json!({"ids": [ANN]})).json()["receipt"].clone();
    let suppressed = suppressed.as_str().unwrap().to_owned();
    shop.restart();

    // As `printf %s ID | sha256sum` says it.
    let digest = sha256_head(ANN);
    for (id, kind, place) in [
        (&exported, "export", "export"),
        (&deleted, "deletion", "tags"),
        (&suppressed, "suppression", "suppressions"),
    ] {
        let receipt = shop.get(&format!("receipts/{id}"));
        assert_eq!((&receipt["id"], &receipt["kind"]), (&json!(id), &json!(kind)));
        assert_eq!(receipt["digests"], json!([digest]), "{receipt}");
        let places = receipt["places"].as_array().unwrap();
        assert!(places.iter().any(|of| of["place"] == place), "{receipt}");
        assert!(!receipt.to_string().contains("ann"), "{receipt}");
    }
    let of_deletion = shop.get(&format!("receipts/{deleted}"));
    assert_eq!(of_deletion["places"][0]["count"], 3, "three values: {of_deletion}");
    let list = shop.get("receipts?limit=2");
    assert_eq!(list["count"], 3);
    let ids: Vec<&str> =
        list["receipts"].as_array().unwrap().iter().map(|of| of["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&suppressed, &deleted], "from newest to oldest");
    assert!(shop.house.ok(&["receipts", &deleted]).starts_with("deletion at "));
    let missing = shop.server.get("/api/v1/apps/shop/receipts/none", &shop.admin);
    assert_eq!(missing.status, 404);
    let trail = shop.house.ok(&["audit", "--action", "suppress"]);
    assert!(trail.contains("1 users, sha256 ") && !trail.contains("ann@"), "{trail}");
}

#[test]
fn calls_that_suppress_are_checked() {
    let shop = Shop::open();
    for (body, why) in [
        (json!({"ids": []}), "ids is empty"),
        (json!({"ids": [""]}), "user id"),
        (json!({"ids": vec!["x"; 10_001]}), "over the limit of 10000"),
        (json!({"idds": ["x"]}), "did you mean `ids`?"),
    ] {
        for place in ["suppressions", "suppressions/lift"] {
            let refused = shop.post(place, &body);
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert_eq!(refused.status, 400, "{detail}");
            assert!(detail.contains(why), "{place}: {detail} lacks {why}");
        }
    }
    let refused = shop.server.get("/api/v1/apps/shop/suppressions?limit=0", &shop.admin);
    assert_eq!(refused.status, 400);
}

#[test]
fn data_that_comes_meanwhile_lands_before_it_or_not_at_all() {
    let shop = Shop::open();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (address, key) = (shop.server.base.clone(), shop.write_key.clone());
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let agent =
                ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
            let mut sent = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && sent < 2_000 {
                let body = json!({"userId": ANN, "event": "click"}).to_string();
                let answer = agent
                    .post(format!("{address}/v1/track"))
                    .header("authorization", format!("Bearer {key}"))
                    .send(body.as_bytes());
                assert_eq!(answer.unwrap().status().as_u16(), 200);
                sent += 1;
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        let answer = shop.post("suppressions", &json!({"ids": [ANN]}));
        assert_eq!(answer.status, 200, "{}", answer.json());
        let then = shop.tags(ANN)["clicks"].as_u64().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        let later = shop.tags(ANN)["clicks"].as_u64().unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(then > 1 && then == later, "{then} clicks, then {later}");
    });
    // The live tag and the batch agree on what came in.
    let parity = shop.house.json(&["parity"]);
    assert_eq!(parity["defects"], 0, "{parity}");
}
