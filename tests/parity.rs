//! The comparison of live tags with the batch as somebody who runs a server sees it: by command, by
//! run, every hour, in the numbers and in the standing; and a defect is not passed over.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, eventually};
use futures::StreamExt;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use taghouse_catalog::SqliteCatalog;
use taghouse_lake::{Lake, layout};
use taghouse_model::{AppId, Clock, TimestampMs};

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment, properties: {amount: {column: amount, type: decimal, scale: 2}}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count, window: 30d}}
---
{kind: tag, name: spend, type: decimal, scale: 2, mode: both, aggregate: {events: [order], function: sum, value: amount}}
---
{kind: tag, name: good, type: bool, mode: stream, expression: "orders >= 2"}
---
{kind: tag, name: visits, type: int, aggregate: {events: [visit], function: count}}
"#;

const NEVER: [&str; 4] = ["--land-every", "3600", "--parity-every", "0"];

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
        eventually("readiness", || {
            (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
        });
        let write_key = house.json(&["keys", "create", "--role", "write"])["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { house, server, admin, write_key }
    }

    fn order(&self, user: &str, message: &str) {
        let body = json!({"userId": user, "event": "order", "messageId": message, "properties": {"amount": 10.5}});
        assert_eq!(self.server.post("/v1/track", &self.write_key, &body).status, 200);
    }

    fn live(&self) -> Value {
        self.server.get("/api/v1/apps/t/live", &self.admin).json()
    }

    /// A run, once it has ended.
    fn run(&self, id: &str) -> Value {
        let path = format!("/api/v1/apps/t/runs/{id}?wait_ms=20000");
        self.server.get(&path, &self.admin).json()
    }

    fn metrics(&self) -> String {
        String::from_utf8(self.server.get("/metrics", &self.admin).body).unwrap()
    }
}

#[test]
fn a_command_compares_and_the_standing_and_the_numbers_tell_of_it() {
    let site = Site::open(&NEVER);
    assert_eq!(site.live()["parity"], Value::Null);
    for n in 0..30 {
        site.order(&format!("u{}", n % 12), &format!("m-{n}"));
    }
    let found = site.house.json(&["parity"]);
    assert_eq!((&found["defects"], &found["looks"]), (&json!(0), &json!(1)), "{found}");
    assert_eq!(found["compared_users"], 12, "{found}");
    let tags: Vec<(&str, u64)> = found["compared_tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| (tag["name"].as_str().unwrap(), tag["values"].as_u64().unwrap()))
        .collect();
    assert_eq!(tags, [("good", 12), ("orders", 12), ("spend", 12)]);
    assert_eq!(found["events_read"], 30, "what had not landed has");

    let live = site.live();
    assert_eq!(live["parity"]["users"], 12, "{live}");
    let run = live["parity"]["run"].as_str().unwrap();
    let run = site.run(run);
    assert_eq!((&run["kind"], &run["state"]), (&json!("parity"), &json!("succeeded")), "{run}");
    let metrics = site.metrics();
    for line in [
        r#"taghouse_parity_differences{app="t",tag="orders",class="defect"} 0"#,
        r#"taghouse_parity_users{app="t"} 12"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(site.house.ok(&["status"]).contains("no difference; 12 users"));
    assert!(site.house.ok(&["audit", "--action", "parity"]).contains("all live tags"));

    // A value changed by hand is told from a defect.
    site.house.ok(&["change", "u1", "orders", "99"]);
    let found = site.house.json(&["parity", "--tag", "orders"]);
    assert_eq!(found["defects"], 0, "{found}");
    let example = &found["examples"][0];
    assert_eq!(
        (&example["class"], &example["user"], &example["shown"], &example["batch"]),
        (&json!("by_hand"), &json!("u1"), &json!("99"), &json!("3")),
        "{found}"
    );

    for (body, status, words) in [
        (json!({"tag": "visits"}), 400, "`visits` is not live"),
        (json!({"tag": "visit"}), 404, "visit"),
        (json!({"sample": 0}), 400, "1 to 100000"),
        (json!({"sampel": 3}), 400, "sampel"),
    ] {
        let answer = site.server.post("/api/v1/apps/t/parity", &site.admin, &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.json());
        assert!(answer.json().to_string().contains(words), "{body}: {}", answer.json());
    }
}

#[test]
fn a_server_compares_by_itself_while_events_come() {
    let site = Site::open(&["--land-every", "0.5", "--parity-every", "1"]);
    let mut runs = std::collections::BTreeSet::new();
    let mut n = 0;
    eventually("three comparisons", || {
        for _ in 0..20 {
            site.order(&format!("u{}", n % 50), &format!("m-{n}"));
            n += 1;
        }
        let parity = site.live()["parity"].clone();
        if let Some(run) = parity["run"].as_str() {
            assert_eq!(parity["defects"], 0, "{parity}");
            runs.insert(run.to_owned());
        }
        (runs.len() >= 3).then_some(())
    });
}

struct Fixed;

impl Clock for Fixed {
    fn now_ms(&self) -> TimestampMs {
        1_800_000_000_000
    }

    fn steady_ms(&self) -> i64 {
        0
    }
}

/// Writes an event of the user into the lake once more, behind the back of all who follow the log.
#[tokio::main(flavor = "current_thread")]
async fn forge(data: &Path, user: &str) {
    let app = AppId::new("t").unwrap();
    let catalog = Arc::new(SqliteCatalog::open(&data.join("catalog.db")).await.unwrap());
    let lake = Lake::open(catalog, &data.join("lake"), Arc::new(Fixed)).unwrap();
    let events = lake.table(&app, layout::EVENTS).await.unwrap().unwrap();
    let names: Vec<String> =
        events.arrow_schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut writer = events.writer();
    for mut batches in events.scan(&columns).plan(1).await.unwrap().partitions() {
        while let Some(batch) = batches.next().await {
            let batch = batch.unwrap();
            let ids = batch.column_by_name("user_id").unwrap().clone();
            let ids = ids.as_any().downcast_ref::<arrow::array::StringArray>().unwrap();
            if let Some(row) = ids.iter().position(|id| id == Some(user)) {
                writer.write(batch.slice(row, 1)).await.unwrap();
            }
        }
    }
    let mut commit = lake.begin(&app);
    commit.append(&events, writer.close().await.unwrap());
    commit.commit().await.unwrap();
}

/// What a release with a defect of its own would come to: a row that the lake has, and the states
/// lack. It is written into the lake by other means than calls.
#[test]
fn a_defect_ends_the_run_with_warnings_and_is_shown_everywhere() {
    let site = Site::open(&NEVER);
    site.order("ann", "m-1");
    site.order("bob", "m-2");
    site.house.ok(&["parity"]);
    let Site { house, server, admin, write_key } = site;
    drop(server);
    forge(&house.data(), "ann");
    let server = house.serve_with(&NEVER);
    let site = Site { house, server, admin, write_key };
    assert_eq!(site.live()["parity"]["defects"], 0, "the one before is known");
    let found = site.house.json(&["parity"]);
    assert_eq!(found["defects"], 3, "{found}");
    assert_eq!(found["warnings"].as_array().unwrap().len(), 3, "{found}");
    let example = &found["examples"][0];
    assert_eq!((&example["user"], &example["class"]), (&json!("ann"), &json!("defect")), "{found}");
    let live = site.live();
    assert_eq!(live["parity"]["defects"], 3, "{live}");
    let run = site.run(live["parity"]["run"].as_str().unwrap());
    assert_eq!(run["state"], "succeeded_with_warnings", "{run}");
    let line = r#"taghouse_parity_differences{app="t",tag="orders",class="defect"} 1"#;
    assert!(site.metrics().contains(line));
    assert!(site.house.ok(&["status"]).contains("3 values are wrong"));
}
