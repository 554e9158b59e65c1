//! `taghouse versions`

use super::Context;
use super::list::version_table;
use crate::args::VersionAction;
use crate::client::encode;
use crate::table::thousands;
use anyhow::Result;
use taghouse_wire::{DifferenceBody, MovedBody, PublishRequest, RolloutRequest, VersionList};

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
    format!("{sizes}{}{}", line("entered", entered), line("left", left))
}
