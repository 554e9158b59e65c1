//! A process that was killed comes back.

use crate::stream::node::{Node, SetClock};
use crate::stream::play::{check, play, settle};
use crate::stream::tags::definitions;
use crate::stream::traffic::Traffic;
use crate::timing::peak_bytes;
use anyhow::Context;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::Instant;

/// The folder of a process that was killed: `{replayed, seconds, checked, peak_bytes}`. The seconds
/// begin with the process and end when all of the log is shown.
pub(crate) async fn run(folder: &Path, traffic: &Traffic, budget_mib: u64) -> anyhow::Result<Json> {
    let start = Instant::now();
    let clock = SetClock::at(traffic.time_ms(traffic.events));
    let node = Node::open(folder, definitions()?, clock, budget_mib << 20).await?;
    let saved = node.stream.saved_position(&node.app).await?.context("there is no checkpoint")?;
    node.follow(traffic.events).await?;
    settle(&node).await?;
    let seconds = start.elapsed().as_secs_f64();
    let checked = check(&node, traffic, traffic.events).await?;
    Ok(json!({
        "replayed": traffic.events - saved, "seconds": seconds, "checked": checked,
        "peak_bytes": peak_bytes(),
    }))
}

/// The same a day after the last call, with more in the log than is taken in at once: what comes
/// lands meanwhile, as in the server. The folder was left by `catch-up` with a tail.
pub(crate) async fn late(
    folder: &Path,
    traffic: &Traffic,
    budget_mib: u64,
) -> anyhow::Result<Json> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let start = Instant::now();
    let clock = SetClock::at(traffic.time_ms(traffic.events) + DAY_MS);
    let node = Node::open(folder, definitions()?, clock, budget_mib << 20).await?;
    let saved = node.stream.saved_position(&node.app).await?.context("there is no checkpoint")?;
    play(&node, traffic, saved..traffic.events).await?;
    let (seconds, peak_bytes) = (start.elapsed().as_secs_f64(), peak_bytes());
    let checked = check(&node, traffic, traffic.events).await?;
    let status = node.stream.status(&node.app).await.context("there are no live tags")?;
    Ok(json!({
        "replayed": traffic.events - saved, "seconds": seconds, "users": status.users,
        "state_bytes": status.state_bytes, "checked": checked, "peak_bytes": peak_bytes,
    }))
}
