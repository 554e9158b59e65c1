//! `taghouse count`, `list`, `sample`, `judge`, `profile`

use super::Context;
use crate::client::encode;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::IsTerminal;

/// Prints how many users an expression holds for: the bare number, so that scripts can read it. Who looks at a slow one sees its bounds
/// meanwhile.
#[allow(clippy::print_stderr, reason = "what a command tells its user")]
pub(crate) async fn count(context: &Context, expression: &str, strict_as_of: bool) -> Result<()> {
    let body = json!({"expression": given(expression)?, "strict_as_of": strict_as_of});
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
    context.client.post_lines(&context.path("count/stream").await?, &body, &mut take).await?;
    let answer = exact.context("the server ended the count without an answer: ask again")?;
    if let (Some(newest), false) = (answer["newest_as_of"].as_str(), context.json) {
        eprintln!(
            "the tags asked for were produced as of two times, from {} to {newest}; --strict-as-of refuses that",
            plain(&answer["as_of"])
        );
    }
    context.print(&answer, |answer| format!("{}\n", answer["count"]))
}

/// The longest file that an expression is read from, in bytes: as a JSON tree one is some times as long as text.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// An expression as given: itself, or with `@` before it the file that holds it, as text or as a JSON tree. (What the system lets one
/// argument have is less than an expression may have.)
pub(crate) fn given(expression: &str) -> Result<Value> {
    let Some(path) = expression.strip_prefix('@') else { return Ok(json!(expression)) };
    let bytes = std::fs::metadata(path).with_context(|| format!("the expression's file {path} cannot be read"))?.len();
    if bytes > MAX_FILE_BYTES {
        bail!("the file {path} has {bytes} bytes, more than the {MAX_FILE_BYTES} that an expression's may have");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("the expression's file {path} cannot be read"))?;
    let text = text.trim();
    if !text.starts_with('{') {
        return Ok(json!(text));
    }
    serde_json::from_str(text).with_context(|| format!("the file {path} begins as a JSON tree and is none"))
}

#[allow(clippy::print_stderr, reason = "what a command tells its user")]
fn bounds(line: &Value) {
    let number = |name: &str| line[name].as_u64().map(thousands).unwrap_or_default();
    eprintln!("between {} and {} …", number("at_least"), number("at_most"));
}

/// Prints a page of users, one a line; how to go on stands beside them, not among them.
#[allow(clippy::print_stderr, reason = "what a command tells its user")]
pub(crate) async fn list(context: &Context, expression: &str, limit: usize, after: Option<&str>) -> Result<()> {
    let body = json!({"expression": given(expression)?, "limit": limit, "after": after});
    let answer = context.client.ask(&context.path("list").await?, &body).await?;
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
    let body = json!({"expression": given(expression)?, "size": size, "seed": seed});
    let answer = context.client.ask(&context.path("sample").await?, &body).await?;
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
