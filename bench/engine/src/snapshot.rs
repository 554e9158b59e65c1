//! `index.snapshot`: what each question pays before it is asked: the newest snapshot of an index,
//! of few tags and of many, taken by many readers at once.

use crate::published::{app, index};
use crate::timing::ms;
use anyhow::{Context as _, ensure};
use serde_json::{Value as Json, json};
use std::num::NonZero;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;
use taghouse_index::{Bitmap, Index, Publication, SegmentBuilder, TagPublication};
use taghouse_model::{AppId, Name, Value, ValueType};

/// Numbers of tags.
const TAGS: [usize; 2] = [30, 3_000];
const READERS: usize = 8;
/// Snapshots that each reader takes.
const TAKEN: usize = 200_000;

/// Publishes below a folder, and takes snapshots: `readings`, each `{tags, us}` of the cores' time
/// a snapshot.
pub(crate) async fn run(folder: &Path) -> anyhow::Result<Json> {
    let mut readings = Vec::new();
    for tags in TAGS {
        let folder = folder.join(tags.to_string());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        let (index, app) = (index(&folder).await?, app()?);
        publish(&index, &app, tags).await?;
        let seen = index.snapshot(&app).await?.context("nothing was published")?;
        ensure!(seen.tags().count() == tags, "{} tags instead of {tags}", seen.tags().count());
        let start = Instant::now();
        thread::scope(|scope| {
            let readers: Vec<_> =
                (0..READERS).map(|_| scope.spawn(|| read(&index, &app))).collect();
            readers.into_iter().try_for_each(|reader| {
                reader.join().map_err(|_| anyhow::anyhow!("a reader failed"))?
            })
        })?;
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(READERS);
        let us = ms(start.elapsed()) * 1_000.0 * cores as f64 / (READERS * TAKEN) as f64;
        readings.push(json!({ "tags": tags, "us": us }));
    }
    Ok(json!({ "readings": readings, "readers": READERS }))
}

/// Takes snapshots as a request does, which none of them may have to wait for.
fn read(index: &Index, app: &AppId) -> anyhow::Result<()> {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..TAKEN {
        match pin!(index.snapshot(app)).poll(&mut context) {
            Poll::Ready(snapshot) => ensure!(snapshot?.is_some(), "the snapshot is gone"),
            Poll::Pending => anyhow::bail!("a snapshot had to be waited for"),
        }
    }
    Ok(())
}

async fn publish(index: &Index, app: &AppId, tags: usize) -> anyhow::Result<()> {
    let mut builder = SegmentBuilder::new(ValueType::Int);
    (0..10).try_for_each(|user| builder.add(user, &Value::Int(i64::from(user))))?;
    let segment = builder.finish()?;
    // About as much as a definition of a person is.
    let definition = json!({ "description": "x".repeat(300), "aggregate": { "events": ["purchase"], "function": "count" } });
    let tag = |number: usize| {
        let name = Name::new(&format!("tag_{number}"))?;
        let (definition, segment) = (definition.clone(), segment.clone());
        Ok(TagPublication {
            name,
            value_type: ValueType::Int,
            as_of_ms: 0,
            definition,
            segment: segment.into(),
            flushed_through: None,
        })
    };
    let tags = (0..tags).map(tag).collect::<anyhow::Result<_>>()?;
    index
        .publish(
            app,
            Publication { generation: 1, users: Bitmap::from_range(0..=9), tags, drop: Vec::new() },
            Vec::new(),
        )
        .await?;
    Ok(())
}
