//! Everybody's window moves at once, while calls go on to come.

use crate::stream::markers::{Marker, write};
use crate::stream::node::{Node, SetClock, serving};
use crate::stream::play::play;
use crate::stream::tags::{DAYS, definitions};
use crate::stream::traffic::{BEGIN_MS, Traffic, user_id};
use crate::timing::{ms, peak_bytes, percentile};
use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_model::{Clock, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long before midnight the clock begins to run.
const BEFORE_MS: i64 = 3_000;

/// The log holds one day's events: `{due, seconds, live_per_s, markers, p50_ms, p99_ms,
/// peak_bytes}`.
pub(crate) async fn run(folder: &Path, traffic: &Traffic, per_s: u64) -> anyhow::Result<Json> {
    ensure!(traffic.days == 1, "the events are to be of one day");
    let node =
        Arc::new(Node::open(folder, definitions()?, SetClock::at(BEGIN_MS), 256 << 20).await?);
    node.follow(0).await?;
    play(&node, traffic, 0..traffic.events).await?;
    let midnight_ms = BEGIN_MS + DAYS * DAY_MS;
    node.clock.set(midnight_ms - BEFORE_MS);
    node.follow(traffic.events).await?;
    let due = node.stream.status(&node.app).await.context("there are no live tags")?.timers;
    node.clock.run();
    let (told, markers) = unbounded_channel();
    let stop = CancellationToken::new();
    let waiting = async {
        let waited = worked_off(&node, midnight_ms).await;
        stop.cancel();
        waited
    };
    let (served, written, seen, seconds) = tokio::join!(
        serving(&node, &stop),
        write(&node, traffic, per_s, told, &stop),
        shown(&node, markers),
        waiting
    );
    served?;
    written?;
    let (mut seen, seconds) = (seen?, seconds?);
    ensure!(!seen.is_empty(), "no marker was seen");
    let count = seen.len();
    Ok(json!({
        "due": due, "seconds": seconds, "live_per_s": per_s, "markers": count,
        "p50_ms": ms(percentile(&mut seen, 0.5)), "p99_ms": ms(percentile(&mut seen, 0.99)),
        "peak_bytes": peak_bytes(),
    }))
}

/// Seconds from midnight until all is applied.
async fn worked_off(node: &Node, midnight_ms: i64) -> anyhow::Result<f64> {
    while node.clock.now_ms() <= midnight_ms + 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let start = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let status = node.stream.status(&node.app).await.context("there are no live tags")?;
        if status.now_ms.is_some_and(|now_ms| now_ms > midnight_ms) && status.timers_due == 0 {
            return Ok(start.elapsed().as_secs_f64());
        }
    }
}

/// How long it took each marker to show in the index.
async fn shown(
    node: &Node,
    mut markers: UnboundedReceiver<Marker>,
) -> anyhow::Result<Vec<Duration>> {
    let mut seen = Vec::new();
    while let Some(Marker { user, acknowledged }) = markers.recv().await {
        let id = user_id(user);
        loop {
            ensure!(acknowledged.elapsed() < Duration::from_secs(60), "{id} is never shown");
            if counted(node, &id).await? {
                break;
            }
            // What waits when all is stopped is shown by nobody.
            if markers.is_closed() {
                return Ok(seen);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        seen.push(acknowledged.elapsed());
    }
    Ok(seen)
}

async fn counted(node: &Node, id: &str) -> anyhow::Result<bool> {
    let snapshot = node.index.snapshot(&node.app).await?.context("nothing is shown")?;
    let Some(ordinal) = node.dictionary.lookup(&node.app, &[id])?[0] else { return Ok(false) };
    let Some(tag) = snapshot.tag("count_0")? else { return Ok(false) };
    Ok(tag.value_of(ordinal)? == Some(Value::Int(1)))
}
