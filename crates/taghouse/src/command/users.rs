//! `taghouse users crowds`, `taghouse change`, `taghouse delete` and `taghouse compact`

use super::Context;
use super::ask::plain;
use crate::args::Change;
use crate::client::encode;
use crate::progress;
use crate::table::thousands;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use taghouse_wire::{
    ChangeBody, ChangesAnswer, ChangesRequest, CompactReport, CompactRequest, DeleteRequest,
    ReceiptBody, RunBody, TagList, TaskResult, UserCrowdsBody,
};

/// Prints the crowds that a user is in, one a line; which could not answer stands beside them.
#[allow(clippy::print_stderr, reason = "what a command tells its user")]
pub(crate) async fn crowds(context: &Context, id: &str) -> Result<()> {
    let path = context.path(&format!("users/{}/crowds", encode(id))).await?;
    let answer: UserCrowdsBody = context.client.get(&path).await?;
    context.print(&answer, |answer| {
        answer.crowds.iter().map(|crowd| format!("{}\n", crowd.crowd)).collect()
    })?;
    if context.json {
        return Ok(());
    }
    if answer.reason.is_some() {
        eprintln!("{id} was never seen");
    }
    for unanswered in &answer.unanswered {
        eprintln!("{}", unanswered.why);
    }
    let more = answer.unanswered_count.saturating_sub(answer.unanswered.len() as u64);
    if more > 0 {
        eprintln!("so it is with {} more", thousands(more));
    }
    Ok(())
}

/// Changes one value of one user.
pub(crate) async fn change(context: &Context, arguments: &Change) -> Result<()> {
    let mut change = ChangeBody {
        user: arguments.user.clone(),
        tag: arguments.tag.clone(),
        set: None,
        unset: None,
        add: None,
        remove: None,
    };
    if let Some(text) = &arguments.value {
        change.set = Some(value(context, &arguments.tag, text).await?);
    } else if let Some(member) = &arguments.add {
        change.add = Some(member.clone());
    } else if let Some(member) = &arguments.remove {
        change.remove = Some(member.clone());
    } else {
        change.unset = Some(true);
    }
    let body = ChangesRequest { changes: vec![change], create: arguments.create };
    let answer: ChangesAnswer = context.client.post(&context.path("changes").await?, &body).await?;
    context.print(&answer, |answer| format!("changed, at position {}\n", answer.position))
}

/// The text as JSON of the tag's type: on a command line `5` may be a number or a text.
async fn value(context: &Context, tag: &str, text: &str) -> Result<Value> {
    let tags: TagList = context.client.get(&context.path("tags").await?).await?;
    let value_type =
        tags.tags.iter().find(|known| known.name == tag).map(|known| known.value_type.as_str());
    Ok(match value_type {
        Some("bool" | "int") => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Some("set") => json!(
            text.split(',').map(str::trim).filter(|member| !member.is_empty()).collect::<Vec<_>>()
        ),
        _ => json!(text),
    })
}

/// Deletes users and prints the receipt.
pub(crate) async fn delete(context: &Context, users: &[String]) -> Result<()> {
    let body = DeleteRequest { users: users.to_vec() };
    let receipt: ReceiptBody =
        context.client.post(&context.path("users/delete").await?, &body).await?;
    context.print(&receipt, |receipt| {
        let whom = if receipt.users.is_empty() { "nobody".to_owned() } else { receipt.users.join(", ") };
        let mut text = format!("deleted {whom} at {}\n", receipt.deleted_at);
        for tag in &receipt.tags {
            text += &format!("  {}: {} was {}\n", tag.user, tag.tag, plain(&tag.value));
        }
        if !receipt.unknown.is_empty() {
            text += &format!("not known, and remembered as deleted: {}\n", receipt.unknown.join(", "));
        }
        text += &format!("receipt {}\n", receipt.receipt);
        text += "no crowd answers with them; the files of its versions are rewritten within a minute\n";
        text + "events and attributes in the lake are kept: of these ids only newer ones make users again\n"
    })
}

/// Renumbers the users and prints the result.
pub(crate) async fn compact(context: &Context, expire: Option<&str>) -> Result<()> {
    let app = context.app().await?;
    let body = CompactRequest { expire: expire.map(|expire| json!(expire)) };
    let started: RunBody =
        context.client.post(&format!("/api/v1/apps/{app}/compact"), &body).await?;
    let reports = progress::follow(&context.client, &app, &started.id).await?.reports;
    let report = reports.into_iter().find_map(|report| {
        if let TaskResult::Compact(report) = report { Some(report) } else { None }
    });
    context.print(&report.context(progress::NO_REPORT)?, describe)
}

fn describe(report: &CompactReport) -> String {
    format!(
        "{} of {} users expired, {} are left, numbered under generation {}; the dictionary took {} bytes and takes {}\n",
        thousands(report.expired),
        thousands(report.users_before),
        thousands(report.users),
        report.generation,
        thousands(report.dictionary_bytes_before),
        thousands(report.dictionary_bytes),
    )
}
