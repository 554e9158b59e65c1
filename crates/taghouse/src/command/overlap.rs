//! `taghouse overlap`

use super::Context;
use crate::args::Overlap;
use crate::table::{self, percent, thousands};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::Path;
use taghouse_wire::{OverlapAnswer, OverlapItem, OverlapRequest};

/// Prints how many users expressions have in common.
pub(crate) async fn overlap(context: &Context, arguments: &Overlap) -> Result<()> {
    let mut items = arguments.items.clone();
    if let Some(file) = &arguments.file {
        items.extend(
            read(file)?.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned),
        );
    }
    if items.is_empty() {
        bail!(
            "nothing to lay over one another: name crowds or other expressions, or a --file of them"
        );
    }
    let rows = items.into_iter().map(Value::String).collect();
    let body = OverlapRequest { rows, columns: None, jaccard: arguments.jaccard };
    let answer: OverlapAnswer = context.client.ask(&context.path("overlap").await?, &body).await?;
    context.print(&answer, describe)
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        return Ok(std::io::read_to_string(std::io::stdin())?);
    }
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// A square of numbers; the columns are the rows, by their numbers.
fn describe(answer: &OverlapAnswer) -> String {
    let numbers: Vec<String> = (1..=answer.rows.len()).map(|number| number.to_string()).collect();
    let headers: Vec<&str> =
        ["", "expression", "users"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    let cells: Vec<Vec<String>> = match &answer.jaccard {
        Some(shares) => {
            shares.iter().map(|row| row.iter().map(|share| percent(*share)).collect()).collect()
        }
        None => answer
            .counts
            .iter()
            .map(|row| row.iter().map(|count| thousands(*count)).collect())
            .collect(),
    };
    let rows = numbers.iter().zip(&answer.rows).zip(cells);
    let row = |((number, item), cells): ((&String, &OverlapItem), Vec<String>)| {
        [number.clone(), item.expression.clone(), thousands(item.users)]
            .into_iter()
            .chain(cells)
            .collect()
    };
    table::render(&headers, &rows.map(row).collect::<Vec<Vec<String>>>())
}
