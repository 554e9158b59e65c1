//! Crowds that are sent to other systems: what there is, what became of it, and to begin.

use super::app_checked;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::{Guard, Want};
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_wire::{ActivationDelivery, ActivationDeliveryList, ActivationList, RunBody};

/// An app in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ActivationsPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
}

/// An activation in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ActivationPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
    /// The activation's name.
    activation: String,
}

/// A delivery in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ActivationDeliveryPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
    /// The activation's name.
    activation: String,
    /// The number of the delivery.
    #[param(minimum = 1)]
    delivery: u64,
}

/// All activations, each with its last delivery.
#[utoipa::path(get, path = "/apps/{app}/activations", operation_id = "list_activations", tag = "activations", params(ActivationsPath),
    responses((status = 200, description = "The activations.", body = ActivationList), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(ActivationsPath { app }): Path<ActivationsPath>,
) -> Result<Json<ActivationList>, Problem> {
    let app = app_checked(&app, &caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    let mut all = engine.list_activations(&definitions).await?;
    for one in &mut all.activations {
        one.last = one.last.take().map(|last| shown(last, guard));
    }
    Ok(Json(all))
}

/// A delivery with numbers as exact as the caller sees those of the crowd; of a crowd that the caller
/// may not see, without them.
fn shown(mut of: ActivationDelivery, guard: Guard<'_>) -> ActivationDelivery {
    let is_seen = guard.crowd(&of.crowd, Want::View).is_ok();
    let numbers = [
        &mut of.members,
        &mut of.suppressed,
        &mut of.without_consent,
        &mut of.entered,
        &mut of.left,
        &mut of.failed,
    ];
    for number in numbers {
        *number = if is_seen { guard.rounding().of(*number) } else { 0 };
    }
    of
}

/// Sends the crowd of an activation, as a run. A delivery that did not end goes on, if its version is
/// still the one that answers.
#[utoipa::path(post, path = "/apps/{app}/activations/{activation}/run", operation_id = "run_activation", tag = "activations", params(ActivationPath),
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
pub(crate) async fn start(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(ActivationPath { app, activation }): Path<ActivationPath>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app_checked(&app, &caller, Action::Edit)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    if let (false, Some(sent)) =
        (guard.rounding().is_exact(), definitions.activations.get(activation.as_str()))
    {
        let members = engine.crowds.members(&app, sent.crowd.as_str(), None).await?;
        guard.audience(members.len())?;
    }
    let run = engine.activate(&caller.id, &definitions, &activation).await?;
    Ok((StatusCode::ACCEPTED, Json(super::runs::body(run.status()))))
}

/// The last deliveries of an activation, newest first.
#[utoipa::path(get, path = "/apps/{app}/activations/{activation}/deliveries", operation_id = "list_activation_deliveries", tag = "activations", params(ActivationPath),
    responses((status = 200, description = "The deliveries.", body = ActivationDeliveryList), Problem))]
pub(crate) async fn deliveries(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(ActivationPath { app, activation }): Path<ActivationPath>,
) -> Result<Json<ActivationDeliveryList>, Problem> {
    let app = app_checked(&app, &caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    let mut all = engine.activation_deliveries(&definitions, &activation).await?;
    all.deliveries = all.deliveries.into_iter().map(|of| shown(of, guard)).collect();
    Ok(Json(all))
}

/// The users whom the destination did not take with a delivery, and why, as CSV with the columns
/// `user_id`, `change` (`entered` or `left`), `at_ms` and `reason`.
#[utoipa::path(get, path = "/apps/{app}/activations/{activation}/deliveries/{delivery}/failed", operation_id = "list_activation_failures", tag = "activations", params(ActivationDeliveryPath),
    responses((status = 200, description = "The file.", content((String = "text/csv"))), Problem))]
pub(crate) async fn failed(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<ActivationDeliveryPath>,
) -> Result<impl IntoResponse, Problem> {
    let app = app_checked(&path.app, &caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    guard.single_users()?;
    if let Some(of) = definitions.activations.get(path.activation.as_str()) {
        guard.crowd(of.crowd.as_str(), Want::Members)?;
    }
    let rows = engine.activation_failures(&definitions, &path.activation, path.delivery).await?;
    let users = rows.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
    let crowd = definitions.activations.get(path.activation.as_str()).map(|of| of.crowd.as_str());
    engine.sum_read(&caller.id, &app, "activation_failures", users as u64, crowd.into_iter());
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], rows))
}
