//! `taghouse group`

use super::Context;
use super::ask::{given, plain};
use crate::args::Group;
use crate::table::{self, thousands};
use anyhow::Result;
use serde_json::{Value, json};

/// Prints how many users have which values of two tags.
pub(crate) async fn group(context: &Context, arguments: &Group) -> Result<()> {
    let buckets = if arguments.equal_widths { "equal_widths" } else { "quantiles" };
    let axis = |tag: &str, limit: usize| json!({"tag": tag, "limit": limit, "buckets": buckets});
    let body = json!({
        "rows": axis(&arguments.rows, arguments.row_limit),
        "columns": axis(&arguments.columns, arguments.column_limit),
        "expression": arguments.expression.as_deref().map(given).transpose()?,
    });
    let answer = context.client.ask(&context.path("group").await?, &body).await?;
    context.print(&answer, |answer| describe(answer, &arguments.rows, &arguments.columns))
}

/// A table with totals. Rows and columns of nobody are left out.
fn describe(answer: &Value, row_tag: &str, column_tag: &str) -> String {
    let shown = |list: &str| -> Vec<(usize, Value)> {
        let headings = answer[list].as_array().cloned().unwrap_or_default();
        headings.into_iter().enumerate().filter(|(_, heading)| heading["users"] != 0).collect()
    };
    let (rows, columns) = (shown("rows"), shown("columns"));
    let number = |value: &Value| value.as_u64().map(thousands).unwrap_or_default();
    let corner = format!("{row_tag} \\ {column_tag}");
    let headers: Vec<String> =
        [corner].into_iter().chain(columns.iter().map(|(_, heading)| label(&heading["group"]))).chain(["all".to_owned()]).collect();
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|(row, heading)| {
            let counts = columns.iter().map(|(column, _)| number(&answer["counts"][row][column]));
            [label(&heading["group"])].into_iter().chain(counts).chain([number(&heading["users"])]).collect()
        })
        .collect();
    let totals = columns.iter().map(|(_, heading)| number(&heading["users"]));
    cells.push(["all".to_owned()].into_iter().chain(totals).chain([number(&answer["users"])]).collect());
    table::render(&headers.iter().map(String::as_str).collect::<Vec<_>>(), &cells)
}

/// A group in a word.
pub(crate) fn label(group: &Value) -> String {
    match group["kind"].as_str() {
        Some("value") => plain(&group["value"]),
        Some("range") if group["from"] == group["to"] => plain(&group["from"]),
        Some("range") => format!("{} to {}", plain(&group["from"]), plain(&group["to"])),
        Some("others") => "(others)".to_owned(),
        _ => "(none)".to_owned(),
    }
}
