//! `crowd.range`: the users of a 1% crowd whose number lies in a range, and the sum of those
//! numbers. 20-bit numbers of all users.

use crate::crowd_spec::Spec;
use crate::published::{Published, feed_bool, index, loader, publish_all};
use crate::timing::{median_ms, peak_bytes};
use anyhow::Context;
use serde_json::{Value as Json, json};
use std::path::Path;
use taghouse_model::ValueType;

const RUNS: usize = 15;

/// Publishes both tags below `folder` and asks: `{count: {found, ms}, sum: {found, ms}}`.
pub(crate) async fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let loader = loader(folder, spec.users)?;
    let mut feeder = loader.feeder();
    feed_bool(&mut feeder, loader.tag("crowd", ValueType::Bool)?, spec.range_crowd)?;
    let number = loader.tag("number", ValueType::Int)?;
    let all: Vec<u32> = (0..spec.users).collect();
    for ordinals in all.chunks(1 << 16) {
        let units: Vec<i64> = ordinals.iter().map(|user| spec.number_of(*user)).collect();
        feeder.push_numbers(number, ordinals, &units)?;
    }
    feeder.finish()?;
    let mut segments = loader.finish(&folder.join("loaded"))?;
    let numbers = segments.split_off(1);
    let writer = index(folder).await?;
    publish_all(&writer, spec.users, ValueType::Bool, segments).await?;
    publish_all(&writer, spec.users, ValueType::Int, numbers).await?;
    let published = Published::open(folder).await?;
    let (low, high) = spec.range;
    let text = format!("crowd == true && number between {low} and {high}");
    let (count, count_ms) = median_ms(RUNS, || published.count(&text))?;
    let (sum, sum_ms) = median_ms(RUNS, || {
        let within = published.query(&text)?.bitmap()?;
        let numbers = published.snapshot.tag("number")?.context("no tag number")?;
        Ok(numbers.sum(Some(&within))?)
    })?;
    let sum = i64::try_from(sum.unwrap_or(0))?;
    Ok(
        json!({ "count": { "found": count, "ms": count_ms }, "sum": { "found": sum, "ms": sum_ms }, "peak_bytes": peak_bytes() }),
    )
}
