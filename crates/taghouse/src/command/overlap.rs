//! `taghouse overlap`

use super::Context;
use super::ask::plain;
use crate::args::Overlap;
use crate::table::{self, percent, thousands};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::path::Path;

/// Prints how many users crowds, values and other expressions share.
pub(crate) async fn overlap(context: &Context, arguments: &Overlap) -> Result<()> {
    let mut items = arguments.items.clone();
    if let Some(file) = &arguments.file {
        items.extend(read(file)?.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    if items.is_empty() {
        bail!("nothing to lay over one another: name crowds or other expressions, or a --file of them");
    }
    let body = json!({"rows": items, "jaccard": arguments.jaccard});
    let answer = context.client.ask(&context.path("overlap").await?, &body).await?;
    context.print(&answer, |answer| describe(answer, arguments.jaccard))
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        return Ok(std::io::read_to_string(std::io::stdin())?);
    }
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// A square of numbers; the columns are the rows, by their numbers.
fn describe(answer: &Value, jaccard: bool) -> String {
    let items: Vec<&Value> = answer["rows"].as_array().into_iter().flatten().collect();
    let numbers: Vec<String> = (1..=items.len()).map(|number| number.to_string()).collect();
    let headers: Vec<&str> = ["", "expression", "users"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    let cell = |row: usize, column: usize| {
        if jaccard { percent(answer["jaccard"][row][column].as_f64()) } else { number(&answer["counts"][row][column]) }
    };
    let rows: Vec<Vec<String>> = items
        .iter()
        .enumerate()
        .map(|(row, item)| {
            let cells = (0..items.len()).map(|column| cell(row, column));
            [numbers[row].clone(), plain(&item["expression"]), number(&item["users"])].into_iter().chain(cells).collect()
        })
        .collect();
    table::render(&headers, &rows)
}

fn number(value: &Value) -> String {
    value.as_u64().map(thousands).unwrap_or_default()
}
