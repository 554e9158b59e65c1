//! Fills a log, as calls do.

use crate::published::app;
use crate::stream::node::log;
use crate::stream::traffic::Traffic;
use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::Instant;

/// Records of one append.
const APPENDED: u64 = 10_000;

/// Appends all events: `{events, seconds, bytes}`.
pub(crate) async fn run(folder: &Path, traffic: &Traffic) -> anyhow::Result<Json> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (log, app) = (log(folder)?, app()?);
    ensure!(log.end(&app).await? == 0, "{} holds a log already", folder.display());
    let (start, mut bytes) = (Instant::now(), 0);
    for from in (0..traffic.events).step_by(APPENDED as usize) {
        let to = (from + APPENDED).min(traffic.events);
        let records = (from..to)
            .map(|number| traffic.event(number).record())
            .collect::<anyhow::Result<Vec<_>>>()?;
        bytes += records.iter().map(Vec::len).sum::<usize>();
        log.append(&app, records).await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({ "events": traffic.events, "seconds": seconds, "bytes": bytes }))
}
