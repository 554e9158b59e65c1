//! Crowds that are sent to files, HTTP servers and databases: exactly the users of one version, whatever
//! happens in between.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "activation/databases.rs"]
mod databases;
mod driver;
mod needs;
#[path = "webhook/receiver.rs"]
mod receiver;
#[path = "activation/world.rs"]
mod world;

use databases::Database;
use receiver::{Received, Receiver, Reply, SECRET};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use world::{World, count, users};

const FILES: &str = r#"
kind: activation
name: whole
crowd: listed
to: { file: { path: "whole/{version}.csv" } }
fields: { orders_count: orders, spent: spend }
---
kind: activation
name: changes
crowd: listed
to: { file: { path: changes.jsonl, format: jsonl } }
send: delta
id: customer
fields: { orders: orders }
unless: [blocked]
consent: agreed
---
{kind: activation, name: numbers, crowd: listed, to: {file: {path: n.roaring, format: roaring}}}
---
{kind: activation, name: table, crowd: listed, to: {file: {path: t.parquet, format: parquet}}, fields: {spend: spend}}
"#;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn files_of_all_members_and_of_changes() {
    let mut world = World::open(FILES, &[]);
    let said = world.house.refused(&["activate", "whole", "--wait"]);
    assert!(said.contains("crowd listed has no version yet"), "{said}");

    world.import([2, 4, 3, 5, 10]);
    let sent = world.activate("whole");
    assert_eq!((count(&sent, "entered"), count(&sent, "members")), (5, 5));
    let text = world.out("whole/1.csv");
    let mut rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.remove(0), "user_id,orders_count,spent");
    rows.sort_unstable();
    assert_eq!(rows, ["u10,10,10.50", "u2,2,2.50", "u3,3,3.50", "u4,4,4.50", "u5,5,5.50"]);
    let left = std::fs::read_dir(world.house.path("out/shop/whole")).unwrap().count();
    assert_eq!(left, 1, "nothing stays beside it");

    // The first delta is of all; those excluded and those who did not agree are not in it.
    let sent = world.activate("changes");
    let counts =
        ["entered", "left", "suppressed", "without_consent"].map(|what| count(&sent, what));
    assert_eq!((counts, &sent["since"]), ([2, 0, 2, 1], &Value::Null), "{sent}");
    assert_eq!(
        lines(&world.out("changes.jsonl")),
        [json!({"customer": "u2", "orders": 2}), json!({"customer": "u4", "orders": 4})]
    );

    world.import([4, 5, 6, 7]);
    let sent = world.activate("changes");
    assert_eq!((count(&sent, "entered"), count(&sent, "left"), &sent["since"]), (2, 1, &json!(1)));
    let expected = [
        json!({"change": "left", "customer": "u2", "orders": null}),
        json!({"change": "entered", "customer": "u6", "orders": 6}),
        json!({"change": "entered", "customer": "u7", "orders": 7}),
    ];
    let told = lines(&world.out("changes.jsonl"));
    assert_eq!(told.len(), 3);
    assert_eq!((&told[0]["customer"], &told[1..]), (&expected[0]["customer"], &expected[1..]));

    // Who withdraws consent leaves, though the version is the same; renumbering changes nothing.
    world.house.ok(&["delete", "u0"]);
    world.house.ok(&["compact"]);
    world.house.ok(&["change", "u6", "agreed", "false"]);
    let sent = world.activate("changes");
    assert_eq!((&sent["since"], count(&sent, "entered")), (&json!(2), 0), "{sent}");
    let told = lines(&world.out("changes.jsonl"));
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["change"], &told[0]["customer"]), (&json!("left"), &json!("u6")));

    world.activate("numbers");
    let exported = world.house.path("exported.roaring");
    world.house.ok(&["export", "listed", "--format", "roaring", "-o", exported.to_str().unwrap()]);
    assert_eq!(world.bytes("n.roaring"), std::fs::read(&exported).unwrap());
    world.activate("table");
    let parquet = world.bytes("t.parquet");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));

    // It is in the trail who sent what where, and in the runs.
    let trail = world.house.json(&["audit", "--action", "activate"]);
    let line = &trail["lines"][0];
    assert_eq!(line["subject"], "table: crowd listed to file t.parquet", "{line}");
    assert!(world.house.ok(&["runs"]).contains("activate"));

    // Without a server the command does it.
    world.kill();
    let said = world.house.refused(&["activate", "whole"]);
    assert!(said.contains("--activation-dir"), "{said}");
    let out = world.house.path("out");
    world.house.ok(&["--activation-dir", out.to_str().unwrap(), "activate", "whole"]);
    assert_eq!(world.out("whole/2.csv").lines().count(), 5);
}

/// An activation to a receiver.
fn hook(url: &str, more: &str) -> String {
    format!(
        "{{kind: activation, name: hook, crowd: listed, to: {{webhook: {{url: \"{url}\", secret: \"${{WEBHOOK_SECRET}}\", parallel: 2, batch: {{events: 4}}}}}}{more}}}\n"
    )
}

const ENVIRONMENT: [(&str, &str); 1] = [("WEBHOOK_SECRET", SECRET)];

/// What a receiver knows: who is in, by what it was told and has taken.
#[derive(Default, Debug, PartialEq)]
struct Told {
    members: BTreeSet<String>,
    completed: Vec<Value>,
}

fn told(receiver: &Receiver) -> Told {
    let mut told = Told::default();
    let mut full = None;
    let mut seen = HashSet::new();
    for request in receiver.requests().iter().filter(|request| request.status == 200) {
        // The same again counts once.
        if !seen.insert(request.headers["webhook-id"].clone()) {
            continue;
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        if body["since"].is_null() && full != Some(body["delivery"].clone()) {
            full = Some(body["delivery"].clone());
            told.members.clear();
        }
        if !body["complete"].is_null() {
            told.completed.push(body.clone());
        }
        for user in body["users"].as_array().into_iter().flatten() {
            let id = user["user_id"].as_str().unwrap().to_owned();
            match body["change"].as_str().unwrap() {
                "entered" => told.members.insert(id),
                _ => told.members.remove(&id),
            };
        }
    }
    told
}

fn ids(request: &Received) -> Vec<String> {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let users = body["users"].as_array().cloned().unwrap_or_default();
    users.iter().map(|user| user["user_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_receiver_that_refuses_some_and_is_told_again() {
    let receiver = Receiver::start();
    let more = ", send: delta, fields: {orders: orders}";
    let world = World::open(&hook(&receiver.url(), more), &ENVIRONMENT);
    world.import(10..30);
    receiver.answers(|request| {
        let refuses = ids(request).iter().any(|id| id == "u13" || id == "u22");
        if refuses { Reply::status(422).saying("no such customer") } else { Reply::status(200) }
    });
    let sent = world.activate("hook");
    assert_eq!((count(&sent, "entered"), count(&sent, "failed")), (18, 2), "{sent}");
    let known = told(&receiver);
    assert_eq!(known.members, users((10..30).filter(|n| ![13, 22].contains(n))));
    assert_eq!(
        known.completed[0]["complete"],
        json!({"entered": 18, "left": 0, "failed": 2, "members": 20})
    );
    let failed = world.house.ok(&["activations", "failed", "hook", "1"]);
    let rows: Vec<&str> = failed.lines().collect();
    assert_eq!((rows.len(), rows[0]), (3, "user_id,change,at_ms,reason"));
    assert!(
        rows[1].starts_with("u13,entered,") && rows[2].contains("422: no such customer"),
        "{failed}"
    );
    let first: Value = serde_json::from_slice(&receiver.requests()[0].body).unwrap();
    assert_eq!(
        first["users"][0]["orders"].as_u64().map(|n| format!("u{n}")).as_deref(),
        first["users"][0]["user_id"].as_str()
    );

    // Whom it did not take is told again with the next delta, together with what changed.
    receiver.answers(|_| Reply::status(200));
    world.import(12..32);
    let sent = world.activate("hook");
    assert_eq!(
        (count(&sent, "entered"), count(&sent, "left"), count(&sent, "failed")),
        (4, 2, 0),
        "{sent}"
    );
    assert_eq!(told(&receiver).members, users(12..32));

    // A deleted user stands in no file.
    world.house.ok(&["delete", "u13"]);
    let failed = world.house.ok(&["activations", "failed", "hook", "1"]);
    assert!(!failed.contains("u13") && failed.contains("u22"), "{failed}");
    let said = world.house.refused(&["activations", "failed", "hook", "7"]);
    assert!(said.contains("remembers no delivery 7"), "{said}");

    receiver.answers(|_| Reply::status(410));
    world.import(12..33);
    let said = world.house.refused(&["activate", "hook", "--wait"]);
    assert!(said.contains("does not take the delivery") && said.contains("410"), "{said}");
    assert_eq!(world.last("hook")["state"], "failed");
    assert!(world.listed("hook")["problem"].as_str().unwrap().contains("410"));

    let said = world.house.refused(&["activate", "hok", "--wait"]);
    assert!(said.contains("there is no activation `hok`; did you mean `hook`?"), "{said}");
}

#[test]
fn a_server_that_is_killed_goes_on_with_the_same_version() {
    let receiver = Receiver::start();
    let mut world = World::of_users(2000, &hook(&receiver.url(), ", send: delta"), &ENVIRONMENT);
    world.import(0..200);
    receiver.answers(|_| Reply::status(200).after(Duration::from_millis(20)));
    for round in 0..4 {
        let before = receiver.requests().len();
        if round == 0 {
            world.house.ok(&["activate", "hook"]);
        }
        driver::eventually("some requests", || {
            (receiver.requests().len() > before + 6).then_some(())
        });
        world.kill();
        if round == 1 {
            // Another version is published while no server runs: this delivery is of the former.
            let file = world
                .house
                .file("more.csv", (200..260).map(|n| format!("u{n}\n")).collect::<String>());
            let arguments =
                ["import", "listed", file.to_str().unwrap(), "--no-header", "--mode", "append"];
            world.house.ok(&arguments);
        }
        world.serve();
        // Nobody else may begin what goes on by itself.
        let output = world.house.run(&["activate", "hook"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || said.contains("is being sent"), "{said}");
        if world.last("hook")["state"] != "running" {
            break;
        }
    }
    let last = world.delivered("hook", 1);
    assert_eq!((count(&last, "entered"), count(&last, "failed")), (200, 0), "{last}");
    let known = told(&receiver);
    assert_eq!(known.members, users(0..200));
    assert_eq!(known.completed.len(), 1);

    // Nothing that was noted as sent came again: only what was under way at each kill.
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for request in receiver.requests() {
        *times.entry(request.headers["webhook-id"].clone()).or_default() += 1;
    }
    let again: usize = times.values().map(|times| times - 1).sum();
    assert!(again <= 4 * 2 + 1, "{again} requests came again");

    receiver.answers(|_| Reply::status(200));
    // The run of a delivery ends a moment after the delivery.
    driver::eventually("its run has ended", || {
        let runs = world.house.json(&["runs"]);
        let runs = runs["runs"].as_array().unwrap().clone();
        (!runs.iter().any(|run| run["state"] == "running")).then_some(())
    });
    let sent = world.activate("hook");
    assert_eq!((count(&sent, "entered"), &sent["version"]), (60, &json!(2)), "{sent}");
    assert_eq!(told(&receiver).members, users(0..260));
}

#[test]
fn a_receiver_that_is_down_is_tried_until_it_is_up() {
    let mut receiver = Receiver::start();
    let more = ", run: version, retry_for: 2m";
    let world = World::open(&hook(&receiver.url(), more), &ENVIRONMENT);
    receiver.stop();
    // Nobody asks for it: the version does.
    world.import(0..50);
    driver::eventually("it is tried", || {
        let runs = world.house.json(&["runs"]);
        let runs = runs["runs"].as_array().unwrap().clone();
        let run = runs.iter().find(|run| run["kind"] == "activate")?["id"].clone();
        let path = format!("/api/v1/apps/shop/runs/{}", run.as_str().unwrap());
        let key = world.house.ok(&["keys", "create", "--role", "viewer"]);
        let run = world.server.as_ref().unwrap().get(&path, key.trim()).json();
        run["tasks"][0]["message"].as_str()?.contains("does not work now").then_some(())
    });
    receiver.resume();
    assert_eq!(count(&world.delivered("hook", 1), "entered"), 50);
    assert_eq!(told(&receiver).members, users(0..50));

    // What fails for a moment does not end the run.
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    receiver.answers(move |_| match counted.fetch_add(1, Ordering::SeqCst) % 3 {
        0 => Reply::status(503).with("retry-after", "0"),
        _ => Reply::status(200),
    });
    world.import(20..80);
    world.delivered("hook", 2);
    assert_eq!(told(&receiver).members, users(20..80));
}

#[test]
fn a_run_is_cancelled_and_a_definition_goes() {
    let receiver = Receiver::start();
    let activations = hook(&receiver.url(), ", send: delta, run: version");
    let world = World::of_users(200, &activations, &ENVIRONMENT);
    receiver.answers(|_| Reply::status(200).after(Duration::from_millis(50)));
    world.import(0..100);
    let run = driver::eventually("it goes out", || {
        let last = world.last("hook");
        (last["entered"].as_u64()? > 8).then(|| last["run"].as_str().unwrap().to_owned())
    });
    let key = world.house.ok(&["keys", "create", "--role", "editor"]);
    let server = world.server.as_ref().unwrap();
    let path = format!("/api/v1/apps/shop/runs/{run}");
    let answer = server.call("DELETE", &path, Some(&format!("Bearer {}", key.trim())), b"");
    assert!(answer.status < 300, "{}", answer.status);
    driver::eventually("it is cancelled", || {
        (world.last("hook")["state"] == "cancelled").then_some(())
    });
    // What was on its way when the run was cancelled still arrives.
    std::thread::sleep(Duration::from_secs(1));
    let stands = receiver.requests().len();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.requests().len(), stands, "it does not begin again by itself");

    // Another version takes its place; nobody is missed.
    receiver.answers(|_| Reply::status(200));
    world.import(50..120);
    world.delivered("hook", 2);
    assert_eq!(told(&receiver).members, users(50..120));
    let all = world.house.json(&["activations", "deliveries", "hook"]);
    let states: Vec<&str> = all["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["succeeded", "superseded"]);

    // One that is defined again begins from nothing, with numbers that were not given before.
    world.apply("{kind: crowd, name: other, ids: [u1]}");
    world.apply(&hook(&receiver.url(), ", send: delta, run: version"));
    let last = world.delivered("hook", 2);
    assert_eq!((&last["delivery"], &last["since"]), (&json!(3), &Value::Null), "{last}");
}

fn in_redis(redis: &Database) -> BTreeSet<String> {
    let members = redis.redis_cli(&["HGET", "taghouse:shop:listed", "members"]).concat();
    redis.redis_cli(&["HKEYS", &members]).into_iter().collect()
}

#[test]
fn redis_has_the_members_of_one_version() {
    if !needs::databases("redis_has_the_members_of_one_version") {
        return;
    }
    let mut redis = Database::redis();
    let activations = r#"
{kind: activation, name: whole, crowd: listed, to: {redis: {url: "${ACTIVATE_REDIS}"}}, fields: {orders: orders}, unless: [blocked]}
---
{kind: activation, name: changes, crowd: everyone, to: {redis: {url: "${ACTIVATE_REDIS}", key: "all"}}, send: delta, consent: agreed}
"#;
    let url = redis.redis_url();
    let mut world = World::of_users(5000, activations, &[("ACTIVATE_REDIS", &url)]);
    world.import(0..50);
    world.activate("whole");
    assert_eq!(in_redis(&redis), users((0..50).filter(|n| ![3, 5].contains(n))));
    let value = redis.redis_cli(&["HGET", "taghouse:shop:listed:1", "u7"]).concat();
    assert_eq!(serde_json::from_str::<Value>(&value).unwrap(), json!({"orders": 7}));

    // The next version takes its place, and the former is gone.
    world.import(20..60);
    world.activate("whole");
    assert_eq!(in_redis(&redis), users(20..60));
    let version =
        redis.redis_cli(&["HMGET", "taghouse:shop:listed", "version", "delivery", "size"]);
    assert_eq!(version, ["2", "2", "40"]);
    assert_eq!(redis.redis_cli(&["KEYS", "taghouse:shop:listed:*"]), ["taghouse:shop:listed:2"]);

    // A delta changes what is there.
    let sent = world.activate("changes");
    assert_eq!((count(&sent, "entered"), count(&sent, "without_consent")), (4500, 500));
    world.house.ok(&["change", "u11", "agreed", "false"]);
    let sent = world.activate("changes");
    assert_eq!((count(&sent, "entered"), count(&sent, "left"), &sent["since"]), (0, 1, &json!(1)));
    assert_eq!(redis.redis_cli(&["HEXISTS", "all:1", "u11"]), ["0"]);
    assert_eq!(redis.redis_cli(&["HMGET", "all", "delivery", "size"]), ["2", "4499"]);

    // Whoever empties Redis gets all members again.
    redis.redis_cli(&["FLUSHALL"]);
    let sent = world.activate("changes");
    assert_eq!((count(&sent, "entered"), &sent["since"]), (4499, &Value::Null), "{sent}");

    // It is down, and the server is killed; both come back.
    redis.stop();
    world.import(30..90);
    world.house.ok(&["activate", "whole"]);
    driver::eventually("it fails", || (world.last("whole")["state"] == "running").then_some(()));
    world.kill();
    redis.resume();
    world.serve();
    world.delivered("whole", 3);
    assert_eq!(in_redis(&redis), users(30..90));
    let keys: BTreeSet<String> = redis.redis_cli(&["KEYS", "taghouse:*"]).into_iter().collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
}

#[test]
fn a_table_of_postgresql_has_the_members_of_one_version() {
    if !needs::databases("a_table_of_postgresql_has_the_members_of_one_version") {
        return;
    }
    let mut postgres = Database::postgres();
    let activations = r#"
{kind: activation, name: whole, crowd: listed, to: {postgresql: {url: "${ACTIVATE_PG}", table: listed}}, fields: {orders: orders, spent: spend}}
---
{kind: activation, name: changes, crowd: everyone, to: {postgresql: {url: "${ACTIVATE_PG}", table: everyone}}, send: delta, id: customer, consent: agreed, retry_for: 2s}
"#;
    let url = postgres.postgres_url();
    let mut world = World::of_users(12_000, activations, &[("ACTIVATE_PG", &url)]);
    let listed = |postgres: &Database| -> BTreeSet<String> {
        postgres
            .psql("SELECT user_id FROM listed WHERE app = 'shop' AND crowd = 'listed'")
            .into_iter()
            .collect()
    };
    world.import(0..50);
    world.activate("whole");
    assert_eq!(listed(&postgres), users(0..50));
    assert_eq!(
        postgres.psql("SELECT version, delivery, orders, spent FROM listed WHERE user_id = 'u7'"),
        ["1|1|7|7.50"]
    );
    world.import(40..70);
    world.activate("whole");
    assert_eq!(listed(&postgres), users(40..70));
    assert_eq!(
        postgres.psql("SELECT crowd, version, delivery, members FROM listed_deliveries"),
        ["listed|2|2|30"]
    );

    // A row that the table does not take is told of, and the others are there.
    postgres.psql("ALTER TABLE listed ADD CONSTRAINT no_55 CHECK (orders <> 55) NOT VALID");
    let sent = world.activate("whole");
    assert_eq!((count(&sent, "entered"), count(&sent, "failed")), (29, 1), "{sent}");
    assert_eq!(listed(&postgres), users((40..70).filter(|n| *n != 55)));
    let failed = world.house.ok(&["activations", "failed", "whole", "3"]);
    assert!(
        failed.contains("u55,entered,") && failed.contains("violates check constraint"),
        "{failed}"
    );
    postgres.psql("ALTER TABLE listed DROP CONSTRAINT no_55");

    let sent = world.activate("changes");
    assert_eq!(count(&sent, "entered"), 10_800);
    world.house.ok(&["change", "u11", "agreed", "false"]);
    world.house.ok(&["change", "u10", "agreed", "true"]);
    let sent = world.activate("changes");
    assert_eq!((count(&sent, "entered"), count(&sent, "left"), &sent["since"]), (1, 1, &json!(1)));
    assert_eq!(
        postgres.psql("SELECT count(*), count(*) FILTER (WHERE customer = 'u11') FROM everyone"),
        ["10800|0"]
    );
    let tables =
        postgres.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
    assert_eq!(tables, ["everyone", "everyone_deliveries", "listed", "listed_deliveries"]);

    // It is down for longer than it is tried; then the same delivery goes on.
    postgres.stop();
    let said = world.house.refused(&["activate", "changes", "--wait"]);
    assert!(said.contains("PostgreSQL does not work now"), "{said}");
    assert!(world.listed("changes")["problem"].as_str().unwrap().contains("PostgreSQL"));
    postgres.resume();
    world.activate("changes");

    // It is killed in between.
    world.import(0..12_000);
    world.house.ok(&["activate", "whole"]);
    driver::eventually("some rows", || {
        let last = world.last("whole");
        (last["version"] == 3 && last["entered"].as_u64()? > 0).then_some(())
    });
    world.kill();
    world.serve();
    world.delivered("whole", 3);
    assert_eq!(
        postgres.psql("SELECT count(*), count(DISTINCT user_id) FROM listed WHERE version = 3"),
        ["12000|12000"]
    );
    let tables = postgres.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(tables, ["4"]);
}
