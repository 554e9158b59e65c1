//! Files into the lake, as a run.

use super::App;
use super::runs::body;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::{Problem, Server};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;
use taghouse_engine::{Ingestion, source_of_files};
use taghouse_ingest::IngestOptions;
use taghouse_model::ErrorKind;
use taghouse_wire::{IngestRequest, RunBody};

/// Starts an ingestion of files, and returns the run.
#[utoipa::path(post, path = "/apps/{app}/ingest", operation_id = "start_ingestion", tag = "ingest", params(App), request_body = IngestRequest,
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
pub(crate) async fn start(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<IngestRequest>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let definitions = server.engine.definitions(&app).await?;
    let source = source_of_files(&definitions, request.source.as_deref())?;
    let (paths, upload) = match (request.paths, request.upload) {
        (Some(paths), None) if caller.local && !paths.is_empty() => (paths, None),
        (Some(_), None) if !caller.local => {
            return Err(Problem::new(
                ErrorKind::Denied,
                "only commands on the server's own machine may name paths; upload the files instead",
            ));
        }
        (None, Some(upload)) => {
            let claimed = super::uploads::claim(&server, &app, &upload)?;
            (claimed.paths().map_err(super::uploads::disk)?, Some(claimed))
        }
        _ => return Err(Problem::new(ErrorKind::Invalid, "name either paths or an upload")),
    };
    let options = IngestOptions { allow_rejects: request.allow_rejects, replace: request.replace };
    let upload = upload.map(|claimed| -> Box<dyn Send + Sync> { Box::new(claimed) });
    let run = server
        .engine
        .ingest(&caller.id, Ingestion { definitions, source, paths, upload, options })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(body(run.status()))))
}
