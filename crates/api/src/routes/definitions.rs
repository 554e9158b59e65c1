//! Definitions: read, plan, apply, delete.

use super::App;
use crate::access::{Action, Caller};
use crate::audit::named;
use crate::extract::{Json, Path, objects};
use crate::problem::Place;
use crate::{House, Problem, fit};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_catalog::{AuditRecord, Change, StoredDefinition};
use taghouse_model::{AppId, ErrorKind, TimestampMs};
use taghouse_rules::{DefinitionError, DefinitionFile, Definitions, Document, SourceDefinition};

/// Definition files to apply.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyRequest {
    /// The YAML files.
    #[serde(deserialize_with = "objects")]
    files: Vec<FileBody>,
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
    /// Delete sources, tags and crowds that the files do not name.
    #[serde(default)]
    prune: bool,
    /// With `prune`: also where the files name no source, tag or crowd, so that every one of the app is deleted.
    #[serde(default)]
    all: bool,
}

/// One YAML file.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileBody {
    /// Its name, for messages.
    path: String,
    /// Its text; several documents are divided by `---`.
    text: String,
}

/// What applying changed, or would change.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Plan {
    /// Each definition named, in order of kind and name.
    changes: Vec<PlannedChange>,
    /// What to know of definitions that are created or changed, though they are right.
    notes: Vec<String>,
    /// Whether it was carried out.
    applied: bool,
}

/// What becomes of one definition.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PlannedChange {
    /// `app`, `source`, `tag` or `crowd`.
    kind: String,
    /// Its name.
    name: String,
    /// `create`, `change`, `unchanged` or `delete`.
    action: &'static str,
}

/// A stored definition.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DefinitionBody {
    /// `app`, `source`, `tag` or `crowd`.
    kind: String,
    /// Its name.
    name: String,
    /// The definition as JSON, with the keys of the YAML form.
    #[schema(value_type = Object)]
    body: serde_json::Value,
    /// Grows by one with each change.
    revision: u64,
    /// Milliseconds since 1970 UTC.
    updated_ms: i64,
}

/// The definitions of an app.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DefinitionList {
    /// In order of kind and name.
    definitions: Vec<DefinitionBody>,
}

/// All definitions of the app.
#[utoipa::path(get, path = "/apps/{app}/definitions", operation_id = "list_definitions", tag = "definitions", params(App),
    responses((status = 200, description = "The definitions.", body = DefinitionList), Problem))]
pub(crate) async fn list(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<DefinitionList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = house.catalog.definitions(&app).await?.into_iter().map(DefinitionBody::from).collect();
    Ok(Json(DefinitionList { definitions }))
}

impl From<StoredDefinition> for DefinitionBody {
    fn from(stored: StoredDefinition) -> Self {
        Self { kind: stored.kind, name: stored.name, body: stored.body, revision: stored.revision, updated_ms: stored.updated_ms }
    }
}

/// Applies definition files: all of them or, when any does not check, none.
#[utoipa::path(post, path = "/apps/{app}/definitions", operation_id = "apply_definitions", tag = "definitions", params(App), request_body = ApplyRequest,
    responses((status = 200, description = "What was changed or, of a dry run, would be.", body = Plan), Problem))]
pub(crate) async fn apply(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<Plan>, Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let (dry_run, subject) = (request.dry_run, format!("of {}", named(request.files.iter().map(|file| &file.path))));
    let outcome = applied(&house, &caller, &app, request).await;
    if dry_run { outcome } else { house.note_failure(&caller, Some(&app), "definitions.apply", &subject, outcome).await }
}

async fn applied(house: &Arc<House>, caller: &Caller, app: &AppId, request: ApplyRequest) -> Result<Json<Plan>, Problem> {
    let files: Vec<DefinitionFile> = request.files.into_iter().map(|file| DefinitionFile { path: file.path, text: file.text }).collect();
    let documents = taghouse_rules::parse_definitions(&files).map_err(refused)?;
    // Read first: whoever applies after this moves it, and our commit fails.
    let revision = house.catalog.pointer(REVISION.0, app, REVISION.1).await?.map(|pointer| pointer.revision);
    let stored = house.catalog.definitions(app).await?;
    if request.prune && !request.all {
        leaves_some(app, &stored, &documents)?;
    }
    let merged = merge(&stored, &documents, request.prune);
    let definitions = Definitions::check(&merged).map_err(refused)?;
    if definitions.app.id != *app {
        let detail = format!("the files define the app \"{}\", but the request is for \"{app}\"", definitions.app.id);
        return Err(Problem::new(ErrorKind::Invalid, detail));
    }
    let before: BTreeMap<_, _> = stored.iter().map(|old| (key(&old.kind, &old.name), &old.body)).collect();
    let changed = |document: &Document| before.get(&key(document.kind.as_str(), &document.name)) != Some(&&document.body);
    let misfits = fit::check(house, app, &definitions, &merged, &changed).await?;
    if !misfits.is_empty() {
        return Err(refused(misfits));
    }
    let at_ms = house.clock.now_ms();
    let (changes, mut commit) = plan(app, &stored, &documents, request.prune, at_ms);
    let notes = undated(&definitions, &changes);
    if request.dry_run {
        return Ok(Json(Plan { changes, notes, applied: false }));
    }
    if !commit.is_empty() {
        commit.push(Change::Audit(AuditRecord {
            app: Some(app.clone()),
            at_ms,
            actor: caller.id.clone(),
            action: "definitions.apply".to_owned(),
            subject: summary(&changes),
            outcome: "done".to_owned(),
        }));
        let (kind, name) = (REVISION.0.to_owned(), REVISION.1.to_owned());
        commit.push(Change::PutPointer { kind, app: app.clone(), name, expected: revision, value: json!({"at_ms": at_ms}) });
        let committed = house.catalog.commit(commit).await;
        // Also after an error: it may have been committed all the same.
        house.memory.forget(app);
        committed.map_err(|error| raced(app, error))?;
        // At once, and not with the first judgment that needs them.
        house.definitions(app).await.ok();
    }
    Ok(Json(Plan { changes, notes, applied: true }))
}

/// Of sources whose files do not say since when an attribute holds, what that means for productions of the past.
fn undated(definitions: &Definitions, changes: &[PlannedChange]) -> Vec<String> {
    let touched = |name: &str| {
        changes.iter().any(|change| change.kind == "source" && change.name == name && ["create", "change"].contains(&change.action))
    };
    let sources = definitions.sources.values().filter(|source| source.is_undated() && touched(source.name.as_str()));
    let note = |source: &SourceDefinition| {
        format!(
            "source {}: its attributes have no time column, so they are dated when a file is ingested; a production as of an earlier time sees none \
             of them. `time: COLUMN` says since when they hold, `time: file` goes by the date in a file's name or when it was last written to",
            source.name
        )
    };
    sources.map(note).collect()
}

/// The pointer that every change of an app's definitions moves: kind and name. Each set was checked against the others' stored state, so
/// of two applied at the same time one must lose, though they name different definitions.
const REVISION: (&str, &str) = ("definitions", "revision");

fn raced(app: &AppId, error: taghouse_catalog::Error) -> Problem {
    if error.kind() != ErrorKind::Conflict {
        return error.into();
    }
    let detail = format!("somebody else changed the definitions of \"{app}\" at the same time, nothing of yours was changed: apply again");
    Problem::new(ErrorKind::Conflict, detail)
}

fn refused(errors: Vec<DefinitionError>) -> Problem {
    let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let mut problem = Problem::new(ErrorKind::Invalid, format!("the definitions are refused, nothing was changed:\n{detail}"));
    problem.errors = errors
        .into_iter()
        .map(|error| Place { path: error.path, line: error.line, column: error.column, message: error.message })
        .collect();
    problem
}

fn key(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

/// Files that name nothing are mostly the wrong files: an empty folder, a path that was mistyped.
fn leaves_some(app: &AppId, stored: &[StoredDefinition], documents: &[Document]) -> Result<(), Problem> {
    let deleted = stored.iter().filter(|old| old.kind != "app").count();
    if deleted == 0 || documents.iter().any(|document| document.kind.as_str() != "app") {
        return Ok(());
    }
    let detail = format!(
        "the files name no source, tag or crowd, so pruning would delete all {deleted} of \"{app}\", and nothing was changed: \
         look at which files are sent, or confirm it with `--prune --all` (in the API `\"all\": true`)"
    );
    Err(Problem::new(ErrorKind::Invalid, detail))
}

/// The set that would be in force: the stored definitions, those of the files in their place.
fn merge(stored: &[StoredDefinition], documents: &[Document], prune: bool) -> Vec<Document> {
    let named: BTreeSet<_> = documents.iter().map(|document| key(document.kind.as_str(), &document.name)).collect();
    let kept = stored.iter().filter(|old| !named.contains(&key(&old.kind, &old.name)) && (!prune || old.kind == "app"));
    let kept = kept.filter_map(|old| Document::stored(&old.kind, &old.name, &old.body));
    documents.iter().cloned().chain(kept).collect()
}

fn plan(
    app: &AppId,
    stored: &[StoredDefinition],
    documents: &[Document],
    prune: bool,
    at_ms: TimestampMs,
) -> (Vec<PlannedChange>, Vec<Change>) {
    let mut old: BTreeMap<_, _> = stored.iter().map(|old| (key(&old.kind, &old.name), old)).collect();
    let mut changes = Vec::new();
    let mut commit = Vec::new();
    for document in documents {
        let (kind, name) = key(document.kind.as_str(), &document.name);
        let before = old.remove(&(kind.clone(), name.clone()));
        let action = match before {
            None => "create",
            Some(before) if before.body == document.body => "unchanged",
            Some(_) => "change",
        };
        if action != "unchanged" {
            let expected = before.map(|before| before.revision);
            commit.push(Change::PutDefinition {
                app: app.clone(),
                kind: kind.clone(),
                name: name.clone(),
                expected,
                body: document.body.clone(),
                at_ms,
            });
        }
        changes.push(PlannedChange { kind, name, action });
    }
    for ((kind, name), before) in old {
        if prune && kind != "app" {
            commit.push(Change::DeleteDefinition { app: app.clone(), kind: kind.clone(), name: name.clone(), expected: before.revision });
            changes.push(PlannedChange { kind, name, action: "delete" });
        }
    }
    (changes, commit)
}

fn summary(changes: &[PlannedChange]) -> String {
    let changed = changes.iter().filter(|change| change.action != "unchanged");
    changed.map(|change| format!("{} {} {}", change.action, change.kind, change.name)).collect::<Vec<_>>().join(", ")
}
