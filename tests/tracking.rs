//! The calls of Segment's tracking API as its libraries for phones and browsers make them: their
//! paths, their clocks, their keys in bodies, and what a browser asks before it lets a page send
//! them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, eventually};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::io::Write;

const DEFINITIONS: &str = "
kind: app
id: t
time_zone: UTC
---
{kind: source, name: seg, format: segment, attributes: {plan: plan}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: events_1d, type: int, aggregate: {function: count, window: 1d}}
---
{kind: tag, name: events_all, type: int, aggregate: {function: count}}
---
{kind: tag, name: last_seen, type: date, precision: millisecond, aggregate: {function: max, value: time}}
";

struct Site {
    house: House,
    server: Server,
    write_key: String,
}

impl Site {
    fn open(flags: &[&str]) -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
        let server = house.serve_with(flags);
        let write_key = house.json(&["keys", "create", "--role", "write"])["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { house, server, write_key }
    }

    /// Sends a call as libraries do that may set headers.
    fn basic(&self, path: &str, body: &Value) -> u16 {
        let headers = [("content-type", "text/plain")];
        self.server
            .call_with(
                "POST",
                path,
                Some(&basic(&self.write_key)),
                &headers,
                body.to_string().as_bytes(),
            )
            .status
    }

    /// Produces all tags, once everything has landed.
    fn produced(&self) {
        self.house.ok(&["produce"]);
    }

    fn rejected(&self) -> u64 {
        let landing = self
            .server
            .get("/api/v1/apps/t/landing", self.server.admin_key.as_ref().unwrap())
            .json();
        landing["rejected"].as_u64().unwrap_or_else(|| panic!("{landing}"))
    }
}

fn basic(key: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{key}:")))
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_device_whose_clock_is_wrong_tells_when_it_happened() {
    let site = Site::open(&[]);
    #[allow(clippy::disallowed_methods, reason = "the server's clock is the system's")]
    let now = Timestamp::now();
    let send = |user: &str, path: &str, days: i64, seconds: i64| {
        let sent_at = now + SignedDuration::from_hours(24 * days);
        let timestamp = sent_at - SignedDuration::from_secs(seconds);
        let message = json!({"type": "track", "event": "open", "userId": user, "messageId": user, "timestamp": timestamp.to_string()});
        let body = json!({"sentAt": sent_at.to_string(), "batch": [message]});
        assert_eq!(site.basic(path, &body), 200, "{user}");
    };
    send("slow", "/v1/batch", -5, 10);
    send("fast", "/v1/b", 3, 10);
    // Far beyond the bounds by its own clock, and years ago in truth.
    send("dead-battery", "/v1/import", -20_000, 10);
    send("long-offline", "/v1/import", 2, 40 * 86_400);
    site.produced();
    assert_eq!(site.house.count("events_1d >= 1"), 3);
    assert_eq!(site.house.count("events_all >= 1"), 4);
    assert_eq!(site.rejected(), 0);
    for (user, ago) in
        [("slow", 10), ("fast", 10), ("dead-battery", 10), ("long-offline", 40 * 86_400)]
    {
        let profile = site.house.json(&["profile", user]);
        let seen: Timestamp = profile["tags"]["last_seen"]
            .as_str()
            .unwrap_or_else(|| panic!("{profile}"))
            .parse()
            .unwrap();
        let off = seen.duration_since(now - SignedDuration::from_secs(ago)).abs();
        assert!(off < SignedDuration::from_secs(30), "{user}: {seen}");
    }
}

#[test]
fn calls_come_by_the_paths_that_libraries_know() {
    let site = Site::open(&[]);
    let single = |path: &str, user: &str, body: Value| {
        let mut call = json!({"userId": user, "messageId": format!("{path}-{user}")});
        call.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        assert_eq!(site.basic(path, &call), 200, "{path}");
    };
    single("/v1/t", "mob", json!({"event": "tap"}));
    single("/v1/p", "mob", json!({"name": "Home"}));
    single("/v1/s", "mob", json!({"name": "Home"}));
    single("/v1/g", "mob", json!({"groupId": "g"}));
    single("/v1/a", "mob", json!({"previousId": "old"}));
    single("/v1/i", "mob", json!({"traits": {"plan": "pro"}}));
    for path in ["/v1/b", "/v1/import", "/v1/batch"] {
        let message =
            json!({"type": "track", "event": "tap", "userId": "batched", "messageId": path});
        assert_eq!(site.basic(path, &json!({"batch": [message]})), 200, "{path}");
    }
    site.produced();
    let profile = |user: &str| site.house.json(&["profile", user])["tags"].clone();
    assert_eq!(
        (profile("mob")["events_all"].clone(), profile("mob")["plan"].clone()),
        (json!(5), json!("pro"))
    );
    assert_eq!(profile("batched")["events_all"], 3);
    assert_eq!(site.basic("/v1/x", &json!({})), 404);
}

#[test]
fn the_write_key_may_stand_in_the_body() {
    let site = Site::open(&[]);
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        site.server.call_with("POST", path, None, headers, body)
    };
    let plain = [("content-type", "text/plain;charset=UTF-8")];
    let with_key = |key: &str, id: &str| {
        json!({"writeKey": key, "userId": "beacon", "event": "leave", "messageId": id}).to_string()
    };

    assert_eq!(post("/v1/t", &plain, with_key(&site.write_key, "1").as_bytes()).status, 200);
    let message: Value = serde_json::from_str(&with_key(&site.write_key, "2")).unwrap();
    let of_message = json!({"batch": [json!({"type": "track"}).as_object().unwrap().clone().into_iter().chain(message.as_object().unwrap().clone()).collect::<serde_json::Map<_, _>>()]});
    assert_eq!(post("/v1/b", &plain, of_message.to_string().as_bytes()).status, 200);
    let zipped = gzipped(&with_key(&site.write_key, "3"));
    assert_eq!(
        post("/v1/t", &[("content-type", "text/plain"), ("content-encoding", "gzip")], &zipped)
            .status,
        200
    );
    site.produced();
    assert_eq!(site.house.json(&["profile", "beacon"])["tags"]["events_all"], 3);

    // Neither an unknown key, nor none, nor one that may not; and a body that holds none is no way
    // around a wrong header.
    assert_eq!(post("/v1/t", &plain, with_key("tgh_wrong", "4").as_bytes()).status, 401);
    let none = post("/v1/t", &plain, br#"{"userId":"u","event":"e"}"#);
    assert!(
        none.status == 401 && none.json()["detail"].as_str().unwrap().contains("writeKey"),
        "{}",
        none.json()
    );
    let judge = site.house.json(&["keys", "create", "--role", "judge"])["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(post("/v1/t", &plain, with_key(&judge, "5").as_bytes()).status, 403);
    let wrong_header = site.server.call(
        "POST",
        "/v1/t",
        Some("Bearer tgh_wrong"),
        with_key(&site.write_key, "6").as_bytes(),
    );
    assert_eq!(wrong_header.status, 401);
    let large = json!({"writeKey": site.write_key, "userId": "u", "event": "e", "properties": {"x": "x".repeat(33 << 10)}});
    assert_eq!(post("/v1/t", &plain, large.to_string().as_bytes()).status, 413);
    // No other route takes a key from a body.
    let changes = json!({"writeKey": site.write_key, "changes": []}).to_string();
    assert_eq!(
        post("/api/v1/apps/t/changes", &[("content-type", "application/json")], changes.as_bytes())
            .status,
        401
    );
}

#[test]
fn metrics_of_the_library_are_taken_and_ignored() {
    let site = Site::open(&[]);
    let body = br#"{"series":[{"type":"Counter","metric":"analytics_js.invoke","value":1,"tags":{"library":"analytics.js"}}]}"#;
    let answer = site.server.call_with(
        "POST",
        "/v1/m",
        None,
        &[("content-type", "text/plain"), ("origin", "http://shop.example")],
        body,
    );
    assert_eq!((answer.status, answer.json()), (200, json!({"success": true})));
    assert_eq!(
        site.server
            .call_with("POST", "/v1/m", None, &[("content-type", "text/plain")], b"[]")
            .status,
        400
    );
    let landing =
        site.server.get("/api/v1/apps/t/landing", site.server.admin_key.as_ref().unwrap()).json();
    assert_eq!((&landing["events"], &landing["rejected"]), (&json!(0), &json!(0)), "{landing}");
}

#[test]
fn settings_send_a_library_to_this_server() {
    let site = Site::open(&[]);
    let ask =
        |key: &str| site.server.call("GET", &format!("/v1/projects/{key}/settings"), None, b"");
    let settings = ask(&site.write_key).json();
    let own = &settings["integrations"]["Segment.io"];
    assert_eq!(
        settings["integrations"].as_object().unwrap().len(),
        1,
        "no other destination is loaded: {settings}"
    );
    assert_eq!(own["apiHost"], format!("{}/v1", site.server.address()));
    assert_eq!(
        (own["apiKey"].clone(), own["protocol"].clone()),
        (json!(site.write_key), json!("http"))
    );
    let admin = site.server.admin_key.clone().unwrap();
    for key in ["tgh_wrong", admin.as_str()] {
        let refused = ask(key);
        assert!(
            refused.status == 404
                && refused.json()["detail"].as_str().unwrap().contains("--role write"),
            "{}",
            refused.json()
        );
    }
}

/// The answer's status and one of its headers.
fn asked(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    header: &str,
) -> (u16, Option<String>) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let request =
        ureq::http::Request::builder().method(method).uri(format!("{}{path}", server.base));
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = agent.run(request.body(Vec::<u8>::new()).unwrap()).unwrap();
    (
        response.status().as_u16(),
        response.headers().get(header).map(|value| value.to_str().unwrap().to_owned()),
    )
}

#[test]
fn browsers_let_pages_of_the_origins_configured_send_calls() {
    let shop = "https://shop.example.com";
    let preflight = |site: &Site, path: &str, origin: &str, header: &str| {
        let wanted = "authorization,content-type,x-retry-count";
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", wanted),
        ];
        asked(&site.server, "OPTIONS", path, &headers, header)
    };
    let any = Site::open(&[]);
    for path in ["/v1/t", "/v1/b", "/v1/batch", "/v1/m", "/v1/projects/k/settings"] {
        assert_eq!(
            preflight(&any, path, shop, "access-control-allow-origin"),
            (200, Some("*".to_owned())),
            "{path}"
        );
    }
    let allowed = preflight(&any, "/v1/t", shop, "access-control-allow-headers").1.unwrap();
    assert_eq!(allowed, "authorization,content-type,x-retry-count");
    // An error too can be read by the page, or its library would not know what to do.
    let origin = [("origin", shop)];
    assert_eq!(
        asked(&any.server, "POST", "/v1/t", &origin, "access-control-allow-origin"),
        (401, Some("*".to_owned()))
    );
    assert_eq!(
        asked(&any.server, "POST", "/v1/t", &origin, "access-control-expose-headers").1.as_deref(),
        Some("retry-after,etag,taghouse-position")
    );
    // The rest of the API is for no page.
    let rest = asked(&any.server, "GET", "/api/v1/health", &origin, "access-control-allow-origin");
    assert_eq!(rest, (200, None));
    assert_eq!(
        preflight(&any, "/api/v1/apps/t/changes", shop, "access-control-allow-origin"),
        (405, None)
    );

    let some = Site::open(&["--web-origins", "https://*.example.com,http://localhost:3000"]);
    assert_eq!(
        preflight(&some, "/v1/t", shop, "access-control-allow-origin"),
        (200, Some(shop.to_owned()))
    );
    let call = json!({"writeKey": some.write_key, "userId": "u", "event": "e"}).to_string();
    let send = |origin: &str| {
        let headers = [("content-type", "text/plain"), ("origin", origin)];
        some.server.call_with("POST", "/v1/t", None, &headers, call.as_bytes())
    };
    assert_eq!(send(shop).status, 200);
    for other in ["https://evil.example", "null", "http://shop.example.com"] {
        assert_eq!(
            preflight(&some, "/v1/t", other, "access-control-allow-origin"),
            (403, None),
            "{other}"
        );
        let refused = send(other);
        assert!(
            refused.status == 403
                && refused.json()["detail"].as_str().unwrap().contains("--web-origins"),
            "{}",
            refused.json()
        );
    }
    assert_eq!(
        some.basic("/v1/t", &json!({"userId": "u", "event": "e"})),
        200,
        "what is not a page names no origin"
    );
    some.produced();
    assert_eq!(some.house.json(&["profile", "u"])["tags"]["events_all"], 2);

    let none = Site::open(&["--web-origins", "none"]);
    assert_eq!(preflight(&none, "/v1/t", shop, "access-control-allow-origin"), (403, None));
    let house = House::new();
    let said = house.refused(&["serve", "--web-origins", "shop.example.com"]);
    assert!(said.contains("write it like https://shop.example.com"), "{said}");
}

#[test]
fn a_whole_day_of_retries_counts_once() {
    let site = Site::open(&[]);
    let call = json!({"userId": "u", "event": "e", "messageId": "once", "timestamp": "2026-06-20T10:00:00Z"});
    for _ in 0..3 {
        assert_eq!(site.basic("/v1/t", &call), 200);
        assert_eq!(
            site.basic("/v1/b", &json!({"batch": [json!({"type": "track", "userId": "u", "event": "e", "messageId": "once"})]})),
            200
        );
    }
    eventually("landing", || {
        let landing = site
            .server
            .get("/api/v1/apps/t/landing", site.server.admin_key.as_ref().unwrap())
            .json();
        (landing["duplicates"] == 5).then_some(())
    });
    site.produced();
    assert_eq!(site.house.json(&["profile", "u"])["tags"]["events_all"], 1);
}
