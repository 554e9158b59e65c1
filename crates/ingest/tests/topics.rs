//! Records of topics beside live calls: mapped as files are, in the order of the log, each once.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod house;

use arrow::array::{AsArray, RecordBatch};
use async_trait::async_trait;
use house::{Counting, House, NOW_MS, definitions};
use std::sync::{Arc, Mutex};
use taghouse_ingest::{
    Admitted, Follower, Landed, Landing, LiveCall, LogRecord, Suppress, TopicPlace, TopicTotals,
    topic_progress,
};
use taghouse_log::EventLog;
use taghouse_model::AppId;
use taghouse_rules::Definitions;
use tokio_util::sync::CancellationToken;

const SOURCES: &str = r#"
kind: source
name: orders
format: kafka
kafka: { brokers: ["k:9092"], topic: orders }
user_id: { key: true }
event: { column: what }
properties: { amount: { column: line.amount, type: int, required: true } }
attributes: { plan: who.plan }
filters: ["amount != 0"]
reject: [ { when: "amount < 0", reason: negative } ]
---
kind: source
name: named
format: kafka
kafka: { brokers: ["k:9092"], topic: named }
user_id: u
event: paid
time: t
message_id: m
"#;

/// Writes down the ids and users of what it is told, with positions.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

fn noted(batch: &RecordBatch, positions: &[u64], column: &str) -> String {
    assert_eq!(batch.num_rows(), positions.len());
    let texts = batch.column_by_name(column).unwrap().as_string::<i32>();
    let each = |(row, position)| format!(" {position}:{}", texts.value(row));
    positions.iter().enumerate().map(each).collect()
}

#[async_trait]
impl Follower for Heard {
    async fn admitted(&self, rows: Admitted<'_>) {
        let events = noted(rows.events, rows.event_positions, "message_id");
        let attributes = noted(rows.attributes, rows.attribute_positions, "user_id");
        self.0
            .lock()
            .unwrap()
            .push(format!("{}..{}{events}{attributes}", rows.after, rows.through));
    }

    async fn landing(&self, _: &AppId, _: u64) {}

    async fn files_landed(&self, _: &AppId) {}

    async fn taken_back(&self, _: &AppId) {}
}

struct Shop {
    _home: tempfile::TempDir,
    house: House,
    log: Arc<dyn EventLog>,
    landing: Landing,
    heard: Arc<Heard>,
    definitions: Arc<Definitions>,
}

/// A record of `orders`, partition 0, by offset.
#[derive(Clone, Copy)]
struct Order<'a>(i64, Option<&'a str>, Option<&'a str>);

impl Shop {
    async fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let house = House::open(home.path()).await;
        let log = house.log();
        let (landing, heard) = (house.landing(log.clone()), Arc::new(Heard::default()));
        landing.follow(heard.clone());
        Self { _home: home, house, log, landing, heard, definitions: definitions(SOURCES) }
    }

    fn crash(self) -> Self {
        let (landing, heard) = (self.house.landing(self.log.clone()), Arc::new(Heard::default()));
        landing.follow(heard.clone());
        Self { landing, heard, ..self }
    }

    async fn append(&self, record: Vec<u8>) {
        self.log.append(&self.house.app, vec![record]).await.unwrap();
    }

    async fn record(&self, place: TopicPlace, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.append(LogRecord::of_topic(NOW_MS, place, key, value).unwrap()).await;
    }

    async fn orders(&self, records: &[Order<'_>]) {
        for Order(offset, key, value) in records {
            let place = place("orders", 0, *offset);
            self.record(place, key.map(str::as_bytes), value.map(str::as_bytes)).await;
        }
    }

    async fn call(&self, id: &str) {
        let body = format!(
            r#"{{"userId":"u1","event":"seen","messageId":"{id}","timestamp":"2026-11-20T10:00:00Z"}}"#
        );
        let records = LiveCall::parse("track", body.as_bytes(), NOW_MS, &Counting::new()).unwrap();
        self.append(records[0].encode().unwrap()).await;
    }

    async fn admit(&self) -> Vec<String> {
        let end = self.log.end(&self.house.app).await.unwrap();
        let on = CancellationToken::new();
        self.landing.admit(&self.house.app, &self.definitions, end, &on).await.unwrap();
        std::mem::take(&mut *self.heard.0.lock().unwrap())
    }

    async fn land(&self) -> Landed {
        let on = CancellationToken::new();
        self.landing.land(&self.house.app, &self.definitions, &on).await.unwrap()
    }

    async fn totals(&self, source: &str) -> TopicTotals {
        topic_progress(self.house.catalog.as_ref(), &self.house.app).await.unwrap()[source].totals
    }
}

fn place(source: &str, incarnation: u32, offset: i64) -> TopicPlace {
    TopicPlace {
        source: source.to_owned(),
        topic: source.to_owned(),
        partition: 0,
        offset,
        incarnation,
        time_ms: Some(NOW_MS - 1000),
    }
}

const GOOD: &str = r#"{"what":"order","line":{"amount":3},"who":{"plan":"pro"},"more":1}"#;

#[tokio::test(flavor = "multi_thread")]
async fn records_are_mapped_as_lines_are_and_come_in_the_order_of_the_log() {
    let shop = Shop::open().await;
    shop.call("m1").await;
    shop.orders(&[Order(0, Some("ann"), Some(GOOD))]).await;
    shop.call("m2").await;
    shop.orders(&[
        Order(1, None, Some(GOOD)),
        Order(2, Some("bob"), Some("no json")),
        Order(3, Some("bob"), Some(r#"{"what":"order","line":{"amount":"much"}}"#)),
        Order(4, Some("bob"), None),
        Order(5, Some("bob"), Some(r#"{"what":"order","line":{"amount":0}}"#)),
        Order(6, Some("bob"), Some(r#"{"what":"order","line":{"amount":-1}}"#)),
        Order(7, Some("bob"), Some(r#"{"what":"order","line":{"amount":7}}"#)),
    ])
    .await;
    let bytes: &[u8] = b"\xff\xfe";
    shop.record(place("orders", 0, 8), Some(b"bob"), Some(bytes)).await;
    let told = shop.admit().await;
    let expected = "0..11 1:m1 2:orders/0:000000000000 3:m2 10:orders/0:000000000007 2:ann";
    assert_eq!(told, [expected]);
    let landed = shop.land().await;
    let counts = Landed {
        events: 4,
        attributes: 1,
        rejected: 5,
        filtered: 2,
        position: 11,
        ..Landed::default()
    };
    assert_eq!(landed, counts);
    let columns = ["user_id", "event", "amount", "properties", "source", "source_file"];
    assert_eq!(
        shop.house.rows("events", &columns).await,
        [
            "ann|order|3|{\"more\":1}|orders|-",
            "bob|order|7|-|orders|-",
            "u1|seen|-|-|segment|-",
            "u1|seen|-|-|segment|-"
        ]
    );
    assert_eq!(
        shop.house.rows("rejected_events", &["source", "file", "row", "reason"]).await,
        [
            "orders|orders/0|1|no_user_id",
            "orders|orders/0|2|broken_line",
            "orders|orders/0|3|bad_type",
            "orders|orders/0|6|rule: negative",
            "orders|orders/0|8|not_utf8"
        ]
    );
    let totals = shop.totals("orders").await;
    assert_eq!((totals.records, totals.accepted, totals.rejected, totals.filtered), (9, 2, 5, 2));
    let calls = shop.landing.totals(&shop.house.app).await.unwrap();
    assert_eq!((calls.messages, calls.accepted, calls.rejected), (2, 2, 0), "of calls alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_delivered_again_counts_once_whenever_that_is() {
    let shop = Shop::open().await;
    let order = |offset| Order(offset, Some("ann"), Some(GOOD));
    shop.orders(&[order(0), order(1), order(0), order(1)]).await;
    let told = shop.admit().await;
    assert_eq!(told[0].matches("orders/0:").count(), 2, "{told:?}");
    let shop = shop.crash();
    assert_eq!(shop.admit().await, told, "the same are admitted again");
    assert_eq!(shop.land().await.events, 2);
    // Long after the ids of that time were forgotten.
    shop.house.clock.0.fetch_add(30 * 86_400_000, std::sync::atomic::Ordering::Relaxed);
    shop.house.clock.1.fetch_add(30 * 86_400_000, std::sync::atomic::Ordering::Relaxed);
    let shop = shop.crash();
    shop.orders(&[order(1), order(2)]).await;
    assert_eq!(shop.land().await.events, 1);
    // Deleted and made again, the topic's offsets begin again.
    shop.record(place("orders", 1, 0), Some(b"ann"), Some(GOOD.as_bytes())).await;
    shop.orders(&[order(3)]).await;
    let landed = shop.land().await;
    assert_eq!((landed.events, landed.duplicates), (1, 1));
    let ids = shop.house.rows("events", &["message_id"]).await;
    assert_eq!(ids.len(), 4);
    assert!(ids.contains(&"orders/0~1:000000000000".to_owned()), "{ids:?}");
    let progress = topic_progress(shop.house.catalog.as_ref(), &shop.house.app).await.unwrap();
    let last = progress["orders"].positions["orders"][&0];
    assert_eq!((last.incarnation, last.offset, last.time_ms), (1, 0, Some(NOW_MS - 1000)));
    assert_eq!(shop.totals("orders").await.duplicates, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_message_id_counts_once_whichever_way_it_comes() {
    let shop = Shop::open().await;
    let row = |id: &str| format!(r#"{{"u":"ann","t":"2026-11-20T10:00:00Z","m":"{id}"}}"#);
    let send = async |offset, text: String| {
        shop.record(place("named", 0, offset), None, Some(text.as_bytes())).await;
    };
    send(0, row("m1")).await;
    send(1, row("m1")).await;
    shop.call("m2").await;
    send(2, row("m2")).await;
    send(3, r#"{"u":"ann","t":"2026-11-20T10:00:00Z"}"#.to_owned()).await;
    let landed = shop.land().await;
    assert_eq!((landed.events, landed.duplicates, landed.rejected), (2, 2, 1));
    send(4, row("m1")).await;
    send(5, row("m3")).await;
    shop.call("m3").await;
    let landed = shop.land().await;
    assert_eq!((landed.events, landed.duplicates), (1, 2));
    assert_eq!(
        shop.house.rows("events", &["message_id", "source"]).await,
        ["m1|named", "m2|segment", "m3|named"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_source_is_gone_is_rejected() {
    let shop = Shop::open().await;
    shop.orders(&[Order(0, Some("ann"), Some(GOOD))]).await;
    let shop =
        Shop { definitions: definitions("kind: source\nname: web\nformat: segment\n"), ..shop };
    assert_eq!(shop.land().await.rejected, 1);
    assert_eq!(
        shop.house.rows("rejected_events", &["source", "file", "row", "reason", "raw"]).await,
        [format!("orders|orders/0|0|unknown_source|{GOOD}")]
    );
    assert_eq!(shop.totals("orders").await.rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_suppressed_id_is_kept_also_after_a_crash() {
    let shop = Shop::open().await;
    shop.orders(&[Order(0, Some("ann"), Some(GOOD))]).await;
    let end = shop.log.end(&shop.house.app).await.unwrap();
    let ids = ["ann".to_owned(), "u1".to_owned()];
    let changed = shop
        .landing
        .suppress(&shop.definitions, end, &ids, Suppress::Begin, &Counting::new())
        .await
        .unwrap();
    assert_eq!(changed, ids, "and what came before has landed");
    assert_eq!(shop.house.rows("events", &["user_id"]).await, ["ann"]);
    assert_eq!(shop.admit().await, ["0..1 1:orders/0:000000000000 1:ann"]);

    shop.call("m1").await;
    shop.orders(&[
        Order(1, Some("ann"), Some(GOOD)),
        Order(2, Some("ann"), Some("no json")),
        Order(3, Some("ann"), Some(r#"{"what":"order","line":{"amount":-1}}"#)),
        Order(4, Some("bob"), Some(GOOD)),
        Order(5, Some("cid"), Some(r#"{"of":"ann","what":broken"#)),
    ])
    .await;
    let told = shop.admit().await;
    assert_eq!(told, ["1..7 6:orders/0:000000000004 6:bob"]);
    let shop = shop.crash();
    assert_eq!(shop.admit().await, told, "it is decided as before");
    let landed = shop.land().await;
    assert_eq!((landed.events, landed.attributes, landed.rejected), (1, 1, 0));
    assert_eq!(landed.suppressed, 5);
    assert_eq!(shop.totals("orders").await.filtered, 4);
    assert!(shop.house.rows("rejected_events", &["raw"]).await.is_empty());

    let end = shop.log.end(&shop.house.app).await.unwrap();
    let (landing, entropy) = (&shop.landing, Counting::new());
    let lifted = landing.suppress(&shop.definitions, end, &ids, Suppress::Lift, &entropy).await;
    assert_eq!(lifted.unwrap(), ids);
    shop.orders(&[Order(6, Some("ann"), Some(GOOD))]).await;
    assert_eq!(shop.land().await.events, 1);
    assert_eq!(shop.house.rows("events", &["user_id"]).await, ["ann", "ann", "bob"]);
}
