//! Crowds and their versions.

use super::runs::body;
use super::versions::rollout_body;
use super::{App, app_in_part};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use crate::rounding::Rounding;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_crowd::{CrowdVersion, CrowdVersions};
use taghouse_engine::clock_text::local;
use taghouse_engine::{Engine, id_counts};
use taghouse_model::{ErrorKind, Name, TimestampMs};
use taghouse_rules::{CrowdDefinition, Definitions, Labelled, Share, Use};
use taghouse_wire::{
    Answering, CrowdBody, CrowdList, CrowdState, RefreshRequest, RunBody, WaitingBody,
};

/// A crowd in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CrowdPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    pub(crate) app: String,
    /// The crowd's name.
    pub(crate) crowd: String,
}

/// The newest as-of time of what a version used, if that was of several.
pub(super) fn newest(version: &CrowdVersion) -> Option<TimestampMs> {
    version.newest_as_of_ms.filter(|newest| Some(*newest) != version.oldest_as_of_ms)
}

/// The crowds that are shown, with numbers as exact as the caller sees them.
async fn bodies(
    engine: &Engine,
    caller: &Caller,
    definitions: &Definitions,
) -> Result<Vec<CrowdBody>, Problem> {
    let app = &definitions.app.id;
    let guard = caller.guard(definitions);
    let rounding = guard.rounding();
    let computed = engine.crowds.list(app).await?;
    let records = engine.crowds.records(app).await?;
    let live_ms = engine.stream.as_of_ms(app);
    let body = |definition: &CrowdDefinition| {
        let answering =
            computed.iter().find(|crowd| crowd.name == definition.name).map(|crowd| &crowd.current);
        let expression = definition.source.to_string();
        let is_present = |version: &&CrowdVersion| version.is_of(definition);
        let of = Labelled::Crowd(definition.name.as_str());
        let counted = definitions.forbidden(of, Use::View).is_none();
        let current = answering.filter(is_present);
        let before = answering.filter(|version| !is_present(version));
        let record = records.get(definition.name.as_str()).filter(|_| !definition.is_live);
        let zone = &definitions.app.time_zone;
        let versioned = current.filter(|_| !definition.is_live);
        let oldest_ms = current.and_then(|current| current.oldest_as_of_ms);
        let as_of_ms = live_ms.filter(|_| definition.is_live && current.is_some()).or(oldest_ms);
        CrowdBody {
            name: definition.name.to_string(),
            description: definition.description.clone(),
            made_by: definition.source.kind().to_owned(),
            expression,
            live: definition.is_live,
            category: definition.marks.category.clone(),
            labels: definitions.labels(of).into_iter().map(str::to_owned).collect(),
            size: current.filter(|_| counted).map(|current| rounding.of(current.size)),
            version: versioned.map(|current| current.version),
            ids: versioned
                .filter(|_| counted && rounding.is_exact())
                .and_then(|current| current.ids)
                .map(id_counts),
            as_of: as_of_ms.map(|ms| local(ms, zone)),
            newest_as_of: versioned.and_then(newest).map(|ms| local(ms, zone)),
            answering: before.filter(|_| counted).map(|version| Answering {
                expression: version.expression.clone(),
                size: rounding.of(version.size),
                version: version.version,
            }),
            state: state(definition, record.map(AsRef::as_ref)),
            waiting: record.filter(|_| counted).and_then(|record| waiting(record, rounding)),
            rollout: record.and_then(|record| record.rollout.as_ref()).map(rollout_body),
            holdout: Some(definition.policy.holdout)
                .filter(|share| *share != Share::NOBODY)
                .map(|share| share.to_string()),
        }
    };
    let shown = |crowd: &&CrowdDefinition| guard.shows_crowd(crowd.name.as_str());
    Ok(definitions.crowds.values().filter(shown).map(body).collect())
}

fn state(definition: &CrowdDefinition, record: Option<&CrowdVersions>) -> CrowdState {
    match record {
        _ if definition.is_live => CrowdState::Live,
        None => CrowdState::Draft,
        Some(record) if record.rollout.is_some() => CrowdState::RollingOut,
        Some(record) if record.current == 0 => CrowdState::Ready,
        Some(record) if record.held_ms.is_some() => CrowdState::Held,
        Some(_) => CrowdState::Active,
    }
}

fn waiting(record: &CrowdVersions, rounding: Rounding) -> Option<WaitingBody> {
    let version = record.waiting()?;
    let reason = rounding.reason(version.waits.as_ref()?);
    Some(WaitingBody { version: version.version, size: rounding.of(version.size), reason })
}

/// All crowds with their sizes.
#[utoipa::path(get, path = "/apps/{app}/crowds", operation_id = "list_crowds", tag = "crowds", params(App),
    responses((status = 200, description = "The crowds.", body = CrowdList), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<CrowdList>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    Ok(Json(CrowdList { crowds: bodies(&engine, &caller, &definitions).await? }))
}

/// One crowd with its newest version.
#[utoipa::path(get, path = "/apps/{app}/crowds/{crowd}", operation_id = "get_crowd", tag = "crowds", params(CrowdPath),
    responses((status = 200, description = "The crowd.", body = CrowdBody), Problem))]
pub(crate) async fn get(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
) -> Result<Json<CrowdBody>, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    caller.guard(&definitions).crowd(&path.crowd, Want::View)?;
    let crowd = bodies(&engine, &caller, &definitions)
        .await?
        .into_iter()
        .find(|crowd| crowd.name == path.crowd);
    crowd.map(Json).ok_or_else(|| {
        Problem::new(
            ErrorKind::NotFound,
            format!(
                "there is no crowd \"{}\" in \"{app}\"; `taghouse crowds` lists them",
                path.crowd
            ),
        )
    })
}

/// Starts to compute crowds from the values that their tags have now, and returns the run. Each is
/// computed after those it is made of.
#[utoipa::path(post, path = "/apps/{app}/refresh", operation_id = "refresh_crowds", tag = "crowds", params(App), request_body = RefreshRequest,
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
pub(crate) async fn refresh(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<RefreshRequest>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app.checked_in_part(&caller, Action::Edit)?;
    if request.crowds.is_empty() {
        return Err(Problem::new(ErrorKind::Invalid, "crowds is empty: name at least one"));
    }
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    request.crowds.iter().try_for_each(|crowd| guard.crowd(crowd, Want::Edit))?;
    let definitions = engine.with_crowds(&app, &request.crowds).await?;
    let names = request.crowds.iter().map(|crowd| Name::new(crowd));
    let crowds = names.collect::<Result<BTreeSet<_>, _>>()?;
    let run = engine.refresh_crowds(&caller.id, &definitions, &crowds, request.dependents).await?;
    Ok((StatusCode::ACCEPTED, Json(body(run.status()))))
}
