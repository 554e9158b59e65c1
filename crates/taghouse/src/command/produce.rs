//! `taghouse produce`

use super::Context;
use super::ask::plain;
use crate::args::Produce;
use crate::progress;
use crate::table::{self, thousands};
use anyhow::Result;
use serde_json::{Value, json};

/// Produces tags and crowds and prints them with sizes.
pub(crate) async fn produce(context: &Context, arguments: &Produce) -> Result<()> {
    let report = run(context, arguments.as_of.as_deref(), &arguments.tags).await?;
    context.print(&report, describe)
}

/// Produces, and gives the report of tags and crowds.
pub(crate) async fn run(context: &Context, as_of: Option<&str>, tags: &[String]) -> Result<Value> {
    let app = context.app().await?;
    let mut body = json!({"as_of": as_of});
    if !tags.is_empty() {
        body["tags"] = json!(tags);
    }
    let started = context.client.post(&format!("/api/v1/apps/{app}/produce"), &body).await?;
    let ended = progress::follow(&context.client, &app, &started).await?;
    let (mut results, warnings) = (ended.results, ended.warnings);
    let mut report = results.remove("produce").unwrap_or_default();
    let mut crowds: Vec<Value> = results.into_iter().filter(|(name, _)| name.starts_with("crowd ")).map(|(_, crowd)| crowd).collect();
    crowds.sort_by_key(|crowd| plain(&crowd["name"]));
    report["crowds"] = json!(crowds);
    report["warnings"] = json!(warnings);
    Ok(report)
}

/// The report for people.
pub(crate) fn describe(report: &Value) -> String {
    let cells = |list: &str, size: &str| -> Vec<Vec<String>> {
        let items = report[list].as_array().into_iter().flatten();
        items
            .map(|item| vec![plain(&item["name"]), item[size].as_u64().map(thousands).unwrap_or_default(), plain(&item["elapsed_ms"])])
            .collect()
    };
    let warnings: Vec<String> = report["warnings"].as_array().into_iter().flatten().map(plain).collect();
    let warned = match warnings.len() {
        0 => String::new(),
        _ => format!("succeeded with warnings:\n{}", warnings.iter().map(|warning| format!("  {warning}\n")).collect::<String>()),
    };
    format!(
        "{}\n{}\n{} users, {} events read, as of {}, {} ms\n{warned}",
        table::render(&["tag", "users", "ms"], &cells("tags", "users")),
        table::render(&["crowd", "size", "ms"], &cells("crowds", "size")),
        report["users"].as_u64().map(thousands).unwrap_or_default(),
        report["events_read"].as_u64().map(thousands).unwrap_or_default(),
        plain(&report["as_of"]),
        report["elapsed_ms"],
    )
}
