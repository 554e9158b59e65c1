//! The page of the API's operations, made from its description.

use super::definitions::cell;
use serde_json::Value;
use std::fmt::Write;

const HEAD: &str = "# All operations of the API

*This page is made from [openapi.json](openapi.json) by `make docs`. There stand the fields of each call and answer.*

How calls are made: [API](api.md).
";

/// The order of the sections is that in which they first come.
pub fn page(description: &Value) -> String {
    let mut sections: Vec<(String, String)> = Vec::new();
    for (path, methods) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, operation)| operation["operationId"].is_string())
        {
            let section = operation["tags"][0].as_str().unwrap_or("other");
            let line = row(path, method, operation);
            match sections.iter_mut().find(|(name, _)| name == section) {
                Some((_, rows)) => rows.push_str(&line),
                None => sections.push((section.to_owned(), line)),
            }
        }
    }
    let mut page = HEAD.to_owned();
    for (section, rows) in sections {
        _ = write!(
            page,
            "\n## {}\n\n| call | what it does |\n|---|---|\n{rows}",
            capital(&section)
        );
    }
    page
}

fn row(path: &str, method: &str, operation: &Value) -> String {
    let text = |key: &str| operation[key].as_str().unwrap_or_default();
    let both = [text("summary"), text("description")]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    format!("| `{} {path}` | {} |\n", method.to_uppercase(), cell(&both))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
