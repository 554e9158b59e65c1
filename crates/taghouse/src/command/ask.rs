//! `taghouse count`, `list`, `sample`, `judge`, `profile`

use super::Context;
use crate::client::encode;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::IsTerminal;

/// Prints how many users an expression holds for: the bare number, so that scripts can read it. Who looks at a slow one sees its bounds
/// meanwhile.
pub(crate) async fn count(context: &Context, expression: &str) -> Result<()> {
    let looking = std::io::stderr().is_terminal() && !context.json;
    let mut exact = None;
    let mut take = |mut line: Value| match line["exact"].as_bool() {
        Some(true) => {
            line.as_object_mut().map(|line| line.remove("exact"));
            exact = Some(line);
            Ok(())
        }
        Some(false) => {
            if looking {
                bounds(&line);
            }
            Ok(())
        }
        None => bail!("{}", line["error"]["detail"].as_str().unwrap_or("the count broke off")),
    };
    context.client.post_lines(&context.path("count/stream").await?, &json!({"expression": expression}), &mut take).await?;
    let answer = exact.context("the server ended the count without an answer: ask again")?;
    context.print(&answer, |answer| format!("{}\n", answer["count"]))
}

#[allow(clippy::print_stderr, reason = "what a command tells its user")]
fn bounds(line: &Value) {
    let number = |name: &str| line[name].as_u64().map(thousands).unwrap_or_default();
    eprintln!("between {} and {} …", number("at_least"), number("at_most"));
}

/// Prints a page of users, one a line; how to go on stands beside them, not among them.
#[allow(clippy::print_stderr, reason = "what a command tells its user")]
pub(crate) async fn list(context: &Context, expression: &str, limit: usize, after: Option<&str>) -> Result<()> {
    let body = json!({"expression": expression, "limit": limit, "after": after});
    let answer = context.client.post(&context.path("list").await?, &body).await?;
    context.print(&answer, one_a_line)?;
    if let (Some(next), false) = (answer["next"].as_str(), context.json) {
        eprintln!("of {} users; the next page: --after {next}", answer["count"].as_u64().map(thousands).unwrap_or_default());
    }
    Ok(())
}

fn one_a_line(answer: &Value) -> String {
    let users = answer["users"].as_array().into_iter().flatten();
    users.filter_map(Value::as_str).map(|user| format!("{user}\n")).collect()
}

/// Prints some users, one a line.
pub(crate) async fn sample(context: &Context, expression: &str, size: u32, seed: u64) -> Result<()> {
    let body = json!({"expression": expression, "size": size, "seed": seed});
    let answer = context.client.post(&context.path("sample").await?, &body).await?;
    context.print(&answer, one_a_line)
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
