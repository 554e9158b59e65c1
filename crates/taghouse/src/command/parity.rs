//! `taghouse parity`

use super::Context;
use crate::args::Parity;
use crate::progress;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result};
use serde::Serialize;
use taghouse_wire::{ParityExample, ParityReport, ParityRequest, RunBody, TaskResult};

/// What a comparison found.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    report: ParityReport,
    warnings: Vec<String>,
}

/// Compares live tags with the batch and prints what differs.
pub(crate) async fn parity(context: &Context, arguments: &Parity) -> Result<()> {
    let app = context.app().await?;
    let body = ParityRequest { tag: arguments.tag.clone(), sample: Some(arguments.sample) };
    let started: RunBody =
        context.client.post(&format!("/api/v1/apps/{app}/parity"), &body).await?;
    let ended = progress::follow(&context.client, &app, &started.id).await?;
    let report = ended.reports.into_iter().find_map(|report| match report {
        TaskResult::Parity(report) => Some(report),
        _ => None,
    });
    let found = Found { report: report.context(progress::NO_REPORT)?, warnings: ended.warnings };
    context.print(&found, described)
}

fn described(found: &Found) -> String {
    let Found { report, warnings } = found;
    let warned: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    let Some(as_of) = &report.compared_as_of else { return warned };
    let count = |classes: &std::collections::BTreeMap<String, u64>, class: &str| {
        thousands(classes.get(class).copied().unwrap_or(0))
    };
    let tags: Vec<Vec<String>> = report
        .compared_tags
        .iter()
        .map(|tag| {
            let classes = ["in_flight", "by_hand", "computing", "defect"];
            let counts = classes.map(|class| count(&tag.differences, class));
            [tag.name.clone(), thousands(tag.values)].into_iter().chain(counts).collect()
        })
        .collect();
    let heads = ["tag", "values", "in flight", "by hand", "computing", "defect"];
    let mut text = table::render(&heads, &tags);
    if !report.examples.is_empty() {
        let rows: Vec<Vec<String>> = report.examples.iter().map(row).collect();
        let heads = ["user", "tag", "shown", "state", "batch", "class", "why"];
        text = format!("{text}\n{}", table::render(&heads, &rows));
    }
    format!(
        "{text}\n{} of {} users compared as of {as_of}, {} events read, {} ms\n{warned}",
        thousands(report.compared_users),
        thousands(report.known_users),
        thousands(report.events_read),
        report.elapsed_ms,
    )
}

fn row(example: &ParityExample) -> Vec<String> {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
    vec![
        example.user.clone(),
        example.tag.clone(),
        value(&example.shown),
        value(&example.state),
        value(&example.batch),
        example.class.clone(),
        example.why.clone(),
    ]
}
