//! `taghouse compare`

use super::Context;
use super::ask::given;
use super::group::label;
use crate::args::{Compare, CompareOrder};
use crate::table::{self, percent, thousands};
use anyhow::Result;
use serde_json::Value;
use taghouse_wire::{ComparisonAnswer, ComparisonRequest, ContrastBody, OrderRequest};

/// Prints the values that are more or less frequent in a crowd than in its base.
pub(crate) async fn compare(context: &Context, arguments: &Compare) -> Result<()> {
    let order = match arguments.order {
        CompareOrder::Significance => OrderRequest::Significance,
        CompareOrder::Index => OrderRequest::Index,
    };
    let body = ComparisonRequest {
        expression: given(&arguments.crowd)?,
        base: arguments.base.clone().map(Value::String),
        tags: arguments.tags.clone(),
        min_users: Some(arguments.min_users),
        order,
        limit: Some(arguments.limit),
    };
    let answer: ComparisonAnswer =
        context.client.ask(&context.path("compare").await?, &body).await?;
    context.print(&answer, describe)
}

fn describe(answer: &ComparisonAnswer) -> String {
    let index =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |index| format!("{index:.1}"));
    let row = |found: &ContrastBody| {
        vec![
            found.tag.clone(),
            label(&found.group),
            thousands(found.crowd_users),
            percent(Some(found.crowd_share)),
            percent(Some(found.base_share)),
            index(found.index),
            index(found.low),
            index(found.high),
        ]
    };
    let rows: Vec<_> = answer.values.iter().map(row).collect();
    let table =
        table::render(&["tag", "value", "users", "crowd", "base", "index", "from", "to"], &rows);
    let [crowd, base, found] = [answer.crowd, answer.base, answer.found as u64].map(thousands);
    format!(
        "{table}\n{} of {found} values; {crowd} users in the crowd, {base} in the base; from and to: the 95% interval\n",
        rows.len()
    )
}
