//! `taghouse import`

use super::Context;
use super::produce::{crowd_table, warned};
use crate::args::{Import, ImportTo};
use crate::client::encode;
use crate::progress;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::json;
use std::path::Path;
use taghouse_wire::{
    CrowdReport, ImportMode, ImportReport, ImportRequest, RunBody, TaskResult, Upload,
};

/// What was imported, and computed after that.
#[derive(Serialize)]
struct ImportedCrowds {
    import: ImportReport,
    /// The crowds that are made of it, in order of name.
    crowds: Vec<CrowdReport>,
    warnings: Vec<String>,
}

/// Imports a file of ids into a crowd.
pub(crate) async fn import(context: &Context, arguments: &Import) -> Result<()> {
    let app = context.app().await?;
    let started = match &arguments.file {
        Some(file) => start(context, &app, arguments, file).await?,
        None if arguments.mode == ImportTo::Replace => {
            let place = format!("/api/v1/apps/{app}/crowds/{}/pull", encode(&arguments.crowd));
            context.client.post(&place, &json!({})).await?
        }
        None => bail!("the file of a link takes the place of the one before: leave --mode out"),
    };
    let ended = progress::follow(&context.client, &app, &started.id).await?;

    let (mut report, mut crowds) = (None, Vec::new());
    for result in ended.reports {
        match result {
            TaskResult::Import(import) => report = Some(import),
            TaskResult::Crowd(crowd) => crowds.push(crowd),
            _ => {}
        }
    }
    crowds.sort_by(|a, b| a.name.cmp(&b.name));
    let import = report.context(progress::NO_REPORT)?;
    let imported = ImportedCrowds { import, crowds, warnings: ended.warnings };
    context.print(&imported, |imported| {
        let crowds =
            if imported.crowds.is_empty() { String::new() } else { crowd_table(&imported.crowds) };
        let what = if arguments.file.is_some() { "this batch" } else { "the file of its link" };
        format!("{}{crowds}{}", described(&imported.import, what), warned(&imported.warnings))
    })
}

async fn start(context: &Context, app: &str, arguments: &Import, file: &Path) -> Result<RunBody> {
    let (mut path, mut upload) = (None, None);
    if context.same_machine {
        let full =
            std::fs::canonicalize(file).with_context(|| format!("reading {}", file.display()))?;
        path = Some(full.to_str().context("the path of the file is not UTF-8")?.to_owned());
    } else {
        upload = Some(send(context, app, file).await?);
    }
    let request = ImportRequest {
        path,
        upload,
        mode: match arguments.mode {
            ImportTo::Replace => ImportMode::Replace,
            ImportTo::Append => ImportMode::Append,
            ImportTo::Remove => ImportMode::Remove,
        },
        column: arguments.column.clone(),
        header: arguments.no_header.then_some(false).or(arguments.header.then_some(true)),
        batch: arguments.batch.clone(),
    };
    let place = format!("/api/v1/apps/{app}/crowds/{}/import", encode(&arguments.crowd));
    context.client.post(&place, &request).await
}

/// Sends the file to a server that does not see our disk; it keeps it until it is imported.
async fn send(context: &Context, app: &str, file: &Path) -> Result<String> {
    let reading = || format!("reading {}", file.display());
    let bytes = std::fs::File::open(file).with_context(reading)?;
    let name = file.file_name().and_then(|name| name.to_str()).with_context(reading)?;
    let Upload { id } =
        context.client.post(&format!("/api/v1/apps/{app}/uploads"), &json!({})).await?;
    let place = format!("/api/v1/apps/{app}/uploads/{id}/files?name={}", encode(name));
    context
        .client
        .put(&place, bytes)
        .await
        .with_context(|| format!("sending {}", file.display()))?;
    Ok(id)
}

fn described(report: &ImportReport, what: &str) -> String {
    let (crowd, version) = (&report.imported, report.version);
    if report.repeated {
        return format!(
            "{what} was imported before, as version {version} of {crowd}: nothing was changed\n"
        );
    }
    let counts = [
        ("rows", report.rows),
        ("matched", report.matched),
        ("duplicates", report.duplicates),
        ("unknown", report.unknown),
        ("invalid", report.invalid),
        ("members", report.size),
    ];
    let line = |(what, count): &(&str, u64)| vec![(*what).to_owned(), thousands(*count)];
    let rows: Vec<Vec<String>> = counts.iter().map(line).collect();
    let column = match &report.header {
        Some(name) => format!("{name:?}"),
        None => format!("{}, without a header", report.column),
    };
    let table = table::render(&[&format!("version {version} of {crowd}"), "count"], &rows);
    format!("{table}ids are in column {column}\n")
}
