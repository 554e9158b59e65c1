//! Whoever wrote something and asks with its position is never answered from before: events, changes
//! by hand and deletions, judged in live crowds.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{Answer, House, Server, eventually};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment, attributes: {consent: {column: consent, type: bool}, plan: plan}}
---
{kind: tag, name: consent, type: bool, mode: stream, attribute: consent}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: crowd, name: reachable, live: true, expression: "consent == true"}
---
{kind: crowd, name: even, live: true, expression: "consent == true && !(orders >= 1)"}
---
{kind: crowd, name: pros, expression: "plan == \"pro\""}
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
        ready(&server);
        let write_key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
        Self { house, server, admin, write_key }
    }

    fn killed(self) -> Self {
        let Self { house, mut server, admin, write_key } = self;
        server.kill();
        drop(server);
        let server = house.serve();
        Self { house, server, admin, write_key }
    }

    /// Says whether the user consents; the position of that.
    fn consents(&self, user: &str, consent: bool) -> u64 {
        let body = json!({"userId": user, "traits": {"consent": consent}});
        position(&self.server.post("/v1/identify", &self.write_key, &body))
    }

    fn changed(&self, user: &str, consent: bool) -> u64 {
        let change = json!({"user": user, "tag": "consent", "set": consent});
        let body = json!({"changes": [change], "create": true});
        let answer = self.server.post("/api/v1/apps/t/changes", &self.admin, &body);
        assert_eq!(answer.json()["log_position"].as_u64(), Some(position(&answer)));
        position(&answer)
    }

    fn judged(&self, user: &str, crowd: &str, more: &str) -> Answer {
        let path = format!("/api/v1/apps/t/judge?user={user}&crowd={crowd}{more}");
        self.server.get(&path, &self.admin)
    }

    fn is_reachable(&self, user: &str, at_least: Option<u64>) -> bool {
        let more = at_least.map(|position| format!("&at_least={position}&wait_ms=10000"));
        let answer = self.judged(user, "reachable", &more.unwrap_or_default());
        let body = answer.json();
        if let Some(position) = at_least {
            assert!(body["position"].as_u64().is_some_and(|held| held >= position), "{body}");
        }
        body["in_crowd"].as_bool().unwrap_or_else(|| panic!("{body}"))
    }
}

fn ready(server: &Server) {
    eventually("readiness", || {
        (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
    });
}

fn position(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.header("taghouse-position").unwrap().parse().unwrap()
}

/// Some users say yes and no in turn and are judged at once; how often they were answered from
/// before they had said it.
fn stale(site: &Site, rounds: u32, guarded: bool) -> u64 {
    let stale = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let stale = &stale;
            scope.spawn(move || {
                let user = format!("user-{n}");
                for round in 0..rounds {
                    let consent = round % 2 == 0;
                    // Not both of one user: a change by hand is shown until a call changes the value.
                    let position = match n % 2 {
                        0 => site.changed(&user, consent),
                        _ => site.consents(&user, consent),
                    };
                    if site.is_reachable(&user, guarded.then_some(position)) != consent {
                        stale.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    stale.into_inner()
}

#[test]
fn who_has_just_opted_out_is_not_in_any_more() {
    let site = Site::open();
    // Without a position answers lag behind: what follows can fail.
    assert!(stale(&site, 20, false) > 0);
    assert_eq!(stale(&site, 60, true), 0);

    // Many at once, as crowds and as expressions.
    let users: Vec<String> = (0..50).map(|n| format!("many-{n}")).collect();
    for consent in [true, false, true] {
        let last = users.iter().map(|user| site.consents(user, consent)).max().unwrap();
        let body = json!({"users": users, "crowds": ["reachable", "even"], "at_least": last,
            "expressions": {"yes": "consent == true", "no": "!crowd(\"reachable\")"}});
        let answer = site.server.post("/api/v1/apps/t/judge", &site.admin, &body).json();
        assert!(answer["position"].as_u64().unwrap() >= last, "{answer}");
        for judged in answer["judgments"].as_array().unwrap() {
            assert_eq!(judged["crowds"], json!({"reachable": consent, "even": consent}));
            assert_eq!(judged["expressions"], json!({"yes": consent, "no": !consent}));
        }
    }

    // As a flag.
    let flag = |user: &str, position: &str| {
        let body = json!({"context": {"targetingKey": user}}).to_string();
        let headers = [("content-type", "application/json"), ("taghouse-at-least", position)];
        let place = "/ofrep/v1/evaluate/flags/reachable";
        let key = format!("Bearer {}", site.admin);
        site.server.call_with("POST", place, Some(&key), &headers, body.as_bytes())
    };
    for consent in [false, true, false] {
        let position = site.consents("flagged", consent);
        let answer = flag("flagged", &position.to_string()).json();
        assert_eq!(answer["value"], consent, "{answer}");
        assert!(answer["metadata"]["position"].as_u64().unwrap() >= position, "{answer}");
    }
    assert_eq!(flag("flagged", "soon").json()["errorCode"], "GENERAL");

    // A deletion, and an event that comes after it.
    let gone = site.consents("gone", true);
    assert!(site.is_reachable("gone", Some(gone)));
    let key = format!("Bearer {}", site.admin);
    let deleted = site.server.call("DELETE", "/api/v1/apps/t/users/gone", Some(&key), b"");
    let gone = position(&deleted);
    assert_eq!(deleted.json()["log_position"], gone);
    assert!(!site.is_reachable("gone", Some(gone)));
    let back = site.consents("gone", true);
    assert!(site.is_reachable("gone", Some(back)));
}

#[test]
fn positions_outlast_a_process_and_renumbering() {
    let mut site = Site::open();
    for round in 0..4 {
        let consent = round % 2 == 0;
        let events = site.consents("ann", consent);
        let by_hand = site.changed("bob", !consent);
        assert!(by_hand > events);
        site = site.killed();
        // Asked at once, while the new process is still reading what the other one left.
        for (user, expected) in [("ann", consent), ("bob", !consent)] {
            let held = eventually("an answer that holds it", || {
                let more = format!("&at_least={by_hand}&wait_ms=10000");
                let answer = site.judged(user, "reachable", &more);
                let body = answer.json();
                assert!([200, 503].contains(&answer.status), "{body}");
                body["in_crowd"].as_bool()
            });
            assert_eq!(held, expected, "{user} in round {round}");
        }
        if round == 1 {
            site.house.ok(&["compact"]);
        }
    }
}

#[test]
fn what_cannot_hold_is_refused_and_what_does_not_yet_says_how_far_it_is() {
    let site = Site::open();
    let position = site.consents("ann", true);
    assert!(site.is_reachable("ann", Some(position)));
    let refused = |crowd: &str, more: &str| {
        let answer = site.judged("ann", crowd, more);
        (answer.status, answer.json()["detail"].as_str().unwrap().to_owned())
    };
    let (status, detail) = refused("reachable", "&at_least=1000000");
    assert!(status == 400 && detail.contains("the log of the app has come to"), "{detail}");
    let (status, detail) = refused("pros", &format!("&at_least={position}"));
    assert!(
        status == 400 && detail.contains("the crowd `pros` is computed by productions"),
        "{detail}"
    );
    let (status, detail) = refused("reachable", "&at_least=1&wait_ms=10001");
    assert!(status == 400 && detail.contains("the limit is 10000"), "{detail}");
    let (status, detail) = refused("reachable", "&wait_ms=5");
    assert!(status == 400 && detail.contains("wait_ms is for at_least"), "{detail}");
    let (status, _) = refused("reachable", "&at_least=-1");
    assert_eq!(status, 400);
    for (expression, what) in
        [("plan == \"pro\"", "the tag `plan`"), ("crowd(\"pros\")", "the crowd `pros`")]
    {
        let body = json!({"users": ["ann"], "expressions": {"x": expression}, "at_least": 1});
        let answer = site.server.post("/api/v1/apps/t/judge", &site.admin, &body);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && detail.contains(what), "{detail}");
    }

    // No time to wait: what is asked at once is mostly not there.
    let behind = eventually("an answer that is behind", || {
        let position = site.consents("ann", true);
        let answer = site.judged("ann", "reachable", &format!("&at_least={position}&wait_ms=0"));
        (answer.status == 503).then_some(answer)
    });
    let said: Value = behind.json();
    assert!(said["detail"].as_str().unwrap().contains("live tags hold"), "{said}");
    assert_eq!(behind.retry_after.as_deref(), Some("1"));
}
