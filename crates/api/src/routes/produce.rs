//! Tags and crowds as of a time, as a run.

use super::App;
use super::runs::RunBody;
use crate::access::{Action, Caller};
use crate::audit::named;
use crate::extract::{Json, Path};
use crate::tasks::{changed_crowds, production};
use crate::{House, Problem, clock_text};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_model::{ErrorKind, Name};
use taghouse_rules::{CrowdDefinition, Definitions};

/// What to produce.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProduceRequest {
    /// The as-of time: `2026-07-01T00:00` in the app's time zone, or with an offset. Events before it count. Default: now.
    as_of: Option<String>,
    /// Only these tags, what is computed from them, and the crowds that use one of those and have all their tags. Default: all.
    tags: Option<Vec<String>>,
}

/// Starts to produce tags, then crowds, and answers with the run to follow.
#[utoipa::path(post, path = "/apps/{app}/produce", operation_id = "start_production", tag = "tags", params(App), request_body = ProduceRequest,
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
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
    let crowds = crowds(&house, &definitions, only.as_deref()).await?;
    // A second one would only wait for the first, and then do the same again. A compaction and a production take turns.
    let _one = house.memory.producing.lock().await;
    let as_of = clock_text::local(as_of_ms, &definitions.app.time_zone);
    let what = only.as_ref().map_or_else(|| "all tags".to_owned(), |only| format!("tags {}", named(only.iter().map(Name::as_str))));
    let run = house
        .audited_run(&caller, &app, "produce", &format!("{what} as of {as_of}"), async {
            house.no_run_of(&app, &["produce"])?;
            let tasks = production(&house, &app, &definitions, as_of_ms, only, crowds);
            Ok(house.scheduler.start(&app, "produce", tasks).await?)
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(run.status().into())))
}

/// The crowds that the production computes: all, or those that the tags named change.
async fn crowds(house: &House, definitions: &Definitions, only: Option<&[Name]>) -> Result<Vec<CrowdDefinition>, Problem> {
    let Some(only) = only else { return Ok(definitions.crowds.values().cloned().collect()) };
    let app = &definitions.app.id;
    let snapshot = house.index.snapshot(app).await?;
    let indexed = snapshot.iter().flat_map(|snapshot| snapshot.tags()).map(|tag| tag.name.clone()).collect();
    let computed = house.crowds.list(app).await?.into_iter().map(|crowd| crowd.name).collect();
    Ok(changed_crowds(definitions, only, &indexed, &computed))
}
