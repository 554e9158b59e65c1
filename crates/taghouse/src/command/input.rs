//! `taghouse sources`, `files` and `rejected`: what was ingested, and what was not.

use super::Context;
use crate::args::{Files, Rejected};
use crate::client::encode;
use crate::table::{self, percent, thousands};
use anyhow::Result;
use taghouse_wire::{FileLine, FilePage, RejectedLine, RejectedList, SourceBody, SourceList};

/// How much of a rejected row is shown in the table, in characters.
const SHOWN_CHARS: usize = 60;

/// Lists the sources: how fresh, how much, how good.
pub(crate) async fn sources(context: &Context) -> Result<()> {
    let answer: SourceList = context.client.get(&context.path("sources").await?).await?;
    context.print(&answer, |answer| {
        let row = |source: &SourceBody| {
            vec![
                source.name.clone(),
                source.format.to_string(),
                source.files.map(thousands).unwrap_or_default(),
                thousands(source.rows),
                thousands(source.accepted),
                thousands(source.rejected),
                percent(source.rejected_share),
                thousands(source.last_rows),
                source.last_landed.as_deref().unwrap_or("never").to_owned(),
            ]
        };
        let rows: Vec<_> = answer.sources.iter().map(row).collect();
        let headers = [
            "source",
            "format",
            "files",
            "rows",
            "accepted",
            "rejected",
            "share",
            "last batch",
            "last landed",
        ];
        table::render(&headers, &rows)
    })
}

/// Lists the files that landed, newest first.
pub(crate) async fn files(context: &Context, arguments: &Files) -> Result<()> {
    let query =
        query(arguments.limit, &[("source", &arguments.source), ("after", &arguments.after)]);
    let answer: FilePage =
        context.client.get(&format!("{}?{query}", context.path("files").await?)).await?;
    context.print(&answer, |answer| {
        let row = |file: &FileLine| {
            let counts = [file.rows, file.accepted, file.rejected, file.filtered, file.duplicates]
                .map(thousands);
            [file.source.clone(), file.file.clone()]
                .into_iter()
                .chain(counts)
                .chain([file.landed.clone()])
                .collect()
        };
        let rows: Vec<Vec<String>> = answer.files.iter().map(row).collect();
        table::render(
            &["source", "file", "rows", "accepted", "rejected", "filtered", "duplicates", "landed"],
            &rows,
        )
    })?;
    tell_of_more(context, answer.next.as_deref(), "files");
    Ok(())
}

/// Lists rejected rows, newest first, and counts them by reason.
pub(crate) async fn rejected(context: &Context, arguments: &Rejected) -> Result<()> {
    let Rejected { source, reason, file, after, limit } = arguments;
    let query =
        query(*limit, &[("source", source), ("reason", reason), ("file", file), ("after", after)]);
    let answer: RejectedList =
        context.client.get(&format!("{}?{query}", context.path("rejected").await?)).await?;
    context.print(&answer, |answer| {
        let row = |row: &RejectedLine| {
            let place = match (&row.file, row.row) {
                (Some(file), Some(number)) => format!("{file} row {number}"),
                (Some(file), None) => file.clone(),
                (None, position) => position
                    .map_or_else(|| "call".to_owned(), |position| format!("call {position}")),
            };
            let raw = row.raw.as_deref().unwrap_or_default().chars().take(SHOWN_CHARS);
            let raw: String = raw.map(|c| if c.is_control() { ' ' } else { c }).collect();
            vec![row.source.clone(), place, row.reason.clone(), row.detail.clone(), raw]
        };
        let rows: Vec<_> = answer.rows.iter().map(row).collect();
        let counted: Vec<_> = answer
            .reasons
            .iter()
            .map(|(reason, count)| vec![reason.clone(), thousands(*count)])
            .collect();
        format!(
            "{}\n{}",
            table::render(&["rejected", "rows"], &counted),
            table::render(&["source", "row", "reason", "what is wrong", "row as it came"], &rows)
        )
    })?;
    tell_of_more(context, answer.next.as_deref(), "rejected");
    Ok(())
}

fn query(limit: usize, texts: &[(&str, &Option<String>)]) -> String {
    let given = texts
        .iter()
        .filter_map(|(name, text)| Some(format!("&{name}={}", encode(text.as_deref()?))));
    format!("limit={limit}{}", given.collect::<String>())
}

#[allow(clippy::print_stderr, reason = "beside the table, not in it")]
fn tell_of_more(context: &Context, next: Option<&str>, command: &str) {
    if let Some(next) = next.filter(|_| !context.json) {
        eprintln!("there are more: taghouse {command} --after '{next}'");
    }
}
