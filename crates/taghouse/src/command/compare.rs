//! `taghouse compare`

use super::Context;
use super::ask::{given, plain};
use super::group::label;
use crate::args::{Compare, CompareOrder};
use crate::table::{self, percent, thousands};
use anyhow::Result;
use serde_json::{Value, json};

/// Prints what a crowd has more or less often than its base.
pub(crate) async fn compare(context: &Context, arguments: &Compare) -> Result<()> {
    let order = match arguments.order {
        CompareOrder::Significance => "significance",
        CompareOrder::Index => "index",
    };
    let body = json!({
        "expression": given(&arguments.crowd)?,
        "base": arguments.base,
        "tags": arguments.tags,
        "min_users": arguments.min_users,
        "order": order,
        "limit": arguments.limit,
    });
    let answer = context.client.ask(&context.path("compare").await?, &body).await?;
    context.print(&answer, describe)
}

fn describe(answer: &Value) -> String {
    let number = |value: &Value| value.as_u64().map(thousands).unwrap_or_default();
    let index = |value: &Value| value.as_f64().map_or_else(|| "–".to_owned(), |index| format!("{index:.1}"));
    let values = answer["values"].as_array().into_iter().flatten();
    let rows: Vec<_> = values
        .map(|found| {
            vec![
                plain(&found["tag"]),
                label(&found["group"]),
                number(&found["crowd_users"]),
                percent(found["crowd_share"].as_f64()),
                percent(found["base_share"].as_f64()),
                index(&found["index"]),
                index(&found["low"]),
                index(&found["high"]),
            ]
        })
        .collect();
    let table = table::render(&["tag", "value", "users", "crowd", "base", "index", "from", "to"], &rows);
    let [crowd, base, found] = ["crowd", "base", "found"].map(|name| number(&answer[name]));
    format!("{table}\n{} of {found} values; {crowd} users in the crowd, {base} in the base; from and to: the 95% interval\n", rows.len())
}
