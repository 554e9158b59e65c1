//! The group `lake`: days of landings, one every ten seconds of a clock that is set, with the
//! upkeep of a server beside them.

use crate::published::app;
use crate::timing::{ms, peak_bytes, percentile};
use anyhow::{Context, ensure};
use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use taghouse_catalog::{Change, SqliteCatalog};
use taghouse_lake::{Lake, Table, layout};
use taghouse_model::{AppId, Clock, Name, TimestampMs, ValueType};

const LANDING_EVERY_MS: i64 = 10_000;
const UPKEEP_EVERY_MS: i64 = 60_000;
const HOUR: usize = 360;
/// 2026-03-01T00:00Z
const BEGIN_MS: TimestampMs = 1_772_323_200_000;
const EVENTS: usize = 50;
const ATTRIBUTES: usize = 5;
const PROPERTIES: usize = 20;

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now_ms(&self) -> TimestampMs {
        self.0.load(Ordering::Relaxed)
    }
}

/// The lake of one app, and what was measured of it.
struct Landings {
    lake: Lake,
    app: AppId,
    events: Table,
    attributes: Table,
    /// Of each landing the time from the written files to the moved pointers.
    commits: Vec<Duration>,
    upkeep: Duration,
}

/// Lands so often in the empty folder: `{landings, first_ms, last_ms, first_p50_ms, last_p50_ms,
/// first_bytes, last_bytes, upkeep_ms, files, snapshots, memory_bytes}`. Times are means of a
/// landing over the first and the last hour; bytes are all under the tables' folders `metadata` at
/// their ends.
pub(crate) async fn run(folder: &Path, landings: usize) -> anyhow::Result<Json> {
    ensure!(landings >= 2 * HOUR, "at least {} landings are two hours", 2 * HOUR);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let clock = Arc::new(SetClock(AtomicI64::new(BEGIN_MS)));
    let catalog = Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await?);
    let lake = Lake::open(catalog, &folder.join("lake"), clock.clone())?;
    let app = app()?;
    let properties: BTreeMap<Name, ValueType> = (0..PROPERTIES)
        .map(|i| Ok((Name::new(&format!("property_{i}"))?, ValueType::Text)))
        .collect::<anyhow::Result<_>>()?;
    let events = lake.ensure(&app, &layout::events(&properties)).await?;
    let attributes = lake.ensure(&app, &layout::attributes()).await?;
    let mut all = Landings {
        lake,
        app,
        events,
        attributes,
        commits: Vec::with_capacity(landings),
        upkeep: Duration::ZERO,
    };
    let mut first_bytes = 0;
    for number in 0..landings {
        let now = BEGIN_MS + number as i64 * LANDING_EVERY_MS;
        clock.0.store(now, Ordering::Relaxed);
        all.land(number, now).await?;
        if (now - BEGIN_MS) % UPKEEP_EVERY_MS == 0 {
            let begun = Instant::now();
            all.lake.maintain(&all.app).await?;
            all.upkeep += begun.elapsed();
        }
        if number + 1 == HOUR {
            first_bytes = metadata_bytes(&folder.join("lake"))?;
        }
    }
    all.report(folder, first_bytes).await
}

impl Landings {
    async fn land(&mut self, number: usize, now: TimestampMs) -> anyhow::Result<()> {
        let mut commit = self.lake.begin(&self.app);
        for (table, rows) in [
            (&self.events, event_rows(number, now)?),
            (&self.attributes, attribute_rows(number, now)?),
        ] {
            let mut writer = table.writer();
            writer.write(rows).await?;
            commit.append(table, writer.close().await?);
        }
        commit.summary("taghouse.log-position", &number.to_string());
        commit.also(Change::PutPointer {
            kind: "log".to_owned(),
            app: self.app.clone(),
            name: "landed".to_owned(),
            expected: (number > 0).then_some(number as u64),
            value: json!({ "position": number }),
        });
        let begun = Instant::now();
        commit.commit().await?;
        self.commits.push(begun.elapsed());
        Ok(())
    }

    async fn report(mut self, folder: &Path, first_bytes: u64) -> anyhow::Result<Json> {
        let landings = self.commits.len();
        let table =
            self.lake.table(&self.app, layout::EVENTS).await?.context("the table is gone")?;
        ensure!(
            table.rows() == (landings * EVENTS) as u64,
            "{} events landed, not {}",
            table.rows(),
            landings * EVENTS
        );
        let files = table.scan(&[]).plan(1).await?.files();
        let mut last = self.commits.split_off(landings - HOUR);
        self.commits.truncate(HOUR);
        let mut first = self.commits;
        let mean = |times: &[Duration]| ms(times.iter().sum::<Duration>()) / times.len() as f64;
        Ok(json!({
            "landings": landings, "first_ms": mean(&first), "last_ms": mean(&last),
            "first_p50_ms": ms(percentile(&mut first, 0.5)), "last_p50_ms": ms(percentile(&mut last, 0.5)),
            "first_bytes": first_bytes, "last_bytes": metadata_bytes(&folder.join("lake"))?,
            "upkeep_ms": ms(self.upkeep) / (landings as f64 / 6.0), "files": files, "snapshots": table.snapshots().len(),
            "memory_bytes": peak_bytes(),
        }))
    }
}

/// All under folders named `metadata`.
fn metadata_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            bytes += metadata_bytes(&path)?;
        } else if path.parent().is_some_and(|parent| parent.ends_with("metadata")) {
            bytes += path.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn event_rows(number: usize, now: TimestampMs) -> anyhow::Result<RecordBatch> {
    let mut columns = vec![
        (
            "user_id".to_owned(),
            texts(EVENTS, |i| format!("user-{}", (number * 7919 + i * 104_729) % 1_000_000)),
        ),
        ("event".to_owned(), texts(EVENTS, |i| ["view", "add", "buy"][i % 3].to_owned())),
        ("time".to_owned(), times(EVENTS, now)),
        (
            "message_id".to_owned(),
            texts(EVENTS, |i| format!("{number:08x}-{i:04x}-4000-8000-000000000000")),
        ),
        ("source".to_owned(), texts(EVENTS, |_| "web".to_owned())),
        ("received_at".to_owned(), times(EVENTS, now)),
    ];
    columns.extend(
        (0..PROPERTIES).map(|p| {
            (format!("property_{p}"), texts(EVENTS, |i| format!("value {}", (i * p) % 17)))
        }),
    );
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn attribute_rows(number: usize, now: TimestampMs) -> anyhow::Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("user_id", texts(ATTRIBUTES, |i| format!("user-{}", (number * 7919 + i) % 1_000_000))),
        ("name", texts(ATTRIBUTES, |_| "city".to_owned())),
        ("value", texts(ATTRIBUTES, |i| format!("city {i}"))),
        ("time", times(ATTRIBUTES, now)),
        (
            "message_id",
            texts(ATTRIBUTES, |i| format!("{number:08x}-{i:04x}-4000-9000-000000000000")),
        ),
        ("source", texts(ATTRIBUTES, |_| "web".to_owned())),
        ("received_at", times(ATTRIBUTES, now)),
    ])?)
}

fn texts(rows: usize, of: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..rows).map(of)))
}

fn times(rows: usize, now: TimestampMs) -> ArrayRef {
    Arc::new(
        TimestampMicrosecondArray::from_iter_values((0..rows).map(|_| now * 1000))
            .with_timezone("+00:00"),
    )
}
