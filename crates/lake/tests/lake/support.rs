//! A lake in a temporary folder, and batches.

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, ListBuilder,
    StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_lake::{BatchStream, DataFile, Lake, Scan, Table, Upkeep, layout};
use taghouse_model::{AppId, Clock, Name, TimestampMs, ValueType};
use tempfile::TempDir;

/// 2011-12-01T00:00Z
pub(crate) const DEC_1: TimestampMs = 1_322_697_600_000;
pub(crate) const DAY_MS: i64 = 86_400_000;

pub(crate) struct FixedClock(AtomicI64);

impl Clock for FixedClock {
    fn now_ms(&self) -> TimestampMs {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock(AtomicI64::new(DEC_1 + 30 * DAY_MS)))
}

/// A clock that stands where it was set.
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) fn at(ms: TimestampMs) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(ms)))
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now_ms(&self) -> TimestampMs {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) lake: Lake,
    pub(crate) app: AppId,
}

impl House {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        Self::over(folder, catalog)
    }

    pub(crate) fn over(folder: TempDir, catalog: Arc<dyn Catalog>) -> Self {
        let lake = Lake::open(catalog.clone(), &folder.path().join("lake"), clock()).unwrap();
        Self { folder, catalog, lake, app: AppId::new("shop").unwrap() }
    }

    /// A house whose lake is kept small in this way.
    pub(crate) async fn kept(clock: Arc<dyn Clock>, upkeep: Upkeep) -> Self {
        let house = Self::new().await;
        let lake = Lake::open_kept(
            house.catalog.clone(),
            &house.folder.path().join("lake"),
            clock,
            upkeep,
        )
        .unwrap();
        Self { lake, ..house }
    }

    /// The same folder in a new process.
    pub(crate) fn again(self, clock: Arc<dyn Clock>, upkeep: Upkeep) -> Self {
        let lake =
            Lake::open_kept(self.catalog.clone(), &self.folder.path().join("lake"), clock, upkeep)
                .unwrap();
        Self { lake, ..self }
    }

    /// The lake's folder under another name, opened there; and its former path.
    pub(crate) fn moved(self, name: &str) -> (Self, std::path::PathBuf) {
        let root = self.folder.path().canonicalize().unwrap();
        let (former, here) = (root.join("lake"), root.join(name));
        std::fs::rename(&former, &here).unwrap();
        let lake = Lake::open(self.catalog.clone(), &here, clock()).unwrap();
        (Self { lake, ..self }, former)
    }

    pub(crate) async fn events(&self) -> Table {
        self.lake.ensure(&self.app, &layout::events(&properties())).await.unwrap()
    }

    pub(crate) async fn append(&self, table: &Table, batch: RecordBatch) -> Table {
        let files = write(table, vec![batch]).await;
        let mut commit = self.lake.begin(&self.app);
        commit.append(table, files);
        commit.commit().await.unwrap().remove(0)
    }

    pub(crate) async fn table(&self, name: &str) -> Table {
        self.lake.table(&self.app, name).await.unwrap().unwrap()
    }

    /// A commit's first manifest.
    pub(crate) fn manifest(&self) -> std::path::PathBuf {
        self.objects(".avro")
            .into_iter()
            .find(|path| path.to_str().unwrap().contains("-m0-"))
            .unwrap()
    }

    /// All files under the lake's folder that end so, in order.
    pub(crate) fn objects(&self, ending: &str) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.folder.path().join("lake")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.to_str().unwrap().ends_with(ending) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// One property of each type.
pub(crate) fn properties() -> BTreeMap<Name, ValueType> {
    BTreeMap::from([
        (name("quantity"), ValueType::Int),
        (name("price"), ValueType::Decimal { scale: 4 }),
        (name("gift"), ValueType::Bool),
        (name("labels"), ValueType::Set),
        (name("due"), ValueType::Date),
        (name("sku"), ValueType::Text),
    ])
}

pub(crate) fn times(ms: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(
        TimestampMicrosecondArray::from_iter_values(ms.into_iter().map(|t| t * 1000))
            .with_timezone("+00:00"),
    )
}

pub(crate) fn texts(of: impl IntoIterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(of))
}

/// `rows` events from `start`, one an hour; quantity is the row number + `from`, price 1.0001 times
/// that, every third has no sku.
pub(crate) fn event_rows(from: i64, rows: i64, start: TimestampMs) -> RecordBatch {
    let n = from..from + rows;
    let mut labels = ListBuilder::new(StringBuilder::new());
    for i in n.clone() {
        labels.values().append_value(format!("l{}", i % 3));
        labels.append(i % 5 != 0);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", texts(n.clone().map(|i| format!("u{}", i % 10)))),
        (
            "event",
            texts(
                n.clone()
                    .map(|i| if i % 4 == 0 { "refund".to_owned() } else { "purchase".to_owned() }),
            ),
        ),
        ("time", times(n.clone().map(|i| start + (i - from) * 3_600_000))),
        ("message_id", texts(n.clone().map(|i| format!("file.csv:{i:09}")))),
        ("source", texts(n.clone().map(|_| "web".to_owned()))),
        ("received_at", times(n.clone().map(|_| DEC_1 + 20 * DAY_MS))),
        ("quantity", Arc::new(Int64Array::from_iter_values(n.clone()))),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter_values(n.clone().map(|i| i128::from(i) * 10_001))
                    .with_precision_and_scale(38, 4)
                    .unwrap(),
            ),
        ),
        ("gift", Arc::new(BooleanArray::from_iter(n.clone().map(|i| Some(i % 2 == 0))))),
        ("labels", Arc::new(labels.finish())),
        (
            "due",
            Arc::new(Date32Array::from_iter_values(n.clone().map(|i| i32::try_from(i).unwrap()))),
        ),
        (
            "sku",
            Arc::new(StringArray::from_iter(n.map(|i| (i % 3 != 0).then(|| format!("sku{i}"))))),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

/// A tag's rows of one as-of time: `users` users with value = user number × `factor`.
pub(crate) fn tag_rows(as_of: TimestampMs, users: i64, factor: i64) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("as_of", times((0..users).map(|_| as_of))),
        ("user_id", texts((0..users).map(|i| format!("u{i}")))),
        ("value", Arc::new(Int64Array::from_iter_values((0..users).map(|i| i * factor)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(crate) async fn write(table: &Table, batches: Vec<RecordBatch>) -> Vec<DataFile> {
    let mut writer = table.writer();
    for batch in batches {
        writer.write(batch).await.unwrap();
    }
    writer.close().await.unwrap()
}

pub(crate) async fn collect(scan: Scan) -> Vec<RecordBatch> {
    let mut all = Vec::new();
    for stream in scan.partitions() {
        all.extend(gather(stream).await);
    }
    all
}

pub(crate) async fn gather(stream: BatchStream) -> Vec<RecordBatch> {
    stream.try_collect().await.unwrap()
}

/// The numbers of a column, sorted.
pub(crate) fn numbers(batches: &[RecordBatch], column: &str) -> Vec<i64> {
    let mut all: Vec<i64> = batches
        .iter()
        .flat_map(|b| {
            b.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()
        })
        .collect();
    all.sort_unstable();
    all
}

pub(crate) fn instants(batches: &[RecordBatch], column: &str) -> Vec<i64> {
    let of = |b: &RecordBatch| {
        b.column_by_name(column)
            .unwrap()
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .to_vec()
    };
    batches.iter().flat_map(of).map(|micros| micros / 1000).collect()
}

pub(crate) async fn quantities(table: &Table) -> Vec<i64> {
    numbers(&collect(table.scan(&["quantity"]).plan(2).await.unwrap()).await, "quantity")
}

/// A property of the newest snapshot's summary, or of the newest before it that has it.
pub(crate) fn noted(table: &Table, key: &str) -> Option<String> {
    table.snapshots().iter().rev().find_map(|snapshot| snapshot.summary.get(key).cloned())
}
