//! Backups taken while the server works, and put back: equal answers, nothing lost, nothing from
//! later; damage and wrong places are refused.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, eventually, shop_definitions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const AS_OF: &str = "2026-07-01T00:00";
const ORDERS: &str = "id,user,event,time,sku,amount
1,ann,purchase,2026-06-20T10:00:00,s1,60.10
2,ann,purchase,2026-06-21T10:00:00,s2,60.15
3,bob,purchase,2026-06-22T10:00:00,s2,12.50
4,cid,visit,2026-06-22T10:00:00,,
5,dot,purchase,2026-05-01T10:00:00,s1,99.99
";
const QUESTIONS: [&str; 7] = [
    "purchases >= 1",
    "spend_30d > 100",
    "city == \"Berlin\"",
    "favourite == \"s2\"",
    "crowd(\"high_spenders\")",
    "!(purchases is set)",
    "visits >= 1",
];

fn produced() -> House {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let orders = house.file("in/orders-1.csv", ORDERS);
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", AS_OF]);
    house
}

fn restored(house: &House, backup: &Path, name: &str) -> House {
    let restored = house.beside(name);
    restored.ok(&["restore", backup.to_str().unwrap()]);
    restored
}

/// What a folder says of everything that a user can ask.
fn answers(house: &House) -> BTreeMap<String, Value> {
    let mut answers: BTreeMap<String, Value> = QUESTIONS
        .iter()
        .map(|question| ((*question).to_owned(), house.count(question).into()))
        .collect();
    for user in ["ann", "bob", "cid"] {
        answers.insert(format!("profile {user}"), house.json(&["profile", user])["tags"].clone());
    }
    for what in ["keys", "runs", "crowds", "tags"] {
        answers.insert(what.to_owned(), house.json(&[what]));
    }
    // A key that is used after the backup was so later than the backup knows.
    for key in answers.get_mut("keys").unwrap()["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("used_ms");
    }
    answers
}

fn change(server: &Server, key: &str, user: &str, tag: &str, value: Value) {
    let answer = server.post(
        "/api/v1/apps/corner/changes",
        key,
        &json!({"create": true, "changes": [{"user": user, "tag": tag, "set": value}]}),
    );
    assert_eq!(answer.status, 200, "{}", answer.json());
}

#[test]
fn a_folder_put_back_answers_as_it_did_and_goes_on() {
    let house = produced();
    let server = house.serve_with(&["--land-every", "3600"]);
    let key = server.admin_key.clone().unwrap();
    change(&server, &key, "bob", "city", json!("Berlin"));
    change(&server, &key, "ann", "purchases", json!(77));
    house.ok(&["delete", "dot"]);
    // What is there when a server begins to look lands at once: the call comes later.
    thread::sleep(std::time::Duration::from_secs(2));
    let call = json!({"type": "track", "userId": "ann", "event": "purchase", "messageId": "m1", "timestamp": "2026-06-25T10:00:00Z",
        "properties": {"sku": "s9", "amount": 5}});
    assert_eq!(server.post("/v1/track?source=live", &key, &call).status, 200);

    let backup = house.path("backup");
    let said = house.ok(&["backup", backup.to_str().unwrap()]);
    assert!(said.contains("files") && said.contains("changes waited"), "{said}");
    let expected = answers(&house);
    // What comes later is not in it.
    change(&server, &key, "cid", "city", json!("Paris"));
    drop(server);

    let back = restored(&house, &backup, "back");
    assert_eq!(answers(&back), expected);
    assert_eq!(back.count("city == \"Paris\""), 0);
    // The call that had not landed lands from there, once; a change goes behind those that the
    // backup holds.
    let server = back.serve();
    eventually("the call lands", || {
        let landing = server.get("/api/v1/apps/corner/landing", &key).json();
        assert!(landing["last_error"].is_null(), "{landing}");
        // Two changes, a deletion and the call.
        (landing["position"].as_u64()? >= 4).then_some(())
    });
    change(&server, &key, "bob", "city", json!("Rome"));
    drop(server);
    back.ok(&["produce", "--as-of", AS_OF]);
    assert_eq!(
        (back.count("spend_30d == 125.25"), back.count("purchases == 77")),
        (1, 1),
        "the call once, and what was changed by hand"
    );
    assert_eq!(back.json(&["profile", "bob"])["tags"]["visits"], Value::Null);
}

#[test]
fn backups_beside_writers_show_one_moment_each() {
    let house = produced();
    let server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let (stop, sent, told) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let backups: Vec<_> = (0..3).map(|number| house.path(&format!("backup-{number}"))).collect();
    let mut bounds = Vec::new();

    thread::scope(|scope| {
        // One call sets two users to the same number: no backup may tell them apart, and numbers
        // only grow.
        scope.spawn(|| {
            for number in 1.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                sent.store(number, Ordering::SeqCst);
                let both = ["ann", "bob"]
                    .map(|user| json!({"user": user, "tag": "visits", "set": number}));
                assert_eq!(
                    server
                        .post(
                            "/api/v1/apps/corner/changes",
                            &key,
                            &json!({ "changes": both, "create": true })
                        )
                        .status,
                    200
                );
                told.store(number, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                house.ok(&["produce", "--tag", "favourite", "--as-of", AS_OF]);
                house.ok(&["compact"]);
            }
        });
        for backup in &backups {
            let least = told.load(Ordering::SeqCst);
            house.ok(&["backup", backup.to_str().unwrap()]);
            bounds.push((least, sent.load(Ordering::SeqCst)));
        }
        stop.store(true, Ordering::SeqCst);
    });
    drop(server);

    for (backup, (least, most)) in backups.iter().zip(bounds) {
        let back = restored(
            &house,
            backup,
            &format!("back-of-{}", backup.file_name().unwrap().to_str().unwrap()),
        );
        let value =
            |user: &str| back.json(&["profile", user])["tags"]["visits"].as_u64().unwrap_or(0);
        let (ann, bob) = (value("ann"), value("bob"));
        assert_eq!(ann, bob, "one call is in the backup in part");
        assert!((least..=most).contains(&ann), "{ann} of {least} to {most}");
        assert_eq!(back.count("purchases >= 1"), 3);
        back.ok(&["produce", "--as-of", AS_OF]);
        assert_eq!(back.count("purchases >= 1"), 3);
    }
}

#[test]
fn what_is_damaged_or_incomplete_is_not_put_back() {
    let house = produced();
    let backup = house.path("backup");
    house.ok(&["backup", backup.to_str().unwrap()]);
    let back = house.beside("back");
    let refused = |words: &[&str]| {
        let said = back.refused(&["restore", backup.to_str().unwrap()]);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(!back.data().exists(), "nothing is left of it");
    };

    let catalog = backup.join("catalog.db");
    let whole = std::fs::read(&catalog).unwrap();
    let mut bytes = whole.clone();
    bytes[5000] ^= 1;
    std::fs::write(&catalog, &bytes).unwrap();
    refused(&["catalog.db", "damaged"]);
    std::fs::write(&catalog, &whole[..whole.len() - 1]).unwrap();
    refused(&["catalog.db", "bytes"]);
    std::fs::remove_file(&catalog).unwrap();
    refused(&["catalog.db", "missing"]);
    std::fs::write(&catalog, &whole).unwrap();

    let listing = backup.join("backup.listing");
    let whole = std::fs::read_to_string(&listing).unwrap();
    std::fs::write(&listing, whole.replace("catalog.db", "../atalog.d")).unwrap();
    refused(&["damaged"]);
    std::fs::remove_file(&listing).unwrap();
    refused(&["is not a backup", "backup.listing"]);
    std::fs::write(&listing, whole).unwrap();

    std::fs::create_dir(back.data()).unwrap();
    std::fs::write(back.data().join("mine"), "kept").unwrap();
    let said = back.refused(&["restore", backup.to_str().unwrap()]);
    assert!(said.contains("holds something already"), "{said}");
    std::fs::remove_file(back.data().join("mine")).unwrap();
    back.ok(&["restore", backup.to_str().unwrap()]);
    assert_eq!(back.count("purchases >= 1"), 3);
}

#[test]
fn backups_go_only_where_they_may() {
    let house = produced();
    let said = house.refused(&["backup", house.data().join("inside").to_str().unwrap()]);
    assert!(said.contains("is in the data folder itself"), "{said}");
    let taken = house.file("taken/file", "");
    let said = house.refused(&["backup", taken.parent().unwrap().to_str().unwrap()]);
    assert!(said.contains("holds something already"), "{said}");

    let ask = |server: &Server, key: &str, folder: &str| {
        server.post("/api/v1/backups", key, &json!({ "folder": folder }))
    };
    let server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let answer = ask(&server, &key, "today");
    assert_eq!(answer.status, 400);
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("--backup-dir"),
        "{}",
        answer.json()
    );
    let of_app = house.json(&["keys", "create", "--role", "admin", "--app", "corner"])["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let editor = house.json(&["keys", "create", "--role", "editor", "--all-apps"])["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    drop(server);

    let folder = house.path("backups");
    let server = house.serve_with(&["--backup-dir", folder.to_str().unwrap()]);
    for name in ["../elsewhere", "/elsewhere", "a/b", "..", "."] {
        assert_eq!(ask(&server, &key, name).status, 400, "{name}");
    }
    for other in [&of_app, &editor] {
        assert_eq!(ask(&server, other, "today").status, 403);
    }
    let answer = ask(&server, &key, "today");
    assert_eq!(answer.status, 201, "{}", answer.json());
    assert_eq!(
        answer.json()["folder"],
        folder.canonicalize().unwrap().join("today").to_str().unwrap()
    );
    let trail = house.json(&["audit", "--all-apps"]);
    let lines: Vec<&Value> = trail["lines"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["action"] == "backup")
        .collect();
    assert!(lines.iter().any(|line| line["outcome"] == "done"), "{lines:?}");
    drop(server);
    assert_eq!(restored(&house, &folder.join("today"), "back").count("purchases >= 1"), 3);
}

#[test]
fn a_backup_whose_server_is_killed_is_none_and_leaves_nothing() {
    let house = produced();
    let stage = |house: &House| {
        let names = std::fs::read_dir(house.data())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".backup-")).count()
    };
    let mut killed = 0;
    for attempt in 0..40 {
        let mut server = house.serve();
        let backup = house.path(&format!("backup-{attempt}"));
        let mut command = house.command(&["backup", backup.to_str().unwrap()]);
        let mut asking = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        eventually("the backup begins or ends", || {
            (stage(&house) > 0 || asking.try_wait().unwrap().is_some()).then_some(())
        });
        thread::sleep(std::time::Duration::from_millis(attempt));
        server.kill();
        asking.wait().unwrap();
        let left = stage(&house);
        if !backup.join("backup.listing").exists() {
            killed += usize::from(left > 0);
            let back = house.beside("back");
            back.refused(&["restore", backup.to_str().unwrap()]);
        }
        assert_eq!(house.count("purchases >= 1"), 3);
        assert_eq!(stage(&house), 0, "the next start removes it");
        if killed >= 3 {
            return;
        }
    }
    panic!("no backup of forty was cut short");
}

const LIVE: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 2"}
---
{kind: sink, name: crm, webhook: {url: "http://127.0.0.1:1/hook", secret: "${WEBHOOK_SECRET}", retry_for: 1s}, start: earliest}
"#;

fn serve_live(house: &House) -> Server {
    let mut command = house.command(&["serve", "--listen", "127.0.0.1:0", "--land-every", "0.2"]);
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    command.args(["--webhook-networks", "127.0.0.1"]).env("WEBHOOK_SECRET", secret);
    let server = Server::of(command, &house.path("serve.stderr"));
    let server = server.unwrap_or_else(|said| panic!("the server did not start: {said}"));
    eventually("readiness", || {
        (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
    });
    server
}

fn order(server: &Server, key: &str, user: &str, message: u64) {
    let body = json!({"userId": user, "event": "order", "messageId": message.to_string()});
    assert_eq!(server.post("/v1/track", key, &body).status, 200);
}

/// The ids and texts of the feed's records behind one; `Err`: the status.
fn feed_behind(server: &Server, key: &str, from: &str) -> Result<Vec<(u64, String)>, u16> {
    let path = format!("/api/v1/apps/t/changes?follow=false&from={from}");
    let answer = server.get(&path, key);
    if answer.status != 200 {
        return Err(answer.status);
    }
    let text = String::from_utf8(answer.body).unwrap();
    let blocks = text.split("\n\n").filter(|block| block.contains("data:"));
    Ok(blocks
        .map(|block| {
            let id = block.lines().find_map(|line| line.strip_prefix("id:")).unwrap();
            (id.trim().parse().unwrap(), block.to_owned())
        })
        .collect())
}

#[test]
fn the_change_feed_and_dead_letters_are_put_back_and_no_id_means_two_things() {
    let house = House::new();
    house.ok(&["apply", "-f", house.file("app.yaml", LIVE).to_str().unwrap()]);
    let server = serve_live(&house);
    let admin = server.admin_key.clone().unwrap();
    let write = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
    (0..4).for_each(|number| order(&server, &write, ["ann", "bob"][number as usize % 2], number));
    let letters = |server: &Server, admin: &str| {
        // What was given up just before a crash may be given up again.
        let path = "/api/v1/apps/t/sinks/crm/dead-letters?limit=1000";
        let dead = server.get(path, admin).json()["dead_letters"].clone();
        let ids = dead.as_array().unwrap().iter().map(|letter| letter["event"]["id"].to_string());
        Some(ids.collect::<BTreeSet<String>>().len() as u64)
    };
    let last = || feed_behind(&server, &admin, "earliest").unwrap().last().map(|(id, _)| *id);
    eventually("both are members, and all is given up", || {
        let told = feed_behind(&server, &admin, "earliest").unwrap();
        let entered = told.iter().filter(|(_, text)| text.contains("enter")).count();
        (entered == 2 && letters(&server, &admin) == Some(told.len() as u64)).then_some(())
    });
    let at_backup = last().unwrap();
    let before = feed_behind(&server, &admin, "earliest").unwrap();
    let backup = house.path("backup");
    house.ok(&["backup", backup.to_str().unwrap()]);
    // The folder that was backed up goes on: somebody knows ids that the backup does not have.
    (10..14).for_each(|number| order(&server, &write, "cid", number));
    eventually("more is told", || (last() > Some(at_backup + 1)).then_some(()));
    let known = last().unwrap();
    drop(server);

    let restored = restored(&house, &backup, "restored");
    // The keys are those of the backup.
    let server = serve_live(&restored);
    assert_eq!(
        feed_behind(&server, &admin, "earliest").unwrap(),
        before,
        "all is there, and no more"
    );
    assert_eq!(letters(&server, &admin), Some(before.len() as u64));
    assert_eq!(feed_behind(&server, &admin, &at_backup.to_string()), Ok(Vec::new()));
    assert_eq!(feed_behind(&server, &admin, &known.to_string()), Err(410));
    (20..22).for_each(|number| order(&server, &write, "dee", number));
    eventually("dee enters", || {
        let told = feed_behind(&server, &admin, &at_backup.to_string()).unwrap();
        assert!(told.iter().all(|(id, _)| *id > known + 1_000), "{told:?}");
        told.iter().any(|(_, text)| text.contains("enter") && text.contains("dee")).then_some(())
    });
    let all = feed_behind(&server, &admin, "earliest").unwrap();
    assert_eq!(&all[..before.len()], before, "nobody enters twice");
    let entered = all.iter().filter(|(_, text)| text.contains("enter")).count();
    assert_eq!(entered, 3, "{all:?}");
    assert_eq!(feed_behind(&server, &admin, &known.to_string()), Err(410), "also later");
    // The sink goes on behind what it has given up.
    eventually("the sink goes on", || {
        let sinks = server.get("/api/v1/apps/t/live", &admin).json()["sinks"].clone();
        (sinks[0]["lag_records"] == 0 && letters(&server, &admin) == Some(all.len() as u64))
            .then_some(())
    });
    let log = server.get("/api/v1/apps/t/sinks/crm/deliveries?limit=1000", &admin).json();
    assert!(!log.to_string().contains("\"lost\""), "{log}");

    // A backup of what was restored, restored, goes on too.
    let again = house.path("again");
    restored.ok(&["backup", again.to_str().unwrap()]);
    drop(server);
    let twice = restored.beside("twice");
    twice.ok(&["restore", again.to_str().unwrap()]);
    let server = serve_live(&twice);
    assert_eq!(feed_behind(&server, &admin, "earliest").unwrap(), all);
    assert_eq!(feed_behind(&server, &admin, &at_backup.to_string()).unwrap(), all[before.len()..]);
}
