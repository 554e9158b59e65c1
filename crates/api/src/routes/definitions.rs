//! Definitions: read, plan, apply, delete.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, objects};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_catalog::StoredDefinition;
use taghouse_engine::{Applying, Engine, named};
use taghouse_rules::DefinitionFile;

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
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<DefinitionList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.catalog.definitions(&app).await?.into_iter().map(DefinitionBody::from).collect();
    Ok(Json(DefinitionList { definitions }))
}

impl From<StoredDefinition> for DefinitionBody {
    fn from(stored: StoredDefinition) -> Self {
        Self { kind: stored.kind, name: stored.name, body: stored.body, revision: stored.revision, updated_ms: stored.updated_ms }
    }
}

impl From<taghouse_engine::Plan> for Plan {
    fn from(plan: taghouse_engine::Plan) -> Self {
        let change =
            |change: taghouse_engine::PlannedChange| PlannedChange { kind: change.kind, name: change.name, action: change.action.as_str() };
        Self { changes: plan.changes.into_iter().map(change).collect(), notes: plan.notes, applied: plan.applied }
    }
}

/// Applies definition files: all of them or, when any does not check, none.
#[utoipa::path(post, path = "/apps/{app}/definitions", operation_id = "apply_definitions", tag = "definitions", params(App), request_body = ApplyRequest,
    responses((status = 200, description = "What was changed or, of a dry run, would be.", body = Plan), Problem))]
pub(crate) async fn apply(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<Plan>, Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let subject = format!("of {}", named(request.files.iter().map(|file| &file.path)));
    let how = Applying { dry_run: request.dry_run, prune: request.prune, all: request.all };
    let files: Vec<DefinitionFile> = request.files.into_iter().map(|file| DefinitionFile { path: file.path, text: file.text }).collect();
    let outcome = engine.apply(&caller.id, &app, &files, how).await;
    let plan =
        if how.dry_run { outcome? } else { engine.note_failure(&caller.id, Some(&app), "definitions.apply", &subject, outcome).await? };
    Ok(Json(plan.into()))
}
