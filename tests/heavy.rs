//! Work that never ends by itself, beside questions: those are answered, a cancel is heard, and the
//! process ends when it is asked to.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, eventually, shop_definitions};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

const ORDERS: &str = "id,user,event,time,sku,amount
1,ann,purchase,2026-06-20T10:00:00,s1,60.10
2,ann,purchase,2026-06-21T10:00:00,s2,60.15
3,ann,visit,2026-06-21T11:00:00,,
4,bob,purchase,2026-06-22T10:00:00,s2,12.50
5,cid,visit,2026-06-22T10:00:00,,
6,dot,purchase,2026-05-01T10:00:00,s1,99.99
";
const AS_OF: &str = "2026-07-01T00:00";
/// The longest that a judgment may take here; milliseconds where nobody else works.
const JUDGED_WITHIN: Duration = Duration::from_secs(2);
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// A cancel is over within a second; this is for a machine that does much else.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);
const LARGE_ROWS: usize = 700_000;

/// A shop that is produced, with a tag that is not yet and never will be: its query joins six
/// events with themselves thirty times.
fn house() -> House {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let orders = house.file("in/orders-1.csv", ORDERS);
    house.ok(&["ingest", "--source", "orders", orders.parent().unwrap().to_str().unwrap()]);
    house.ok(&["produce", "--as-of", AS_OF]);
    let crossed: String = (1..30).map(|n| format!(" CROSS JOIN events e{n}")).collect();
    let query = format!(
        "SELECT e0.user_id, count(*) AS value FROM events e0{crossed} WHERE e1.amount + e9.amount > e0.amount GROUP BY e0.user_id"
    );
    let hostile = house
        .file("hostile.yaml", format!("kind: tag\nname: hostile\ntype: int\nsql: \"{query}\"\n"));
    house.ok(&["apply", "-f", hostile.to_str().unwrap()]);
    house
}

/// Cancels a run; how long it took until it was said to be over.
fn cancel(server: &Server, key: &str, id: &str) -> Duration {
    let began = Instant::now();
    assert_eq!(
        server
            .call(
                "DELETE",
                &format!("/api/v1/apps/corner/runs/{id}"),
                Some(&format!("Bearer {key}")),
                b""
            )
            .status,
        202
    );
    let run = server.run_ended(id, key);
    assert_eq!(run["state"], "cancelled", "{run}");
    began.elapsed()
}

/// A file that takes some seconds to ingest, and the run that does it, once it reads rows.
fn large(house: &House, server: &Server, key: &str) -> String {
    let mut rows = String::from("id,user,event,time,sku,amount\n");
    for row in 0..LARGE_ROWS {
        rows += &format!(
            "big{row},u{},purchase,2026-06-20T10:00:00,s{},{}.10\n",
            row % 50_000,
            row % 977,
            row % 90
        );
    }
    let upload = server.post("/api/v1/apps/corner/uploads", key, &json!({})).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let put = format!("/api/v1/apps/corner/uploads/{upload}/files?name=orders-9.csv");
    assert_eq!(
        server.call("PUT", &put, Some(&format!("Bearer {key}")), rows.as_bytes()).status,
        204,
        "{}",
        house.complaint()
    );
    let run = server
        .post("/api/v1/apps/corner/ingest", key, &json!({"source": "orders", "upload": upload}))
        .json();
    let id = run["id"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned();
    eventually("the ingestion", || {
        let run = server.get(&format!("/api/v1/apps/corner/runs/{id}"), key).json();
        assert_eq!(run["state"], "running", "it must take longer than this: {run}");
        run["tasks"][0]["message"].as_str()?.contains("rows").then_some(())
    });
    id
}

/// Starts to produce the endless tag, and waits until its query runs.
fn endless(server: &Server, key: &str) -> String {
    let run = server.post(
        "/api/v1/apps/corner/produce",
        key,
        &json!({"as_of": AS_OF, "tags": ["hostile"]}),
    );
    let id = run.json()["id"].as_str().unwrap_or_else(|| panic!("{}", run.json())).to_owned();
    eventually("the production", || {
        let run = server.get(&format!("/api/v1/apps/corner/runs/{id}"), key).json();
        run["tasks"]
            .as_array()?
            .iter()
            .any(|task| task["name"] == "produce" && task["state"] == "running")
            .then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    id
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

#[test]
fn judgments_are_answered_beside_an_endless_query_and_a_cancel_ends_it() {
    let house = house();
    let server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let id = endless(&server, &key);
    for _ in 0..40 {
        let began = Instant::now();
        let judgment =
            server.get("/api/v1/apps/corner/judge?user=ann&crowd=high_spenders", &key).json();
        assert_eq!(judgment["in_crowd"], json!(true), "{judgment}");
        let count =
            server.get("/api/v1/apps/corner/count?expression=purchases%20%3E%3D%201", &key).json();
        assert_eq!(count["count"], json!(3), "{count}");
        assert!(
            began.elapsed() < JUDGED_WITHIN * 2,
            "a judgment and a count took {:?}",
            began.elapsed()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let state = || server.get(&format!("/api/v1/apps/corner/runs/{id}"), &key).json();
    assert_eq!(state()["state"], "running");
    let took = cancel(&server, &key, &id);
    assert!(took < CANCELLED_WITHIN, "{took:?}");
    // Its place is free for the next.
    let run = server
        .post("/api/v1/apps/corner/produce", &key, &json!({"as_of": AS_OF, "tags": ["visits"]}))
        .json();
    let id = run["id"].as_str().unwrap_or_else(|| panic!("{run}"));
    let run = server.run_ended(id, &key);
    assert_eq!(run["state"], "succeeded", "{run}");
}

#[test]
fn an_ingestion_is_cancelled_soon_and_leaves_nothing() {
    let house = house();
    let server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let id = large(&house, &server, &key);
    let took = cancel(&server, &key, &id);
    assert!(took < CANCELLED_WITHIN, "{took:?}");
    // Its place is free, and the same name can come again.
    let again = house.file(
        "again/orders-9.csv",
        "id,user,event,time,sku,amount\nbig0,zoe,purchase,2026-06-20T10:00:00,s1,1.10\n",
    );
    house.ok(&["ingest", "--source", "orders", again.parent().unwrap().to_str().unwrap()]);
    house.ok(&["produce", "--as-of", AS_OF, "--tag", "purchases"]);
    assert_eq!(house.count("purchases >= 1"), 4, "of the large file nothing landed");
}

#[test]
fn a_server_ends_soon_beside_all_kinds_of_work() {
    let house = house();
    let mut server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let query = endless(&server, &key);
    let ingestion = large(&house, &server, &key);
    for message in 0..200 {
        let call = json!({"userId": "eve", "event": "purchase", "messageId": format!("m{message}"), "timestamp": "2026-06-20T10:00:00.000Z", "properties": {"sku": "s1", "amount": 1}});
        assert_eq!(server.post("/v1/track", &key, &call).status, 200);
    }
    let took = server.terminate();
    assert!(took < ENDED_WITHIN, "it took {took:?}");
    let runs = house.json(&["runs"]);
    for id in [query, ingestion] {
        let run: &Value =
            runs["runs"].as_array().unwrap().iter().find(|run| run["id"] == json!(id)).unwrap();
        assert!(["cancelled", "interrupted"].contains(&run["state"].as_str().unwrap()), "{run}");
    }
    house.ok(&["produce", "--as-of", AS_OF, "--tag", "purchases"]);
    assert_eq!(house.count("purchases >= 200"), 1, "what was acknowledged is there");
}

#[test]
fn a_server_ends_soon_beside_an_endless_query_and_says_so_of_its_run() {
    let house = house();
    let mut server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let id = endless(&server, &key);
    let took = server.terminate();
    assert!(took < ENDED_WITHIN, "it took {took:?}");
    assert_eq!(server.ended(), Some(true), "{}", house.complaint());
    let runs = house.json(&["runs"]);
    let run: &Value =
        runs["runs"].as_array().unwrap().iter().find(|run| run["id"] == json!(id)).unwrap();
    assert!(["cancelled", "interrupted"].contains(&run["state"].as_str().unwrap()), "{run}");
}

/// The command as a terminal would start it: whoever runs the tests in the background of a shell
/// has them ignore interrupts.
fn interruptible(command: &Command) -> Command {
    let mut made = Command::new("env");
    made.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => made.env(name, value),
            None => made.env_remove(name),
        };
    }
    made
}

#[test]
fn a_command_without_a_server_ends_at_an_interrupt_and_at_its_deadline() {
    let house = house();
    let mut command =
        interruptible(&house.command(&["produce", "--as-of", AS_OF, "--tag", "hostile"]))
            .spawn()
            .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(command.try_wait().unwrap().is_none(), "it should still work");
    let began = Instant::now();
    signal(command.id(), "-INT");
    assert!(!command.wait().unwrap().success());
    assert!(began.elapsed() < ENDED_WITHIN, "{:?}", began.elapsed());
    let runs = house.json(&["runs"]);
    assert!(
        ["cancelled", "interrupted"].contains(&runs["runs"][0]["state"].as_str().unwrap()),
        "{runs}"
    );
    let said =
        house.refused(&["--query-seconds", "1.5", "produce", "--as-of", AS_OF, "--tag", "hostile"]);
    assert!(said.contains("sql tag hostile") && said.contains("longer than"), "{said}");
}

#[test]
fn a_query_that_would_take_the_memory_is_refused_when_it_is_defined() {
    let house = house();
    for (query, word) in [
        ("SELECT user_id, length(repeat('x', 2000000000)) AS value FROM events", "repeat"),
        ("SELECT user_id, array_length(range(0, 100000000000)) AS value FROM events", "range"),
    ] {
        let file =
            house.file("bad.yaml", format!("kind: tag\nname: bad\ntype: int\nsql: \"{query}\"\n"));
        for arguments in [
            &["apply", "-f", file.to_str().unwrap(), "--dry-run"][..],
            &["apply", "-f", file.to_str().unwrap()],
        ] {
            let said = house.refused(arguments);
            assert!(
                said.contains("bad.yaml") && said.contains("sql tag bad") && said.contains(word),
                "{said}"
            );
        }
    }
}
