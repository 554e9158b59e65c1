//! `taghouse audit`

use super::Context;
use crate::args::Audit;
use crate::client::encode;
use crate::table;
use anyhow::Result;
use taghouse_wire::{AuditLine, AuditPage};

/// Lists lines of the audit trail, newest first.
pub(crate) async fn audit(context: &Context, arguments: &Audit) -> Result<()> {
    let texts = [
        ("action", &arguments.action),
        ("actor", &arguments.actor),
        ("from", &arguments.from),
        ("to", &arguments.to),
    ];
    let mut query = format!("limit={}", arguments.limit);
    for (name, text) in texts {
        if let Some(text) = text {
            query.push_str(&format!("&{name}={}", encode(text)));
        }
    }
    if let Some(before) = arguments.before {
        query.push_str(&format!("&before={before}"));
    }
    let path =
        if arguments.all_apps { "/api/v1/audit".to_owned() } else { context.path("audit").await? };
    let answer: AuditPage = context.client.get(&format!("{path}?{query}")).await?;
    context.print(&answer, |answer| {
        let cells = |line: &AuditLine| {
            [&line.at, &line.actor, &line.action, &line.outcome, &line.subject]
                .map(String::clone)
                .to_vec()
        };
        table::render(
            &["at", "key", "action", "outcome", "subject"],
            &answer.lines.iter().map(cells).collect::<Vec<_>>(),
        )
    })?;
    if let (Some(next), false) = (answer.next, context.json) {
        tell(&format!("there are more: taghouse audit --before {next}"));
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "beside the table, not in it")]
fn tell(line: &str) {
    eprintln!("{line}");
}
