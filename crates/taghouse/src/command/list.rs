//! `taghouse tags`, `crowds`, `runs`

use super::Context;
use super::ask::plain;
use crate::client::encode;
use crate::table::{self, thousands};
use anyhow::Result;
use taghouse_wire::{
    CrowdBody, CrowdList, CrowdState, RunLine, RunList, TagBody, TagList, TagValues, ValueCount,
    VersionBody, VersionList,
};

fn rows<T>(items: &[T], row: impl Fn(&T) -> Vec<String>) -> Vec<Vec<String>> {
    items.iter().map(row).collect()
}

/// What its values leave open.
fn notes(tag: &TagBody) -> String {
    let changed = tag.changed.then(|| "changed, not produced".to_owned());
    let left_out = tag.left_out.iter().map(|(reason, count)| format!("{count} left out: {reason}"));
    changed.into_iter().chain(left_out).collect::<Vec<_>>().join("; ")
}

/// An expression may have a million characters; `--json` prints all.
const SHOWN_CHARS: usize = 160;

fn short(expression: &str) -> String {
    // A query may stand on several lines.
    let expression = expression.replace(['\n', '\r', '\t'], " ");
    match expression.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &expression[..end]),
        None => expression,
    }
}

/// One time, or from the oldest to the newest.
fn as_of(oldest: Option<&str>, newest: Option<&str>) -> String {
    let oldest = oldest.unwrap_or_default();
    newest.map_or_else(|| oldest.to_owned(), |newest| format!("{oldest} to {newest}"))
}

/// Lists tags, or the most frequent values of one.
pub(crate) async fn tags(context: &Context, tag: Option<&str>) -> Result<()> {
    if let Some(tag) = tag {
        let answer: TagValues =
            context.client.get(&context.path(&format!("tags/{}", encode(tag))).await?).await?;
        return context.print(&answer, |answer| {
            let row = |found: &ValueCount| vec![plain(&found.value), thousands(found.users)];
            table::render(&["value", "users"], &rows(&answer.values, row))
        });
    }
    let answer: TagList = context.client.get(&context.path("tags").await?).await?;
    context.print(&answer, |answer| {
        let row = |tag: &TagBody| {
            vec![
                tag.name.clone(),
                tag.value_type.clone(),
                tag.kind.to_string(),
                tag.users.map_or_else(|| "not produced yet".to_owned(), thousands),
                tag.sum.clone().unwrap_or_default(),
                tag.as_of.clone().unwrap_or_default(),
                notes(tag),
            ]
        };
        table::render(
            &["tag", "type", "kind", "users", "sum", "as of", ""],
            &rows(&answer.tags, row),
        )
    })
}

/// The versions of a crowd, and what is to become of them.
pub(crate) fn version_table(answer: &VersionList) -> String {
    let row = |version: &VersionBody| {
        let as_of = as_of(version.as_of.as_deref(), version.newest_as_of.as_deref());
        vec![
            version.version.to_string(),
            thousands(version.size),
            as_of,
            version_notes(version),
            short(&version.expression),
        ]
    };
    let headers = ["version", "size", "as of", "", "expression"];
    let table = table::render(&headers, &rows(&answer.versions, row));
    let held = answer.held.as_ref().map(|since| {
        format!(
            "held since {since}: later versions wait; `taghouse versions publish {}` ends it\n",
            answer.name
        )
    });
    let rollout = answer.rollout.as_ref().map(|rollout| {
        let next = rollout.stages.first().map_or("100%", String::as_str);
        let next = match &rollout.next {
            Some(at) => format!("{next} from {at}"),
            None => format!("{next} when you say so"),
        };
        format!("version {} comes to {} of users, then to {next}\n", rollout.to, rollout.share)
    });
    format!("{table}{}{}", held.unwrap_or_default(), rollout.unwrap_or_default())
}

fn version_notes(version: &VersionBody) -> String {
    let blend = version
        .blend
        .as_ref()
        .map(|blend| format!("version {} for {}, else {}", blend.to, blend.share, blend.from));
    let notes = [
        version.current.then(|| "current".to_owned()),
        version.pinned.then(|| "pinned".to_owned()),
        blend,
        version.waits.as_ref().map(|waits| format!("waits: {waits}")),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Lists crowds, or the versions of one.
pub(crate) async fn crowds(context: &Context, crowd: Option<&str>) -> Result<()> {
    if let Some(crowd) = crowd {
        let answer: VersionList = context
            .client
            .get(&context.path(&format!("crowds/{}/versions", encode(crowd))).await?)
            .await?;
        return context.print(&answer, version_table);
    }
    let answer: CrowdList = context.client.get(&context.path("crowds").await?).await?;
    context.print(&answer, |answer| {
        let row = |crowd: &CrowdBody| {
            let size = match (crowd.size, &crowd.answering, &crowd.waiting) {
                (Some(size), _, _) => thousands(size),
                (None, _, Some(waiting)) => format!("version {} waits", waiting.version),
                (None, Some(of), None) if crowd.state == CrowdState::Held => {
                    format!("held at version {}", of.version)
                }
                (None, Some(_), None) => "changed, not computed".to_owned(),
                (None, None, None) => "not computed".to_owned(),
            };
            let live = if crowd.live { "live" } else { "" };
            let version = crowd.version.map_or_else(|| live.to_owned(), |v| v.to_string());
            let as_of = as_of(crowd.as_of.as_deref(), crowd.newest_as_of.as_deref());
            vec![crowd.name.clone(), size, version, as_of, short(&crowd.expression)]
        };
        table::render(
            &["crowd", "size", "version", "as of", "expression"],
            &rows(&answer.crowds, row),
        )
    })
}

/// Lists the last runs.
pub(crate) async fn runs(context: &Context) -> Result<()> {
    let answer: RunList = context.client.get(&context.path("runs").await?).await?;
    context.print(&answer, |answer| {
        let row = |run: &RunLine| {
            let ms = run.elapsed_ms.map(|ms| ms.to_string()).unwrap_or_default();
            vec![
                run.id.clone(),
                run.kind.clone(),
                run.state.replace('_', " "),
                run.started.clone(),
                ms,
            ]
        };
        table::render(&["run", "kind", "state", "started", "ms"], &rows(&answer.runs, row))
    })
}
