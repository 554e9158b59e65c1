//! How long the Online Retail files take, from nothing to durable: `cargo run --release --example
//! ingest_speed -- FOLDER [TIMES]`. The source definition is that of `examples/online-retail`,
//! without its tags.

#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_ingest::{Attendant, FileIngest, IngestOptions};
use taghouse_lake::Lake;
use taghouse_model::{Clock, Name};
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};

const DEFINITIONS: &str = r#"
kind: app
id: shop
time_zone: Europe/London
---
kind: source
name: online_retail
format: csv
user_id: { column: CustomerID, type: int }
event:
  - { when: "invoice like 'C%'", name: refund }
  - { name: purchase }
time: { column: InvoiceDate, format: "%Y-%m-%d %H:%M:%S" }
properties:
  invoice: { column: InvoiceNo, required: true }
  sku: { column: StockCode }
  quantity: { column: Quantity, type: int, required: true }
  unit_price: { column: UnitPrice, type: decimal, scale: 4 }
attributes:
  country: { column: Country }
ignore: [Description]
"#;

struct WallClock;

impl Clock for WallClock {
    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let input = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let times: usize = arguments.next().map_or(Ok(5), |times| times.parse())?;
    let file = DefinitionFile { path: "speed".to_owned(), text: DEFINITIONS.to_owned() };
    let documents = parse_definitions(&[file]).map_err(|errors| format!("{errors:?}"))?;
    let definitions = Definitions::check(&documents).map_err(|errors| format!("{errors:?}"))?;
    for _ in 0..times {
        let folder = tempfile::tempdir()?;
        let clock = Arc::new(WallClock);
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await?);
        let lake =
            Arc::new(Lake::open(catalog.clone(), &folder.path().join("lake"), clock.clone())?);
        let ingest = FileIngest::new(catalog, lake, clock);
        for what in ["new", "again"] {
            let started = Instant::now();
            let last = std::sync::Mutex::new(started);
            let (files, options) = ([input.clone()], IngestOptions::default());
            let on_progress = |_: &taghouse_ingest::IngestProgress| {
                if let Ok(mut last) = last.lock() {
                    *last = Instant::now();
                }
            };
            let attendant =
                Attendant { progress: &on_progress, cancelled: Box::pin(std::future::pending()) };
            let report = ingest
                .ingest(
                    &definitions.app.id,
                    &definitions,
                    &Name::new("online_retail")?,
                    &files,
                    &options,
                    attendant,
                )
                .await?;
            let read_ms = last.lock().map_or(0, |last| (*last - started).as_millis());
            println!(
                "{what}: {} ms, of which reading {read_ms} ms; {}",
                started.elapsed().as_millis(),
                serde_json::to_string(&report)?
            );
        }
    }
    Ok(())
}
