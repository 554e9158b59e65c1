//! Live calls from the log into the lake: what lands, and that no message lands twice or is lost,
//! whatever stops between.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "../../../tests/needs/copy_folder.rs"]
mod copy_folder;
mod house;

use async_trait::async_trait;
use copy_folder::copy_folder;
use house::{Counting, House, NOW_MS, definitions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use taghouse_ingest::{Attendant, Error, IngestOptions, LOG_POSITION, Landed, LiveCall};
use taghouse_log::{EmbeddedLog, EventLog};
use taghouse_model::{AppId, ErrorKind};
use taghouse_rules::Definitions;
use tokio_util::sync::CancellationToken;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

const TYPED: &str = r#"
kind: source
name: web
format: segment
properties:
  amount: { column: amount, type: decimal, scale: 2 }
  sku: { column: item.sku }
attributes:
  plan: { column: plan }
  logins: { column: stats.logins, type: int }
filters: ["event != 'noise' || amount > 5"]
reject: [ { when: "amount < 0", reason: "negative" } ]
"#;

async fn send(house: &House, log: &dyn EventLog, kind: &str, body: &str, received_ms: i64) -> u64 {
    let records = LiveCall::parse(kind, body.as_bytes(), received_ms, &Counting::new()).unwrap();
    log.append(&house.app, records.iter().map(|record| record.encode().unwrap()).collect())
        .await
        .unwrap()
}

fn track(id: &str, properties: &str) -> String {
    format!(
        r#"{{"userId":"u1","event":"paid","messageId":"{id}","timestamp":"2026-11-20T10:00:00Z","properties":{properties}}}"#
    )
}

async fn land(house: &House, log: &Arc<dyn EventLog>, definitions: &Arc<Definitions>) -> Landed {
    house
        .landing(log.clone())
        .land(&house.app, definitions, &CancellationToken::new())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_by_the_source() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let typed = definitions(TYPED);
    let log_ref = log.as_ref();
    send(
        &house,
        log_ref,
        "track",
        &track(
            "m1",
            r#"{"amount":12.50,"item":{"sku":"A\u00e9","size":3},"big":12345678901234567890.5}"#,
        ),
        NOW_MS,
    )
    .await;
    send(&house, log_ref, "track", &track("m2", r#"{"amount":"much"}"#), NOW_MS).await;
    send(&house, log_ref, "track", &track("m3", r#"{"amount":-1}"#), NOW_MS).await;
    send(
        &house,
        log_ref,
        "track",
        &track("m4", r#"{"amount":1}"#).replace("paid", "noise"),
        NOW_MS,
    )
    .await;
    send(
        &house,
        log_ref,
        "track",
        &track("m5", r#"{"amount":9}"#).replace("paid", "noise"),
        NOW_MS,
    )
    .await;
    let traits = r#"{"userId":"u2","messageId":"m6","timestamp":"2026-11-20T11:00:00Z","traits":{"plan":"pro","stats":{"logins":7},"tall":true,"address":{"city":"Oslo"},"gone":null,"nick":"a\"b"}}"#;
    send(&house, log_ref, "identify", traits, NOW_MS).await;
    send(
        &house,
        log_ref,
        "group",
        r#"{"userId":"u2","messageId":"m7","timestamp":"2026-11-20T11:00:00Z","groupId":"g1","traits":{"seats":5}}"#,
        NOW_MS,
    )
    .await;
    send(
        &house,
        log_ref,
        "batch",
        r#"{"batch":[{"type":"alias","userId":"u3","messageId":"m8","previousId":"anon"},{"type":"track"}]}"#,
        NOW_MS,
    )
    .await;
    let landed = land(&house, &log, &typed).await;
    assert_eq!(
        landed,
        Landed {
            events: 5,
            attributes: 6,
            rejected: 3,
            filtered: 1,
            position: 9,
            ..Landed::default()
        }
    );
    assert_eq!(
        house
            .rows(
                "events",
                &["user_id", "event", "message_id", "source", "amount", "sku", "properties"]
            )
            .await,
        [
            r#"u1|noise|m5|web|9.00|-|-"#,
            r#"u1|paid|m1|web|12.50|Aé|{"item.size":3,"big":12345678901234567890.5}"#,
            "u1|paid|m2|web|-|-|-",
            r#"u2|group|m7|web|-|-|{"seats":5,"group_id":"g1"}"#,
            r#"u3|alias|m8|web|-|-|{"previous_id":"anon"}"#,
        ]
    );
    assert_eq!(
        house.rows("attributes", &["user_id", "name", "value", "time", "message_id"]).await,
        [
            r#"u2|address|{"city":"Oslo"}|2026-11-20T11:00:00|m6"#,
            "u2|gone|-|2026-11-20T11:00:00|m6",
            "u2|logins|7|2026-11-20T11:00:00|m6",
            r#"u2|nick|a"b|2026-11-20T11:00:00|m6"#,
            "u2|plan|pro|2026-11-20T11:00:00|m6",
            "u2|tall|true|2026-11-20T11:00:00|m6",
        ]
    );
    assert_eq!(
        house.rows("rejected_events", &["source", "file", "row", "reason"]).await,
        ["web|-|2|bad_type", "web|-|3|rule: negative", "web|-|9|no_user_id"]
    );
    let table = house.lake.table(&house.app, "events").await.unwrap().unwrap();
    assert_eq!(house::noted(&table, LOG_POSITION).unwrap(), "9");
    assert!(log.read(&house.app, 0, 10).await.unwrap().is_empty(), "the log is trimmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_source_everything_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let plain =
        definitions("kind: source\nname: f\nformat: csv\nuser_id: u\nattributes: { a: a }\n");
    send(
        &house,
        log.as_ref(),
        "page",
        r#"{"anonymousId":"a1","messageId":"m1","name":"Home","properties":{"url":"/x"}}"#,
        NOW_MS,
    )
    .await;
    assert_eq!(
        land(&house, &log, &plain).await,
        Landed { events: 1, position: 1, ..Landed::default() }
    );
    let columns = ["user_id", "event", "time", "source", "received_at", "properties"];
    assert_eq!(
        house.rows("events", &columns).await,
        [r#"a1|page|2026-11-21T00:00:00|segment|2026-11-21T00:00:00|{"url":"/x","name":"Home"}"#]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_land_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let typed = definitions(TYPED);
    assert_eq!(land(&house, &log, &typed).await, Landed::default());
    assert_eq!(house.snapshots("events").await, 0);
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS).await;
    let landing = house.landing(log.clone());
    for _ in 0..3 {
        assert_eq!(
            landing.land(&house.app, &typed, &CancellationToken::new()).await.unwrap().position,
            1
        );
    }
    assert_eq!(house.snapshots("events").await, 1);
}

/// Six messages: one of each sort, and a batch of a wrong one and a good one.
async fn send_all(house: &House, log: &dyn EventLog, received_ms: i64) {
    let noise = track("m5", r#"{"amount":1}"#).replace("paid", "noise");
    let negative = track("m6", r#"{"amount":-1}"#);
    for body in [track("m1", "{}"), noise, negative] {
        send(house, log, "track", &body, received_ms).await;
    }
    send(
        house,
        log,
        "identify",
        r#"{"userId":"u2","messageId":"i1","traits":{"plan":"pro"}}"#,
        received_ms,
    )
    .await;
    let batch = r#"{"batch":[{"type":"track","event":"e","messageId":"m7"},{"type":"track","event":"e","userId":"u","messageId":"m8"}]}"#;
    send(house, log, "batch", batch, received_ms).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_day_are_known_again_also_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let typed = definitions(TYPED);
    let house = House::open(home.path()).await;
    let log = house.log();
    send_all(&house, log.as_ref(), NOW_MS).await;
    send_all(&house, log.as_ref(), NOW_MS + 5).await;
    let landing = house.landing(log.clone());
    let landed = landing.land(&house.app, &typed, &CancellationToken::new()).await.unwrap();
    // Each message once, whatever became of it: landed, rejected, or left out.
    let once = Landed { events: 2, attributes: 1, rejected: 2, filtered: 1, ..Landed::default() };
    assert_eq!(landed, Landed { duplicates: 6, position: 12, ..once });
    send_all(&house, log.as_ref(), NOW_MS + 10).await;
    assert_eq!(
        landing.land(&house.app, &typed, &CancellationToken::new()).await.unwrap(),
        Landed { duplicates: 6, position: 18, ..Landed::default() }
    );
    drop((landing, log, house));

    let house = House::open(home.path()).await;
    let log = house.log();
    assert_eq!(house.ids.hours().unwrap(), 1);
    house.clock.1.store(DAY_MS, Ordering::Relaxed);
    send_all(&house, log.as_ref(), NOW_MS + DAY_MS).await;
    assert_eq!(
        land(&house, &log, &typed).await,
        Landed { duplicates: 6, position: 24, ..Landed::default() }
    );
    // Two hours later they are forgotten; hours of which nothing is left go.
    house.clock.1.store(DAY_MS + 2 * HOUR_MS, Ordering::Relaxed);
    land(&house, &log, &typed).await;
    send_all(&house, log.as_ref(), NOW_MS + DAY_MS + 2 * HOUR_MS).await;
    assert_eq!(land(&house, &log, &typed).await, Landed { position: 30, ..once });
    assert_eq!(house.ids.hours().unwrap(), 1);
    let rejected = house.rows("rejected_events", &["row", "reason"]).await;
    assert_eq!(
        rejected,
        ["27|rule: negative", "29|no_user_id", "3|rule: negative", "5|no_user_id"]
    );
}

/// A sender whose clock is hours ahead, and says nothing of when it sent, moves no window.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_dated_too_far_ahead_is_rejected_by_its_source() {
    let at = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap();
    let hour = at(NOW_MS + HOUR_MS);
    let minutes = at(NOW_MS + 5 * 60_000);
    let bodies = [
        format!(r#"{{"userId":"u","event":"e","messageId":"a","timestamp":"{hour}"}}"#),
        format!(r#"{{"userId":"u","event":"e","messageId":"b","timestamp":"{minutes}"}}"#),
    ];
    for (definition, events, rejected) in [
        (TYPED.to_owned(), 1, 1),
        (TYPED.replace("format: segment", "format: segment\nmax_future: 2h"), 2, 0),
    ] {
        let home = tempfile::tempdir().unwrap();
        let house = House::open(home.path()).await;
        let log = house.log();
        for body in &bodies {
            let call = LiveCall::parse("track", body.as_bytes(), NOW_MS, &Counting::new()).unwrap();
            let records = call.into_iter().map(|record| record.encode().unwrap()).collect();
            log.append(&house.app, records).await.unwrap();
        }
        let landing = house.landing(log.clone());
        let landed =
            landing.land(&house.app, &definitions(&definition), &CancellationToken::new()).await;
        let landed = landed.unwrap();
        assert_eq!((landed.events, landed.rejected), (events, rejected));
        if rejected > 0 {
            let rows = house.rows("rejected_events", &["reason", "detail"]).await;
            assert_eq!(
                rows,
                [
                    "bad_time|`timestamp` is more than 10 min ahead of the clock, `max_future` of the source"
                ]
            );
        }
    }
}

/// The wall clock jumps three days ahead for one event, and back; the same ids come again and
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_counts_once_whatever_the_wall_clock_did() {
    let home = tempfile::tempdir().unwrap();
    let typed = definitions(TYPED);
    let mut position = 0;
    for (restart, jumps) in [[0, 3, 0, 0], [-3, 0, 300, -30], [0, 3, -3, 0]].into_iter().enumerate()
    {
        let house = House::open(home.path()).await;
        let log = house.log();
        let landing = house.landing(log.clone());
        for (step, days) in jumps.into_iter().enumerate() {
            let now_ms = NOW_MS + days * DAY_MS + step as i64;
            house.clock.0.store(now_ms, Ordering::Relaxed);
            house.clock.1.fetch_add(HOUR_MS, Ordering::Relaxed);
            let records: Vec<_> = ["m1".to_owned(), format!("new-{restart}-{step}")]
                .iter()
                .map(|id| format!(r#"{{"userId":"u","event":"e","messageId":"{id}"}}"#))
                .flat_map(|body| {
                    LiveCall::parse("track", body.as_bytes(), now_ms, &Counting::new()).unwrap()
                })
                .map(|record| record.encode().unwrap())
                .collect();
            position = log.append(&house.app, records).await.unwrap();
            let duplicates = u64::from((restart, step) != (0, 0));
            let landed = landing.land(&house.app, &typed, &CancellationToken::new()).await.unwrap();
            assert_eq!(
                landed,
                Landed { events: 2 - duplicates, duplicates, position, ..Landed::default() },
                "{restart} {step}"
            );
        }
    }
    assert_eq!(position, 24);
}

/// A log that cannot be read for one app.
struct Unreadable {
    log: Arc<dyn EventLog>,
    app: AppId,
    is_broken: AtomicBool,
}

#[async_trait]
impl EventLog for Unreadable {
    async fn append(&self, app: &AppId, records: Vec<Vec<u8>>) -> taghouse_log::Result<u64> {
        self.log.append(app, records).await
    }
    async fn read(
        &self,
        app: &AppId,
        from: u64,
        limit: usize,
    ) -> taghouse_log::Result<Vec<(u64, Vec<u8>)>> {
        if *app == self.app && self.is_broken.load(Ordering::Relaxed) {
            return Err(taghouse_log::Error::Unavailable("broken".to_owned()));
        }
        self.log.read(app, from, limit).await
    }
    async fn trim(&self, app: &AppId, through: u64) -> taghouse_log::Result<()> {
        self.log.trim(app, through).await
    }
    async fn end(&self, app: &AppId) -> taghouse_log::Result<u64> {
        self.log.end(app).await
    }
}

/// Ids of an app that cannot land are kept while others go on.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_cannot_land_find_the_ids_before_them_later() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = Arc::new(Unreadable {
        log: house.log(),
        app: house.app.clone(),
        is_broken: AtomicBool::new(false),
    });
    let (typed, other) = (definitions(TYPED), AppId::new("other").unwrap());
    let landing = house.landing(log.clone());
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS).await;
    landing.land(&house.app, &typed, &CancellationToken::new()).await.unwrap();
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS).await;
    log.is_broken.store(true, Ordering::Relaxed);
    for _ in 0..40 {
        house.clock.1.fetch_add(HOUR_MS, Ordering::Relaxed);
        assert_eq!(
            landing.land(&house.app, &typed, &CancellationToken::new()).await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        let record =
            LiveCall::parse("track", track("o", "{}").as_bytes(), NOW_MS, &Counting::new())
                .unwrap()
                .remove(0);
        log.append(&other, vec![record.encode().unwrap()]).await.unwrap();
        landing.land(&other, &typed, &CancellationToken::new()).await.unwrap();
    }
    log.is_broken.store(false, Ordering::Relaxed);
    assert_eq!(house.ids.hours().unwrap(), 2, "one of each app");
    assert_eq!(
        landing.land(&house.app, &typed, &CancellationToken::new()).await.unwrap(),
        Landed { duplicates: 1, position: 2, ..Landed::default() }
    );
    assert_eq!(house.ids.hours().unwrap(), 0, "all have landed, and 40 hours have gone");
}

/// A data folder of before there was a folder of ids, one whose ids are older than its tables, and
/// one whose ids are ahead of them.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_missing_are_read_from_the_lake() {
    let home = tempfile::tempdir().unwrap();
    let typed = definitions(TYPED);
    let ids = home.path().join("ids");
    let older = home.path().join("older");
    let sent = async |ids: &[&str]| {
        let house = House::open(home.path()).await;
        let log = house.log();
        for id in ids {
            send(&house, log.as_ref(), "track", &track(id, "{}"), NOW_MS).await;
        }
        land(&house, &log, &typed).await
    };
    assert_eq!(sent(&["m1"]).await.events, 1);
    copy_folder(&ids, &older);
    assert_eq!(
        sent(&["m1", "m2"]).await,
        Landed { events: 1, duplicates: 1, position: 3, ..Landed::default() }
    );
    std::fs::remove_dir_all(&ids).unwrap();
    assert_eq!(
        sent(&["m1", "m2"]).await,
        Landed { duplicates: 2, position: 5, ..Landed::default() }
    );
    std::fs::remove_dir_all(&ids).unwrap();
    copy_folder(&older, &ids);
    assert_eq!(
        sent(&["m1", "m2", "m3"]).await,
        Landed { events: 1, duplicates: 2, position: 8, ..Landed::default() }
    );
    // What was noted and never committed does not count.
    {
        let house = House::open(home.path()).await;
        let noted =
            taghouse_ingest::NotedId { id: taghouse_ingest::message_hash("m4"), position: 9 };
        house.ids.note(&house.app, &[noted], 9).unwrap();
        assert_eq!(house.ids.known(&house.app, &[noted.id]).unwrap(), [true]);
    }
    assert_eq!(
        sent(&["m4", "m3"]).await,
        Landed { events: 1, duplicates: 1, position: 10, ..Landed::default() }
    );
    let house = House::open(home.path()).await;
    assert_eq!(house.rows("events", &["message_id"]).await, ["m1", "m2", "m3", "m4"]);
}

/// One row of one attribute a message: what the mapping finds, else the trait of its name, read as
/// the mapping says.
#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_by_mapping_and_by_a_trait_of_its_name() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let mapped = definitions(
        "kind: source\nname: web\nformat: segment\nattributes:\n  home_city: { column: address.city }\n  logins: { column: n, type: int }\n",
    );
    let traits = [
        r#"{"address":{"city":"Oslo"},"home_city":"Rome","n":1,"logins":"many"}"#,
        r#"{"home_city":"R\u00f3m","logins":7}"#,
        r#"{"address":{"city":""},"home_city":"Bern","logins":"many"}"#,
        r#"{"home_city":"","address":{"city":"Kyiv"},"a":{"b":1},"a.b":2}"#,
    ];
    for (at, traits) in traits.iter().enumerate() {
        let body = format!(r#"{{"userId":"u","messageId":"m{at}","traits":{traits}}}"#);
        send(&house, log.as_ref(), "identify", &body, NOW_MS).await;
    }
    let landed = land(&house, &log, &mapped).await;
    assert_eq!((landed.attributes, landed.rejected), (8, 1));
    assert_eq!(
        house.rows("attributes", &["message_id", "name", "value"]).await,
        [
            "m0|home_city|Oslo",
            "m0|logins|1",
            "m1|home_city|Róm",
            "m1|logins|7",
            "m2|home_city|Bern",
            "m3|a.b|2",
            "m3|a|{\"b\":1}",
            "m3|home_city|Kyiv",
        ]
    );
}

/// A field that does not fit is left out alone and named; only what is required refuses the
/// message.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_left_out_alone() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let source = definitions(
        "kind: source\nname: web\nformat: segment\nproperties:\n  price: { column: price, type: decimal, scale: 2 }\n  day: { column: day, type: date }\n  \
         sku: { column: sku, required: true }\nattributes:\n  logins: { column: logins, type: int }\nfilters: [\"sku != 'free' || price > 1\"]\n",
    );
    let events = [
        // 0.1 + 0.2 in JavaScript, and `new Date()` there.
        r#"{"sku":"a","price":0.30000000000000004,"day":"2024-07-01T23:30:00.000Z"}"#,
        r#"{"sku":"b","price":0.3,"day":"2024-07-01T00:00:00.000Z"}"#,
        r#"{"sku":"c","price":"?","day":"soon"}"#,
        r#"{"price":1}"#,
        r#"{"sku":"free","price":"?"}"#,
    ];
    for (at, properties) in events.iter().enumerate() {
        send(&house, log.as_ref(), "track", &track(&format!("m{at}"), properties), NOW_MS).await;
    }
    let long = "x".repeat(1100);
    let traits = format!(
        r#"{{"userId":"u","messageId":"t","traits":{{"logins":"7.5","nick":"{long}","plan":"pro"}}}}"#
    );
    send(&house, log.as_ref(), "identify", &traits, NOW_MS).await;
    let landed = land(&house, &log, &source).await;
    assert_eq!(
        landed,
        Landed {
            events: 3,
            attributes: 1,
            rejected: 7,
            filtered: 1,
            position: 6,
            ..Landed::default()
        }
    );
    // 23:30 UTC is the next day in London's summer; midnight UTC is how JavaScript writes a date.
    assert_eq!(
        house.rows("events", &["sku", "price", "day"]).await,
        ["a|-|2024-07-02", "b|0.30|2024-07-01", "c|-|-"]
    );
    assert_eq!(house.rows("attributes", &["name", "value"]).await, ["plan|pro"]);
    let rejected = house.rows("rejected_events", &["row", "reason", "detail"]).await;
    let expected = [
        "1|number_out_of_range|column \"price\": \"0.30000000000000004\" has more digits behind the point than decimal(2); the rest of the message has landed",
        "3|bad_type|column \"day\": \"soon\" is not date; the rest of the message has landed",
        "3|bad_type|column \"price\": \"?\" is not decimal(2); the rest of the message has landed",
        "4|missing_value|column \"sku\" is empty",
        "5|bad_type|column \"price\": \"?\" is not decimal(2); a filter of the source left the message out",
        "6|bad_type|column \"logins\": \"7.5\" is not int; the rest of the message has landed",
        "6|value_too_long|the value of trait \"nick\" has 1100 bytes, more than 1024; the rest of the message has landed",
    ];
    assert_eq!(rejected, expected);
}

/// An id that a source of files maps and one of a call are the same, whichever came first, where
/// their times are of one day.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_counts_once_in_files_and_calls() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let both = definitions(&format!(
        "kind: source\nname: a_file\nformat: csv\nuser_id: u\nevent: e\ntime: t\nmessage_id: m\n---\nkind: source\nname: b_file\nformat: csv\nuser_id: u\nattributes: {{ city: city }}\ntime: t\nmessage_id: m\n---{TYPED}"
    ));
    let ingest = async |source: &str, file: &str, text: &str| {
        let input = tempfile::tempdir().unwrap();
        std::fs::write(input.path().join(file), text).unwrap();
        let (paths, options) = ([input.path().to_owned()], IngestOptions::default());
        house
            .files()
            .ingest(&house.app, &both, &house::name(source), &paths, &options, Attendant::nobody())
            .await
            .unwrap()
    };
    ingest("a_file", "a.csv", "u,t,m\n1,2026-11-20,m1\n1,2026-11-19,m2\n1,2026-11-20,m3\n").await;
    ingest("b_file", "b.csv", "u,t,m,city\n1,2026-11-20,a1,Oslo\n").await;
    let landing = house.landing(log.clone());
    let land = async || landing.land(&house.app, &both, &CancellationToken::new()).await.unwrap();
    for id in ["m1", "m2", "m4"] {
        send(&house, log.as_ref(), "track", &track(id, "{}"), NOW_MS).await;
    }
    let traits = r#"{"userId":"u2","messageId":"a1","timestamp":"2026-11-20T11:00:00Z","traits":{"plan":"pro"}}"#;
    send(&house, log.as_ref(), "identify", traits, NOW_MS).await;
    // m2 is of another day in the file: that far nobody looks, unless a call of this landing is of
    // that day.
    assert_eq!(land().await, Landed { events: 2, duplicates: 2, position: 4, ..Landed::default() });
    send(&house, log.as_ref(), "track", &track("m5", "{}").replace("11-20", "11-19"), NOW_MS).await;
    send(&house, log.as_ref(), "track", &track("m6", "{}"), NOW_MS).await;
    assert_eq!(land().await, Landed { events: 2, position: 6, ..Landed::default() });

    // Calls first.
    let report =
        ingest("a_file", "c.csv", "u,t,m\n9,2026-11-20,m4\n9,2026-11-20,m7\n9,2026-11-20,m3\n")
            .await;
    assert_eq!((report.events(), report.duplicates, report.rows), (1, 2, 3));
    let ledger = house.catalog.ingested_files(&house.app, &house::name("a_file")).await.unwrap();
    assert_eq!((ledger[1].accepted, ledger[1].duplicates), (1, 2));
    assert_eq!(
        house.rows("events", &["message_id", "user_id", "source", "source_file"]).await,
        [
            "m1|1|a_file|a.csv",
            "m2|1|a_file|a.csv",
            "m2|u1|web|-",
            "m3|1|a_file|a.csv",
            "m4|u1|web|-",
            "m5|u1|web|-",
            "m6|u1|web|-",
            "m7|9|a_file|c.csv"
        ]
    );

    // Live ones too, once the memory of the day has gone.
    house.clock.0.store(NOW_MS + 30 * HOUR_MS, Ordering::Relaxed);
    house.clock.1.store(30 * HOUR_MS, Ordering::Relaxed);
    land().await;
    send(&house, log.as_ref(), "track", &track("m4", "{}"), NOW_MS + 30 * HOUR_MS).await;
    send(&house, log.as_ref(), "track", &track("m8", "{}"), NOW_MS + 30 * HOUR_MS).await;
    assert_eq!(land().await, Landed { events: 1, duplicates: 1, position: 8, ..Landed::default() });
}

/// A log that fails where it is told to: a crash between two steps of a landing.
struct Failing {
    log: Arc<dyn EventLog>,
    fail_trim: bool,
}

#[async_trait]
impl EventLog for Failing {
    async fn append(&self, app: &AppId, records: Vec<Vec<u8>>) -> taghouse_log::Result<u64> {
        self.log.append(app, records).await
    }
    async fn read(
        &self,
        app: &AppId,
        from: u64,
        limit: usize,
    ) -> taghouse_log::Result<Vec<(u64, Vec<u8>)>> {
        self.log.read(app, from, limit.min(2)).await
    }
    async fn trim(&self, app: &AppId, through: u64) -> taghouse_log::Result<()> {
        if self.fail_trim {
            return Err(taghouse_log::Error::Unavailable("crash".to_owned()));
        }
        self.log.trim(app, through).await
    }
    async fn end(&self, app: &AppId) -> taghouse_log::Result<u64> {
        self.log.end(app).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_commit_lands_nothing_twice() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let typed = definitions(TYPED);
    for id in ["m1", "m2", "m3", "m1", "m4"] {
        send(&house, log.as_ref(), "track", &track(id, "{}"), NOW_MS).await;
    }
    let failing: Arc<dyn EventLog> = Arc::new(Failing { log: log.clone(), fail_trim: true });
    let error = house
        .landing(failing)
        .land(&house.app, &typed, &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(log.read(&house.app, 0, 10).await.unwrap().len(), 5, "nothing was trimmed");
    let again: Arc<dyn EventLog> = Arc::new(Failing { log: log.clone(), fail_trim: false });
    assert_eq!(land(&house, &again, &typed).await, Landed { position: 5, ..Landed::default() });
    assert_eq!(house.rows("events", &["message_id"]).await, ["m1", "m2", "m3", "m4"]);
    assert!(log.read(&house.app, 0, 10).await.unwrap().is_empty());
}

/// Stopped before the commit: data files may be on disk, but the records land when asked again, and
/// are not their own duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_commit_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let typed = definitions(TYPED);
    for id in ["m1", "m2"] {
        send(&house, log.as_ref(), "track", &track(id, "{}"), NOW_MS).await;
    }
    // Another process moves the pointer, so that this landing's commit fails.
    let landing = Arc::new(house.landing(log.clone()));
    let put = |expected, position: u64| taghouse_catalog::Change::PutPointer {
        kind: "log".to_owned(),
        app: house.app.clone(),
        name: "landed".to_owned(),
        expected,
        value: serde_json::json!({ "position": position }),
    };
    struct Moving(
        Arc<dyn EventLog>,
        Arc<dyn taghouse_catalog::Catalog>,
        std::sync::Mutex<Option<taghouse_catalog::Change>>,
    );
    #[async_trait]
    impl EventLog for Moving {
        async fn append(&self, app: &AppId, records: Vec<Vec<u8>>) -> taghouse_log::Result<u64> {
            self.0.append(app, records).await
        }
        async fn read(
            &self,
            app: &AppId,
            from: u64,
            limit: usize,
        ) -> taghouse_log::Result<Vec<(u64, Vec<u8>)>> {
            let change = self.2.lock().unwrap().take();
            if let Some(change) = change {
                self.1.commit(vec![change]).await.unwrap();
            }
            self.0.read(app, from, limit).await
        }
        async fn trim(&self, app: &AppId, through: u64) -> taghouse_log::Result<()> {
            self.0.trim(app, through).await
        }
        async fn end(&self, app: &AppId) -> taghouse_log::Result<u64> {
            self.0.end(app).await
        }
    }
    let moving: Arc<dyn EventLog> = Arc::new(Moving(
        log.clone(),
        house.catalog.clone(),
        std::sync::Mutex::new(Some(put(None, 0))),
    ));
    let other = house.landing(moving);
    let error = other.land(&house.app, &typed, &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(house.rows("events", &["message_id"]).await.is_empty());
    // The same landing, in the same process, and then another one.
    assert_eq!(
        other.land(&house.app, &typed, &CancellationToken::new()).await.unwrap(),
        Landed { events: 2, position: 2, ..Landed::default() }
    );
    assert_eq!(
        landing.land(&house.app, &typed, &CancellationToken::new()).await.unwrap(),
        Landed { position: 2, ..Landed::default() }
    );
    assert_eq!(house.rows("events", &["message_id"]).await, ["m1", "m2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let typed = definitions(TYPED);
    let log = house.log();
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS).await;
    land(&house, &log, &typed).await;
    drop(log);
    std::fs::remove_dir_all(home.path().join("log")).unwrap();
    assert!(
        EmbeddedLog::open(&home.path().join("log")).is_err(),
        "a log that lost what it acknowledged"
    );
    // Whoever accepts the loss removes the mark.
    std::fs::remove_file(home.path().join("log.mark")).unwrap();
    let log = house.log();
    let error = house
        .landing(log.clone())
        .land(&house.app, &typed, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LogBehind { end: 0, landed: 1, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    log.append(&house.app, vec![b"no record".to_vec(), b"nor this".to_vec()]).await.unwrap();
    let error =
        house.landing(log).land(&house.app, &typed, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, Error::Record { position: 2, .. }), "{error}");
}
