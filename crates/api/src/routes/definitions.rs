//! Definitions: read, plan, apply, delete.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_catalog::StoredDefinition;
use taghouse_engine::{Applying, Engine, StateSize, named};
use taghouse_rules::DefinitionFile;
use taghouse_wire::{
    ApplyRequest, DefinitionBody, DefinitionList, Plan, PlannedChange, StateSizeBody,
};

/// All definitions of the app.
#[utoipa::path(get, path = "/apps/{app}/definitions", operation_id = "list_definitions", tag = "definitions", params(App),
    responses((status = 200, description = "The definitions.", body = DefinitionList), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<DefinitionList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.catalog.definitions(&app).await?.into_iter().map(body).collect();
    Ok(Json(DefinitionList { definitions }))
}

fn body(stored: StoredDefinition) -> DefinitionBody {
    DefinitionBody {
        kind: stored.kind,
        name: stored.name,
        body: stored.body,
        revision: stored.revision,
        updated_ms: stored.updated_ms,
    }
}

fn planned(plan: taghouse_engine::ApplyPlan) -> Plan {
    let change = |change: taghouse_engine::PlannedChange| PlannedChange {
        kind: change.kind,
        name: change.name,
        action: change.action.as_str().into(),
    };
    let users = plan.states.users;
    let state = |state: StateSize| {
        let bytes = state.per_user.as_ref().ok().copied();
        StateSizeBody {
            kind: state.kind.to_owned(),
            name: state.name,
            bytes_per_user: bytes,
            bytes_of_all_users: bytes.map(|bytes| bytes.saturating_mul(users)),
            unbounded: state
                .per_user
                .err()
                .map(|why| format!("it grows {}; {}", why.grows, why.fix)),
        }
    };
    Plan {
        states: plan.states.states.into_iter().map(state).collect(),
        changes: plan.changes.into_iter().map(change).collect(),
        notes: plan.notes,
        applied: plan.applied,
    }
}

/// Applies definition files: all of them, or none if one is invalid.
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
    let files: Vec<DefinitionFile> = request
        .files
        .into_iter()
        .map(|file| DefinitionFile { path: file.path, text: file.text })
        .collect();
    let outcome = engine.apply(&caller.id, &app, &files, how).await;
    let plan = if how.dry_run {
        outcome?
    } else {
        engine.note_failure(&caller.id, Some(&app), "definitions.apply", &subject, outcome).await?
    };
    Ok(Json(planned(plan)))
}
