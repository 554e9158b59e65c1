//! `crowd.overlap`: how many users each of 1,000 tag values shares with each of 1,000 others.

use crate::crowd_spec::Spec;
use crate::published::Published;
use crate::scenario::{place_of, tag_name, value_name};
use crate::timing::peak_bytes;
use anyhow::Context;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::Instant;
use taghouse_index::{UserSet, overlap};
use taghouse_model::Value;

/// The whole matrix out of the index of `folder`, twice; the second, warm one counts: `{pairs,
/// seconds, pair_ms, sum}`.
pub(crate) async fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    let published = Published::open(folder).await?;
    let (rows, columns) =
        (members(&published, &spec.overlap_rows)?, members(&published, &spec.overlap_columns)?);
    let first = overlap(&rows, &columns, None)?;
    let start = Instant::now();
    let counts = overlap(&rows, &columns, None)?;
    let seconds = start.elapsed().as_secs_f64();
    anyhow::ensure!(counts == first, "the same matrix has two answers");
    let pairs = counts.len();
    let sum = counts.iter().sum::<u64>();
    Ok(
        json!({ "pairs": pairs, "seconds": seconds, "pair_ms": seconds * 1000.0 / pairs as f64, "sum": sum, "peak_bytes": peak_bytes() }),
    )
}

fn members(published: &Published, ranks: &[usize]) -> anyhow::Result<Vec<UserSet>> {
    let one = |rank: &usize| {
        let (tag, value) = place_of(*rank);
        let (tag, value) = (tag_name(tag), Value::Text(value_name(value).into()));
        let segment = published.snapshot.tag(&tag)?.with_context(|| format!("no tag {tag}"))?;
        let found = segment.sets()?.into_iter().find(|(text, _)| *text == value);
        Ok(found.with_context(|| format!("no {value} in {tag}"))?.1)
    };
    ranks.iter().map(one).collect()
}
