//! `taghouse limits`

use super::Context;
use crate::table;
use anyhow::Result;
use taghouse_wire::{LimitBody, LimitList};

/// Lists the limits of the key and the app, with what is used of each.
pub(crate) async fn limits(context: &Context) -> Result<()> {
    let answer: LimitList = context.client.get(&context.path("limits").await?).await?;
    context.print(&answer, |answer| {
        let row = |limit: &LimitBody| {
            let number = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
            vec![
                limit.of.to_string(),
                limit.name.to_string(),
                number(limit.used),
                limit.allowed.map_or_else(|| "no limit".to_owned(), |allowed| allowed.to_string()),
                limit.about.to_string(),
                limit.flag.as_deref().unwrap_or_default().to_owned(),
            ]
        };
        let rows: Vec<_> = answer.limits.iter().map(row).collect();
        table::render(&["of", "limit", "used", "allowed", "about", "set by"], &rows)
    })
}
