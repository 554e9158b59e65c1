//! `taghouse sources`, `files` and `rejected`: what came in, and what did not.

use super::Context;
use super::ask::plain;
use crate::args::{Files, Rejected};
use crate::client::encode;
use crate::table::{self, percent, thousands};
use anyhow::Result;
use serde_json::Value;

/// So much of a rejected row is shown in the table, in characters.
const SHOWN_CHARS: usize = 60;

/// Lists the sources: how fresh, how much, how good.
pub(crate) async fn sources(context: &Context) -> Result<()> {
    let answer = context.client.get(&context.path("sources").await?).await?;
    context.print(&answer, |answer| {
        let row = |source: &Value| {
            let count = |name: &str| source[name].as_u64().map(thousands).unwrap_or_default();
            vec![
                plain(&source["name"]),
                plain(&source["format"]),
                count("files"),
                count("rows"),
                count("accepted"),
                count("rejected"),
                percent(source["rejected_share"].as_f64()),
                count("last_rows"),
                source["last_landed"].as_str().unwrap_or("never").to_owned(),
            ]
        };
        let rows: Vec<_> = answer["sources"].as_array().into_iter().flatten().map(row).collect();
        let headers = ["source", "format", "files", "rows", "accepted", "rejected", "share", "last batch", "last landed"];
        table::render(&headers, &rows)
    })
}

/// Lists the files that landed, newest first.
pub(crate) async fn files(context: &Context, arguments: &Files) -> Result<()> {
    let query = query(arguments.limit, &[("source", &arguments.source), ("after", &arguments.after)]);
    let answer = context.client.get(&format!("{}?{query}", context.path("files").await?)).await?;
    context.print(&answer, |answer| {
        let row = |file: &Value| {
            let count = |name: &str| file[name].as_u64().map(thousands).unwrap_or_default();
            let counts = ["rows", "accepted", "rejected", "filtered", "duplicates"].map(count);
            [plain(&file["source"]), plain(&file["file"])].into_iter().chain(counts).chain([plain(&file["landed"])]).collect()
        };
        let rows: Vec<Vec<String>> = answer["files"].as_array().into_iter().flatten().map(row).collect();
        table::render(&["source", "file", "rows", "accepted", "rejected", "filtered", "duplicates", "landed"], &rows)
    })?;
    tell_of_more(context, &answer, "files");
    Ok(())
}

/// Lists rejected rows, newest first, and counts them by reason.
pub(crate) async fn rejected(context: &Context, arguments: &Rejected) -> Result<()> {
    let Rejected { source, reason, file, after, limit } = arguments;
    let query = query(*limit, &[("source", source), ("reason", reason), ("file", file), ("after", after)]);
    let answer = context.client.get(&format!("{}?{query}", context.path("rejected").await?)).await?;
    context.print(&answer, |answer| {
        let row = |row: &Value| {
            let place = match (row["file"].as_str(), row["row"].as_i64()) {
                (Some(file), Some(number)) => format!("{file} row {number}"),
                (Some(file), None) => file.to_owned(),
                (None, position) => position.map_or_else(|| "call".to_owned(), |position| format!("call {position}")),
            };
            let raw: String = plain(&row["raw"]).chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
            vec![plain(&row["source"]), place, plain(&row["reason"]), plain(&row["detail"]), raw]
        };
        let rows: Vec<_> = answer["rows"].as_array().into_iter().flatten().map(row).collect();
        let reasons = answer["reasons"].as_object().into_iter().flatten();
        let counted: Vec<_> =
            reasons.map(|(reason, count)| vec![reason.clone(), count.as_u64().map(thousands).unwrap_or_default()]).collect();
        format!(
            "{}\n{}",
            table::render(&["rejected", "rows"], &counted),
            table::render(&["source", "row", "reason", "what is wrong", "row as it came"], &rows)
        )
    })?;
    tell_of_more(context, &answer, "rejected");
    Ok(())
}

fn query(limit: usize, texts: &[(&str, &Option<String>)]) -> String {
    let given = texts.iter().filter_map(|(name, text)| Some(format!("&{name}={}", encode(text.as_deref()?))));
    format!("limit={limit}{}", given.collect::<String>())
}

#[allow(clippy::print_stderr, reason = "beside the table, not in it")]
fn tell_of_more(context: &Context, answer: &Value, command: &str) {
    if let Some(next) = answer["next"].as_str().filter(|_| !context.json) {
        eprintln!("there are more: taghouse {command} --after '{next}'");
    }
}
