//! `taghouse histogram`

use super::Context;
use super::ask::plain;
use crate::args::Histogram;
use crate::table::{self, percent, thousands};
use anyhow::Result;
use serde_json::{Value, json};

/// The longest bar, in characters.
const BAR: u64 = 40;

/// Prints how a number is distributed.
pub(crate) async fn histogram(context: &Context, arguments: &Histogram) -> Result<()> {
    let given = |list: Value| if list.as_array().is_none_or(Vec::is_empty) { Value::Null } else { list };
    let body = json!({
        "tag": arguments.tag,
        "expression": arguments.expression.as_deref().map(super::ask::given).transpose()?,
        "bins": arguments.bins,
        "edges": given(json!(arguments.edges)),
        "quantiles": given(json!(arguments.quantiles)),
    });
    let answer = context.client.ask(&context.path("histogram").await?, &body).await?;
    context.print(&answer, describe)
}

fn describe(answer: &Value) -> String {
    let count = answer["count"].as_u64().unwrap_or(0);
    let bins: Vec<&Value> = answer["bins"].as_array().into_iter().flatten().collect();
    let users = |bin: &Value| bin["users"].as_u64().unwrap_or(0);
    let most = bins.iter().map(|bin| users(bin)).max().unwrap_or(0).max(1);
    let share = |part: u64| percent((count > 0).then(|| part as f64 / count as f64));
    let mut rows = Vec::new();
    let mut beside = |from: &str, to: &str, part: u64| {
        if part > 0 {
            rows.push(vec![from.to_owned(), to.to_owned(), thousands(part), share(part), String::new()]);
        }
    };
    beside("", "(below)", answer["below"].as_u64().unwrap_or(0));
    for bin in &bins {
        let bar = "#".repeat((users(bin) * BAR / most) as usize);
        rows.push(vec![plain(&bin["from"]), plain(&bin["to"]), thousands(users(bin)), share(users(bin)), bar]);
    }
    let above = answer["above"].as_u64().unwrap_or(0);
    if above > 0 {
        rows.push(vec!["(above)".to_owned(), String::new(), thousands(above), share(above), String::new()]);
    }
    let facts = ["count", "sum", "average", "min", "max"].map(|name| (name.to_owned(), plain(&answer[name])));
    let quantiles = answer["quantiles"].as_array().into_iter().flatten();
    let quantiles =
        quantiles.map(|found| (format!("p{}", (found["quantile"].as_f64().unwrap_or(0.0) * 1e6).round() / 1e4), plain(&found["value"])));
    let facts: Vec<Vec<String>> =
        facts.into_iter().chain(quantiles).filter(|(_, value)| !value.is_empty()).map(|(name, value)| vec![name, value]).collect();
    let (table, facts) = (table::render(&["from", "to", "users", "share", ""], &rows), table::render(&["", "value"], &facts));
    format!("{table}\n{facts}")
}
