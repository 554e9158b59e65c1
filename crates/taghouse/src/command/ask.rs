//! `taghouse count`, `sample`, `judge`, `profile`

use super::Context;
use crate::client::encode;
use crate::table;
use anyhow::Result;
use serde_json::{Value, json};

/// Prints how many users an expression holds for: the bare number, so that scripts can read it.
pub(crate) async fn count(context: &Context, expression: &str) -> Result<()> {
    let answer = context.client.post(&context.path("count").await?, &json!({"expression": expression})).await?;
    context.print(&answer, |answer| format!("{}\n", answer["count"]))
}

/// Prints some users, one a line.
pub(crate) async fn sample(context: &Context, expression: &str, size: u32, seed: u64) -> Result<()> {
    let body = json!({"expression": expression, "size": size, "seed": seed});
    let answer = context.client.post(&context.path("sample").await?, &body).await?;
    context.print(&answer, |answer| {
        let users = answer["users"].as_array().into_iter().flatten();
        users.filter_map(Value::as_str).map(|user| format!("{user}\n")).collect()
    })
}

/// Prints `in` or `out`, with the version that says so.
pub(crate) async fn judge(context: &Context, user: &str, crowd: &str) -> Result<()> {
    let path = context.path(&format!("judge?user={}&crowd={}", encode(user), encode(crowd))).await?;
    let answer = context.client.get(&path).await?;
    context.print(&answer, |answer| {
        let verdict = if answer["in_crowd"] == true { "in" } else { "out" };
        let reason = answer["reason"].as_str().map(|reason| format!(", {reason}")).unwrap_or_default();
        format!("{verdict}: {user} and {crowd}, version {}{reason}\n", answer["version"])
    })
}

/// Prints all tag values of a user.
pub(crate) async fn profile(context: &Context, user: &str) -> Result<()> {
    let answer = context.client.get(&context.path(&format!("profile?user={}", encode(user))).await?).await?;
    context.print(&answer, |answer| {
        let tags = answer["tags"].as_object().into_iter().flatten();
        let rows: Vec<_> = tags.map(|(name, value)| vec![name.clone(), plain(value)]).collect();
        table::render(&["tag", "value"], &rows)
    })
}

/// A JSON value as a cell: text without quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
