//! `crowd.range`: the users of a 1% crowd whose number lies in a range, and the sum of those numbers. 20-bit numbers of all users.

use crate::crowd_spec::{Set, Spec};
use crate::published::{Published, index, publish};
use crate::timing::{median_ms, peak_bytes};
use anyhow::Context;
use serde_json::{Value as Json, json};
use std::path::Path;
use taghouse_index::{Bitmap, SegmentBuilder};
use taghouse_model::{Value, ValueType};

const RUNS: usize = 15;

/// Publishes both tags below `folder` and asks: `{count: {found, ms}, sum: {found, ms}}`.
pub(crate) async fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let writer = index(folder).await?;
    let crowd: Set = spec.range_crowd;
    let members = Bitmap::from_sorted_iter(crowd.users());
    let segment = SegmentBuilder::from_values(ValueType::Bool, vec![(Value::Bool(true), members)])?;
    publish(&writer, spec.users, "crowd", ValueType::Bool, segment).await?;
    publish(&writer, spec.users, "number", ValueType::Int, numbers(spec)?).await?;
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
    Ok(json!({ "count": { "found": count, "ms": count_ms }, "sum": { "found": sum, "ms": sum_ms }, "peak_bytes": peak_bytes() }))
}

fn numbers(spec: &Spec) -> anyhow::Result<Vec<u8>> {
    let mut builder = SegmentBuilder::new(ValueType::Int);
    for user in 0..spec.users {
        builder.add(user, &Value::Int(spec.number_of(user)))?;
    }
    Ok(builder.finish()?)
}
