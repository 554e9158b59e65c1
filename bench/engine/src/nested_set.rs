//! `crowd.nested`: expressions of 2 to 20 leaves over dense, sparse and clustered sets, from the
//! text to the number of users.

use crate::crowd_spec::{Spec, Tree};
use crate::published::Published;
use crate::timing::{median_ms, peak_bytes};
use serde_json::{Value as Json, json};
use std::path::Path;

const RUNS: usize = 15;

/// Publishes the sets below `folder` and counts each expression: `queries`, each `{count, ms,
/// scratch_bytes, reads_bytes}`.
pub(crate) async fn run(spec: &Spec, folder: &Path) -> anyhow::Result<Json> {
    let published = Published::bools(folder, spec.users, &spec.nested.sets).await?;
    let queries = spec.nested.trees.iter().map(|tree| {
        let text = tree.text(&leaf)?;
        let (count, ms) = median_ms(RUNS, || published.count(&text))?;
        let query = published.query(&text)?;
        Ok(json!({ "count": count, "ms": ms, "scratch_bytes": query.scratch_bytes(), "reads_bytes": query.reads_bytes() }))
    });
    let queries = queries.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(json!({ "queries": queries, "peak_bytes": peak_bytes() }))
}

/// A bool tag as a leaf.
pub(crate) fn leaf(tree: &Tree) -> String {
    match tree {
        Tree::Name(name) => format!("{name} == true"),
        Tree::Rank(rank) => format!("t{rank} == true"),
        Tree::Node(_) => String::new(),
    }
}
