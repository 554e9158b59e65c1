use super::*;
use std::sync::atomic::{AtomicU8, Ordering};

/// 2026-11-21T00:28:40Z
const RECEIVED: i64 = 1_795_220_920_000;

struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn parse(kind: &str, body: &str) -> Result<Vec<LogRecord>, CallError> {
    LiveCall::parse(kind, body.as_bytes(), RECEIVED, &Counting(AtomicU8::new(1)))
}

fn one(kind: &str, body: &str) -> LogRecord {
    let mut records = parse(kind, body).unwrap();
    assert_eq!(records.len(), 1);
    let record = records.remove(0);
    assert_eq!(LogRecord::decode(&record.encode().unwrap()).unwrap(), record);
    record
}

fn event(user: &str, time_ms: i64, name: &str, properties: &str) -> RecordBody {
    RecordBody::Event {
        user_id: user.to_owned(),
        time_ms,
        name: name.to_owned(),
        properties: properties.to_owned(),
    }
}

/// What the SDK of Node sent when it was captured.
const NODE: &str = r#"{"batch":[{"timestamp":"2026-11-21T00:28:39.268Z","integrations":{},"event":"Order Paid","type":"track","properties":{"amount":12.5},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}},"userId":"u1","messageId":"node-next-1795220919268-067ddae3","_metadata":{"nodeVersion":"v20.20.2","jsRuntime":"node"}}],"writeKey":"key-1","sentAt":"2026-11-21T00:28:39.272Z"}"#;

/// What the SDK of Python sent.
const PYTHON: &str = r#"{"batch": [{"integrations": {}, "anonymousId": null, "properties": {"amount": 12.5}, "timestamp": "2026-11-21T00:28:39.579+00:00", "context": {"library": {"name": "analytics-python", "version": "2.4.0"}}, "userId": "u1", "type": "track", "event": "Order Paid", "messageId": "60549254-7119"}], "sentAt": "2026-11-21T00:28:39.579747+00:00", "writeKey": "key-1"}"#;

#[test]
fn captured_batches() {
    // It happened so many ms before it was sent.
    for (body, id, before) in
        [(NODE, "node-next-1795220919268-067ddae3", 4), (PYTHON, "60549254-7119", 0)]
    {
        let record = one("batch", body);
        assert_eq!(record.message_id, id);
        assert_eq!(record.received_at_ms, RECEIVED);
        let RecordBody::Event { properties, .. } = &record.body else { panic!("{record:?}") };
        assert_eq!(record.body, event("u1", RECEIVED - before, "Order Paid", properties));
        assert_eq!(properties.replace(' ', ""), r#"{"amount":12.5}"#);
    }
}

#[test]
fn each_kind() {
    let time = r#""timestamp":"2026-11-21T00:00:00Z","messageId":"m""#;
    let at = 1_795_219_200_000;
    let cases = [
        (
            "track",
            r#"{"userId":"u","event":"E","properties":{"n":1.50,"é":"\n"}}"#,
            event("u", at, "E", r#"{"n":1.50,"é":"\n"}"#),
        ),
        (
            "track",
            r#"{"anonymousId":"a","event":"E","properties":null}"#,
            event("a", at, "E", "{}"),
        ),
        ("track", r#"{"userId":17,"anonymousId":"a","event":"E"}"#, event("17", at, "E", "{}")),
        (
            "page",
            r#"{"userId":"u","name":"Home","properties":{"name":"old","url":"/"}}"#,
            event("u", at, "page", r#"{"url":"/","name":"Home"}"#),
        ),
        (
            "page",
            r#"{"userId":"u","properties":{"name":"kept"}}"#,
            event("u", at, "page", r#"{"name":"kept"}"#),
        ),
        (
            "screen",
            r#"{"userId":"u","name":"S","category":"c\"d"}"#,
            event("u", at, "screen", r#"{"name":"S","category":"c\"d"}"#),
        ),
        (
            "group",
            r#"{"userId":"u","groupId":"g","traits":{"plan":"x"}}"#,
            event("u", at, "group", r#"{"plan":"x","group_id":"g"}"#),
        ),
        (
            "alias",
            r#"{"userId":"u","previousId":"old"}"#,
            event("u", at, "alias", r#"{"previous_id":"old"}"#),
        ),
        (
            "identify",
            r#"{"userId":"u","traits":{"a":1}}"#,
            RecordBody::Traits { user_id: "u".into(), time_ms: at, traits: r#"{"a":1}"#.into() },
        ),
        (
            "identify",
            r#"{"userId":"u"}"#,
            RecordBody::Traits { user_id: "u".into(), time_ms: at, traits: "{}".into() },
        ),
    ];
    for (kind, body, expected) in cases {
        let record = one(kind, &body.replacen('{', &format!("{{{time},"), 1));
        assert_eq!((record.message_id.as_str(), record.body), ("m", expected), "{body}");
    }
}

#[test]
fn times_and_ids_that_are_missing() {
    let time = |members: &str| {
        let record =
            one("track", &format!(r#"{{"userId":"u","event":"e","messageId":null{members}}}"#));
        assert_eq!(record.message_id, "taghouse-01010101010101010101010101010101");
        let RecordBody::Event { time_ms, .. } = record.body else { panic!() };
        time_ms
    };
    assert_eq!(time(""), RECEIVED);
    assert_eq!(time(r#","timestamp":null,"sentAt":"2020-01-01T00:00:00Z""#), RECEIVED);
    assert_eq!(time(r#","timestamp":"2026-11-21T00:28:30Z""#), RECEIVED - 10_000);
    assert_eq!(time(r#","originalTimestamp":"2026-11-21T00:28:30Z""#), RECEIVED - 10_000);
}

#[test]
fn what_counts_is_how_long_before_sending_it_happened() {
    let cases = [
        // A clock that is right, one five days behind, one three days and one a year ahead.
        (
            r#""timestamp":"2026-11-21T00:28:30Z","sentAt":"2026-11-21T00:28:40Z""#,
            RECEIVED - 10_000,
        ),
        (
            r#""timestamp":"2026-11-16T00:28:30Z","sentAt":"2026-11-16T00:28:40Z""#,
            RECEIVED - 10_000,
        ),
        (
            r#""timestamp":"2026-11-24T00:28:30Z","sentAt":"2026-11-24T00:28:40Z""#,
            RECEIVED - 10_000,
        ),
        (
            r#""originalTimestamp":"2027-11-24T00:28:30Z","sentAt":"2027-11-24T00:28:31Z""#,
            RECEIVED - 1_000,
        ),
        // Of a clock that was set between the two, what comes out is taken if it is within the
        // bounds.
        (r#""timestamp":"2026-11-21T00:28:41Z","sentAt":"2026-11-21T00:28:40Z""#, RECEIVED + 1_000),
        // Both say the same: neither is corrected. They differ: Segment has corrected the one.
        (
            r#""timestamp":"2026-11-16T00:28:30Z","originalTimestamp":"2026-11-16T00:28:30Z","sentAt":"2026-11-16T00:28:40Z""#,
            RECEIVED - 10_000,
        ),
        (
            r#""timestamp":"2026-11-20T23:59:50Z","originalTimestamp":"2026-11-16T00:28:30Z","sentAt":"2026-11-16T00:28:40Z""#,
            1_795_219_190_000,
        ),
        // Segment passes on later what it received then.
        (
            r#""originalTimestamp":"2026-11-16T00:28:30Z","sentAt":"2026-11-16T00:28:40Z","receivedAt":"2026-11-21T00:00:00Z""#,
            1_795_219_190_000,
        ),
        (
            r#""timestamp":"2026-11-20T23:59:50Z","sentAt":"2026-11-16T00:28:40Z","receivedAt":"2026-11-21T00:00:00Z""#,
            1_795_219_190_000,
        ),
    ];
    for (times, expected) in cases {
        let record = one("track", &format!(r#"{{"userId":"u","event":"e",{times}}}"#));
        let RecordBody::Event { time_ms, .. } = record.body else { panic!() };
        assert_eq!(time_ms, expected, "{times}");
    }
    // The call's `sentAt` is that of every message that has none.
    let body = r#"{"sentAt":"2026-11-16T00:28:40Z","batch":[
        {"type":"track","event":"e","userId":"u","timestamp":"2026-11-16T00:28:30Z"},
        {"type":"track","event":"e","userId":"u","timestamp":"2026-11-16T00:28:30Z","sentAt":"2026-11-16T00:28:31Z"}]}"#;
    let times: Vec<i64> = parse("b", body)
        .unwrap()
        .into_iter()
        .map(|record| match record.body {
            RecordBody::Event { time_ms, .. } => time_ms,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(times, [RECEIVED - 10_000, RECEIVED - 1_000]);
    // The bounds are those of the corrected time.
    for (times, words) in [
        (
            r#""timestamp":"2027-01-23T00:00:00Z","sentAt":"2026-11-21T00:00:00Z""#,
            "`timestamp` is more than 31 d ahead",
        ),
        (
            r#""timestamp":"1970-01-02T00:00:00Z","sentAt":"2027-11-21T00:00:00Z""#,
            "`timestamp` is before 1970",
        ),
    ] {
        let error =
            parse("track", &format!(r#"{{"userId":"u","event":"e",{times}}}"#)).unwrap_err();
        assert!(error.message.starts_with(words), "{times}: {error}");
    }
}

#[test]
fn calls_by_their_shorter_paths() {
    for (short, full) in [
        ("t", "track"),
        ("i", "identify"),
        ("p", "page"),
        ("s", "screen"),
        ("g", "group"),
        ("a", "alias"),
    ] {
        let body = r#"{"userId":"u","event":"e","groupId":"g","previousId":"p","messageId":"m"}"#;
        assert_eq!(one(short, body), one(full, body), "{short}");
    }
    let body = r#"{"batch":[{"type":"track","userId":"u","event":"e","messageId":"m"}]}"#;
    for short in ["b", "import"] {
        assert_eq!(one(short, body), one("batch", body), "{short}");
    }
    assert!(
        parse("batch", r#"{"batch":[{"type":"t","userId":"u","event":"e"}]}"#).is_err(),
        "within a batch a message has its whole type"
    );
}

#[test]
fn write_keys_in_bodies() {
    let cases = [
        (r#"{"event":"e","writeKey":"k\u0031"}"#, Some("k1")),
        (r#"{"batch":[{"writeKey":"a"},{"writeKey":"b"}],"writeKey":"c"}"#, Some("c")),
        (r#"{"batch":[{"writeKey":"a"},{"writeKey":"b"}]}"#, Some("a")),
        (r#"{"batch":[]}"#, None),
        (r#"{"properties":{"writeKey":"a"}}"#, None),
        (r#"{"writeKey":7}"#, None),
        (r#"[{"writeKey":"a"}]"#, None),
        ("writeKey", None),
    ];
    for (body, expected) in cases {
        assert_eq!(LiveCall::write_key(body.as_bytes()).as_deref(), expected, "{body}");
    }
}

#[test]
fn wrong_calls_name_the_field() {
    let long = "x".repeat(1100);
    let cases: [(&str, String, &str); 15] = [
        ("track", r#"{"event":"e"}"#.into(), "`userId` and `anonymousId` are missing"),
        ("track", r#"{"userId":"","event":"e"}"#.into(), "`userId` and `anonymousId` are missing"),
        ("track", r#"{"userId":["u"],"event":"e"}"#.into(), "`userId` is not a text"),
        (
            "track",
            format!(r#"{{"userId":"{}","event":"e"}}"#, "u".repeat(513)),
            "`userId`: the user id has 513 bytes",
        ),
        ("track", r#"{"userId":"u"}"#.into(), "`event` is missing"),
        ("track", format!(r#"{{"userId":"u","event":"{long}"}}"#), "`event` has 1100 bytes"),
        (
            "track",
            r#"{"userId":"u","event":"e","properties":[1]}"#.into(),
            "`properties` is not an object",
        ),
        (
            "track",
            r#"{"userId":"u","event":"e","timestamp":"soon"}"#.into(),
            "`timestamp` is \"\\\"soon\\\"\", not an ISO 8601 time",
        ),
        (
            "track",
            r#"{"userId":"u","event":"e","timestamp":"1969-01-01T00:00:00Z"}"#.into(),
            "`timestamp` is before 1970",
        ),
        (
            "track",
            r#"{"userId":"u","event":"e","timestamp":"2027-01-23T00:00:00Z"}"#.into(),
            "`timestamp` is more than 31 d ahead",
        ),
        (
            "track",
            format!(r#"{{"userId":"u","event":"e","messageId":"{long}"}}"#),
            "`messageId` has 1100 bytes",
        ),
        ("group", r#"{"userId":"u"}"#.into(), "`groupId` is missing"),
        ("alias", r#"{"userId":"u"}"#.into(), "`previousId` is missing"),
        ("track", "[]".into(), "the body is not a JSON object"),
        ("tracks", "{}".into(), "there is no call \"tracks\""),
    ];
    for (kind, body, expected) in cases {
        let error = parse(kind, &body).unwrap_err();
        assert!(error.message.starts_with(expected), "{body}: {error}");
        assert_eq!((error.kind(), error.too_large), (ErrorKind::Invalid, false));
    }
    assert_eq!(
        LiveCall::parse("track", b"{\"userId\":\"\xff\"}", 0, &Counting(AtomicU8::new(1)))
            .unwrap_err()
            .message,
        "the body is not UTF-8"
    );
    let large = format!(
        r#"{{"userId":"u","event":"e","properties":{{"x":"{}"}}}}"#,
        "x".repeat(MAX_CALL_BYTES)
    );
    assert!(parse("track", &large).unwrap_err().too_large);
    assert!(
        parse("batch", &format!("{{\"batch\":[{}]}}", "1,".repeat(MAX_BATCH_BYTES)))
            .unwrap_err()
            .too_large
    );
}

#[test]
fn a_wrong_message_does_not_spoil_its_batch() {
    let good = r#"{"type":"track","userId":"u","event":"e","messageId":"m"}"#;
    let body = format!(
        r#"{{"batch":[{good},{{"type":"track","event":"e"}},{{"type":"dance","userId":"u"}},7]}}"#
    );
    let records = parse("batch", &body).unwrap();
    let rejected: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.body {
            RecordBody::Rejected { reason, detail, raw } => {
                Some(format!("{reason}|{}|{raw}", &detail[..14]))
            }
            _ => None,
        })
        .collect();
    assert_eq!(records.len(), 4);
    assert_eq!(records[0].message_id, "m");
    assert_eq!(
        rejected,
        [
            r#"no_user_id|`userId` and `|{"type":"track","event":"e"}"#,
            r#"bad_type|`type` is "dan|{"type":"dance","userId":"u"}"#,
            "broken_line|the message is|7"
        ]
    );
    // One that is too large stands at its place too, under its own id.
    let large = format!(
        r#"{{"type":"track","userId":"u","event":"e","messageId":"big","properties":{{"x":"{}"}}}}"#,
        "x".repeat(MAX_CALL_BYTES)
    );
    let records = parse("batch", &format!(r#"{{"batch":[{good},{large},{good}]}}"#)).unwrap();
    assert_eq!((records.len(), records[1].message_id.as_str()), (3, "big"));
    let RecordBody::Rejected { reason, raw, .. } = &records[1].body else {
        panic!("{:?}", records[1])
    };
    assert_eq!((reason.as_str(), raw.len()), ("value_too_long", MAX_RAW_BYTES));
    let error = parse("batch", r#"{"batch":[{"type":"track","event":"e"}]}"#).unwrap_err();
    assert!(error.message.starts_with("batch[0]: `userId` and"), "{error}");
    assert_eq!(parse("batch", r#"{"batch":[]}"#).unwrap(), []);
    for body in [r#"{"sentAt":"x","batch":[]}"#, r#"{"batch":{}}"#, "{}"] {
        assert!(parse("batch", body).is_err(), "{body}");
    }
}
