//! `taghouse ingest`

use super::Context;
use crate::args::Ingest;
use crate::client::encode;
use crate::progress;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;
use std::path::PathBuf;
use taghouse_ingest::files_at;
use taghouse_rules::FileGlob;
use taghouse_wire::{
    DefinitionBody, DefinitionList, IngestReport, IngestRequest, RunBody, TaskResult, Upload,
};

/// Ingests files and prints the report.
pub(crate) async fn ingest(context: &Context, arguments: &Ingest) -> Result<()> {
    let how = How { allow_rejects: arguments.allow_rejects, replace: arguments.replace };
    let report = run(context, arguments.source.as_deref(), &arguments.paths, how).await?;
    context.print(&report, describe)?;
    let failed: Vec<String> =
        report.failed.iter().map(|file| format!("{}: {}", file.file, file.message)).collect();
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
}

/// How files are ingested.
#[derive(Default, Clone, Copy)]
pub(crate) struct How {
    allow_rejects: bool,
    replace: bool,
}

/// Ingests files and gives the report.
pub(crate) async fn run(
    context: &Context,
    source: Option<&str>,
    paths: &[PathBuf],
    how: How,
) -> Result<IngestReport> {
    let app = context.app().await?;
    let (mut files, mut sent) = (None, None);
    if context.same_machine {
        let full = paths.iter().map(|path| {
            std::fs::canonicalize(path).with_context(|| format!("reading {}", path.display()))
        });
        files = Some(full.collect::<Result<Vec<_>>>()?);
    } else {
        sent = Some(upload(context, &app, source, paths).await?);
    }
    let How { allow_rejects, replace } = how;
    let body = IngestRequest {
        source: source.map(str::to_owned),
        paths: files,
        upload: sent,
        allow_rejects,
        replace,
    };
    let started: RunBody =
        context.client.post(&format!("/api/v1/apps/{app}/ingest"), &body).await?;
    let ended = progress::follow_to_the_end(&context.client, &app, &started.id).await?;
    let report = ended.reports.into_iter().find_map(|report| {
        if let TaskResult::Ingest(report) = report { Some(report) } else { None }
    });
    // Files that were refused fail the run; the report names them, and what landed all the same.
    report.with_context(|| ended.failure.unwrap_or_else(|| progress::NO_REPORT.to_owned()))
}

/// Sends the files to a server that does not see our disk; it keeps them until they are ingested.
async fn upload(
    context: &Context,
    app: &str,
    source: Option<&str>,
    paths: &[PathBuf],
) -> Result<String> {
    let pattern = pattern(context, app, source).await?;
    let Upload { id } =
        context.client.post(&format!("/api/v1/apps/{app}/uploads"), &json!({})).await?;
    for path in paths {
        let picked = path.is_dir();
        let found = files_at(path, pattern.as_ref())
            .with_context(|| format!("reading {}", path.display()))?;
        for file in found.into_iter().filter(|file| {
            !picked || !file.name.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
        }) {
            let bytes = std::fs::File::open(&file.path)
                .with_context(|| format!("reading {}", file.path.display()))?;
            let place = format!(
                "/api/v1/apps/{app}/uploads/{id}/files?name={}&picked={picked}",
                encode(&file.name)
            );
            context
                .client
                .put(&place, bytes)
                .await
                .with_context(|| format!("sending {}", file.path.display()))?;
        }
    }
    Ok(id)
}

/// The pattern of the source, or of the only one that reads files: what it does not pick need not
/// be sent.
async fn pattern(context: &Context, app: &str, source: Option<&str>) -> Result<Option<FileGlob>> {
    let answer: DefinitionList =
        context.client.get(&format!("/api/v1/apps/{app}/definitions")).await?;
    let sources = answer.definitions.iter().filter(|definition| definition.kind == "source");
    let meant = |definition: &&DefinitionBody| match source {
        Some(source) => definition.name == source,
        None => definition.body["format"] != "segment",
    };
    let found: Vec<&DefinitionBody> = sources.filter(meant).collect();
    // What is wrong with the choice is the server's to say.
    let [one] = found.as_slice() else { return Ok(None) };
    one.body["files"].as_str().map(FileGlob::parse).transpose().map_err(|e| anyhow!("{e}"))
}

/// The report for people.
pub(crate) fn describe(report: &IngestReport) -> String {
    let mut rows = Vec::new();
    let mut push = |what: String, count: u64| rows.push(vec![what, thousands(count)]);
    push("files new".to_owned(), report.files_new);
    if report.files_replaced != 0 {
        push("files replaced".to_owned(), report.files_replaced);
    }
    push("files unchanged".to_owned(), report.files_unchanged);
    push("rows".to_owned(), report.rows);
    for (event, count) in &report.accepted {
        push(format!("accepted: {event}"), *count);
    }
    push("attributes".to_owned(), report.attributes);
    for (reason, count) in &report.rejected {
        push(format!("rejected: {reason}"), *count);
    }
    if report.replaced != 0 {
        push("halves of surrogate pairs replaced".to_owned(), report.replaced);
    }
    push("filtered".to_owned(), report.filtered);
    if report.suppressed != 0 {
        push("of suppressed ids".to_owned(), report.suppressed);
    }
    push("duplicates".to_owned(), report.duplicates);
    push("milliseconds".to_owned(), report.elapsed_ms);
    let mut text = table::render(&["ingested", "count"], &rows);
    for file in &report.empty {
        text += &format!(
            "{file} has no rows: it was skipped, and is read again if it has rows later\n"
        );
    }
    text + &share(report.rejected_total, report.rows)
}

/// The last line where rows were rejected: how many of all.
fn share(rejected: u64, rows: u64) -> String {
    if rejected == 0 || rows == 0 {
        return String::new();
    }
    let tenths = (u128::from(rejected) * 1000 + u128::from(rows) / 2) / u128::from(rows);
    let share = if tenths == 0 {
        "under 0.1".to_owned()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    format!("{} of {} rows were rejected ({share} %)\n", thousands(rejected), thousands(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_rejected_rows() {
        let cases = [
            (0, 10, ""),
            (1, 3, "1 of 3 rows were rejected (33.3 %)\n"),
            (9_430, 100_000, "9,430 of 100,000 rows were rejected (9.4 %)\n"),
            (1, 100_000, "1 of 100,000 rows were rejected (under 0.1 %)\n"),
            (7, 7, "7 of 7 rows were rejected (100.0 %)\n"),
        ];
        for (rejected, rows, expected) in cases {
            assert_eq!(share(rejected, rows), expected);
        }
    }
}
