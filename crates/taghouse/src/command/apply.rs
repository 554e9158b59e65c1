//! `taghouse apply`

use super::Context;
use crate::args::Apply;
use crate::client::apps;
use crate::table::{self, thousands};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use taghouse_model::AppId;
use taghouse_wire::{ApplyRequest, FileBody, Plan, PlannedChange, StateSizeBody};

/// The app of files that do not name one, if none exists yet.
const UNKNOWN_APP: &str = "unknown";

/// Sends all definition files of the paths and prints the plan.
pub(crate) async fn apply(context: &Context, arguments: &Apply) -> Result<()> {
    let mut paths = Vec::new();
    for path in &arguments.files {
        collect(path, &mut paths)?;
    }
    if paths.is_empty() && !arguments.all {
        bail!(
            "no .yaml or .yml file in {}",
            arguments
                .files
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let mut files = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        files.push((path.display().to_string(), text));
    }
    let how = How { dry_run: arguments.dry_run, prune: arguments.prune, all: arguments.all };
    let plan = send(context, &files, how).await?;
    context.print(&plan, describe)
}

/// How files are applied.
#[derive(Clone, Copy, Default)]
pub(crate) struct How {
    /// Only show what would change.
    pub(crate) dry_run: bool,
    /// Delete what the files do not name.
    pub(crate) prune: bool,
    /// Allow that everything is deleted.
    pub(crate) all: bool,
}

/// Sends definition texts; the app is the one named, or the one that the files define.
pub(crate) async fn send(context: &Context, files: &[(String, String)], how: How) -> Result<Plan> {
    let app = match context
        .named_app()
        .map(str::to_owned)
        .or_else(|| files.iter().find_map(|(_, text)| defined_app(text)))
    {
        Some(app) => app,
        None => match apps(&context.client).await?.as_slice() {
            // Nobody knows the app yet, the server neither: it says first what is wrong with the
            // files, and then that an app is missing.
            [] => UNKNOWN_APP.to_owned(),
            _ => context.app().await?,
        },
    };
    let files = files
        .iter()
        .map(|(path, text)| FileBody { path: path.clone(), text: text.clone() })
        .collect();
    let body = ApplyRequest { files, dry_run: how.dry_run, prune: how.prune, all: how.all };
    context.client.post(&format!("/api/v1/apps/{app}/definitions"), &body).await
}

/// Reads just the id of a `kind: app` document, to know where to send the files; the server checks
/// everything.
fn defined_app(text: &str) -> Option<String> {
    let documents = text.split("\n---");
    let value = |document: &'_ str, key: &str| -> Option<String> {
        let rest = document.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(rest.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned())
    };
    let app =
        documents.into_iter().find(|document| value(document, "kind").as_deref() == Some("app"))?;
    value(app, "id").filter(|id| AppId::new(id).is_ok())
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let about = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
    if !about.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut entries =
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        let yaml = entry.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if entry.is_dir() {
            collect(&entry, found)?;
        } else if yaml {
            found.push(entry);
        }
    }
    Ok(())
}

fn describe(plan: &Plan) -> String {
    let row = |change: &PlannedChange| {
        vec![change.action.to_string(), change.kind.clone(), change.name.clone()]
    };
    let rows: Vec<_> = plan.changes.iter().map(row).collect();
    let count = |action: &str| plan.changes.iter().filter(|change| change.action == action).count();
    let done = if plan.applied { "applied" } else { "dry run, nothing changed" };
    let counts = format!(
        "{} to create, {} to change, {} unchanged, {} to delete",
        count("create"),
        count("change"),
        count("unchanged"),
        count("delete")
    );
    let notes = plan.notes.iter().map(|note| format!("note: {note}\n"));
    format!(
        "{}{counts}: {done}\n{}{}",
        table::render(&["action", "kind", "name"], &rows),
        states(plan),
        notes.collect::<String>()
    )
}

/// What is kept of each user of live tags.
fn states(plan: &Plan) -> String {
    if plan.states.is_empty() {
        return String::new();
    }
    let row = |state: &StateSizeBody| {
        let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "unbounded".to_owned(), thousands);
        vec![
            state.kind.clone(),
            state.name.clone(),
            bytes(state.bytes_per_user),
            bytes(state.bytes_of_all_users),
        ]
    };
    let rows: Vec<_> = plan.states.iter().map(row).collect();
    let heads = ["live", "name", "bytes per user at most", "of all users at most"];
    let unbounded = plan.states.iter().filter_map(|state| {
        let why = state.unbounded.as_ref()?;
        Some(format!("note: the state of {} {} has no bound: {why}\n", state.kind, state.name))
    });
    format!("{}{}", table::render(&heads, &rows), unbounded.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_is_read_from_its_document() {
        let cases = [
            ("kind: app\nid: shop\n", Some("shop")),
            ("kind: tag\nname: x\n---\nkind: app\nid: \"a-b\" # note\n", Some("a-b")),
            ("kind: tag\nid: no\n", None),
            ("kind: 'app'\nid: shop\n", Some("shop")),
            ("kind: app\nid: my shop\n", None),
        ];
        for (text, app) in cases {
            assert_eq!(defined_app(text).as_deref(), app, "{text}");
        }
    }
}
