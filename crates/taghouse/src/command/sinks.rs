//! `taghouse sinks`

use super::Context;
use crate::args::SinkAction;
use crate::client::encode;
use crate::table::{self, thousands};
use anyhow::{Result, bail};
use taghouse_wire::{
    DeadLetterBody, DeadLetterPage, DeliveryBody, DeliveryPage, ResendReport, ResendRequest,
    SinkTestReport,
};

/// Dead letters that one call sends again.
const AT_ONCE: u64 = 1000;

/// Tests a webhook, shows what became of its deliveries, or sends its dead letters again.
pub(crate) async fn sinks(context: &Context, action: &SinkAction) -> Result<()> {
    match action {
        SinkAction::Test { sink } => test(context, sink).await,
        SinkAction::Deliveries { sink, limit } => {
            let path = path(context, sink, &format!("deliveries?limit={limit}")).await?;
            let page: DeliveryPage = context.client.get(&path).await?;
            context.print(&page, deliveries)
        }
        SinkAction::DeadLetters { sink, limit } => {
            let path = path(context, sink, &format!("dead-letters?limit={limit}")).await?;
            let page: DeadLetterPage = context.client.get(&path).await?;
            context.print(&page, dead_letters)
        }
        SinkAction::Retry { sink, limit } => retry(context, sink, *limit).await,
    }
}

async fn path(context: &Context, sink: &str, rest: &str) -> Result<String> {
    context.path(&format!("sinks/{}/{rest}", encode(sink))).await
}

async fn test(context: &Context, sink: &str) -> Result<()> {
    let path = path(context, sink, "test").await?;
    let report: SinkTestReport = context.client.post(&path, &serde_json::json!({})).await?;
    context.print(&report, |report| match report.status {
        Some(status) if report.delivered => {
            let said = if report.said.is_empty() { "" } else { ": " };
            format!("delivered: {status} in {} ms{said}{}\n", report.latency_ms, report.said)
        }
        _ => String::new(),
    })?;
    match report.error {
        Some(error) => bail!("the test event was not delivered: {error}"),
        None => Ok(()),
    }
}

async fn retry(context: &Context, sink: &str, limit: Option<u64>) -> Result<()> {
    let path = path(context, sink, "dead-letters/retry").await?;
    let mut left = limit.unwrap_or(u64::MAX);
    let mut all = ResendReport { sent: 0, refused: 0, remaining: 0, error: None };
    loop {
        let limit = usize::try_from(left.min(AT_ONCE)).ok();
        let report: ResendReport = context.client.post(&path, &ResendRequest { limit }).await?;
        all.sent += report.sent;
        all.refused = report.refused;
        all.remaining = report.remaining;
        all.error = report.error;
        left = left.saturating_sub(report.sent + report.refused);
        // What is refused stays first, so a call that sends nothing would be the same again.
        if all.error.is_some() || report.sent == 0 || all.remaining == 0 || left == 0 {
            break;
        }
    }
    context.print(&all, |all| {
        format!(
            "sent {}, refused {}, {} dead letters left\n",
            thousands(all.sent),
            thousands(all.refused),
            thousands(all.remaining)
        )
    })?;
    match all.error {
        Some(error) => bail!("the receiver does not work: {error}"),
        None => Ok(()),
    }
}

fn deliveries(page: &DeliveryPage) -> String {
    let row = |line: &DeliveryBody| {
        vec![
            line.at.clone(),
            line.outcome.to_string(),
            line.status.map_or_else(|| "–".to_owned(), |status| status.to_string()),
            line.latency_ms.to_string(),
            line.attempt.to_string(),
            line.events.to_string(),
            line.first_id.clone(),
            line.last_id.clone(),
            line.error.clone().unwrap_or_default(),
        ]
    };
    let headers = ["at", "outcome", "status", "ms", "attempt", "events", "first", "last", "error"];
    table::render(&headers, &page.deliveries.iter().map(row).collect::<Vec<_>>())
}

fn dead_letters(page: &DeadLetterPage) -> String {
    let text =
        |line: &DeadLetterBody, name: &str| line.event[name].as_str().unwrap_or("–").to_owned();
    let row = |line: &DeadLetterBody| {
        vec![
            line.at.clone(),
            text(line, "id"),
            text(line, "type"),
            text(line, "subject"),
            line.attempts.to_string(),
            line.reason.clone(),
        ]
    };
    let headers = ["at", "event", "type", "user", "attempts", "reason"];
    let rows: Vec<_> = page.dead_letters.iter().map(row).collect();
    format!(
        "{}{} of {}\n",
        table::render(&headers, &rows),
        thousands(rows.len() as u64),
        thousands(page.total)
    )
}
