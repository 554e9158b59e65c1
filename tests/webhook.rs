//! Webhooks against real receivers: signed, in order for each user, each change at least once, and
//! whoever is down delays nobody else.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
#[path = "webhook/receiver.rs"]
mod receiver;

use driver::{House, Server, eventually};
use receiver::{Received, Receiver, Reply, SECRET};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
---
{kind: source, name: site, format: segment}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: visits, type: int, mode: stream, aggregate: {events: [visit], function: count}}
---
{kind: tag, name: visits_1m, type: int, mode: stream, aggregate: {events: [visit], function: count, window: 1m}}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 2"}
---
{kind: crowd, name: here_now, live: true, expression: "visits_1m >= 1"}
"#;

/// A sink that posts to this URL.
fn sink(name: &str, url: &str, more: &str, filter: &str) -> String {
    format!(
        "---\n{{kind: sink, name: {name}, webhook: {{url: \"{url}\", secret: \"${{WEBHOOK_SECRET}}\"{more}}}{filter}}}\n"
    )
}

struct Site {
    house: House,
    server: Server,
    admin: String,
    write_key: String,
    networks: &'static str,
}

impl Site {
    fn open(sinks: &str) -> Self {
        Self::with(sinks, "127.0.0.1")
    }

    fn with(sinks: &str, networks: &'static str) -> Self {
        let house = House::new();
        let file = house.file("app.yaml", format!("{DEFINITIONS}{sinks}"));
        house.ok(&["apply", "-f", file.to_str().unwrap()]);
        let server = serve(&house, networks);
        let admin = server.admin_key.clone().unwrap();
        let write_key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
        let site = Self { house, server, admin, write_key, networks };
        site.stands("every sink has its place", |live| {
            let mut sinks = live["sinks"].as_array().unwrap().iter();
            sinks.all(|sink| sink["state"] == "reading" || sink["state"] == "waiting")
        });
        site
    }

    /// Kills the server as a power cut would, and starts another.
    fn killed(self) -> Self {
        let Self { house, mut server, admin, write_key, networks } = self;
        server.kill();
        let server = serve(&house, networks);
        Self { house, server, admin, write_key, networks }
    }

    fn apply(&self, sinks: &str) {
        let file = self.house.file("app.yaml", format!("{DEFINITIONS}{sinks}"));
        self.house.ok(&["apply", "--prune", "-f", file.to_str().unwrap()]);
    }

    fn track(&self, user: &str, event: &str) {
        let body = json!({"userId": user, "event": event});
        let answer = self.server.post("/v1/track", &self.write_key, &body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn live(&self) -> Value {
        self.server.get("/api/v1/apps/t/live", &self.admin).json()
    }

    fn stands(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || Some(self.live()).filter(|live| so(live)))
    }

    /// A sink's report, once that is so.
    fn sink(&self, name: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let report = |live: &Value| {
            let sinks = live["sinks"].as_array().unwrap();
            sinks.iter().find(|sink| sink["sink"] == name).unwrap().clone()
        };
        eventually(&format!("{name}: {what}: {}", report(&self.live())), || {
            Some(report(&self.live())).filter(|sink| so(sink))
        })
    }

    fn of_sink(&self, name: &str, what: &str) -> Value {
        self.server.get(&format!("/api/v1/apps/t/sinks/{name}/{what}"), &self.admin).json()
    }

    fn deliveries(&self, name: &str) -> Vec<Value> {
        self.of_sink(name, "deliveries?limit=1000")["deliveries"].as_array().unwrap().clone()
    }

    fn metric(&self, name: &str, sink: &str) -> f64 {
        let text = String::from_utf8(self.server.get("/metrics", &self.admin).body).unwrap();
        let start = format!("{name}{{app=\"t\",sink=\"{sink}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {start}")).parse().unwrap()
    }
}

fn serve(house: &House, networks: &str) -> Server {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--land-every", "0.1"];
    let mut command = house.command(&arguments);
    command.args(["--webhook-networks", networks]).env("WEBHOOK_SECRET", SECRET);
    let server = Server::of(command, &house.path("serve.stderr"));
    let server = server.unwrap_or_else(|said| panic!("the server did not start: {said}"));
    eventually("readiness", || {
        (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
    });
    server
}

/// User and type of events, in order.
fn said(events: &[Value], kind: &str) -> Vec<String> {
    let of_kind = events.iter().filter(|event| event["type"] == kind);
    of_kind.map(|event| event["subject"].as_str().unwrap_or("-").to_owned()).collect()
}

fn number(event: &Value) -> u64 {
    event["id"].as_str().unwrap().strip_prefix("t-").unwrap().parse().unwrap()
}

#[test]
fn who_enters_and_leaves_is_told_at_once_signed_and_filtered() {
    let (all, crowds) = (Receiver::start(), Receiver::start());
    let sinks = sink(
        "all",
        &all.url(),
        ", headers: {X-Shop: north, Authorization: \"Bearer ${WEBHOOK_SECRET}\"}",
        "",
    ) + &sink("crowds", &crowds.url(), "", ", crowds: [buyers, here_now]");
    let site = Site::open(&sinks);
    site.track("warm", "order");
    eventually("the first change", || (!all.taken().is_empty()).then_some(()));

    let began = Instant::now();
    site.track("ann", "visit");
    let entered = || said(&crowds.taken(), "taghouse.crowd.entered") == ["ann"];
    while !entered() && began.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "entering took {took:?} to arrive");
    site.track("bob", "order");
    site.track("bob", "order");
    eventually("bob enters", || {
        (said(&crowds.taken(), "taghouse.crowd.entered") == ["ann", "bob"]).then_some(())
    });
    // By time alone.
    eventually("ann leaves", || {
        (said(&crowds.taken(), "taghouse.crowd.exited") == ["ann"]).then_some(())
    });
    let event = crowds.taken()[0].clone();
    assert_eq!(
        (&event["specversion"], &event["source"], &event["data"]["crowd"]),
        (&json!("1.0"), &json!("/taghouse/apps/t"), &json!("here_now")),
        "{event}"
    );
    assert!(crowds.taken().iter().all(|event| event["data"].get("tag").is_none()), "filtered");
    let tags = said(&all.taken(), "taghouse.tag.changed");
    assert!(tags.contains(&"bob".to_owned()), "{tags:?}");
    let request = all.requests()[0].clone();
    for (name, value) in [
        ("content-type", "application/cloudevents-batch+json; charset=UTF-8"),
        ("x-shop", "north"),
        ("authorization", &format!("Bearer {SECRET}")),
    ] {
        assert_eq!(request.headers[name], value, "{name}");
    }
    let sent = site.sink("crowds", "all is sent", |sink| sink["lag_records"] == 0);
    assert_eq!(
        (&sent["sent"], &sent["lag_seconds"], &sent["problem"]),
        (&json!(3), &json!(0.0), &Value::Null)
    );
    assert_eq!(site.metric("taghouse_webhook_delivered_total", "crowds"), 3.0);
    assert_eq!(site.metric("taghouse_webhook_lag_records", "crowds"), 0.0);
    let listed = site.house.ok(&["sinks", "deliveries", "crowds"]);
    let first = listed.lines().nth(1).unwrap();
    assert!(first.contains("delivered") && first.contains(" 200 "), "{listed}");
}

/// Tracks many orders of few users, in one batch.
fn order_all(site: &Site, users: u64, rounds: std::ops::Range<u64>) {
    for round in rounds {
        let batch: Vec<Value> = (0..users)
            .map(|user| {
                json!({"type": "track", "event": "order", "userId": format!("u{user}"), "messageId": format!("{round}-{user}")})
            })
            .collect();
        let answer = site.server.post("/v1/batch", &site.write_key, &json!({"batch": batch}));
        assert_eq!(answer.status, 200, "{}", answer.json());
        std::thread::sleep(Duration::from_millis(60));
    }
}

/// What came of each user is in order, apart from what came again.
fn in_order(events: &[Value]) {
    let (mut seen, mut last) = (HashSet::new(), BTreeMap::new());
    for event in events {
        let id = number(event);
        let user = event["subject"].as_str().unwrap_or("").to_owned();
        if seen.insert(id) {
            let before = last.insert(user.clone(), id);
            assert!(before < Some(id), "{user}: {id} came after {before:?}");
        }
    }
}

#[test]
fn each_users_changes_come_in_order_and_at_least_once_over_kills_and_outages() {
    const USERS: u64 = 40;
    let mut receiver = Receiver::start();
    let counter = AtomicU64::new(0);
    receiver.answers(move |_| {
        // Answers take turns in time, and some fail.
        let number = counter.fetch_add(1, Ordering::Relaxed);
        let status = if number % 5 == 3 { 500 } else { 200 };
        Reply::status(status).after(Duration::from_millis(number * 7 % 20))
    });
    let more = ", parallel: 4, batch: {events: 7}";
    let mut site = Site::open(&sink("all", &receiver.url(), more, ", start: earliest"));
    for outage in 0..4 {
        order_all(&site, USERS, outage * 10..outage * 10 + 5);
        if outage % 2 == 0 {
            receiver.stop();
            order_all(&site, USERS, outage * 10 + 5..outage * 10 + 10);
            receiver.resume();
        } else {
            order_all(&site, USERS, outage * 10 + 5..outage * 10 + 10);
        }
        site = site.killed();
    }
    let path = "/api/v1/apps/t/changes?follow=false&from=earliest";
    eventually("every user has all orders, and the sink has sent all", || {
        let users = site.server.post(
            "/api/v1/apps/t/count",
            &site.admin,
            &json!({"expression": "orders == 40"}),
        );
        let is_sent = || site.live()["sinks"][0]["lag_records"] == 0;
        (users.json()["count"] == USERS && is_sent()).then_some(())
    });
    let feed = String::from_utf8(site.server.get(path, &site.admin).body).unwrap();
    let ids = feed.lines().filter_map(|line| line.strip_prefix("id:"));
    let feed: BTreeSet<u64> = ids.map(|id| id.trim().parse().unwrap()).collect();
    let taken = receiver.taken();
    let got: BTreeSet<u64> = taken.iter().map(number).collect();
    assert_eq!(got, feed, "each change of the feed came, and nothing else");
    // Calls that come together are one change of a user: how many there are hangs on the machine.
    assert!(feed.len() as u64 > USERS * 2, "{}", feed.len());
    in_order(&taken);
    let failed = site.deliveries("all").iter().filter(|line| line["status"] == 500).count();
    assert!(failed > 0, "no attempt failed");
    // What is tried again has the same id.
    let requests = receiver.requests();
    let failed = requests.iter().find(|request| request.status == 500).unwrap();
    let again = requests.iter().filter(|r| r.headers["webhook-id"] == failed.headers["webhook-id"]);
    assert!(again.clone().count() > 1 && again.clone().all(|r| r.body == failed.body));
}

#[test]
fn a_receiver_that_hangs_fails_or_redirects_delays_nobody_else() {
    let (good, hangs, fails, redirects) =
        (Receiver::start(), Receiver::start(), Receiver::start(), Receiver::start());
    // Whoever gets here was not to be called: its address is not among the networks.
    let trap = Receiver::at("127.0.0.2:0".parse().unwrap());
    hangs.answers(|_| Reply::status(200).after(Duration::from_secs(3600)));
    fails.answers(|_| Reply::status(500).saying("out of order"));
    let to = trap.url();
    redirects.answers(move |_| Reply::status(307).with("location", &to));
    let sinks = [
        sink("good", &good.url(), "", ""),
        sink("hangs", &hangs.url(), ", timeout: 1s", ""),
        sink("fails", &fails.url(), "", ""),
        sink("redirects", &redirects.url(), "", ""),
        sink("private", &trap.url(), "", ""),
        sink("mapped", &format!("http://[::ffff:127.0.0.2]:{}/hook", trap.port()), "", ""),
        sink("decimal", &format!("http://2130706434:{}/hook", trap.port()), "", ""),
    ];
    let site = Site::open(&sinks.concat());
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        let began = Instant::now();
        site.track(&format!("u{round}"), "order");
        eventually("the good receiver has it", || {
            (said(&good.taken(), "taghouse.tag.changed").len() > round).then_some(())
        });
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(5), "the good receiver waited {slowest:?}");
    for (name, words) in [
        ("hangs", "no answer within 1000 ms"),
        ("fails", "answered 500: out of order"),
        ("redirects", "answered 307 (a redirect"),
        ("private", "127.0.0.2 is not an address of the public internet"),
        ("mapped", "is not an address of the public internet"),
        ("decimal", "127.0.0.2 is not an address of the public internet"),
    ] {
        let stuck = site.sink(name, words, |sink| {
            sink["problem"].as_str().is_some_and(|problem| problem.contains(words))
        });
        assert_eq!(stuck["state"], "waiting", "{stuck}");
        assert!(stuck["lag_records"].as_u64().unwrap() > 0, "{stuck}");
        assert!(site.metric("taghouse_webhook_lag_seconds", name) > 0.0);
        assert!(site.metric("taghouse_webhook_retried_total", name) > 0.0);
    }
    assert!(trap.requests().is_empty(), "a private address was called");
    assert_eq!(
        site.sink("good", "all is sent", |sink| sink["lag_records"] == 0)["problem"],
        Value::Null
    );
    // What is fixed goes on where it stood.
    fails.answers(|_| Reply::status(204));
    site.sink("fails", "all is sent", |sink| sink["lag_records"] == 0);
    assert_eq!(said(&fails.taken(), "taghouse.tag.changed").len(), 20);
    in_order(&fails.taken());
    let status = site.house.ok(&["status"]);
    assert!(status.contains("problem of redirects") && status.contains("sink hangs"), "{status}");
}

#[test]
fn what_is_refused_is_found_alone_and_sent_again_when_asked() {
    let receiver = Receiver::start();
    let poisoned =
        |request: &Received| String::from_utf8_lossy(&request.body).contains("\"poison\"");
    receiver.answers(move |request| match poisoned(request) {
        true => Reply::status(422).saying("who is that?"),
        false => Reply::status(200),
    });
    let site = Site::open(&sink("crm", &receiver.url(), ", parallel: 1", ", tags: [orders]"));
    let users: Vec<String> = (0..30)
        .map(|user| format!("u{user}"))
        .chain(["poison".into()])
        .chain((30..60).map(|user| format!("u{user}")))
        .collect();
    let batch: Vec<Value> = users
        .iter()
        .map(|user| json!({"type": "track", "event": "order", "userId": user}))
        .collect();
    assert_eq!(
        site.server.post("/v1/batch", &site.write_key, &json!({"batch": batch})).status,
        200
    );
    let report = site.sink("crm", "all but one are sent", |sink| {
        sink["lag_records"] == 0 && sink["webhook"]["dead_letters"] == 1
    });
    assert_eq!(
        (&report["sent"], &report["webhook"]["dead_letters"]),
        (&json!(60), &json!(1)),
        "{report}"
    );
    assert_eq!(site.metric("taghouse_webhook_dead_letters", "crm"), 1.0);
    let dead = site.of_sink("crm", "dead-letters");
    let letter = &dead["dead_letters"][0];
    assert_eq!(
        (&dead["total"], &letter["event"]["subject"], &letter["status"]),
        (&json!(1), &json!("poison"), &json!(422))
    );
    assert!(letter["reason"].as_str().unwrap().contains("who is that?"), "{letter}");
    assert!(site.deliveries("crm").iter().any(|line| line["outcome"] == "split"));

    // It stays while the receiver does not take it, and over a crash.
    let refused = site.house.ok(&["sinks", "retry", "crm"]);
    assert_eq!(refused, "sent 0, refused 1, 1 dead letters left\n");
    let site = site.killed();
    receiver.answers(|_| Reply::status(503));
    let said = site.house.refused(&["sinks", "retry", "crm"]);
    assert!(said.contains("the receiver does not work: the receiver answered 503"), "{said}");
    receiver.answers(|_| Reply::status(200));
    let listed = site.house.ok(&["sinks", "dead-letters", "crm"]);
    assert!(listed.contains("poison") && listed.contains("1 of 1"), "{listed}");
    assert_eq!(
        site.house.ok(&["sinks", "retry", "crm"]),
        "sent 1, refused 0, 0 dead letters left\n"
    );
    let last = receiver.taken().pop().unwrap();
    assert_eq!((&last["id"], &last["data"]["value"]), (&letter["event"]["id"], &json!(1)));
    assert_eq!(site.of_sink("crm", "dead-letters")["total"], 0);
}

#[test]
fn what_is_tried_long_enough_is_given_up_and_delivery_goes_on() {
    let receiver = Receiver::start();
    receiver.answers(|_| Reply::status(429).with("retry-after", "1"));
    let site = Site::open(&sink("crm", &receiver.url(), ", retry_for: 3s", ", tags: [orders]"));
    site.track("ann", "order");
    site.sink("crm", "it is given up", |sink| {
        sink["webhook"]["dead_letters"] == 1 && sink["lag_records"] == 0
    });
    let requests = receiver.requests();
    let took = requests.last().unwrap().at - requests[0].at;
    assert!((2..10).contains(&took.as_secs()), "{took:?}");
    let pauses = requests.windows(2).take(2).map(|pair| pair[1].at - pair[0].at);
    assert!(
        pauses.clone().all(|pause| pause >= Duration::from_millis(950)),
        "{:?}",
        pauses.collect::<Vec<_>>()
    );
    receiver.answers(|_| Reply::status(200));
    site.track("bob", "order");
    eventually("what comes behind it", || {
        (said(&receiver.taken(), "taghouse.tag.changed") == ["bob"]).then_some(())
    });
    // One that takes nothing any more is told so by nobody but itself.
    receiver.answers(|_| Reply::status(410));
    site.track("cid", "order");
    site.sink("crm", "gone", |sink| sink["webhook"]["dead_letters"] == 2);
    assert_eq!(
        site.house.json(&["sinks", "dead-letters", "crm"])["dead_letters"][1]["status"],
        410
    );
}

#[test]
fn a_test_says_what_came_back_and_a_secret_that_is_missing_is_named() {
    let receiver = Receiver::start();
    let mut sinks = sink("crm", &receiver.url(), "", "");
    sinks += &sinks
        .clone()
        .replace("name: crm", "name: secretless")
        .replace("WEBHOOK_SECRET", "WEBHOOK_NONE");
    sinks += &sink("closed", "http://127.0.0.1:1/hook", "", "");
    let site = Site::open(&sinks);
    receiver.answers(|_| Reply::status(202).saying("hello"));
    let said = site.house.ok(&["sinks", "test", "crm"]);
    assert!(said.starts_with("delivered: 202 in ") && said.ends_with(": hello\n"), "{said}");
    let event = receiver.taken().pop().unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["sink"]),
        (&json!("taghouse.sink.test"), &json!("crm"))
    );
    receiver.answers(|_| Reply::status(301).with("location", "http://127.0.0.2/"));
    for (sink, words) in [
        ("crm", "answered 301 (a redirect, which is not followed"),
        ("secretless", "the environment variable WEBHOOK_NONE"),
        ("closed", "refused"),
        ("none", "there is no sink `none`"),
    ] {
        let said = site.house.refused(&["sinks", "test", sink]);
        assert!(said.contains(words), "{sink}: {said}");
    }
    let last = &site.deliveries("crm")[0];
    assert_eq!((&last["outcome"], &last["status"]), (&json!("failed"), &json!(301)));
    let audit = site.house.json(&["audit", "--action", "test_sink"]);
    assert_eq!(audit["lines"].as_array().unwrap().len(), 10, "each has two lines: {audit}");
    // What is wrong does not get past `apply`, with its place.
    let wrong = sink("crm", "ftp://a.example", ", parallel: 0", "");
    let file = site.house.file("wrong.yaml", format!("{DEFINITIONS}{wrong}"));
    let said = site.house.refused(&["apply", "-f", file.to_str().unwrap()]);
    assert!(
        said.contains("begins with https://") && said.contains("`parallel` is 1 to 32"),
        "{said}"
    );
}

#[test]
fn what_the_feed_did_not_keep_is_told() {
    let receiver = Receiver::start();
    receiver.answers(|_| Reply::status(500));
    let site = Site::open(&sink("crm", &receiver.url(), "", ", start: earliest"));
    site.track("ann", "order");
    site.sink("crm", "it is tried", |sink| sink["webhook"]["retried"].as_u64() > Some(0));
    let Site { house, mut server, admin, write_key, networks } = site;
    server.kill();
    for file in std::fs::read_dir(house.data().join("feed/t")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "feed") {
            std::fs::remove_file(path).unwrap();
        }
    }
    receiver.answers(|_| Reply::status(200));
    let server = serve(&house, networks);
    let site = Site { house, server, admin, write_key, networks };
    // Else the first computation may have the call in it, and publishes the values as a whole.
    eventually("the live tags are computed", || {
        let live = site.live();
        (live["computing"] == false && live["position"].is_u64()).then_some(())
    });
    site.track("bob", "order");
    eventually("the gap is told, then what comes", || {
        let kinds: Vec<Value> =
            receiver.taken().iter().map(|event| event["type"].clone()).collect();
        let gap = kinds.iter().position(|kind| kind == "taghouse.feed.gap")?;
        (kinds[gap + 1..].contains(&json!("taghouse.tag.changed"))).then_some(())
    });
    let lost = site.deliveries("crm").into_iter().find(|line| line["outcome"] == "lost").unwrap();
    assert!(lost["error"].as_str().unwrap().contains("were not kept"), "{lost}");
    assert!(site.metric("taghouse_webhook_lost_total", "crm") > 0.0);
}

#[test]
fn a_definition_that_changes_goes_on_where_it_stood() {
    let (first, second) = (Receiver::start(), Receiver::start());
    let site = Site::open(&sink("crm", &first.url(), "", ", tags: [orders]"));
    site.track("ann", "order");
    eventually("the first receiver has it", || (first.taken().len() == 1).then_some(()));
    first.answers(|_| Reply::status(500));
    site.track("bob", "order");
    eventually("the first receiver fails", || (first.requests().len() > 1).then_some(()));
    site.apply(&sink("crm", &second.url(), "", ", tags: [orders]"));
    eventually("the second has what the first did not take", || {
        (said(&second.taken(), "taghouse.tag.changed") == ["bob"]).then_some(())
    });
    site.apply("");
    site.track("cid", "order");
    eventually("nobody is told any more", || {
        site.live()["sinks"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(second.taken().len(), 1);
}

#[test]
fn a_sink_begins_with_what_changes_once_it_is_defined() {
    let receivers: Vec<Receiver> = (0..8).map(|_| Receiver::start()).collect();
    let site = Site::open("");
    site.track("before", "order");
    eventually("somebody has ordered", || {
        let path = "/api/v1/apps/t/changes?follow=false&from=earliest";
        let told = site.server.get(path, &site.admin).body;
        String::from_utf8(told).unwrap().contains("before").then_some(())
    });
    // Its writer begins within a second: what changes before that is sent too.
    let mut sinks = String::new();
    for (number, receiver) in receivers.iter().enumerate() {
        sinks += &sink(&format!("crm{number}"), &receiver.url(), "", ", tags: [orders]");
        site.apply(&sinks);
        site.track(&format!("u{number}"), "order");
    }
    let expected: Vec<String> = (0..receivers.len()).map(|number| format!("u{number}")).collect();
    for (number, receiver) in receivers.iter().enumerate() {
        let taken = || said(&receiver.taken(), "taghouse.tag.changed");
        eventually(&format!("sink {number} has sent all since it was defined"), || {
            expected[number..].iter().all(|user| taken().contains(user)).then_some(())
        });
        assert!(!taken().contains(&"before".to_owned()), "sink {number}: {:?}", taken());
    }
}

#[test]
fn a_sink_that_is_defined_again_begins_again_and_without_a_server_too() {
    let (first, second, other) = (Receiver::start(), Receiver::start(), Receiver::start());
    let definition = sink("crm", &first.url(), "", ", tags: [orders]");
    let beside = sink("beside", &other.url(), "", ", tags: [orders]");
    let site = Site::open(&(definition.clone() + &beside));
    site.track("ann", "order");
    eventually("the first order", || (first.taken().len() == 1).then_some(()));

    // Removed and defined again before its writer notices: what it did not send is not sent.
    first.answers(|_| Reply::status(500));
    site.track("bob", "order");
    eventually("the receiver fails", || (first.requests().len() > 1).then_some(()));
    site.apply(&beside);
    site.apply(&(definition.clone() + &beside));
    site.track("cid", "order");
    eventually("cid is in the feed", || {
        said(&other.taken(), "taghouse.tag.changed").contains(&"cid".to_owned()).then_some(())
    });
    // The writer of before is two behind, for it has bob to send.
    site.sink("crm", "it is tried with what came", |sink| sink["lag_records"] == 1);
    first.answers(|_| Reply::status(200));
    eventually("cid is sent", || {
        (said(&first.taken(), "taghouse.tag.changed") == ["ann", "cid"]).then_some(())
    });

    // While no server runs.
    let Site { house, mut server, admin, write_key, networks } = site;
    server.kill();
    let both = definition + &sink("late", &second.url(), "", ", tags: [orders]");
    let file = house.file("app.yaml", format!("{DEFINITIONS}{both}"));
    house.ok(&["apply", "-f", file.to_str().unwrap()]);
    let server = serve(&house, networks);
    let site = Site { house, server, admin, write_key, networks };
    site.track("dot", "order");
    for receiver in [&first, &second] {
        eventually("dot is sent", || {
            said(&receiver.taken(), "taghouse.tag.changed")
                .contains(&"dot".to_owned())
                .then_some(())
        });
    }
}

#[test]
fn dead_letters_of_a_deleted_user_go_with_the_user() {
    let receiver = Receiver::start();
    receiver.answers(|_| Reply::status(422));
    let definitions = DEFINITIONS.replace("UTC", "UTC\nidentities: {}");
    let crm = sink("crm", &receiver.url(), "", ", tags: [orders]");
    let apply = |house: &House, sinks: &str| {
        let file = house.file("app.yaml", format!("{definitions}{sinks}"));
        house.ok(&["apply", "--prune", "-f", file.to_str().unwrap()]);
    };
    let site = Site::open(&crm);
    apply(&site.house, &crm);
    let identify = json!({"userId": "ann", "anonymousId": "cookie-1", "messageId": "link"});
    site.server.post(
        "/v1/track",
        &site.write_key,
        &json!({"anonymousId": "cookie-1", "event": "order"}),
    );
    site.track("bob", "order");
    site.sink("crm", "two letters", |sink| sink["webhook"]["dead_letters"] == 2);
    // The letters of an id go with the user whom it became.
    assert_eq!(site.server.post("/v1/identify", &site.write_key, &identify).status, 200);
    site.track("ann", "order");
    let letters = || {
        let dead = site.of_sink("crm", "dead-letters");
        let mut letters: Vec<String> = dead["dead_letters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|letter| {
                format!(
                    "{} {}",
                    letter["event"]["subject"].as_str().unwrap(),
                    letter["event"]["type"].as_str().unwrap()
                )
            })
            .collect();
        letters.sort_unstable();
        letters.dedup();
        letters
    };
    let (changed, deleted) = ("taghouse.tag.changed", "taghouse.user.deleted");
    let of = |user: &str, kind: &str| format!("{user} {kind}");
    eventually("ann has a letter", || letters().contains(&of("ann", changed)).then_some(()));
    site.sink("crm", "all is given up", |sink| sink["lag_records"] == 0);
    site.house.ok(&["delete", "ann"]);
    let no_data = || {
        let letters = letters();
        letters.contains(&of("bob", changed))
            && !letters.contains(&of("ann", changed))
            && !letters.contains(&of("cookie-1", changed))
    };
    assert!(no_data(), "at once: {:?}", letters());
    eventually("that she went is still to be told", || {
        letters().contains(&of("ann", deleted)).then_some(())
    });

    // Without a server, and of a sink that is defined no more.
    apply(&site.house, "");
    let Site { house, mut server, admin, write_key, networks } = site;
    server.kill();
    house.ok(&["delete", "bob"]);
    apply(&house, &crm);
    let server = serve(&house, networks);
    let site = Site { house, server, admin, write_key, networks };
    let dead = site.of_sink("crm", "dead-letters").to_string();
    assert!(!dead.contains("bob") || !dead.contains(changed), "{dead}");
    // The delivery log names events by their ids alone.
    let deliveries = site.of_sink("crm", "deliveries?limit=1000").to_string();
    assert!(!deliveries.contains("bob") && !deliveries.contains("cookie-1"), "{deliveries}");
}
