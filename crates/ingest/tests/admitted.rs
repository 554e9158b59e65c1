//! Live calls are admitted long before they land: the follower sees each row once with its
//! position, and what lands is what it saw, whatever comes between.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod house;

use arrow::array::{AsArray, RecordBatch};
use async_trait::async_trait;
use house::{Counting, House, NOW_MS, definitions};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use taghouse_catalog::Change;
use taghouse_ingest::{
    Admitted, Attendant, Follower, HandOp, IngestOptions, Landed, Landing, LiveCall, LogRecord,
};
use taghouse_log::EventLog;
use taghouse_model::{AppId, ErrorKind};
use taghouse_rules::Definitions;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const SOURCES: &str = "kind: source\nname: a_file\nformat: csv\nuser_id: u\nevent: e\ntime: t\nmessage_id: m\n---\nkind: source\nname: web\nformat: segment\n";

/// Writes down what it is told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    /// What was told since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

fn cells(batch: &RecordBatch, positions: &[u64], column: &str) -> String {
    assert_eq!(batch.num_rows(), positions.len());
    let texts = batch.column_by_name(column).unwrap().as_string::<i32>();
    let cell = |(row, position)| format!(" {position}:{}", texts.value(row));
    positions.iter().enumerate().map(cell).collect()
}

#[async_trait]
impl Follower for Heard {
    async fn admitted(&self, rows: Admitted<'_>) {
        assert_eq!(rows.app.as_str(), "shop");
        let gone: String =
            rows.gone.iter().map(|gone| format!(" {}:-{}", gone.position, gone.user_id)).collect();
        let changed = rows.changed.iter().map(|change| {
            let value = change.value.as_deref().unwrap_or_default();
            format!(" {}:{}={value}", change.position, change.tag)
        });
        self.note(format!(
            "{}..{}{gone}{}{}{}",
            rows.after,
            rows.through,
            changed.take(3).collect::<String>(),
            cells(rows.events, rows.event_positions, "message_id"),
            cells(rows.attributes, rows.attribute_positions, "name"),
        ));
    }

    async fn landing(&self, _: &AppId, through: u64) {
        self.note(format!("landing {through}"));
    }

    async fn files_landed(&self, _: &AppId) {
        self.note("files".to_owned());
    }

    async fn taken_back(&self, _: &AppId) {
        self.note("taken back".to_owned());
    }
}

struct Shop {
    home: TempDir,
    house: House,
    log: Arc<dyn EventLog>,
    landing: Landing,
    heard: Arc<Heard>,
    definitions: Arc<Definitions>,
}

impl Shop {
    async fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let house = House::open(home.path()).await;
        let log = house.log();
        let (landing, heard) = (house.landing(log.clone()), Arc::new(Heard::default()));
        landing.follow(heard.clone());
        Self { home, house, log, landing, heard, definitions: definitions(SOURCES) }
    }

    /// As after a crash: what is on disk, and nothing else.
    fn crash(self) -> Self {
        let (landing, heard) = (self.house.landing(self.log.clone()), Arc::new(Heard::default()));
        landing.follow(heard.clone());
        Self { landing, heard, ..self }
    }

    async fn append(&self, records: Vec<LogRecord>) {
        let records = records.iter().map(|record| record.encode().unwrap()).collect();
        self.log.append(&self.house.app, records).await.unwrap();
    }

    async fn send(&self, ids: &[&str]) {
        for id in ids {
            let body = format!(
                r#"{{"userId":"u1","event":"paid","messageId":"{id}","timestamp":"2026-11-20T10:00:00Z"}}"#
            );
            self.append(call("track", &body)).await;
        }
    }

    /// Admits all there is, and gives what was told.
    async fn admit(&self) -> Vec<String> {
        let end = self.log.end(&self.house.app).await.unwrap();
        let on = CancellationToken::new();
        let admitted = self.landing.admit(&self.house.app, &self.definitions, end, &on).await;
        assert_eq!(admitted.unwrap(), end);
        self.heard.take()
    }

    async fn land(&self) -> taghouse_ingest::Result<Landed> {
        self.landing.land(&self.house.app, &self.definitions, &CancellationToken::new()).await
    }

    async fn ingest(&self, file: &str, text: &str) {
        let input = tempfile::tempdir_in(self.home.path()).unwrap();
        std::fs::write(input.path().join(file), text).unwrap();
        let (paths, options) = ([input.path().to_owned()], IngestOptions::default());
        let files = self.house.files().beside(&self.landing);
        let source = house::name("a_file");
        let report = files
            .ingest(
                &self.house.app,
                &self.definitions,
                &source,
                &paths,
                &options,
                Attendant::nobody(),
            )
            .await
            .unwrap();
        assert!(report.failed.is_empty() && report.rejected.is_empty(), "{report:?}");
        assert_eq!(report.batches, 1, "{report:?}");
    }

    async fn events(&self) -> Vec<String> {
        self.house.rows("events", &["message_id", "source"]).await
    }
}

fn call(kind: &str, body: &str) -> Vec<LogRecord> {
    LiveCall::parse(kind, body.as_bytes(), NOW_MS, &Counting::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_told_once_and_land_later() {
    let shop = Shop::open().await;
    shop.send(&["m1"]).await;
    let traits = r#"{"userId":"u2","messageId":"t1","traits":{"plan":"pro","city":"Oslo"}}"#;
    shop.append(call("identify", traits)).await;
    shop.send(&["m1"]).await;
    assert_eq!(shop.admit().await, ["0..3 1:m1 2:plan 2:city"]);
    assert!(shop.admit().await.is_empty(), "nothing is told twice");
    shop.send(&["m2", "m1"]).await;
    assert_eq!(shop.admit().await, ["3..5 4:m2"], "an id that waits is known");
    assert!(shop.events().await.is_empty());
    assert_eq!(shop.house.data_files(), 0, "nothing is written");
    assert_eq!(shop.log.read(&shop.house.app, 0, 9).await.unwrap().len(), 5, "nor trimmed");

    shop.send(&["m3"]).await;
    let landed = shop.land().await.unwrap();
    let expected =
        Landed { events: 3, attributes: 2, duplicates: 2, position: 6, ..Landed::default() };
    assert_eq!(landed, expected);
    assert_eq!(shop.heard.take(), ["5..6 6:m3", "landing 6"]);
    assert_eq!(shop.events().await, ["m1|web", "m2|web", "m3|web"]);
    assert_eq!(shop.house.snapshots("events").await, 1, "all by one commit");
    let totals = shop.landing.totals(&shop.house.app).await.unwrap();
    assert_eq!((totals.messages, totals.accepted, totals.duplicates), (6, 4, 2));

    shop.send(&["m2"]).await;
    assert_eq!(shop.admit().await, ["6..7"], "an id that landed is known");
    let landed = shop.land().await.unwrap();
    assert_eq!(landed, Landed { duplicates: 1, position: 7, ..Landed::default() });
    assert_eq!(shop.land().await.unwrap(), Landed { position: 7, ..Landed::default() });
    assert!(shop.log.read(&shop.house.app, 0, 9).await.unwrap().is_empty(), "trimmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_same_rows_are_admitted() {
    let shop = Shop::open().await;
    shop.send(&["m1", "m2", "m1"]).await;
    let told = shop.admit().await;
    let shop = shop.crash();
    assert_eq!(shop.admit().await, told);
    shop.land().await.unwrap();
    shop.send(&["m3"]).await;
    let shop = shop.crash();
    assert_eq!(shop.admit().await, ["3..4 4:m3"], "behind what landed");
    shop.land().await.unwrap();
    assert_eq!(shop.events().await, ["m1|web", "m2|web", "m3|web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_rolls_back() {
    let shop = Shop::open().await;
    shop.send(&["m1", "m2"]).await;
    shop.admit().await;
    // Another process moves the pointer, so that the commit fails.
    let moved = Change::PutPointer {
        kind: "log".to_owned(),
        app: shop.house.app.clone(),
        name: "landed".to_owned(),
        expected: None,
        value: serde_json::json!({ "position": 0 }),
    };
    shop.house.catalog.commit(vec![moved]).await.unwrap();
    let error = shop.land().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(shop.events().await.is_empty());
    assert_eq!(shop.heard.take(), ["landing 2"]);
    shop.send(&["m2", "m3"]).await;
    assert_eq!(
        shop.admit().await,
        ["0..4 1:m1 2:m2 4:m3"],
        "from what landed, none its own double"
    );
    let landed = shop.land().await.unwrap();
    assert_eq!(landed, Landed { events: 3, duplicates: 1, position: 4, ..Landed::default() });
    assert_eq!(shop.events().await, ["m1|web", "m2|web", "m3|web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lands_an_id_first_has_it() {
    let shop = Shop::open().await;
    shop.send(&["m1", "m2"]).await;
    assert_eq!(shop.admit().await, ["0..2 1:m1 2:m2"]);
    shop.ingest("a.csv", "u,t,m\n9,2026-11-20,m1\n9,2026-11-20,m9\n").await;
    assert_eq!(shop.heard.take(), ["files"]);
    shop.send(&["m9", "m3"]).await;
    assert_eq!(shop.admit().await, ["2..4 4:m3"]);
    let landed = shop.land().await.unwrap();
    assert_eq!(landed, Landed { events: 2, duplicates: 2, position: 4, ..Landed::default() });
    assert_eq!(shop.heard.take(), ["taken back", "0..4 2:m2 4:m3", "landing 4"]);
    assert_eq!(shop.events().await, ["m1|a_file", "m2|web", "m3|web", "m9|a_file"]);
    // The other way round, what landed is left out of the file; what only waits is not.
    shop.send(&["m4"]).await;
    shop.land().await.unwrap();
    shop.send(&["m5"]).await;
    shop.admit().await;
    shop.ingest("b.csv", "u,t,m\n9,2026-11-20,m4\n9,2026-11-20,m5\n").await;
    shop.land().await.unwrap();
    assert_eq!(
        shop.heard.take(),
        ["files", "taken back", "5..6", "landing 6"],
        "none is left, and it is told"
    );
    assert_eq!(shop.events().await[3..], ["m4|web", "m5|a_file", "m9|a_file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_definitions_land_what_waits_first() {
    let mut shop = Shop::open().await;
    shop.send(&["m1"]).await;
    shop.admit().await;
    shop.definitions = definitions(&SOURCES.replace("web", "app"));
    assert_eq!(shop.admit().await, ["landing 1"], "also where nothing new came");
    assert_eq!(shop.events().await, ["m1|web"]);
    shop.send(&["m2"]).await;
    assert_eq!(shop.admit().await, ["1..2 2:m2"]);
    shop.definitions = definitions(SOURCES);
    shop.send(&["m3"]).await;
    let landed = shop.land().await.unwrap();
    assert_eq!(landed, Landed { events: 3, position: 3, ..Landed::default() }, "all is reported");
    assert_eq!(shop.heard.take(), ["landing 2", "2..3 3:m3", "landing 3"]);
    assert_eq!(shop.events().await, ["m1|web", "m2|app", "m3|web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_go_cut_what_is_told() {
    let shop = Shop::open().await;
    let gone = |user: &str| LogRecord::deletion(NOW_MS, user.to_owned(), false);
    let set = |value: &str| {
        let value = Some(value.to_owned());
        LogRecord::changed(NOW_MS, "u9".to_owned(), "plan".to_owned(), HandOp::Set, value)
    };
    shop.send(&["m1"]).await;
    shop.append(vec![gone("u1"), gone("u2"), set("pro")]).await;
    shop.send(&["m2", "m1"]).await;
    shop.append(vec![set("free"), gone("u3")]).await;
    let told = ["0..1 1:m1", "1..7 2:-u1 3:-u2 4:plan=pro 7:plan=free 5:m2", "7..8 8:-u3"];
    assert_eq!(shop.admit().await, told);
    shop.append(vec![gone("u4")]).await;
    assert_eq!(shop.admit().await, ["8..9 9:-u4"]);
    let landed = shop.land().await.unwrap();
    let expected =
        Landed { events: 2, changes: 6, duplicates: 1, position: 9, ..Landed::default() };
    assert_eq!(landed, expected);
    assert_eq!(
        shop.house.rows("user_changes", &["position", "user_id", "op"]).await,
        ["2|u1|delete", "3|u2|delete", "4|u9|set", "7|u9|set", "8|u3|delete", "9|u4|delete"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_wait_than_land_at_once() {
    let shop = Shop::open().await;
    let set = |n: u32| {
        let (tag, value) = (format!("t{n}"), Some("1".to_owned()));
        LogRecord::changed(NOW_MS, "u".to_owned(), tag, HandOp::Set, value)
    };
    shop.append((1..=199_999).map(set).collect()).await;
    let told = shop.admit().await;
    let stretches = ["0..50000 ", "50000..100000 ", "100000..150000 ", "150000..199999 "];
    assert_eq!(told.len(), stretches.len(), "{told:?}");
    for (told, stretch) in told.iter().zip(stretches) {
        assert!(told.starts_with(stretch), "{told}");
    }
    shop.append((1..=2).map(set).collect()).await;
    assert_eq!(
        shop.admit().await,
        ["199999..200000 200000:t1=1", "landing 200000", "200000..200001 200001:t2=1"]
    );
    assert_eq!(shop.house.rows("user_changes", &["position"]).await.len(), 200_000);
    assert_eq!(shop.log.read(&shop.house.app, 0, 9).await.unwrap().len(), 1, "trimmed");
    let landed = shop.land().await.unwrap();
    assert_eq!(landed, Landed { changes: 200_001, position: 200_001, ..Landed::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_begins_again_on_demand() {
    let shop = Shop::open().await;
    shop.send(&["m1"]).await;
    shop.land().await.unwrap();
    shop.send(&["m2"]).await;
    let told = shop.admit().await;
    let restarted = shop.landing.restart(&shop.house.app).await.unwrap();
    assert_eq!(restarted.landed, 1);
    let waits = tokio::time::timeout(Duration::from_millis(50), shop.land()).await;
    assert!(waits.is_err(), "nothing lands meanwhile");
    drop(restarted);
    assert_eq!(shop.admit().await[..], told[told.len() - 1..]);
    // What is admitted stays so over a hold.
    drop(shop.landing.hold(&shop.house.app).await);
    assert!(shop.admit().await.is_empty());
    // Told to stop, it lands what waits, and leaves the rest.
    shop.send(&["m3"]).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let landed = shop.landing.land(&shop.house.app, &shop.definitions, &stop).await.unwrap();
    assert_eq!(landed, Landed { events: 1, position: 2, ..Landed::default() });
    assert_eq!(shop.events().await, ["m1|web", "m2|web"]);
}
