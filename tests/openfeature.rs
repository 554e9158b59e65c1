//! Crowds as feature flags: OpenFeature's own providers, unmodified, evaluate them on the real
//! server, from Node and from Python; and what the protocol asks beside.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, Server, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
identities: {}
---
{kind: source, name: site, format: segment, attributes: {plan: plan}}
---
{kind: tag, name: orders, type: int, mode: stream, aggregate: {events: [order], function: count}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: crowd, name: pros, expression: "plan == \"pro\""}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 2"}
"#;

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

struct Site {
    house: House,
    server: Server,
    admin: String,
    key: String,
    write_key: String,
}

impl Site {
    /// ann and a/1, another id of hers, are pros; bob buys; the crowd `idle` has no version.
    fn open() -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
        let server = house.serve();
        let admin = server.admin_key.clone().unwrap();
        eventually("readiness", || {
            (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
        });
        let made = |role: &str| house.ok(&["keys", "create", "--role", role]).trim().to_owned();
        let (key, write_key) = (made("judge"), made("write"));
        let site = Self { house, server, admin, key, write_key };
        for (user, plan) in [("ann", "pro"), ("bob", "free")] {
            site.call("identify", &json!({"userId": user, "traits": {"plan": plan}}));
        }
        for _ in 0..2 {
            site.call("track", &json!({"userId": "bob", "event": "order"}));
        }
        site.house.ok(&["produce"]);
        site.house.ok(&["identities", "link", "a/1", "ann", "--type", "device"]);
        let idle = "{kind: crowd, name: idle, expression: \"plan == \\\"free\\\"\"}";
        let idle = site.house.file("idle.yaml", idle);
        site.house.ok(&["--app", "t", "apply", "-f", idle.to_str().unwrap()]);
        eventually("the orders", || site.flag("buyers", "bob")["value"].as_bool()?.then_some(()));
        let other = "kind: app\nid: other\ntime_zone: UTC\n";
        site.house.ok(&["apply", "-f", site.house.file("other.yaml", other).to_str().unwrap()]);
        site
    }

    fn call(&self, kind: &str, body: &Value) {
        let answer = self.server.post(&format!("/v1/{kind}"), &self.write_key, body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn flag(&self, crowd: &str, user: &str) -> Value {
        let body = json!({"context": {"targetingKey": user}});
        self.server.post(&format!("{FLAGS}/{crowd}"), &self.key, &body).json()
    }

    fn told<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("TARGET", &self.server.base)
            .env("KEY", &self.key)
            .env("OTHER_KEY", &self.admin)
            .env("WRITE_KEY", &self.write_key)
    }
}

fn script(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sdks").join(name);
    place.canonicalize().unwrap()
}

/// A script laid beside the packages that it draws in, where node finds them.
fn beside_packages(packages: &Path, name: &str) -> PathBuf {
    let place = packages.join(format!("{}-{name}", std::process::id()));
    std::fs::copy(script(name), &place).unwrap();
    place
}

fn runs(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}\n{said}");
}

#[test]
fn the_provider_for_node_servers() {
    let Some(packages) = needs::sdks("the_provider_for_node_servers") else { return };
    let site = Site::open();
    let place = beside_packages(&packages, "flags_node.mjs");
    runs(site.told(Command::new("node").arg(&place)));
    std::fs::remove_file(place).unwrap();
}

#[test]
fn the_provider_for_python() {
    let Some(python) = needs::peers("the_provider_for_python") else { return };
    let site = Site::open();
    runs(site.told(Command::new(python).arg(script("flags_python.py"))));
}

/// A page that holds the flags of ann, and prints them when it hears that they changed.
struct Page {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: PathBuf,
    place: PathBuf,
}

impl Page {
    fn open(site: &Site, packages: &Path, name: &str) -> Self {
        let place = beside_packages(packages, name);
        let said = site.house.path("flags.stderr");
        let mut command = Command::new("node");
        command.arg("--experimental-eventsource").arg(&place);
        let stderr = std::fs::File::create(&said).unwrap();
        site.told(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, said, place }
    }

    fn next(&mut self) -> String {
        let line = self.lines.next().and_then(Result::ok);
        line.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(&self.said).unwrap()))
    }

    fn close(mut self) {
        drop(self.process.stdin.take());
        let ended = self.process.wait().unwrap();
        std::fs::remove_file(&self.place).unwrap();
        assert!(ended.success(), "{}", std::fs::read_to_string(&self.said).unwrap());
    }
}

/// Ann buys, and is a pro no more.
fn ann_changes(site: &Site, page: &mut Page) {
    for _ in 0..2 {
        site.call("track", &json!({"userId": "ann", "event": "order"}));
    }
    assert_eq!(page.next(), r#"{"pros":true,"buyers":true}"#);
    site.call("identify", &json!({"userId": "ann", "traits": {"plan": "free"}}));
    site.house.ok(&["--app", "t", "produce"]);
    assert_eq!(page.next(), r#"{"pros":false,"buyers":true}"#);
}

#[test]
fn the_provider_for_pages_asks_for_all_flags_and_hears_of_changes() {
    let name = "the_provider_for_pages_asks_for_all_flags_and_hears_of_changes";
    let Some(packages) = needs::sdks(name) else { return };
    let site = Site::open();
    let mut page = Page::open(&site, &packages, "flags_web.mjs");
    assert_eq!(page.next(), r#"ready {"pros":true,"buyers":false}"#);
    // Long enough to be told that nothing changed.
    std::thread::sleep(std::time::Duration::from_secs(2));
    ann_changes(&site, &mut page);
    page.close();
}

#[test]
fn the_provider_for_pages_hears_of_changes_without_asking() {
    let name = "the_provider_for_pages_hears_of_changes_without_asking";
    let Some(packages) = needs::sdks(name) else { return };
    let site = Site::open();
    let mut page = Page::open(&site, &packages, "flags_events.mjs");
    assert_eq!(page.next(), r#"ready {"pros":true,"buyers":false}"#);
    ann_changes(&site, &mut page);
    page.close();
}

#[test]
fn all_flags_are_the_judgments_and_are_not_sent_again() {
    let site = Site::open();
    let body = json!({"context": {"targetingKey": "ann"}}).to_string();
    let key = format!("Bearer {}", site.key);
    let ask = |tag: Option<&str>| {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(tag.map(|tag| ("if-none-match", tag)));
        site.server.call_with("POST", FLAGS, Some(&key), &headers, body.as_bytes())
    };
    let all = ask(None);
    let flags = all.json();
    let of = |key: &str| {
        let flags = flags["flags"].as_array().unwrap();
        flags.iter().find(|flag| flag["key"] == key).unwrap().clone()
    };
    assert_eq!(flags["flags"].as_array().unwrap().len(), 3, "{flags}");
    assert_eq!((&of("pros")["value"], &of("buyers")["value"]), (&json!(true), &json!(false)));
    assert_eq!(
        of("idle"),
        json!({"key": "idle", "reason": "DEFAULT", "variant": "not_computed",
            "metadata": {"version": 0, "live": false, "ageMs": 0}})
    );
    for crowd in ["pros", "buyers"] {
        let path = format!("/api/v1/apps/t/judge?user=ann&crowd={crowd}");
        let judged = site.server.get(&path, &site.key).json();
        assert_eq!(judged["in_crowd"], of(crowd)["value"], "{crowd}");
        assert_eq!(site.flag(crowd, "ann")["value"], of(crowd)["value"], "{crowd}");
    }
    let tag = all.header("etag").unwrap();
    let again = ask(Some(&tag));
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("etag").as_deref(), Some(tag.as_str()));
    assert_eq!(ask(Some("\"another\"")).status, 200);
    site.house.ok(&["--app", "t", "delete", "ann"]);
    let changed = ask(Some(&tag));
    assert_eq!(changed.status, 200);
    let pros = &changed.json()["flags"][2];
    assert_eq!((&pros["value"], &pros["metadata"]["unknownUser"]), (&json!(false), &json!(true)));
}

#[test]
fn what_is_wrong_is_said_as_the_protocol_does() {
    let site = Site::open();
    let key = format!("Bearer {}", site.key);
    let json_type = [("content-type", "application/json")];
    let ask = |place: &str, body: &str| {
        let answer = site.server.call_with("POST", place, Some(&key), &json_type, body.as_bytes());
        let said = answer.json();
        (answer.status, said["errorCode"].clone(), said["key"].clone())
    };
    let one = format!("{FLAGS}/pros");
    let cases = [
        (one.as_str(), "{", (400, "PARSE_ERROR", json!("pros"))),
        (&one, "[]", (400, "INVALID_CONTEXT", json!("pros"))),
        (&one, r#"{"context": 7}"#, (400, "INVALID_CONTEXT", json!("pros"))),
        (&one, "{}", (400, "TARGETING_KEY_MISSING", json!("pros"))),
        (FLAGS, r#"{"context": {}}"#, (400, "TARGETING_KEY_MISSING", Value::Null)),
        (FLAGS, r#"{"context": {"targetingKey": 7}}"#, (400, "INVALID_CONTEXT", Value::Null)),
    ];
    for (place, body, (status, code, of)) in cases {
        assert_eq!(ask(place, body), (status, json!(code), of), "{place} {body}");
    }
    let body = r#"{"context": {"targetingKey": "ann"}}"#;
    let none = format!("{FLAGS}/pro");
    assert_eq!(ask(&none, body), (404, json!("FLAG_NOT_FOUND"), json!("pro")));

    // The app of a key that is for one app is not another.
    let headers = [("content-type", "application/json"), ("taghouse-app", "other")];
    let app_key =
        site.server.post("/api/v1/keys", &site.admin, &json!({"role": "judge", "app": "t"}));
    let app_key = format!("Bearer {}", app_key.json()["secret"].as_str().unwrap());
    let other = site.server.call_with("POST", &one, Some(&app_key), &headers, body.as_bytes());
    assert_eq!(other.status, 403);
    let headers = [("content-type", "application/json"), ("taghouse-app", "t")];
    let own = site.server.call_with("POST", &one, Some(&app_key), &headers, body.as_bytes());
    assert_eq!((own.status, &own.json()["value"]), (200, &json!(true)));
}

/// A reader of the events of flags, with the address that the server gave.
struct Events {
    lines: Lines<BufReader<Box<dyn std::io::Read>>>,
}

struct Event {
    id: String,
    data: Value,
}

impl Events {
    fn open(base: &str, place: &str, seen: Option<&str>) -> Self {
        let mut request = ureq::get(format!("{base}{place}"));
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let response = request.call().unwrap();
        let (parts, body) = response.into_parts();
        assert_eq!(parts.headers["content-type"], "text/event-stream");
        let reader: Box<dyn std::io::Read> = Box::new(body.into_reader());
        Self { lines: BufReader::new(reader).lines() }
    }

    /// `None`: the server ended the answer.
    fn next(&mut self) -> Option<Event> {
        let (mut id, mut data) = (None, None);
        loop {
            let line = self.lines.next()?.ok()?;
            if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(value).unwrap());
            } else if let (true, Some(id), Some(data)) = (line.is_empty(), &id, &data) {
                return Some(Event { id: String::clone(id), data: Value::clone(data) });
            }
        }
    }
}

/// The flags of a user with their ETag, and the address of their events.
fn all(site: &Site, server: &Server, user: &str) -> (String, String) {
    let body = json!({"context": {"targetingKey": user}});
    let answer = server.post(FLAGS, &site.key, &body);
    let said = answer.json();
    assert_eq!(said["eventStreams"][0]["type"], "sse", "{said}");
    let place = said["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    (answer.header("etag").unwrap(), place)
}

#[test]
fn events_tell_of_each_kind_of_change_once_and_of_no_other_user() {
    let site = Site::open();
    let (tag, place) = all(&site, &site.server, "ann");
    assert!(place.starts_with("/ofrep/v1/events?") && !place.contains(&site.key), "{place}");
    assert_eq!(all(&site, &site.server, "ann").1, place, "an address that stays");
    let mut events = Events::open(&site.server.base, &place, None);
    let first = events.next().unwrap();
    assert_eq!(first.data, json!({"type": "refetchEvaluation", "etag": tag}));
    assert_eq!(first.id, tag.trim_matches('"'));
    let mut changed = |what: &str| {
        let event = events.next().unwrap();
        let (now, _) = all(&site, &site.server, "ann");
        assert_eq!(event.data["etag"], json!(now), "{what}");
    };

    // Of bob nothing is told to ann's page: the next event is of ann.
    for _ in 0..2 {
        site.call("track", &json!({"userId": "bob", "event": "order"}));
    }
    for _ in 0..2 {
        site.call("track", &json!({"userId": "ann", "event": "order"}));
    }
    changed("a live crowd is entered");
    assert_eq!(site.flag("buyers", "ann")["value"], true);
    site.house.ok(&["--app", "t", "produce", "--tag", "plan"]);
    changed("a version is published");
    let more = "{kind: crowd, name: more, live: true, expression: \"orders >= 1\"}";
    let more = site.house.file("more.yaml", more);
    site.house.ok(&["--app", "t", "apply", "-f", more.to_str().unwrap()]);
    changed("a crowd is defined");
    site.house.ok(&["--app", "t", "delete", "ann"]);
    changed("the user is deleted");
}

#[test]
fn events_go_on_after_a_restart_and_end_with_the_key() {
    let mut site = Site::open();
    let (tag, place) = all(&site, &site.server, "ann");
    let seen = tag.trim_matches('"').to_owned();
    let mut events = Events::open(&site.server.base, &place, Some(&seen));
    let took = site.server.terminate();
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
    assert!(events.next().is_none(), "it knew the flags");

    site.server = site.house.serve();
    eventually("the flags", || site.flag("pros", "ann")["value"].as_bool());
    eventually("live values", || site.flag("buyers", "bob")["value"].as_bool()?.then_some(()));
    // Whoever has seen an older state is told at once; whoever has seen this one waits for the next.
    assert_eq!(all(&site, &site.server, "ann").1, place, "the address is still good");
    let older = Events::open(&site.server.base, &place, Some("older")).next().unwrap();
    assert_eq!(json!(older.id), older.data["etag"].as_str().unwrap().trim_matches('"'));
    let mut events = Events::open(&site.server.base, &place, Some(&older.id));
    site.house.ok(&["--app", "t", "produce", "--tag", "plan"]);
    assert_ne!(events.next().unwrap().id, older.id);

    let refused = |place: &str| {
        let answer = site.server.call("GET", place, None, b"");
        (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let (status, said) = refused(&place.replace("user=ann", "user=bob"));
    assert_eq!(status, 401, "{said}");
    assert!(said.contains("signature"), "{said}");
    assert_eq!(refused("/ofrep/v1/events?user=ann").0, 401);
    assert_eq!(refused("/ofrep/v1/events").0, 400);
    // The key is taken away: its addresses with it, and who follows them.
    let keys = site.server.get("/api/v1/keys", &site.admin).json();
    let of_judge = |key: &&Value| key["role"] == "judge";
    let id = keys["keys"].as_array().unwrap().iter().find(of_judge).unwrap()["id"].clone();
    let path = format!("/api/v1/keys/{}", id.as_str().unwrap());
    let admin = format!("Bearer {}", site.admin);
    assert_eq!(site.server.call("DELETE", &path, Some(&admin), b"").status, 204);
    assert_eq!(refused(&place).0, 401);
    site.house.ok(&["--app", "t", "produce", "--tag", "plan"]);
    assert!(events.next().is_none(), "it hears nothing more");
}
