//! `taghouse produce`

use super::Context;
use crate::args::Produce;
use crate::progress;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result};
use serde::Serialize;
use taghouse_wire::{CrowdReport, ProduceReport, ProduceRequest, RunBody, TaskResult};

/// What a production made.
#[derive(Serialize)]
pub(crate) struct Produced {
    #[serde(flatten)]
    tags: ProduceReport,
    /// In order of name.
    crowds: Vec<CrowdReport>,
    warnings: Vec<String>,
}

/// Produces tags and crowds and prints them with sizes.
pub(crate) async fn produce(context: &Context, arguments: &Produce) -> Result<()> {
    let produced = run(context, arguments.as_of.as_deref(), &arguments.tags).await?;
    context.print(&produced, describe)
}

/// Produces, and gives the report of tags and crowds.
pub(crate) async fn run(
    context: &Context,
    as_of: Option<&str>,
    tags: &[String],
) -> Result<Produced> {
    let app = context.app().await?;
    let body = ProduceRequest {
        as_of: as_of.map(str::to_owned),
        tags: (!tags.is_empty()).then(|| tags.to_vec()),
    };
    let started: RunBody =
        context.client.post(&format!("/api/v1/apps/{app}/produce"), &body).await?;
    let ended = progress::follow(&context.client, &app, &started.id).await?;
    let (mut tags, mut crowds) = (None, Vec::new());
    for report in ended.reports {
        match report {
            TaskResult::Produce(report) => tags = Some(report),
            TaskResult::Crowd(report) => crowds.push(report),
            _ => {}
        }
    }
    crowds.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Produced { tags: tags.context(progress::NO_REPORT)?, crowds, warnings: ended.warnings })
}

/// The report for people.
pub(crate) fn describe(produced: &Produced) -> String {
    let line = |name: &String, size: u64, elapsed_ms: u64| {
        vec![name.clone(), thousands(size), elapsed_ms.to_string()]
    };
    let tags: Vec<_> =
        produced.tags.tags.iter().map(|tag| line(&tag.name, tag.users, tag.elapsed_ms)).collect();
    format!(
        "{}\n{}\n{} users, {} events read, as of {}, {} ms\n{}",
        table::render(&["tag", "users", "ms"], &tags),
        crowd_table(&produced.crowds),
        thousands(produced.tags.users),
        thousands(produced.tags.events_read),
        produced.tags.as_of,
        produced.tags.elapsed_ms,
        warned(&produced.warnings),
    )
}

/// Crowds that were computed, with sizes.
pub(crate) fn crowd_table(crowds: &[CrowdReport]) -> String {
    let row = |crowd: &CrowdReport| {
        vec![crowd.name.clone(), thousands(crowd.size), crowd.elapsed_ms.to_string()]
    };
    table::render(&["crowd", "size", "ms"], &crowds.iter().map(row).collect::<Vec<_>>())
}

/// What a run that succeeded warns of.
pub(crate) fn warned(warnings: &[String]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let lines: String = warnings.iter().map(|warning| format!("  {warning}\n")).collect();
    format!("succeeded with warnings:\n{lines}")
}
