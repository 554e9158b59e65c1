//! `taghouse refresh`

use super::Context;
use super::produce::{crowd_table, warned};
use crate::progress;
use anyhow::Result;
use serde::Serialize;
use taghouse_wire::{CrowdReport, RefreshRequest, RunBody, TaskResult};

/// What was computed.
#[derive(Serialize)]
struct Refreshed {
    /// In order of name.
    crowds: Vec<CrowdReport>,
    warnings: Vec<String>,
}

/// Computes crowds from the values that their tags have now.
pub(crate) async fn refresh(context: &Context, crowds: &[String], dependents: bool) -> Result<()> {
    let app = context.app().await?;
    let body = RefreshRequest { crowds: crowds.to_vec(), dependents };
    let started: RunBody =
        context.client.post(&format!("/api/v1/apps/{app}/refresh"), &body).await?;
    let ended = progress::follow(&context.client, &app, &started.id).await?;
    let report = |report| match report {
        TaskResult::Crowd(report) => Some(report),
        _ => None,
    };
    let mut crowds: Vec<CrowdReport> = ended.reports.into_iter().filter_map(report).collect();
    crowds.sort_by(|a, b| a.name.cmp(&b.name));
    let refreshed = Refreshed { crowds, warnings: ended.warnings };
    context.print(&refreshed, |refreshed| {
        format!("{}{}", crowd_table(&refreshed.crowds), warned(&refreshed.warnings))
    })
}
