//! A house of its own for each test: catalog, lake and log in a folder, and a clock that stands
//! still.

#![allow(dead_code)]

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_ingest::{Attendant, FileIngest, IngestOptions, IngestReport, Landing, MessageIds};
use taghouse_lake::{Lake, Table};
use taghouse_log::{EmbeddedLog, EventLog};
use taghouse_model::{AppId, Clock, Entropy, Name};
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};

/// 2026-11-21T00:00:00Z
pub const NOW_MS: i64 = 1_795_219_200_000;

/// The wall clock, and the steady one.
pub struct HandClock(pub AtomicI64, pub AtomicI64);

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn steady_ms(&self) -> i64 {
        self.1.load(Ordering::Relaxed)
    }
}

pub struct Counting(AtomicU64);

impl Counting {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.iter_mut().zip(next.iter().cycle()).for_each(|(byte, next)| *byte = *next);
    }
}

pub struct House {
    pub folder: PathBuf,
    pub app: AppId,
    pub catalog: Arc<dyn Catalog>,
    pub lake: Arc<Lake>,
    pub clock: Arc<HandClock>,
    pub ids: Arc<MessageIds>,
}

impl House {
    pub async fn open(folder: &Path) -> Self {
        let clock = Arc::new(HandClock(AtomicI64::new(NOW_MS), AtomicI64::new(0)));
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap());
        let lake =
            Arc::new(Lake::open(catalog.clone(), &folder.join("lake"), clock.clone()).unwrap());
        let ids = Arc::new(MessageIds::at(&folder.join("ids"), clock.clone()));
        Self {
            ids,
            folder: folder.to_owned(),
            app: AppId::new("shop").unwrap(),
            catalog,
            lake,
            clock,
        }
    }

    pub fn files(&self) -> FileIngest {
        FileIngest::new(self.catalog.clone(), self.lake.clone(), self.clock.clone())
    }

    pub fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(EmbeddedLog::open(&self.folder.join("log")).unwrap())
    }

    pub fn landing(&self, log: Arc<dyn EventLog>) -> Landing {
        Landing::new(
            self.catalog.clone(),
            self.lake.clone(),
            log,
            self.ids.clone(),
            self.clock.clone(),
        )
    }

    pub async fn ingest(
        &self,
        definitions: &Definitions,
        input: &Path,
    ) -> taghouse_ingest::Result<IngestReport> {
        self.ingest_with(definitions, input, &IngestOptions::default()).await
    }

    pub async fn ingest_with(
        &self,
        definitions: &Definitions,
        input: &Path,
        options: &IngestOptions,
    ) -> taghouse_ingest::Result<IngestReport> {
        let source = definitions.sources.keys().next().unwrap().clone();
        self.files()
            .ingest(
                &self.app,
                definitions,
                &source,
                &[input.to_owned()],
                options,
                Attendant::nobody(),
            )
            .await
    }

    /// The rows of a table as text, columns by `|`, sorted; null is `-`.
    pub async fn rows(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let Some(table) = self.lake.table(&self.app, table).await.unwrap() else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        for mut batches in table.scan(columns).plan(1).await.unwrap().partitions() {
            while let Some(batch) = batches.next().await {
                rows.extend(texts(&batch.unwrap()));
            }
        }
        rows.sort();
        rows
    }

    /// How many snapshots a table has.
    pub async fn snapshots(&self, table: &str) -> usize {
        match self.lake.table(&self.app, table).await.unwrap() {
            Some(table) => table.snapshots().len(),
            None => 0,
        }
    }

    /// All Parquet files below the lake's folder.
    pub fn data_files(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries
                .map(|path| {
                    if path.is_dir() {
                        count(&path)
                    } else {
                        usize::from(path.extension().is_some_and(|e| e == "parquet"))
                    }
                })
                .sum()
        }
        count(&self.folder.join("lake"))
    }
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default()
        .with_null("-")
        .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.f"));
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let cell = |row: usize, column: usize| match batch.column(column).as_string_opt::<i32>() {
        Some(texts) if texts.is_valid(row) => texts.value(row).to_owned(),
        _ => columns[column].value(row).to_string(),
    };
    (0..batch.num_rows())
        .map(|row| (0..columns.len()).map(|column| cell(row, column)).collect::<Vec<_>>().join("|"))
        .collect()
}

pub fn definitions(text: &str) -> Arc<Definitions> {
    let app = "kind: app\nid: shop\ntime_zone: Europe/London\n---\n";
    let file = DefinitionFile { path: "test.yaml".to_owned(), text: format!("{app}{text}") };
    Arc::new(Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap())
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A property of the newest snapshot's summary, or of the newest before it that has it.
pub fn noted(table: &Table, key: &str) -> Option<String> {
    table.snapshots().iter().rev().find_map(|snapshot| snapshot.summary.get(key).cloned())
}
