//! kill −9 at random moments of a running stream, under steady calls: nothing acknowledged is lost,
//! nothing counts twice, values and live crowds are right again within seconds, and the change feed
//! goes on without a gap and without contradicting them.
//!
//! `TAGHOUSE_KILLS=200` kills more often than a test run wants to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod driver;
mod subscriber;

use driver::{House, Server, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use subscriber::{Subscriber, posted};

const DEFINITIONS: &str = r#"
kind: app
id: t
---
{kind: source, name: site, format: segment, properties: {sku: sku, amount: {column: amount, type: int}}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: spend, type: int, mode: both, aggregate: {events: [order], function: sum, value: amount}}
---
{kind: tag, name: skus, type: int, mode: stream, aggregate: {events: [view, order], function: count_distinct, value: sku, window: 30d}}
---
{kind: tag, name: stage, type: enum, mode: stream, state: {transitions: [{events: [view], to: looking}, {events: [order], from: [looking, buying], to: buying}]}}
---
{kind: tag, name: bought_it, type: int, mode: stream, sequence: {steps: [{events: [view], same: sku}, {events: [order], same: sku}], value: completions}}
---
{kind: tag, name: good, type: bool, mode: stream, expression: "orders >= 5"}
---
{kind: crowd, name: regulars, live: true, expression: "good == true"}
"#;

/// Of many kills more: the newest 4,096 events of a user count for a sequence, and here all are to.
static USERS: LazyLock<u64> = LazyLock::new(|| 23.max(kills() * 4));
const CALLERS: u64 = 2;
/// Messages of one call.
const AT_ONCE: u64 = 6;
/// The faster they come, the sooner a user has more events than count.
const CALL_EVERY: Duration = Duration::from_millis(50);
/// Ten seconds are promised; this is for a machine that does much else. What it took is printed.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);
/// Values, once all calls are taken in.
const RIGHT_WITHIN: Duration = Duration::from_secs(120);
const FLAGS: [&str; 2] = ["--land-every", "0.4"];

/// What one user's calls have come to, by the rules of the definitions.
#[derive(Default, Clone)]
struct Expected {
    orders: u64,
    spend: u64,
    skus: BTreeSet<u64>,
}

/// The n-th message: an order in every other one, a view of the same thing before it.
fn message(caller: u64, number: u64) -> (u64, u64, Value) {
    let pair = number / 2;
    let (user, sku) = ((pair * 7 + caller) % *USERS, pair % 5);
    let event = if number.is_multiple_of(2) { "view" } else { "order" };
    let body = json!({
        "type": "track", "userId": format!("u{user}"), "event": event, "messageId": format!("{caller}-{number}"),
        "properties": {"sku": format!("s{sku}"), "amount": 3 + pair % 4},
        "timestamp": timestamp(number),
    });
    (user, sku, body)
}

fn kills() -> u64 {
    std::env::var("TAGHOUSE_KILLS").map_or(6, |text| text.parse().unwrap())
}

/// In order, so that views come before their orders.
fn timestamp(number: u64) -> String {
    let at = 1_750_000_000_000 + i64::try_from(number).unwrap() * 10;
    jiff::Timestamp::from_millisecond(at).unwrap().to_string()
}

/// Sends message after message until it is told to stop; each until it is acknowledged.
fn call(caller: u64, base: &Mutex<String>, key: &str, stop: &AtomicBool, sent: &AtomicU64) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let batch: Vec<Value> =
            (number..number + AT_ONCE).map(|number| message(caller, number).2).collect();
        let body = json!({ "batch": batch });
        while !posted(base, "/v1/batch", key, &body) {
            if stop.load(Ordering::Relaxed) {
                // Not known to be there: it is sent once more, by whoever looks at the result.
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        number += AT_ONCE;
        sent.store(number, Ordering::Relaxed);
        thread::sleep(CALL_EVERY);
    }
}

fn expected(sent: &[AtomicU64]) -> Vec<Expected> {
    let mut all = vec![Expected::default(); *USERS as usize];
    for (caller, sent) in (0..).zip(sent) {
        for number in 0..sent.load(Ordering::Relaxed) {
            let (user, sku, body) = message(caller, number);
            let of_user = &mut all[user as usize];
            of_user.skus.insert(sku);
            if body["event"] == "order" {
                of_user.orders += 1;
                of_user.spend += body["properties"]["amount"].as_u64().unwrap();
            }
        }
    }
    all
}

fn caught_up(server: &Server, key: &str) -> bool {
    let live = server.get("/api/v1/apps/t/live", key);
    let ready = server.call("GET", "/readyz", None, b"").status == 200;
    ready && live.status == 200 && live.json()["lag_records"] == 0
}

/// What a subscriber knows of values and members, having read these records.
#[derive(Default)]
struct Known {
    values: BTreeMap<(String, String), Value>,
    members: BTreeSet<String>,
    last_id: u64,
}

impl Known {
    fn read(records: &[Value]) -> Self {
        let mut known = Self::default();
        for record in records {
            let id = record["id"].as_u64().unwrap();
            assert!(known.last_id == 0 || id == known.last_id + 1, "a gap before {record}");
            known.last_id = id;
            let user = record["user"].as_str().unwrap_or_default().to_owned();
            match record["kind"].as_str().unwrap() {
                "tag" => {
                    let tag = record["tag"].as_str().unwrap().to_owned();
                    known.values.insert((user, tag), record["value"].clone());
                }
                "crowd" if record["event"] == "enter" => {
                    assert!(known.members.insert(user), "in already: {record}");
                }
                "crowd" => assert!(known.members.remove(&user), "not in: {record}"),
                "tag_published" | "crowd_published" => {}
                other => panic!("a record of kind {other}: {record}"),
            }
        }
        known
    }
}

#[test]
fn killed_at_any_moment_the_stream_goes_on_as_if_nothing_had_happened() {
    let kills = kills();
    let house = House::new();
    house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
    let mut server = house.serve_with(&FLAGS);
    let admin = server.admin_key.clone().unwrap();
    let key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
    eventually("the first values", || caught_up(&server, &admin).then_some(()));
    let subscriber = Subscriber::follow(&server.base, "t", &admin, "earliest");
    let base = subscriber.base();
    let sent: Vec<AtomicU64> = (0..CALLERS).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    let mut longest = Duration::ZERO;

    thread::scope(|scope| {
        for (caller, sent) in (0..).zip(&sent) {
            let (base, key, stop) = (&base, &key, &stop);
            scope.spawn(move || call(caller, base, key, stop, sent));
        }
        for kill in 0..kills {
            // Anywhere in a round of following, landing and saving.
            thread::sleep(Duration::from_millis(120 + kill * 7919 % 900));
            server.kill();
            let began = Instant::now();
            server = house.serve_with(&FLAGS);
            subscriber.moved(&server.base);
            // Calls go on: it has caught up when it has taken in what was there when it came back.
            let at = |field: &str| server.get("/api/v1/apps/t/live", &admin).json()[field].as_u64();
            let end = eventually("the log's end", || at("log_end"));
            eventually("values that are right again", || {
                at("position").filter(|position| *position >= end)
            });
            longest = longest.max(began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(longest < CAUGHT_UP_WITHIN, "{longest:?}");

    // A call that was cut short is sent once more: its messages count once.
    for (caller, sent) in (0..).zip(&sent) {
        let last = sent.load(Ordering::Relaxed);
        let batch: Vec<Value> = (last.saturating_sub(2 * AT_ONCE)..last)
            .map(|number| message(caller, number).2)
            .collect();
        if !batch.is_empty() {
            let answer = server.post("/v1/batch", &key, &json!({ "batch": batch }));
            assert_eq!(answer.status, 200);
        }
    }
    eventually("the last values", || caught_up(&server, &admin).then_some(()));
    let expected = expected(&sent);
    let total: u64 = sent.iter().map(|sent| sent.load(Ordering::Relaxed)).sum();
    assert!(total > kills * 10, "{total} messages only");

    // Every value of every user, as asked for.
    let profile = |user: u64| -> Value {
        let path = format!("/api/v1/apps/t/profile?user=u{user}");
        server.get(&path, &admin).json()["tags"].take()
    };
    for (user, expected) in (0..).zip(&expected) {
        let Expected { orders, spend, skus } = expected;
        if *orders == 0 {
            continue;
        }
        let right = json!({
            "orders": orders, "spend": spend, "skus": skus.len(), "stage": "buying",
            "bought_it": orders, "good": *orders >= 5,
        });
        let right = without_window(&right);
        let began = Instant::now();
        while profile(user) != right && began.elapsed() < RIGHT_WITHIN {
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(profile(user), right, "u{user} of {total} messages");
    }
    // And as the feed tells them.
    let regulars: BTreeSet<String> = (0..)
        .zip(&expected)
        .filter(|(_, expected)| expected.orders >= 5)
        .map(|(user, _): (u64, _)| format!("u{user}"))
        .collect();
    eventually("the last records", || {
        let known = Known::read(&subscriber.records());
        let same = |user: u64, tag: &str| {
            known.values.get(&(format!("u{user}"), tag.to_owned())) == Some(&profile(user)[tag])
        };
        let all = (0..*USERS).filter(|user| expected[*user as usize].orders > 0);
        let values = all.into_iter().all(|user| same(user, "orders") && same(user, "bought_it"));
        (values && known.members == regulars).then_some(())
    });
    let listed: BTreeSet<String> =
        house.ok(&["list", "crowd(\"regulars\")"]).lines().map(str::to_owned).collect();
    assert_eq!(listed, regulars);
    eprintln!("{kills} kills, {total} messages, caught up after {longest:?} at most");
}

/// The events are of the past: nothing is in a window of 30 days.
fn without_window(values: &Value) -> Value {
    let mut values = values.clone();
    values.as_object_mut().unwrap().remove("skus");
    values
}
