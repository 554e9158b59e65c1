//! How long it takes from a call's acknowledgement until it shows in a judgment of a live crowd.

use crate::stream::markers::{Marker, write};
use crate::stream::node::{Node, SetClock, serving};
use crate::stream::tags::with_crowd;
use crate::stream::traffic::{BEGIN_MS, Traffic, user_id};
use crate::timing::{ms, percentile};
use anyhow::ensure;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// How long is measured, after as long to warm up.
const MEASURED: Duration = Duration::from_secs(20);
const WARM: Duration = Duration::from_secs(5);
/// How often it is asked.
const ASKED_EVERY: Duration = Duration::from_millis(2);

/// A folder without calls, so many a second: `{per_s, markers, p50_ms, p99_ms, max_ms}`.
pub(crate) async fn run(folder: &Path, traffic: &Traffic, per_s: u64) -> anyhow::Result<Json> {
    std::fs::create_dir_all(folder)?;
    let clock = SetClock::at(BEGIN_MS);
    let node = Arc::new(Node::open(folder, with_crowd()?, clock, 256 << 20).await?);
    node.follow(0).await?;
    node.clock.run();
    let (told, markers) = unbounded_channel();
    let stop = CancellationToken::new();
    let asking = async {
        let seen = judge(&node, markers, &stop).await;
        stop.cancel();
        seen
    };
    let (served, written, seen) =
        tokio::join!(serving(&node, &stop), write(&node, traffic, per_s, told, &stop), asking);
    served?;
    let (written, mut seen) = (written?, seen?);
    ensure!(!seen.is_empty(), "no marker was seen");
    let count = seen.len();
    Ok(json!({
        "per_s": written as f64 / (WARM + MEASURED).as_secs_f64(), "markers": count,
        "p50_ms": ms(percentile(&mut seen, 0.5)), "p99_ms": ms(percentile(&mut seen, 0.99)),
        "max_ms": ms(percentile(&mut seen, 1.0)),
    }))
}

async fn judge(
    node: &Node,
    mut markers: UnboundedReceiver<Marker>,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<Duration>> {
    let (start, mut seen) = (std::time::Instant::now(), Vec::new());
    while let Some(Marker { user, acknowledged }) = markers.recv().await {
        let id = user_id(user);
        loop {
            ensure!(acknowledged.elapsed() < Duration::from_secs(60), "{id} is never in the crowd");
            // Before the first value the tags are not known.
            let judged = node.crowds.judge(&node.app, &id, "marked").await;
            if judged.is_ok_and(|judged| judged.in_crowd) {
                break;
            }
            if stop.is_cancelled() {
                return Ok(seen);
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
        if start.elapsed() > WARM {
            seen.push(acknowledged.elapsed());
        }
        if start.elapsed() > WARM + MEASURED {
            break;
        }
    }
    Ok(seen)
}
