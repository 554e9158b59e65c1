//! How fast the lake writes and reads: `cargo run --release -p taghouse-lake --example speed [days]
//! [rows a day]`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use taghouse_catalog::SqliteCatalog;
use taghouse_lake::{Lake, Table, layout};
use taghouse_model::{AppId, Clock, Name, TimestampMs, ValueType};

struct Fixed;

impl Clock for Fixed {
    fn now_ms(&self) -> TimestampMs {
        1_323_000_000_000
    }
}

const START: i64 = 1_291_161_600_000_000;
const DAY: i64 = 86_400_000_000;

/// Rows shaped like the Online Retail files'.
fn batch(day: i64, rows: i64) -> RecordBatch {
    let n = || 0..rows;
    let texts = |f: &dyn Fn(i64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(n().map(f)))
    };
    let times = |f: &dyn Fn(i64) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(n().map(f)).with_timezone("+00:00"))
    };
    let price = Decimal128Array::from_iter_values(n().map(|i| i128::from(i % 97) * 1_250))
        .with_precision_and_scale(38, 4)
        .unwrap();
    RecordBatch::try_from_iter([
        ("user_id", texts(&|i| format!("{}", 12_000 + (i / 20 * 7919 + day * 31) % 4000))),
        ("event", texts(&|i| if i % 50 == 0 { "refund".into() } else { "purchase".into() })),
        ("time", times(&|i| START + day * DAY + i / 20 * 60_000_000 % DAY)),
        ("message_id", texts(&|i| format!("2011-{day:03}.csv.gz:{i:09}"))),
        ("source", texts(&|_| "online_retail".into())),
        ("received_at", times(&|_| START + 400 * DAY)),
        ("invoice", texts(&|i| format!("{}", 536_365 + day * 60 + i / 20))),
        ("sku", texts(&|i| format!("{}", 20_000 + (i * 104_729) % 3600))),
        (
            "country",
            texts(&|i| if i % 9 == 0 { "Germany".into() } else { "United Kingdom".into() }),
        ),
        ("quantity", Arc::new(Int64Array::from_iter_values(n().map(|i| i % 24 + 1)))),
        ("unit_price", Arc::new(price)),
    ])
    .unwrap()
}

async fn scan(table: &Table, columns: &[&str], note: &str) {
    let cores = std::thread::available_parallelism().unwrap().get();
    for round in ["first", "again"] {
        let start = Instant::now();
        let scan = table.scan(columns).plan(cores).await.unwrap();
        let planned = start.elapsed();
        let (files, partitions) = (scan.files(), scan.partition_count());
        let tasks: Vec<_> = scan
            .partitions()
            .into_iter()
            .map(|mut stream| {
                tokio::spawn(async move {
                    let mut rows = 0;
                    while let Some(batch) = stream.next().await {
                        rows += batch.unwrap().num_rows();
                    }
                    rows
                })
            })
            .collect();
        let mut rows = 0;
        for task in tasks {
            rows += task.await.unwrap();
        }
        println!(
            "scan {note}, {round}: {rows} rows of {files} files in {partitions} partitions, planned in {planned:.1?}, all {:.1?}",
            start.elapsed()
        );
    }
}

#[tokio::main]
async fn main() {
    let argument =
        |i: usize, default: i64| std::env::args().nth(i).map_or(default, |a| a.parse().unwrap());
    let (days, rows) = (argument(1, 305), argument(2, 1300));
    let folder = tempfile::tempdir().unwrap();
    let catalog = Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
    let lake = Lake::open(catalog, &folder.path().join("lake"), Arc::new(Fixed)).unwrap();
    let app = AppId::new("shop").unwrap();
    let text = |n: &str| (Name::new(n).unwrap(), ValueType::Text);
    let mut properties = BTreeMap::from([text("invoice"), text("sku"), text("country")]);
    properties.insert(Name::new("quantity").unwrap(), ValueType::Int);
    properties.insert(Name::new("unit_price").unwrap(), ValueType::Decimal { scale: 4 });
    let table = lake.ensure(&app, &layout::events(&properties)).await.unwrap();

    let batches: Vec<RecordBatch> = (0..days).map(|d| batch(d, rows)).collect();
    let start = Instant::now();
    let mut writer = table.writer();
    for batch in batches {
        writer.write(batch).await.unwrap();
    }
    let files = writer.close().await.unwrap();
    let wrote = start.elapsed();
    let bytes: u64 = files.iter().map(|f| f.size_bytes()).sum();
    let count = files.len();
    let mut commit = lake.begin(&app);
    commit.append(&table, files);
    let table = commit.commit().await.unwrap().remove(0);
    println!(
        "write: {} rows, {count} files, {:.1} MB in {wrote:.1?}, with the commit {:.1?}",
        days * rows,
        bytes as f64 / 1e6,
        start.elapsed()
    );
    let many = [
        "user_id",
        "event",
        "time",
        "message_id",
        "invoice",
        "sku",
        "country",
        "quantity",
        "unit_price",
    ];
    scan(&table, &many, "of 9 columns").await;
    scan(&table, &["user_id", "quantity", "unit_price"], "of 3 columns").await;
    for query in [
        "SELECT count(*) FROM events",
        "SELECT user_id, sum(quantity * unit_price) AS value FROM events WHERE event = 'purchase' GROUP BY user_id",
        "SELECT user_id, count(DISTINCT invoice) FROM events WHERE time >= '2011-03-01' GROUP BY user_id",
    ] {
        let start = Instant::now();
        let (_, mut stream) = lake.sql(&app, query, &[]).await.unwrap();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap().num_rows();
        }
        println!("sql {rows} rows in {:.1?}: {query}", start.elapsed());
    }
}
