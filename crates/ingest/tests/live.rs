//! Live calls from the log into the lake: what lands, and that no message lands twice or is lost, whatever stops between.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod house;

use async_trait::async_trait;
use house::{Counting, House, NOW_MS, definitions};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use taghouse_ingest::{Error, LOG_POSITION, Landed, LiveCall};
use taghouse_log::EventLog;
use taghouse_model::{AppId, ErrorKind};
use taghouse_rules::Definitions;

const DAY_MS: i64 = 24 * 3_600_000;

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
    log.append(&house.app, records.iter().map(|record| record.encode().unwrap()).collect()).await.unwrap()
}

fn track(id: &str, properties: &str) -> String {
    format!(r#"{{"userId":"u1","event":"paid","messageId":"{id}","timestamp":"2026-11-20T10:00:00Z","properties":{properties}}}"#)
}

async fn land(house: &House, log: &Arc<dyn EventLog>, definitions: &Definitions) -> Landed {
    house.landing(log.clone()).land(&house.app, definitions).await.unwrap()
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
        &track("m1", r#"{"amount":12.50,"item":{"sku":"A\u00e9","size":3},"big":12345678901234567890.5}"#),
        NOW_MS,
    )
    .await;
    send(&house, log_ref, "track", &track("m2", r#"{"amount":"much"}"#), NOW_MS).await;
    send(&house, log_ref, "track", &track("m3", r#"{"amount":-1}"#), NOW_MS).await;
    send(&house, log_ref, "track", &track("m4", r#"{"amount":1}"#).replace("paid", "noise"), NOW_MS).await;
    send(&house, log_ref, "track", &track("m5", r#"{"amount":9}"#).replace("paid", "noise"), NOW_MS).await;
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
    assert_eq!(landed, Landed { events: 4, attributes: 5, rejected: 3, filtered: 1, duplicates: 0, position: 9 });
    assert_eq!(
        house.rows("events", &["user_id", "event", "message_id", "source", "amount", "sku", "properties"]).await,
        [
            r#"u1|noise|m5|web|9.00|-|-"#,
            r#"u1|paid|m1|web|12.50|Aé|{"item.size":3,"big":12345678901234567890.5}"#,
            r#"u2|group|m7|web|-|-|{"seats":5,"group_id":"g1"}"#,
            r#"u3|alias|m8|web|-|-|{"previous_id":"anon"}"#,
        ]
    );
    assert_eq!(
        house.rows("attributes", &["user_id", "name", "value", "time", "message_id"]).await,
        [
            r#"u2|address|{"city":"Oslo"}|2026-11-20T11:00:00|m6"#,
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
    assert_eq!(table.snapshot_summary(LOG_POSITION).unwrap(), "9");
    assert!(log.read(&house.app, 0, 10).await.unwrap().is_empty(), "the log is trimmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_source_everything_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let plain = definitions("kind: source\nname: f\nformat: csv\nuser_id: u\nattributes: { a: a }\n");
    send(&house, log.as_ref(), "page", r#"{"anonymousId":"a1","messageId":"m1","name":"Home","properties":{"url":"/x"}}"#, NOW_MS).await;
    assert_eq!(land(&house, &log, &plain).await, Landed { events: 1, position: 1, ..Landed::default() });
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
        assert_eq!(landing.land(&house.app, &typed).await.unwrap().position, 1);
    }
    assert_eq!(house.snapshots("events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_day_are_known_again_also_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let typed = definitions(TYPED);
    let house = House::open(home.path()).await;
    let log = house.log();
    let identify = r#"{"userId":"u2","messageId":"i1","traits":{"plan":"pro"}}"#;
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS).await;
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS + 5).await;
    send(&house, log.as_ref(), "identify", identify, NOW_MS).await;
    // What is rejected or filtered out may come again.
    send(&house, log.as_ref(), "track", &track("m5", r#"{"amount":1}"#).replace("paid", "noise"), NOW_MS).await;
    send(&house, log.as_ref(), "track", &track("m2", r#"{"amount":"x"}"#), NOW_MS).await;
    send(&house, log.as_ref(), "track", &track("m2", r#"{"amount":1}"#), NOW_MS).await;
    let landing = house.landing(log.clone());
    let landed = landing.land(&house.app, &typed).await.unwrap();
    assert_eq!(landed, Landed { events: 2, attributes: 1, rejected: 1, duplicates: 1, filtered: 1, position: 6 });
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS + 10).await;
    assert_eq!(landing.land(&house.app, &typed).await.unwrap().duplicates, 1);
    drop((landing, log, house));

    let house = House::open(home.path()).await;
    let log = house.log();
    house.clock.0.store(NOW_MS + DAY_MS + 100, Ordering::Relaxed);
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS + DAY_MS - 1).await;
    send(&house, log.as_ref(), "identify", identify, NOW_MS + DAY_MS - 1).await;
    send(&house, log.as_ref(), "track", &track("m2", "{}"), NOW_MS + DAY_MS).await;
    send(&house, log.as_ref(), "track", &track("m3", "{}"), NOW_MS + DAY_MS).await;
    let landed = land(&house, &log, &typed).await;
    assert_eq!(
        landed,
        Landed { events: 2, duplicates: 2, position: 11, ..Landed::default() },
        "m2 came in a whole day before, m1 and i1 not"
    );
    assert_eq!(house.rows("events", &["message_id"]).await, ["m1", "m2", "m2", "m3"]);
}

/// File rows with the same ids are none of the live messages.
#[tokio::test(flavor = "multi_thread")]
async fn ids_of_files_do_not_count() {
    let home = tempfile::tempdir().unwrap();
    let house = House::open(home.path()).await;
    let log = house.log();
    let both = definitions(&format!("kind: source\nname: a_file\nformat: csv\nuser_id: u\nevent: e\ntime: t\nmessage_id: m\n---{TYPED}"));
    let input = tempfile::tempdir().unwrap();
    std::fs::write(input.path().join("a.csv"), "u,t,m\n1,2026-11-20,m1\n").unwrap();
    house.ingest(&both, input.path()).await.unwrap();
    send(&house, log.as_ref(), "track", &track("m1", "{}"), NOW_MS).await;
    assert_eq!(land(&house, &log, &both).await, Landed { events: 1, position: 1, ..Landed::default() });
    assert_eq!(house.rows("events", &["message_id", "source"]).await, ["m1|a_file", "m1|web"]);
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
    async fn read(&self, app: &AppId, from: u64, limit: usize) -> taghouse_log::Result<Vec<(u64, Vec<u8>)>> {
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
    let error = house.landing(failing).land(&house.app, &typed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(log.read(&house.app, 0, 10).await.unwrap().len(), 5, "nothing was trimmed");
    let again: Arc<dyn EventLog> = Arc::new(Failing { log: log.clone(), fail_trim: false });
    assert_eq!(land(&house, &again, &typed).await, Landed { position: 5, ..Landed::default() });
    assert_eq!(house.rows("events", &["message_id"]).await, ["m1", "m2", "m3", "m4"]);
    assert!(log.read(&house.app, 0, 10).await.unwrap().is_empty());
}

/// Stopped before the commit: data files may be on disk, but the records land when asked again, and are not their own duplicates.
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
    struct Moving(Arc<dyn EventLog>, Arc<dyn taghouse_catalog::Catalog>, std::sync::Mutex<Option<taghouse_catalog::Change>>);
    #[async_trait]
    impl EventLog for Moving {
        async fn append(&self, app: &AppId, records: Vec<Vec<u8>>) -> taghouse_log::Result<u64> {
            self.0.append(app, records).await
        }
        async fn read(&self, app: &AppId, from: u64, limit: usize) -> taghouse_log::Result<Vec<(u64, Vec<u8>)>> {
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
    let moving: Arc<dyn EventLog> = Arc::new(Moving(log.clone(), house.catalog.clone(), std::sync::Mutex::new(Some(put(None, 0)))));
    let other = house.landing(moving);
    let error = other.land(&house.app, &typed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(house.rows("events", &["message_id"]).await.is_empty());
    // The same landing, in the same process, and then another one.
    assert_eq!(other.land(&house.app, &typed).await.unwrap(), Landed { events: 2, position: 2, ..Landed::default() });
    assert_eq!(landing.land(&house.app, &typed).await.unwrap(), Landed { position: 2, ..Landed::default() });
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
    let log = house.log();
    let error = house.landing(log.clone()).land(&house.app, &typed).await.unwrap_err();
    assert!(matches!(error, Error::LogBehind { end: 0, landed: 1, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    log.append(&house.app, vec![b"no record".to_vec(), b"nor this".to_vec()]).await.unwrap();
    let error = house.landing(log).land(&house.app, &typed).await.unwrap_err();
    assert!(matches!(error, Error::Record { position: 2, .. }), "{error}");
}
