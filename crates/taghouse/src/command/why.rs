//! `taghouse why`

use super::Context;
use super::ask::{of_one, plain};
use anyhow::Result;
use std::fmt::Write;
use taghouse_wire::{WhyBody, WhyCrowd, WhyException, WhyPart, WhyTag};

/// Prints why a user is in a crowd or is not: the judgment, then the rule part by part.
pub(crate) async fn why(
    context: &Context,
    user: &str,
    crowd: &str,
    at_least: Option<u64>,
) -> Result<()> {
    let path = context.path(&format!("judge/why?{}", of_one(user, crowd, at_least))).await?;
    let answer: WhyBody = context.client.get(&path).await?;
    context.print(&answer, describe)
}

fn describe(answer: &WhyBody) -> String {
    let WhyBody { user, crowd, .. } = answer;
    let verdict = if answer.in_crowd { "in" } else { "out" };
    let mut text = match &answer.version {
        None => format!("{verdict}: {user} and {crowd}, live\n"),
        Some(version) => {
            let number = version.version;
            let of = version.as_of.as_ref().map(|at| format!(", of values as of {at}"));
            format!("{verdict}: {user} and {crowd}, version {number}{}\n", of.unwrap_or_default())
        }
    };
    if answer.reason.is_some() {
        return text + "the user was never seen\n";
    }
    text += match answer.exception {
        None => "",
        Some(WhyException::Always) => "the crowd names the user under `always`\n",
        Some(WhyException::Never) => "the crowd names the user under `never`\n",
        Some(WhyException::Holdout) => "the user is of the crowd's holdout\n",
    };
    if let Some(way) = &answer.masked {
        return text + &format!("the rule is not shown: {way}\n");
    }
    let Some(rule) = &answer.rule else {
        return text + "the crowd is not made by a rule: its version says it all\n";
    };
    if let Some(former) = answer.version.as_ref().and_then(|version| version.former_rule.as_ref()) {
        text += &format!("the version was computed by a former rule: {former}\n");
    }
    if answer.differs {
        text += "the rule says otherwise of the values of now: the next version will\n";
    }
    write_part(&mut text, rule, 0);
    text
}

fn write_part(text: &mut String, part: &WhyPart, depth: usize) {
    let indent = "  ".repeat(depth);
    let holds = if part.holds { "yes" } else { "no " };
    // Text lines: a write to them cannot fail.
    writeln!(text, "{holds} {indent}{}", part.text).ok();
    for asked in &part.tags {
        writeln!(text, "    {indent}  {}", tag(asked)).ok();
    }
    for asked in &part.crowds {
        writeln!(text, "    {indent}  {}", crowd(asked)).ok();
    }
    for inner in &part.parts {
        write_part(text, inner, depth + 1);
    }
}

fn tag(asked: &WhyTag) -> String {
    let name = asked.tag.as_deref().unwrap_or("what it counts");
    let is = match &asked.value {
        Some(value) => format!("is {}", plain(value)),
        None => "has no value".to_owned(),
    };
    let live = if asked.live { ", live" } else { "" };
    format!("{name} {is}, as of {}{live}", asked.as_of)
}

fn crowd(asked: &WhyCrowd) -> String {
    let WhyCrowd { crowd, in_crowd, version, live } = asked;
    let verdict = if *in_crowd { "in" } else { "out" };
    let version = if *live { "live".to_owned() } else { format!("version {version}") };
    format!("{crowd}: {verdict}, {version}")
}
