//! All that a log holds, from its first record to the last value shown.

use crate::stream::node::{Node, SetClock};
use crate::stream::play::{check, play};
use crate::stream::tags::definitions;
use crate::stream::traffic::{BEGIN_MS, Traffic};
use crate::timing::{cpu_seconds, peak_bytes};
use anyhow::Context;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::Instant;

/// `{events, seconds, events_per_s, cpu_seconds, values, users, state_bytes, checked, peak_bytes}`. The seconds
/// end when all is landed, checkpointed, shown and told. With a `tail`, the last records are then
/// admitted and do not land, and the process ends as if it were killed.
pub(crate) async fn run(
    folder: &Path,
    traffic: &Traffic,
    budget_mib: u64,
    tail: u64,
) -> anyhow::Result<Json> {
    let clock = SetClock::at(BEGIN_MS);
    let node = Node::open(folder, definitions()?, clock, budget_mib << 20).await?;
    // The states of nobody.
    node.follow(0).await?;
    let events = traffic.events - tail.min(traffic.events);
    let (start, cpu_before) = (Instant::now(), cpu_seconds()?);
    play(&node, traffic, 0..events).await?;
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu_before);
    let peak_bytes = peak_bytes();
    let checked = check(&node, traffic, events).await?;
    let status = node.stream.status(&node.app).await.context("there are no live tags")?;
    let found = json!({
        "events": events, "seconds": seconds, "events_per_s": events as f64 / seconds,
        "cpu_seconds": cpu_seconds,
        "values": status.values, "users": status.users, "state_bytes": status.state_bytes,
        "checked": checked, "peak_bytes": peak_bytes,
    });
    if tail > 0 {
        node.clock.set(traffic.time_ms(traffic.events));
        node.follow(traffic.events).await?;
        println!("{found}");
        std::process::exit(0);
    }
    Ok(found)
}
