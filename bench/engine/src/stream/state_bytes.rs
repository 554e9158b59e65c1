//! What is kept of a user under a count of 180 days.

use crate::stream::node::{Node, SetClock};
use crate::stream::rows::take_in;
use crate::stream::tags::half_year;
use crate::stream::traffic::{BEGIN_MS, Traffic, user_id};
use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;
use taghouse_model::Value;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// One of so many users is checked.
const CHECKED_EVERY: u64 = 101;

/// An empty folder: `{events, users, state_bytes, checked}`, the bytes as the checkpoint has them
/// on disk.
pub(crate) async fn run(folder: &Path, traffic: &Traffic) -> anyhow::Result<Json> {
    std::fs::create_dir_all(folder)?;
    let node = Node::open(folder, half_year()?, SetClock::at(BEGIN_MS), 256 << 20).await?;
    take_in(&node, traffic).await?;
    let status = node.stream.status(&node.app).await.context("there are no live tags")?;
    let checked = check(&node, traffic).await?;
    Ok(json!({
        "events": traffic.events, "users": status.users, "state_bytes": status.state_bytes,
        "checked": checked,
    }))
}

/// Holds the counts of some users against a plain one.
async fn check(node: &Node, traffic: &Traffic) -> anyhow::Result<usize> {
    let first_day = (traffic.time_ms(traffic.events) - 1).div_euclid(DAY_MS) - 179;
    let mut expected: BTreeMap<u64, i64> = BTreeMap::new();
    for event in (0..traffic.events).map(|number| traffic.event(number)) {
        if event.user.is_multiple_of(CHECKED_EVERY) && event.time_ms.div_euclid(DAY_MS) >= first_day
        {
            *expected.entry(event.user).or_default() += 1;
        }
    }
    let snapshot = node.index.snapshot(&node.app).await?.context("nothing is shown")?;
    let counts = snapshot.tag("events_180d")?.context("the tag is missing")?;
    for (user, count) in &expected {
        let id = user_id(*user);
        let ordinal = node.dictionary.lookup(&node.app, &[id.as_str()])?[0];
        let found = counts.value_of(ordinal.with_context(|| format!("{id} is not known"))?)?;
        ensure!(found == Some(Value::Int(*count)), "{id} has {found:?}, not {count}");
    }
    Ok(expected.len())
}
