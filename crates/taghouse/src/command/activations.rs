//! `taghouse activate` and `taghouse activations`

use super::Context;
use super::export::save;
use super::produce::warned;
use crate::args::{Activate, ActivationAction};
use crate::client::encode;
use crate::progress;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result};
use serde::Serialize;
use taghouse_wire::{
    ActivationBody, ActivationDelivery, ActivationDeliveryList, ActivationList, ActivationReport,
    RunBody, TaskResult,
};

/// What was sent.
#[derive(Serialize)]
struct Activated {
    #[serde(flatten)]
    report: ActivationReport,
    warnings: Vec<String>,
}

/// Sends the crowd of an activation.
pub(crate) async fn activate(context: &Context, arguments: &Activate) -> Result<()> {
    let app = context.app().await?;
    let path = path(context, &arguments.activation, "run").await?;
    let started: RunBody = context.client.post(&path, &serde_json::json!({})).await?;
    if !arguments.wait && !context.client.is_in_process() {
        return context.print(&started, |run| format!("run {} has begun\n", run.id));
    }
    let ended = progress::follow(&context.client, &app, &started.id).await?;
    let report = |report| match report {
        TaskResult::Activation(report) => Some(report),
        _ => None,
    };
    let report = ended.reports.into_iter().find_map(report).context(progress::NO_REPORT)?;
    context.print(&Activated { report, warnings: ended.warnings }, sent)
}

fn sent(activated: &Activated) -> String {
    let Activated { report, warnings } = activated;
    let delivery = &report.delivery;
    format!(
        "delivery {} of {}: version {} of crowd {}, {} to {}\n{} entered, {} left, {} failed; {} excluded, {} without consent\n{}",
        delivery.delivery,
        report.activation,
        delivery.version,
        delivery.crowd,
        what(delivery),
        report.destination,
        thousands(delivery.entered),
        thousands(delivery.left),
        thousands(delivery.failed),
        thousands(delivery.suppressed),
        thousands(delivery.without_consent),
        warned(warnings),
    )
}

fn what(delivery: &ActivationDelivery) -> String {
    match delivery.since {
        None => "all members".to_owned(),
        Some(since) => format!("what changed since delivery {since}"),
    }
}

/// Lists activations, or shows what became of one.
pub(crate) async fn activations(
    context: &Context,
    action: Option<&ActivationAction>,
) -> Result<()> {
    match action {
        None | Some(ActivationAction::List) => {
            let all: ActivationList =
                context.client.get(&context.path("activations").await?).await?;
            context.print(&all, list)
        }
        Some(ActivationAction::Deliveries { activation }) => {
            let path = path(context, activation, "deliveries").await?;
            let all: ActivationDeliveryList = context.client.get(&path).await?;
            context.print(&all, deliveries)
        }
        Some(ActivationAction::Failed { activation, delivery, output }) => {
            let path = path(context, activation, &format!("deliveries/{delivery}/failed")).await?;
            save(context, &path, output.as_deref()).await
        }
    }
}

async fn path(context: &Context, activation: &str, rest: &str) -> Result<String> {
    context.path(&format!("activations/{}/{rest}", encode(activation))).await
}

fn list(all: &ActivationList) -> String {
    let row = |activation: &ActivationBody| {
        let last = activation.last.as_ref();
        let of = |of: &dyn Fn(&ActivationDelivery) -> String| last.map_or("–".to_owned(), of);
        vec![
            activation.name.clone(),
            activation.crowd.clone(),
            format!("{} {}", activation.destination, activation.place),
            activation.send.to_string(),
            of(&|last| last.delivery.to_string()),
            of(&|last| last.version.to_string()),
            of(&|last| last.state.to_string()),
            of(&|last| thousands(last.members)),
            of(&|last| thousands(last.failed)),
        ]
    };
    let headers =
        ["activation", "crowd", "to", "send", "delivery", "version", "state", "members", "failed"];
    let rows: Vec<_> = all.activations.iter().map(row).collect();
    let problems = all.activations.iter().filter_map(|activation| {
        let problem = activation.problem.as_ref()?;
        Some(format!("{}: {problem}\n", activation.name))
    });
    format!("{}{}", table::render(&headers, &rows), problems.collect::<String>())
}

fn deliveries(all: &ActivationDeliveryList) -> String {
    let row = |delivery: &ActivationDelivery| {
        vec![
            delivery.delivery.to_string(),
            delivery.started.clone(),
            delivery.state.to_string(),
            delivery.version.to_string(),
            what(delivery),
            thousands(delivery.entered),
            thousands(delivery.left),
            thousands(delivery.failed),
            delivery.error.clone().unwrap_or_default(),
        ]
    };
    let headers =
        ["delivery", "started", "state", "version", "sent", "entered", "left", "failed", "error"];
    table::render(&headers, &all.deliveries.iter().map(row).collect::<Vec<_>>())
}
