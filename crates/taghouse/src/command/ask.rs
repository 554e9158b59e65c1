//! `taghouse count`, `list`, `sample`, `judge`, `profile`

use super::Context;
use crate::client::encode;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::IsTerminal;
use taghouse_wire::{
    CountLine, CountRequest, JudgmentBody, PageAnswer, PageRequest, ProfileBody, Refusal,
    SampleAnswer, SampleRequest,
};

/// Prints how many users match an expression: only the number, so that scripts can read it. On a
/// terminal, a slow count shows its bounds meanwhile.
#[allow(clippy::print_stderr, reason = "what a command tells its user")]
pub(crate) async fn count(context: &Context, expression: &str, strict_as_of: bool) -> Result<()> {
    let body = CountRequest { expression: given(expression)?, strict_as_of };
    let looking = std::io::stderr().is_terminal() && !context.json;
    let mut exact = None;
    let mut take = |line: CountLine<Refusal>| match line {
        CountLine::Exact { count, .. } => {
            exact = Some(count);
            Ok(())
        }
        CountLine::Bounds { estimate, .. } => {
            if looking {
                eprintln!(
                    "between {} and {} …",
                    thousands(estimate.at_least),
                    thousands(estimate.at_most)
                );
            }
            Ok(())
        }
        CountLine::Error { error } => bail!("{}", error.detail),
    };
    context.client.post_lines(&context.path("count/stream").await?, &body, &mut take).await?;
    let answer = exact.context("the server ended the count without an answer: ask again")?;
    if let (Some(newest), false) = (&answer.newest_as_of, context.json) {
        let oldest = answer.as_of.as_deref().unwrap_or_default();
        eprintln!(
            "the tags asked for were produced as of two times, from {oldest} to {newest}; --strict-as-of refuses that"
        );
    }
    context.print(&answer, |answer| format!("{}\n", answer.count))
}

/// The longest file that an expression is read from, in bytes: as a JSON tree one is some times as
/// long as text.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// An expression as given: itself, or with `@` before it the file that holds it, as text or as a
/// JSON tree. (What the system lets one argument have is less than an expression may have.)
pub(crate) fn given(expression: &str) -> Result<Value> {
    let Some(path) = expression.strip_prefix('@') else { return Ok(json!(expression)) };
    let bytes = std::fs::metadata(path)
        .with_context(|| format!("the expression's file {path} cannot be read"))?
        .len();
    if bytes > MAX_FILE_BYTES {
        bail!(
            "the file {path} has {bytes} bytes, more than the {MAX_FILE_BYTES} that an expression's may have"
        );
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the expression's file {path} cannot be read"))?;
    let text = text.trim();
    if !text.starts_with('{') {
        return Ok(json!(text));
    }
    serde_json::from_str(text)
        .with_context(|| format!("the file {path} begins like JSON but is not valid JSON"))
}

/// Prints a page of users, one a line; how to go on stands beside them, not among them.
#[allow(clippy::print_stderr, reason = "what a command tells its user")]
pub(crate) async fn list(
    context: &Context,
    expression: &str,
    limit: usize,
    after: Option<&str>,
) -> Result<()> {
    let body = PageRequest {
        expression: given(expression)?,
        after: after.map(str::to_owned),
        limit: Some(limit),
    };
    let answer: PageAnswer = context.client.ask(&context.path("list").await?, &body).await?;
    context.print(&answer, |answer| one_a_line(&answer.users))?;
    if let (Some(next), false) = (&answer.next, context.json) {
        eprintln!("of {} users; the next page: --after {next}", thousands(answer.count));
    }
    Ok(())
}

fn one_a_line(users: &[String]) -> String {
    users.iter().map(|user| format!("{user}\n")).collect()
}

/// Prints some users, one a line.
pub(crate) async fn sample(
    context: &Context,
    expression: &str,
    size: u32,
    seed: u64,
) -> Result<()> {
    let body = SampleRequest { expression: given(expression)?, size: Some(size), seed: Some(seed) };
    let answer: SampleAnswer = context.client.ask(&context.path("sample").await?, &body).await?;
    context.print(&answer, |answer| one_a_line(&answer.users))
}

/// The query of a judgment of one user and crowd.
pub(crate) fn of_one(user: &str, crowd: &str, at_least: Option<u64>) -> String {
    let at_least = at_least.map(|position| format!("&at_least={position}")).unwrap_or_default();
    format!("user={}&crowd={}{at_least}", encode(user), encode(crowd))
}

/// Prints `in` or `out`, with the version that says so.
pub(crate) async fn judge(
    context: &Context,
    user: &str,
    crowd: &str,
    at_least: Option<u64>,
) -> Result<()> {
    let path = context.path(&format!("judge?{}", of_one(user, crowd, at_least))).await?;
    let answer: JudgmentBody = context.client.get(&path).await?;
    context.print(&answer, |answer| {
        let verdict = if answer.in_crowd { "in" } else { "out" };
        let version =
            if answer.live { "live".to_owned() } else { format!("version {}", answer.version) };
        let reason = answer.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
        let arm = answer.arm.as_ref().map(|arm| format!(", arm {arm}")).unwrap_or_default();
        format!("{verdict}: {user} and {crowd}, {version}{arm}{reason}\n")
    })
}

/// Prints the tag values of a user: all, or those of some tags.
pub(crate) async fn profile(context: &Context, user: &str, tags: Option<&str>) -> Result<()> {
    let tags = tags.map(|tags| format!("&tags={}", encode(tags))).unwrap_or_default();
    let path = context.path(&format!("profile?user={}{tags}", encode(user))).await?;
    let answer: ProfileBody = context.client.get(&path).await?;
    context.print(&answer, |answer| {
        let shown = answer.tags.iter().map(|(name, value)| vec![name.clone(), plain(value)]);
        let masked = answer.masked.iter();
        let masked = masked.map(|(name, label)| vec![name.clone(), format!("masked: {label}")]);
        let rows: Vec<_> = shown.chain(masked).collect();
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
