//! `taghouse histogram`

use super::Context;
use super::ask::{given, plain};
use crate::args::Histogram;
use crate::table::{self, percent, thousands};
use anyhow::Result;
use serde_json::Value;
use taghouse_wire::{HistogramAnswer, HistogramRequest};

/// The longest bar, in characters.
const BAR: u64 = 40;

/// Prints how a number is distributed.
pub(crate) async fn histogram(context: &Context, arguments: &Histogram) -> Result<()> {
    let edges: Vec<Value> = arguments.edges.iter().cloned().map(Value::String).collect();
    let body = HistogramRequest {
        tag: arguments.tag.clone(),
        expression: arguments.expression.as_deref().map(given).transpose()?,
        bins: arguments.bins,
        edges: (!edges.is_empty()).then_some(edges),
        quantiles: (!arguments.quantiles.is_empty()).then(|| arguments.quantiles.clone()),
    };
    let answer: HistogramAnswer =
        context.client.ask(&context.path("histogram").await?, &body).await?;
    context.print(&answer, |answer| format!("{}\n{}", drawn(answer), facts(answer)))
}

/// The bins, each with a bar.
fn drawn(answer: &HistogramAnswer) -> String {
    let most = answer.bins.iter().map(|bin| bin.users).max().unwrap_or(0).max(1);
    let share = |part: u64| percent((answer.count > 0).then(|| part as f64 / answer.count as f64));
    let mut rows = Vec::new();
    if answer.below > 0 {
        rows.push(vec![
            String::new(),
            "(below)".to_owned(),
            thousands(answer.below),
            share(answer.below),
            String::new(),
        ]);
    }
    for bin in &answer.bins {
        let bar = "#".repeat((bin.users * BAR / most) as usize);
        rows.push(vec![
            plain(&bin.from),
            plain(&bin.to),
            thousands(bin.users),
            share(bin.users),
            bar,
        ]);
    }
    if answer.above > 0 {
        rows.push(vec![
            "(above)".to_owned(),
            String::new(),
            thousands(answer.above),
            share(answer.above),
            String::new(),
        ]);
    }
    table::render(&["from", "to", "users", "share", ""], &rows)
}

/// What is known of all numbers together.
fn facts(answer: &HistogramAnswer) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let facts = [
        ("count", answer.count.to_string()),
        ("sum", text(&answer.sum)),
        ("average", text(&answer.average)),
        ("min", plain(&answer.min)),
        ("max", plain(&answer.max)),
    ];
    let quantiles = answer
        .quantiles
        .iter()
        .map(|found| (format!("p{}", (found.quantile * 1e6).round() / 1e4), plain(&found.value)));
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(quantiles);
    let rows: Vec<Vec<String>> = facts
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| vec![name, value])
        .collect();
    table::render(&["", "value"], &rows)
}
