//! A disk that is full while the states of live tags are saved: who cannot be taken is told so,
//! nothing acknowledged is lost, and all is right again once there is room, without hands.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
#[path = "needs/small_disk.rs"]
mod small_disk;

use driver::{House, eventually};
use serde_json::{Value, json};
use small_disk::SmallDisk;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment, properties: {page: page}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count, window: 30d}}
---
{kind: tag, name: pages, type: set, mode: stream, aggregate: {events: [order], function: set, value: page}}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 1"}
"#;

/// So many refusals in a row, and the disk counts as full for live calls too.
const REFUSED: usize = 3;

/// Takes all the room there is.
fn fill_up(path: &Path) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    for size in [1 << 20, 64 << 10, 4 << 10] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_during_a_checkpoint_loses_nothing() {
    let house = House::new();
    std::fs::create_dir(house.data()).unwrap();
    let name = "a_full_disk_during_a_checkpoint_loses_nothing";
    let Some(_disk) = SmallDisk::over(&house.data(), name, "64m") else { return };
    house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
    // A landing, and with it a checkpoint, several times a second.
    let mut server = house.serve_with(&["--land-every", "0.1"]);
    let admin = server.admin_key.clone().unwrap();
    eventually("readiness", || {
        (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
    });
    let write_key =
        house.json(&["keys", "create", "--role", "write"])["secret"].as_str().unwrap().to_owned();
    let filler = house.data().join("filler");
    let mut orders: BTreeMap<String, u64> = BTreeMap::new();
    for n in 0..7 {
        let body =
            json!({"userId": format!("u{n}"), "event": "order", "messageId": format!("first-{n}")});
        assert_eq!(server.post("/v1/track", &write_key, &body).status, 200);
        orders.insert(format!("u{n}"), 1);
    }
    eventually("the first values", || {
        let profile = server.get("/api/v1/apps/t/profile?user=u1", &admin).json();
        (profile["tags"]["orders"] == 1).then_some(())
    });
    let mut sent = 0;
    for round in 0..3 {
        let (mut refused, mut taken) = (0, 0);
        let mut again: Vec<(String, Value)> = Vec::new();
        while refused < REFUSED {
            // There is room for some landings at first, then for none, and at last not for a call.
            if taken == 20 {
                fill_up(&filler);
            }
            let user = format!("u{}", sent % 7);
            let page = format!("{sent}-{}", "p".repeat(900));
            let body = json!({"userId": user, "event": "order", "messageId": format!("m-{sent}"), "properties": {"page": page}});
            sent += 1;
            let answer = server.post("/v1/track", &write_key, &body);
            match answer.status {
                200 => {
                    *orders.entry(user).or_default() += 1;
                    (refused, taken) = (0, taken + 1);
                }
                503 => {
                    assert!(answer.retry_after.is_some(), "{}", answer.json());
                    again.push((user, body));
                    refused += 1;
                    std::thread::sleep(std::time::Duration::from_millis(300));
                }
                other => panic!("{other}: {}", answer.json()),
            }
            assert!(sent < 200_000, "the disk does not get full");
        }
        // Of values that were shown none is taken back, though states can be saved no more.
        let shown = server.get("/api/v1/apps/t/profile?user=u1", &admin).json();
        assert!(shown["tags"]["orders"].as_u64() >= Some(1), "{shown}");
        // One is ended as by a power cut while the disk is full.
        if round == 1 {
            server.kill();
        }
        std::fs::remove_file(&filler).unwrap();
        if round == 1 {
            server = house.serve_with(&["--land-every", "0.1"]);
        }
        // As a library does: what was refused is sent again, and counts once, be it that the first
        // attempt got as far as the disk.
        for (user, body) in again {
            eventually("room for a call", || {
                (server.post("/v1/track", &write_key, &body).status == 200).then_some(())
            });
            *orders.entry(user).or_default() += 1;
        }
        eventually("all that was acknowledged, and nothing else", || {
            let value = |user: &String| -> Option<Value> {
                let path = format!("/api/v1/apps/t/profile?user={user}");
                Some(server.get(&path, &admin).json()["tags"]["orders"].take())
            };
            orders.iter().all(|(user, count)| value(user) == Some(json!(count))).then_some(())
        });
        eventually("a checkpoint", || {
            let live = server.get("/api/v1/apps/t/live", &admin).json();
            let saved = live["saved_position"] == live["landed_position"];
            (saved && live["computing"] == false && live["waiting_records"] == 0).then_some(())
        });
        let found = house.json(&["parity"]);
        assert_eq!(found["defects"], 0, "{found}");
        assert_eq!(found["compared_users"], 7, "{found}");
    }
}
