//! Tags and crowds as of a time, as a run.

use super::App;
use super::runs::body;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;
use taghouse_engine::{Engine, Production, clock_text};
use taghouse_model::Name;
use taghouse_wire::{ProduceRequest, RunBody};

/// Starts a production of tags, then crowds, and returns the run.
#[utoipa::path(post, path = "/apps/{app}/produce", operation_id = "start_production", tag = "tags", params(App), request_body = ProduceRequest,
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
pub(crate) async fn start(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<ProduceRequest>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    // All tags, and the crowds over them, or those that are named.
    let app = match &request.tags {
        None => app.checked(&caller, Action::Edit)?,
        Some(_) => app.checked_in_part(&caller, Action::Edit)?,
    };
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    request.tags.iter().flatten().try_for_each(|tag| guard.tag(tag, Want::Edit))?;
    let as_of_ms = match &request.as_of {
        Some(text) => clock_text::parse(text, &definitions.app.time_zone)?,
        None => engine.clock.now_ms(),
    };
    let only = request
        .tags
        .map(|tags| tags.iter().map(|tag| Name::new(tag)).collect::<Result<Vec<_>, _>>())
        .transpose()?;
    let run = engine.produce(&caller.id, &definitions, Production { as_of_ms, only }).await?;
    Ok((StatusCode::ACCEPTED, Json(body(run.status()))))
}
