//! `taghouse tags`, `crowds`, `runs`

use super::Context;
use super::ask::plain;
use crate::client::encode;
use crate::table::{self, thousands};
use anyhow::Result;
use serde_json::Value;

fn number(value: &Value) -> String {
    value.as_u64().map(thousands).unwrap_or_default()
}

fn rows(answer: &Value, list: &str, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    answer[list].as_array().into_iter().flatten().map(row).collect()
}

/// What its values leave open.
fn notes(tag: &Value) -> String {
    let changed = (tag["changed"] == true).then(|| "changed, not produced".to_owned());
    let left_out = tag["left_out"].as_object().into_iter().flatten().map(|(reason, count)| format!("{count} left out: {reason}"));
    changed.into_iter().chain(left_out).collect::<Vec<_>>().join("; ")
}

/// An expression may have a million characters; `--json` prints all.
const SHOWN_CHARS: usize = 160;

fn short(expression: &str) -> String {
    match expression.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &expression[..end]),
        None => expression.to_owned(),
    }
}

/// One time, or from the oldest to the newest.
fn as_of(item: &Value) -> String {
    match item["newest_as_of"].as_str() {
        Some(newest) => format!("{} to {newest}", plain(&item["as_of"])),
        None => plain(&item["as_of"]),
    }
}

/// Lists tags, or the most frequent values of one.
pub(crate) async fn tags(context: &Context, tag: Option<&str>) -> Result<()> {
    if let Some(tag) = tag {
        let answer = context.client.get(&context.path(&format!("tags/{}", encode(tag))).await?).await?;
        return context.print(&answer, |answer| {
            table::render(&["value", "users"], &rows(answer, "values", |value| vec![plain(&value["value"]), number(&value["users"])]))
        });
    }
    let answer = context.client.get(&context.path("tags").await?).await?;
    context.print(&answer, |answer| {
        let row = |tag: &Value| {
            vec![
                plain(&tag["name"]),
                plain(&tag["type"]),
                plain(&tag["kind"]),
                if tag["users"].is_null() { "not produced yet".to_owned() } else { number(&tag["users"]) },
                plain(&tag["sum"]),
                plain(&tag["as_of"]),
                notes(tag),
            ]
        };
        table::render(&["tag", "type", "kind", "users", "sum", "as of", ""], &rows(answer, "tags", row))
    })
}

/// Lists crowds, or the versions of one.
pub(crate) async fn crowds(context: &Context, crowd: Option<&str>) -> Result<()> {
    if let Some(crowd) = crowd {
        let answer = context.client.get(&context.path(&format!("crowds/{}/versions", encode(crowd))).await?).await?;
        return context.print(&answer, |answer| {
            let row = |version: &Value| {
                let current = if version["current"] == true { "current" } else { "" };
                let expression = short(&plain(&version["expression"]));
                vec![plain(&version["version"]), number(&version["size"]), as_of(version), current.to_owned(), expression]
            };
            table::render(&["version", "size", "as of", "", "expression"], &rows(answer, "versions", row))
        });
    }
    let answer = context.client.get(&context.path("crowds").await?).await?;
    context.print(&answer, |answer| {
        let row = |crowd: &Value| {
            let size = match (crowd["size"].is_null(), crowd["answering"].is_null()) {
                (true, false) => "changed, not computed".to_owned(),
                (true, true) => "not computed".to_owned(),
                _ => number(&crowd["size"]),
            };
            vec![plain(&crowd["name"]), size, plain(&crowd["version"]), as_of(crowd), short(&plain(&crowd["expression"]))]
        };
        table::render(&["crowd", "size", "version", "as of", "expression"], &rows(answer, "crowds", row))
    })
}

/// Lists the last runs.
pub(crate) async fn runs(context: &Context) -> Result<()> {
    let answer = context.client.get(&context.path("runs").await?).await?;
    context.print(&answer, |answer| {
        let row = |run: &Value| {
            vec![
                plain(&run["id"]),
                plain(&run["kind"]),
                plain(&run["state"]).replace('_', " "),
                plain(&run["started"]),
                plain(&run["elapsed_ms"]),
            ]
        };
        table::render(&["run", "kind", "state", "started", "ms"], &rows(answer, "runs", row))
    })
}
