//! Tags and crowds as of a time, as a run.

use super::App;
use super::runs::RunBody;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::tasks::production;
use crate::{House, Problem, clock_text};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_model::{ErrorKind, Name};

/// What to produce.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProduceRequest {
    /// The as-of time: `2026-07-01T00:00` in the app's time zone, or with an offset. Events before it count. Default: now.
    as_of: Option<String>,
    /// Only these tags and what is computed from them. Default: all.
    tags: Option<Vec<String>>,
}

/// Starts to produce tags, then crowds, and answers with the run to follow.
#[utoipa::path(post, path = "/apps/{app}/produce", tag = "tags", params(App), request_body = ProduceRequest,
    responses((status = 202, body = RunBody), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn start(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<ProduceRequest>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let definitions = house.definitions(&app).await?;
    let as_of_ms = match &request.as_of {
        Some(text) => clock_text::parse(text, &definitions.app.time_zone)?,
        None => house.clock.now_ms(),
    };
    let only = request.tags.map(|tags| tags.iter().map(|tag| Name::new(tag)).collect::<Result<Vec<_>, _>>()).transpose()?;
    if let Some(unknown) = only.iter().flatten().find(|tag| !definitions.tags.contains_key(*tag)) {
        return Err(Problem::new(ErrorKind::NotFound, format!("there is no tag \"{unknown}\" in \"{app}\"; `taghouse tags` lists them")));
    }
    let tasks = production(&house, &app, &definitions, as_of_ms, only);
    let run = house.scheduler.start(&app, "produce", tasks).await?;
    Ok((StatusCode::ACCEPTED, Json(run.status().into())))
}
