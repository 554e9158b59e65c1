//! `taghouse versions`

use super::Context;
use super::list::version_table;
use crate::args::VersionAction;
use crate::client::encode;
use crate::table::{self, thousands};
use anyhow::Result;
use std::cmp::Ordering;
use taghouse_wire::{
    AnsweredBody, DifferenceBody, MovedBody, PartChangeBody, PublishRequest, RolloutRequest,
    VersionList,
};

/// The longest bar of a trend, in characters.
const BAR_CHARS: u64 = 30;

/// Says which version of a crowd answers, keeps one, or compares two.
pub(crate) async fn versions(context: &Context, action: &VersionAction) -> Result<()> {
    let listed: VersionList = match action {
        VersionAction::Publish { crowd, version } => {
            let path = path(context, crowd, "publish").await?;
            context.client.post(&path, &PublishRequest { version: *version }).await?
        }
        VersionAction::Rollback { crowd, version } => {
            let path = path(context, crowd, "rollback").await?;
            context.client.post(&path, &PublishRequest { version: *version }).await?
        }
        VersionAction::Rollout { crowd, share, version, stages, every } => {
            let path = path(context, crowd, "rollout").await?;
            let request = RolloutRequest {
                version: *version,
                share: share.clone(),
                stages: stages.clone(),
                every: every.clone(),
            };
            context.client.post(&path, &request).await?
        }
        VersionAction::Pin { crowd, version } => {
            let path = path(context, crowd, &format!("versions/{version}/pin")).await?;
            context.client.mark(&path, true).await?
        }
        VersionAction::Unpin { crowd, version } => {
            let path = path(context, crowd, &format!("versions/{version}/pin")).await?;
            context.client.mark(&path, false).await?
        }
        VersionAction::Rows { crowd, version, output } => {
            let path = path(context, crowd, &format!("versions/{version}/rows")).await?;
            return super::export::save(context, &path, output.as_deref()).await;
        }
        VersionAction::Trend { crowd } => {
            let listed: VersionList =
                context.client.get(&path(context, crowd, "versions").await?).await?;
            return context.print(&listed, trend);
        }
        VersionAction::Diff { crowd, from, to, sample } => {
            let to = to.map(|to| format!("&to={to}")).unwrap_or_default();
            let query = format!("difference?from={from}{to}&sample={sample}");
            let found: DifferenceBody =
                context.client.get(&path(context, crowd, &query).await?).await?;
            return context.print(&found, difference);
        }
    };
    context.print(&listed, version_table)
}

async fn path(context: &Context, crowd: &str, rest: &str) -> Result<String> {
    context.path(&format!("crowds/{}/{rest}", encode(crowd))).await
}

fn difference(found: &DifferenceBody) -> String {
    let DifferenceBody { from, to, from_size, to_size, entered, left, .. } = found;
    let sizes = format!(
        "version {from}: {} members, version {to}: {}\n",
        thousands(*from_size),
        thousands(*to_size)
    );
    let line = |what: &str, moved: &MovedBody| {
        let some = match moved.sample.is_empty() {
            true => String::new(),
            false => format!(": {}", moved.sample.join(", ")),
        };
        let more =
            if moved.count > moved.sample.len() as u64 && !some.is_empty() { ", …" } else { "" };
        format!("{} {what}{some}{more}\n", thousands(moved.count))
    };
    let parts = part_table(&found.parts);
    let most = found.moved_most.as_ref().map(|text| format!("moved most: {text}\n"));
    let most = most.unwrap_or_default();
    format!("{sizes}{}{}{parts}{most}", line("entered", entered), line("left", left))
}

/// For how many users each part of the rule held.
fn part_table(parts: &[PartChangeBody]) -> String {
    if parts.is_empty() {
        return String::new();
    }
    let row = |part: &PartChangeBody| {
        let indent = "  ".repeat(usize::try_from(part.depth).unwrap_or(0));
        vec![
            thousands(part.from),
            thousands(part.to),
            signed(part.from, part.to),
            format!("{indent}{}", part.text),
        ]
    };
    let rows: Vec<Vec<String>> = parts.iter().map(row).collect();
    table::render(&["before", "after", "change", "part of the rule"], &rows)
}

fn signed(from: u64, to: u64) -> String {
    match to.cmp(&from) {
        Ordering::Equal => "0".to_owned(),
        Ordering::Greater => format!("+{}", thousands(to - from)),
        Ordering::Less => format!("-{}", thousands(from - to)),
    }
}

/// The sizes of the versions that answered, newest first.
fn trend(listed: &VersionList) -> String {
    let largest = listed.answered.iter().filter_map(|of| of.size).max().unwrap_or(0);
    let before = listed.answered.iter().skip(1).map(|of| of.size).chain([None]);
    let row = |(of, before): (&AnsweredBody, Option<u64>)| {
        let change = before.zip(of.size).map(|(before, now)| signed(before, now));
        let bar = of.size.map_or(0, |size| (size * BAR_CHARS).div_ceil(largest.max(1)));
        vec![
            of.since.clone(),
            of.version.to_string(),
            of.size.map_or_else(|| "?".to_owned(), thousands),
            change.unwrap_or_default(),
            "█".repeat(usize::try_from(bar).unwrap_or(0)),
        ]
    };
    let rows: Vec<Vec<String>> = listed.answered.iter().zip(before).map(row).collect();
    table::render(&["answered since", "version", "size", "change", ""], &rows)
}
