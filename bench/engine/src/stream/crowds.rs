//! Thousands of live crowds at once: how long it takes from a call's acknowledgement until the feed
//! says who entered.

use crate::stream::markers::{Marker, write};
use crate::stream::node::{Node, SetClock, serving};
use crate::stream::tags::with_crowds;
use crate::stream::traffic::{BEGIN_MS, Traffic, user_id};
use crate::timing::{ms, peak_bytes, percentile};
use anyhow::ensure;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_feed::{Change, Start};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// How long is measured, after a while to warm up.
const MEASURED: Duration = Duration::from_secs(20);
const WARM: Duration = Duration::from_secs(5);

/// An empty folder, so many calls a second: `{per_s, crowds, markers, told, p50_ms, p99_ms,
/// peak_bytes}`; `told` is how many entered and left in all.
pub(crate) async fn run(
    folder: &Path,
    traffic: &Traffic,
    per_s: u64,
    crowds: u64,
) -> anyhow::Result<Json> {
    std::fs::create_dir_all(folder)?;
    let definitions = with_crowds(crowds)?;
    let node = Arc::new(Node::open(folder, definitions, SetClock::at(BEGIN_MS), 256 << 20).await?);
    node.follow(0).await?;
    node.clock.run();
    let (told, markers) = unbounded_channel();
    let stop = CancellationToken::new();
    let reading = async {
        let read = read(&node, markers).await;
        stop.cancel();
        read
    };
    let (served, written, read) =
        tokio::join!(serving(&node, &stop), write(&node, traffic, per_s, told, &stop), reading);
    served?;
    let (written, Read { mut seen, told }) = (written?, read?);
    ensure!(!seen.is_empty(), "no marker was told of");
    let count = seen.len();
    Ok(json!({
        "per_s": written as f64 / (WARM + MEASURED).as_secs_f64(), "crowds": crowds,
        "markers": count, "told": told, "p50_ms": ms(percentile(&mut seen, 0.5)),
        "p99_ms": ms(percentile(&mut seen, 0.99)), "peak_bytes": peak_bytes(),
    }))
}

struct Read {
    seen: Vec<Duration>,
    told: u64,
}

async fn read(node: &Node, mut markers: UnboundedReceiver<Marker>) -> anyhow::Result<Read> {
    let mut reader = node.feeds.reader(&node.app, Start::Latest).await?;
    let start = Instant::now();
    let mut acknowledged: HashMap<String, Instant> = HashMap::new();
    // Told before it was known that they were acknowledged.
    let mut early: HashMap<String, Instant> = HashMap::new();
    let mut read = Read { seen: Vec::new(), told: 0 };
    while start.elapsed() < WARM + MEASURED {
        // Some of what is there, at each call; only behind all of it there is something to wait for.
        let records = reader.read().await?;
        if records.is_empty() {
            let _ = tokio::time::timeout(Duration::from_millis(20), reader.wait()).await;
        }
        let now = Instant::now();
        while let Ok(marker) = markers.try_recv() {
            let id = user_id(marker.user);
            match early.remove(&id) {
                Some(told) => read.seen.push(told.saturating_duration_since(marker.acknowledged)),
                None => {
                    acknowledged.insert(id, marker.acknowledged);
                }
            }
        }
        for record in records {
            let Change::Entered { user, crowd, .. } = record.change else {
                read.told += u64::from(matches!(record.change, Change::Exited { .. }));
                continue;
            };
            read.told += 1;
            if crowd.as_str() != "marked" {
                continue;
            }
            match acknowledged.remove(user.as_ref()) {
                Some(at) if start.elapsed() > WARM => read.seen.push(now - at),
                Some(_) => {}
                None => {
                    early.insert(user.to_string(), now);
                }
            }
        }
        // Those that are not told of yet count with the time that they wait already.
        if start.elapsed() >= WARM + MEASURED {
            read.seen.extend(acknowledged.values().map(|at| now - *at));
        }
    }
    Ok(read)
}
