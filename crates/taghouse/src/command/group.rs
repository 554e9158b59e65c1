//! `taghouse group`

use super::Context;
use super::ask::{given, plain};
use crate::args::Group;
use crate::table::{self, thousands};
use anyhow::Result;
use taghouse_wire::{
    AxisRequest, BucketsRequest, GroupAnswer, GroupBody, GroupRequest, HeadingBody,
};

/// Prints how many users have which values of two tags.
pub(crate) async fn group(context: &Context, arguments: &Group) -> Result<()> {
    let buckets = if arguments.equal_widths {
        BucketsRequest::EqualWidths
    } else {
        BucketsRequest::Quantiles
    };
    let axis =
        |tag: &str, limit: usize| AxisRequest { tag: tag.to_owned(), limit: Some(limit), buckets };
    let body = GroupRequest {
        rows: axis(&arguments.rows, arguments.row_limit),
        columns: axis(&arguments.columns, arguments.column_limit),
        expression: arguments.expression.as_deref().map(given).transpose()?,
    };
    let answer: GroupAnswer = context.client.ask(&context.path("group").await?, &body).await?;
    context.print(&answer, |answer| describe(answer, &arguments.rows, &arguments.columns))
}

/// A table with totals. Rows and columns of nobody are left out.
fn describe(answer: &GroupAnswer, row_tag: &str, column_tag: &str) -> String {
    let shown = |headings: &[HeadingBody]| {
        headings.iter().map(|heading| heading.users != 0).collect::<Vec<bool>>()
    };
    let columns = shown(&answer.columns);
    let headings = || answer.columns.iter().filter(|heading| heading.users != 0);
    let corner = format!("{row_tag} \\ {column_tag}");
    let headers: Vec<String> = [corner]
        .into_iter()
        .chain(headings().map(|heading| label(&heading.group)))
        .chain(["all".to_owned()])
        .collect();
    let rows = answer.rows.iter().zip(&answer.counts).filter(|(heading, _)| heading.users != 0);
    let mut cells: Vec<Vec<String>> = rows
        .map(|(heading, counts)| {
            let counts = counts
                .iter()
                .zip(&columns)
                .filter(|(_, shown)| **shown)
                .map(|(count, _)| thousands(*count));
            [label(&heading.group)]
                .into_iter()
                .chain(counts)
                .chain([thousands(heading.users)])
                .collect()
        })
        .collect();
    let totals = headings().map(|heading| thousands(heading.users));
    cells.push(
        ["all".to_owned()].into_iter().chain(totals).chain([thousands(answer.users)]).collect(),
    );
    table::render(&headers.iter().map(String::as_str).collect::<Vec<_>>(), &cells)
}

/// A group in a word.
pub(crate) fn label(group: &GroupBody) -> String {
    let text = |value: &Option<serde_json::Value>| value.as_ref().map(plain).unwrap_or_default();
    match group.kind.as_ref() {
        "value" => text(&group.value),
        "range" if group.from == group.to => text(&group.from),
        "range" => format!("{} to {}", text(&group.from), text(&group.to)),
        "others" => "(others)".to_owned(),
        _ => "(none)".to_owned(),
    }
}
