//! Judgments over gRPC, as clients of other languages and of Rust see them: the answers of HTTP, on
//! the same port, with the same keys and limits.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, Server, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use taghouse_proto::packed::is_set;
use taghouse_proto::v1::judgment_client::JudgmentClient;
use taghouse_proto::v1::{CrowdsOfRequest, JudgeManyRequest, JudgeRequest};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment, attributes: {plan: plan, level: {column: level, type: int}}}
---
{kind: tag, name: orders, type: int, mode: both, aggregate: {events: [order], function: count}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: level, type: int, attribute: level}
---
{kind: crowd, name: pros, expression: "plan == \"pro\""}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 2"}
---
{kind: crowd, name: good, expression: "crowd(\"pros\") && level >= 2"}
---
{kind: crowd, name: visitors, expression: "did(\"visit\", count >= 2)"}
"#;

const CROWDS: [&str; 4] = ["buyers", "good", "pros", "visitors"];
const USERS: [&str; 4] = ["ann", "bob", "cid", "nobody"];

struct Site {
    house: House,
    server: Server,
    admin: String,
    /// Of the app, of role judge.
    key: String,
    write_key: String,
    /// The position of the last order.
    position: u64,
}

impl Site {
    /// ann: pro, level 5, two orders, two visits; bob: free, level 1, two orders; cid: pro, level 3.
    fn open(more: &[&str]) -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
        let server = house.serve_with(more);
        let admin = server.admin_key.clone().unwrap();
        eventually("readiness", || {
            (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
        });
        let made = |role: &str| {
            let body = json!({"role": role, "app": "t"});
            let answer = server.post("/api/v1/keys", &admin, &body).json();
            answer["secret"].as_str().unwrap().to_owned()
        };
        let (key, write_key) = (made("judge"), made("write"));
        let mut site = Self { house, server, admin, key, write_key, position: 0 };
        for (user, plan, level) in [("ann", "pro", 5), ("bob", "free", 1), ("cid", "pro", 3)] {
            let traits = json!({"plan": plan, "level": level});
            site.call("identify", &json!({"userId": user, "traits": traits}));
        }
        for (user, event) in [("ann", "order"), ("ann", "visit"), ("bob", "order")].repeat(2) {
            site.position = site.call("track", &json!({"userId": user, "event": event}));
        }
        site.house.ok(&["produce"]);
        let judged = |site: &Site| {
            let path = "/api/v1/apps/t/judge?user=ann&crowd=visitors";
            site.server.get(path, &site.admin).json()["in_crowd"] == json!(true)
        };
        eventually("the production", || judged(&site).then_some(()));
        site
    }

    fn call(&self, kind: &str, body: &Value) -> u64 {
        let answer = self.server.post(&format!("/v1/{kind}"), &self.write_key, body);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.header("taghouse-position").unwrap().parse().unwrap()
    }
}

async fn channel(site: &Site) -> Channel {
    Channel::from_shared(site.server.base.clone()).unwrap().connect().await.unwrap()
}

async fn client(site: &Site) -> JudgmentClient<Channel> {
    JudgmentClient::new(channel(site).await)
}

fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[test]
fn the_client_for_python() {
    let Some(python) = needs::peers("the_client_for_python") else { return };
    let site = Site::open(&[]);
    let other = "kind: app\nid: other\ntime_zone: UTC\n";
    site.house.ok(&["apply", "-f", site.house.file("other.yaml", other).to_str().unwrap()]);
    let place = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let output = Command::new(python)
        .arg(place("../../tests/grpc/client.py"))
        .env("TARGET", site.server.address())
        .env("PROTO", place("../proto/proto"))
        .env("KEY", &site.key)
        .env("ALL_KEY", &site.admin)
        .env("WRITE_KEY", &site.write_key)
        .env("POSITION", site.position.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_http() {
    let site = Site::open(&[]);
    let mut judgment = client(&site).await;
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let asked = JudgeManyRequest {
        app: "t".to_owned(),
        users: texts(&USERS),
        crowds: texts(&CROWDS),
        at_least: None,
    };
    let many = judgment.judge_many(with_key(asked, &site.key)).await.unwrap().into_inner();
    let body = json!({"users": USERS, "crowds": CROWDS});
    let http = site.server.post("/api/v1/apps/t/judge", &site.key, &body).json();
    for (row, user) in USERS.iter().enumerate() {
        for (column, crowd) in CROWDS.iter().enumerate() {
            let of_http = &http["judgments"][row]["crowds"][crowd];
            let of_many = is_set(&many.in_crowd, row * CROWDS.len() + column);
            assert_eq!(&json!(of_many), of_http, "{user} {crowd}");
            assert_eq!(json!(many.crowds[column].version), http["versions"][crowd], "{crowd}");
        }
        let one = JudgeRequest {
            app: String::new(),
            user: (*user).to_owned(),
            crowds: texts(&CROWDS),
            at_least: None,
        };
        let one = judgment.judge(with_key(one, &site.key)).await.unwrap().into_inner();
        let row_of_one: Vec<bool> = one.judgments.iter().map(|of| of.in_crowd).collect();
        let row_of_many: Vec<bool> = (0..CROWDS.len())
            .map(|column| is_set(&many.in_crowd, row * CROWDS.len() + column))
            .collect();
        assert_eq!(row_of_one, row_of_many, "{user}");
        assert_eq!(one.unknown_user, *user == "nobody");
        let of = CrowdsOfRequest { app: "t".to_owned(), user: (*user).to_owned() };
        let of = judgment.crowds_of(with_key(of, &site.key)).await.unwrap().into_inner();
        let holding: Vec<&str> = of.crowds.iter().map(|holding| holding.crowd.as_str()).collect();
        let path = format!("/api/v1/apps/t/users/{user}/crowds");
        let http = site.server.get(&path, &site.key).json();
        let names = |body: &Value| -> Vec<String> {
            let crowds = body["crowds"].as_array().unwrap();
            crowds.iter().map(|crowd| crowd["crowd"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(holding, names(&http), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_have_the_limits_of_http_and_lose_their_right_at_once() {
    let site = Site::open(&["--judgments-per-key", "1"]);
    let mut judgment = client(&site).await;
    let ask = |user: &str, wait_ms: Option<u32>| {
        let at_least = wait_ms.map(|wait_ms| taghouse_proto::v1::AtLeast {
            // The end of the log: what comes next is behind it.
            position: site.position,
            wait_ms: Some(wait_ms),
        });
        JudgeRequest {
            app: "t".to_owned(),
            user: user.to_owned(),
            crowds: vec!["buyers".to_owned()],
            at_least,
        }
    };
    // Many at once on one connection: one place, so that some are refused, and none hangs.
    let calls = (0..64).map(|_| {
        let (mut judgment, request) = (judgment.clone(), with_key(ask("ann", None), &site.key));
        tokio::spawn(async move { judgment.judge(request).await.map(|_| ()) })
    });
    let calls: Vec<_> = calls.collect();
    let (mut answered, mut refused) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(()) => answered += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                assert!(status.message().contains("--judgments-per-key"), "{status}");
                refused += 1;
            }
        }
    }
    assert!(answered >= 1 && answered + refused == 64, "{answered} {refused}");
    assert!(judgment.judge(with_key(ask("ann", Some(2000)), &site.key)).await.is_ok());

    let denied = judgment.judge(with_key(ask("ann", None), &site.write_key)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let keys = site.server.get("/api/v1/keys", &site.admin).json();
    let of_judge = |key: &&Value| key["role"] == "judge";
    let id = keys["keys"].as_array().unwrap().iter().find(of_judge).unwrap()["id"].clone();
    let path = format!("/api/v1/keys/{}", id.as_str().unwrap());
    let revoked = site.server.call("DELETE", &path, Some(&format!("Bearer {}", site.admin)), b"");
    assert_eq!(revoked.status, 204);
    let gone = judgment.judge(with_key(ask("ann", None), &site.key)).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unauthenticated);

    // Calls that were refused leave a line for each key, as those over HTTP.
    let Site { mut server, house, .. } = site;
    tokio::task::spawn_blocking(move || server.terminate()).await.unwrap();
    let trail = house.ok(&["audit", "--action", "refused"]);
    let lines = trail.lines().filter(|line| line.contains("POST /taghouse.v1.Judgment/{call}"));
    assert_eq!(lines.count(), 2, "{trail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_answers_what_it_began_and_frees_its_watchers() {
    let mut site = Site::open(&[]);
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel(&site).await);
    let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
    let mut watched = health.watch(request).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    let took = tokio::task::spawn_blocking(move || site.server.terminate()).await.unwrap();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(!matches!(watched.message().await, Ok(Some(_))), "it says nothing more");
}
