//! Definitions: read, plan, apply, delete.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::{Guard, Want};
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_catalog::StoredDefinition;
use taghouse_engine::{Applying, Engine, PlannedAction, StateSize, named};
use taghouse_model::ErrorKind;
use taghouse_rules::{DefinitionFile, Definitions, Labelled};
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
    let app = app.checked_in_part(&caller, Action::Read)?;
    let mut stored = engine.catalog.definitions(&app).await?;
    if caller.is_limited() {
        let definitions = engine.definitions(&app).await?;
        let guard = caller.guard(&definitions);
        stored.retain(|stored| shown(guard, stored));
    }
    Ok(Json(DefinitionList { definitions: stored.into_iter().map(body).collect() }))
}

/// Of an app itself, whoever may read anything of it may know what it is.
fn shown(guard: Guard<'_>, stored: &StoredDefinition) -> bool {
    match stored.kind.as_str() {
        "app" => true,
        "tag" => guard.shows_tag(&stored.name),
        "crowd" => guard.shows_crowd(&stored.name),
        _ => false,
    }
}

/// Whether a key with grants may change what a plan says: each tag and crowd before and after, and
/// what the new ones are computed from.
fn allowed(
    caller: &Caller,
    before: Option<&Definitions>,
    after: &Definitions,
    changes: &[taghouse_engine::PlannedChange],
) -> Result<(), Problem> {
    let changed = changes.iter().filter(|change| change.action != PlannedAction::Unchanged);
    for change in changed {
        let of = match change.kind.as_str() {
            "tag" => Labelled::Tag(&change.name),
            "crowd" => Labelled::Crowd(&change.name),
            kind => {
                let detail = format!(
                    "this key has grants of single tags and crowds, and may not change {kind} {}: leave it out, or use a key without such grants",
                    change.name
                );
                return Err(Problem::new(ErrorKind::Denied, detail));
            }
        };
        if change.action != PlannedAction::Create {
            let before = before.ok_or_else(|| {
                Problem::new(ErrorKind::Denied, format!("{of} is not one that this key may edit"))
            })?;
            caller.guard(before).may(of, Want::Edit)?;
        }
        if change.action != PlannedAction::Delete {
            caller.guard(after).may(of, Want::Edit)?;
            caller.guard(after).inputs(of)?;
        }
    }
    Ok(())
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
    let app = app.checked_in_part(&caller, Action::Edit)?;
    let before = match caller.is_limited() {
        true => Some(engine.definitions(&app).await?),
        false => None,
    };
    let may = |after: &Definitions, changes: &[taghouse_engine::PlannedChange]| {
        if !caller.is_limited() {
            return Ok(());
        }
        allowed(&caller, before.as_deref(), after, changes).map_err(|problem| problem.detail)
    };
    let subject = format!("of {}", named(request.files.iter().map(|file| &file.path)));
    let how = Applying { dry_run: request.dry_run, prune: request.prune, all: request.all };
    let files: Vec<DefinitionFile> = request
        .files
        .into_iter()
        .map(|file| DefinitionFile { path: file.path, text: file.text })
        .collect();
    let outcome = engine.apply(&caller.id, &app, &files, how, may).await;
    let plan = if how.dry_run {
        outcome?
    } else {
        engine.note_failure(&caller.id, Some(&app), "definitions.apply", &subject, outcome).await?
    };
    Ok(Json(planned(plan)))
}
