//! `taghouse ingest`

use super::Context;
use super::ask::plain;
use crate::args::Ingest;
use crate::client::encode;
use crate::progress;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use std::path::PathBuf;
use taghouse_ingest::files_at;
use taghouse_rules::FileGlob;

/// Ingests files and prints what came of them.
pub(crate) async fn ingest(context: &Context, arguments: &Ingest) -> Result<()> {
    let how = How { allow_rejects: arguments.allow_rejects, replace: arguments.replace };
    let report = run(context, arguments.source.as_deref(), &arguments.paths, how).await?;
    context.print(&report, describe)?;
    let failed = report["failed"].as_array().into_iter().flatten();
    let failed: Vec<String> = failed.map(|file| format!("{}: {}", plain(&file["file"]), plain(&file["message"]))).collect();
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
}

/// How files are ingested.
#[derive(Default, Clone, Copy)]
pub(crate) struct How {
    allow_rejects: bool,
    replace: bool,
}

/// Ingests files and gives the report.
pub(crate) async fn run(context: &Context, source: Option<&str>, paths: &[PathBuf], how: How) -> Result<Value> {
    let app = context.app().await?;
    let mut body = json!({"source": source, "allow_rejects": how.allow_rejects, "replace": how.replace});
    if context.same_machine {
        let full = paths.iter().map(|path| std::fs::canonicalize(path).with_context(|| format!("reading {}", path.display())));
        body["paths"] = json!(full.collect::<Result<Vec<_>>>()?);
    } else {
        body["upload"] = json!(upload(context, &app, source, paths).await?);
    }
    let started = context.client.post(&format!("/api/v1/apps/{app}/ingest"), &body).await?;
    let mut ended = progress::follow_to_the_end(&context.client, &app, &started).await?;
    match (ended.results.remove("ingest"), ended.failure) {
        // Files that were refused fail the run; the report names them, and what landed all the same.
        (Some(report), _) => Ok(report),
        (None, failure) => bail!("{}", failure.unwrap_or_else(|| "the run has no report; see `taghouse runs`".to_owned())),
    }
}

/// Sends the files to a server that does not see our disk; it keeps them until they are ingested.
async fn upload(context: &Context, app: &str, source: Option<&str>, paths: &[PathBuf]) -> Result<String> {
    let pattern = pattern(context, app, source).await?;
    let upload = context.client.post(&format!("/api/v1/apps/{app}/uploads"), &json!({})).await?;
    let id = plain(&upload["id"]);
    for path in paths {
        let picked = path.is_dir();
        let found = files_at(path, pattern.as_ref()).with_context(|| format!("reading {}", path.display()))?;
        for file in found.into_iter().filter(|file| !picked || !file.name.rsplit('/').next().is_some_and(|name| name.starts_with('.'))) {
            let bytes = std::fs::File::open(&file.path).with_context(|| format!("reading {}", file.path.display()))?;
            let place = format!("/api/v1/apps/{app}/uploads/{id}/files?name={}&picked={picked}", encode(&file.name));
            context.client.put(&place, bytes).await.with_context(|| format!("sending {}", file.path.display()))?;
        }
    }
    Ok(id)
}

/// The pattern of the source, or of the only one that reads files: what it does not pick need not be sent.
async fn pattern(context: &Context, app: &str, source: Option<&str>) -> Result<Option<FileGlob>> {
    let answer = context.client.get(&format!("/api/v1/apps/{app}/definitions")).await?;
    let sources = answer["definitions"].as_array().into_iter().flatten().filter(|definition| definition["kind"] == "source");
    let meant = |definition: &&Value| match source {
        Some(source) => definition["name"] == source,
        None => definition["body"]["format"] != "segment",
    };
    let found: Vec<&Value> = sources.filter(meant).collect();
    // What is wrong with the choice is the server's to say.
    let [one] = found.as_slice() else { return Ok(None) };
    one["body"]["files"].as_str().map(FileGlob::parse).transpose().map_err(|e| anyhow!("{e}"))
}

/// The report for people.
pub(crate) fn describe(report: &Value) -> String {
    let mut rows = Vec::new();
    let mut push = |what: String, count: &Value| rows.push(vec![what, count.as_u64().map(thousands).unwrap_or_default()]);
    push("files new".to_owned(), &report["files_new"]);
    if report["files_replaced"] != 0 {
        push("files replaced".to_owned(), &report["files_replaced"]);
    }
    push("files unchanged".to_owned(), &report["files_unchanged"]);
    push("rows".to_owned(), &report["rows"]);
    for (event, count) in report["accepted"].as_object().into_iter().flatten() {
        push(format!("accepted: {event}"), count);
    }
    push("attributes".to_owned(), &report["attributes"]);
    for (reason, count) in report["rejected"].as_object().into_iter().flatten() {
        push(format!("rejected: {reason}"), count);
    }
    if report["replaced"] != 0 {
        push("halves of surrogate pairs replaced".to_owned(), &report["replaced"]);
    }
    push("filtered".to_owned(), &report["filtered"]);
    push("duplicates".to_owned(), &report["duplicates"]);
    push("milliseconds".to_owned(), &report["elapsed_ms"]);
    let mut text = table::render(&["ingested", "count"], &rows);
    for file in report["empty"].as_array().into_iter().flatten() {
        text += &format!("{} has no rows: it was passed over, and is read again when it comes with some\n", plain(file));
    }
    text + &share(report)
}

/// The last line where rows were rejected: how many of all.
fn share(report: &Value) -> String {
    let (Some(rejected @ 1..), Some(rows @ 1..)) = (report["rejected_total"].as_u64(), report["rows"].as_u64()) else {
        return String::new();
    };
    let tenths = (u128::from(rejected) * 1000 + u128::from(rows) / 2) / u128::from(rows);
    let share = if tenths == 0 { "under 0.1".to_owned() } else { format!("{}.{}", tenths / 10, tenths % 10) };
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
            assert_eq!(share(&json!({"rejected_total": rejected, "rows": rows})), expected);
        }
    }
}
