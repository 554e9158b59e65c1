//! `crowd.scenario_1b`: and, or, not over 2 to 10 of 10,000 tag values, 1 B points of 100 M users,
//! from the text to the number of users. The 10,000 are the values of ten set tags, dealt out by
//! rank so that each tag has large and small ones.

use crate::crowd_spec::{Spec, Tree};
use crate::published::Published;
use crate::timing::{median_ms, peak_bytes};
use serde_json::{Value as Json, json};
use std::path::Path;

const RUNS: usize = 5;

/// Set tags of the scenario.
pub(crate) const TAGS: usize = 10;

/// The tag and the value of a rank.
pub(crate) fn place_of(rank: usize) -> (usize, usize) {
    (rank % TAGS, rank / TAGS)
}

/// A tag's name.
pub(crate) fn tag_name(tag: usize) -> String {
    format!("tag_{tag}")
}

/// A value's text.
pub(crate) fn value_name(value: usize) -> String {
    format!("value_{value:03}")
}

/// A rank as a leaf.
pub(crate) fn leaf(tree: &Tree) -> String {
    match tree {
        Tree::Rank(rank) => {
            let (tag, value) = place_of(*rank);
            format!("{} == \"{}\"", tag_name(tag), value_name(value))
        }
        _ => String::new(),
    }
}

/// The texts of all its expressions.
pub(crate) fn texts(spec: &Spec) -> anyhow::Result<Vec<String>> {
    spec.scenario.trees.iter().map(|tree| tree.text(&leaf)).collect()
}

/// Asks the index of `folder`: `queries`, each `{count, ms}`.
pub(crate) async fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    let published = Published::open(folder).await?;
    let queries = texts(spec)?.into_iter().map(|text| {
        let (count, ms) = median_ms(RUNS, || published.count(&text))?;
        Ok(json!({ "count": count, "ms": ms }))
    });
    let queries = queries.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(json!({ "queries": queries, "peak_bytes": peak_bytes() }))
}
