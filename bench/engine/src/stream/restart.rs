//! A process that was killed comes back.

use crate::stream::node::{Node, SetClock};
use crate::stream::play::{check, settle};
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
