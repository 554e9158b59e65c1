//! `taghouse audit`

use super::Context;
use super::ask::plain;
use crate::args::Audit;
use crate::client::encode;
use crate::table;
use anyhow::Result;
use serde_json::Value;

/// Lists lines of the audit trail, newest first.
pub(crate) async fn audit(context: &Context, arguments: &Audit) -> Result<()> {
    let texts = [("action", &arguments.action), ("actor", &arguments.actor), ("from", &arguments.from), ("to", &arguments.to)];
    let mut query = format!("limit={}", arguments.limit);
    for (name, text) in texts {
        if let Some(text) = text {
            query.push_str(&format!("&{name}={}", encode(text)));
        }
    }
    if let Some(before) = arguments.before {
        query.push_str(&format!("&before={before}"));
    }
    let path = if arguments.all_apps { "/api/v1/audit".to_owned() } else { context.path("audit").await? };
    let answer = context.client.get(&format!("{path}?{query}")).await?;
    context.print(&answer, |answer| {
        let lines = answer["lines"].as_array().into_iter().flatten();
        let row = |line: &Value| ["at", "actor", "action", "outcome", "subject"].iter().map(|name| plain(&line[*name])).collect();
        table::render(&["at", "key", "action", "outcome", "subject"], &lines.map(row).collect::<Vec<Vec<String>>>())
    })?;
    if !context.json && !answer["next"].is_null() {
        tell(&format!("there are more: taghouse audit --before {}", answer["next"]));
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "beside the table, not in it")]
fn tell(line: &str) {
    eprintln!("{line}");
}
