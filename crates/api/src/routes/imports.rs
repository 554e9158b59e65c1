//! Files that say who is in a crowd.

use super::app_in_part;
use super::crowds::CrowdPath;
use super::runs::body;
use super::uploads;
use super::versions::VersionPath;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use crate::{Problem, Server};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_engine::{CrowdImport, ImportFrom};
use taghouse_ingest::{IdFileOptions, UnpackedRows};
use taghouse_model::{ErrorKind, Name};
use taghouse_wire::{ImportMode, ImportRequest, RunBody};

/// Starts to import a file of ids into a crowd that is defined with `import`, and returns the run.
/// Crowds that are made of it are computed again after it.
#[utoipa::path(post, path = "/apps/{app}/crowds/{crowd}/import", operation_id = "import_crowd", tag = "crowds", params(CrowdPath), request_body = ImportRequest,
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
pub(crate) async fn start(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
    Json(request): Json<ImportRequest>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app_in_part(&path.app, &caller, Action::Edit)?;
    let definitions = server.engine.definitions(&app).await?;
    caller.guard(&definitions).crowd(&path.crowd, Want::Edit)?;
    let definitions = server.engine.with_crowds(&app, std::slice::from_ref(&path.crowd)).await?;
    let crowd = Name::new(&path.crowd)?;
    // What is refused, or was imported already, takes no upload: the call can be made again.
    let batch = request.batch.as_deref();
    let before = server.engine.imported_before(&definitions, &crowd, batch).await?;
    let (file, upload) = match (request.path, request.upload) {
        (None, Some(_)) if before.is_some() => (PathBuf::new(), None),
        (Some(file), None) if caller.local => (PathBuf::from(file), None),
        (Some(_), None) => {
            return Err(Problem::new(
                ErrorKind::Denied,
                "only commands on the server's own machine may name a path; upload the file instead",
            ));
        }
        (None, Some(upload)) => {
            let files = uploads::files(&server, &app, &upload)?;
            let name = only(files)?;
            let claimed = uploads::claim(&server, &app, &upload)?;
            (claimed.path(&name), Some(claimed))
        }
        _ => return Err(Problem::new(ErrorKind::Invalid, "name either a path or an upload")),
    };
    let mode = match request.mode {
        ImportMode::Replace => taghouse_crowd::ImportMode::Replace,
        ImportMode::Append => taghouse_crowd::ImportMode::Append,
        ImportMode::Remove => taghouse_crowd::ImportMode::Remove,
    };
    let import = CrowdImport {
        definitions,
        crowd,
        from: ImportFrom::File {
            path: file,
            upload: upload.map(|claimed| -> Box<dyn Send + Sync> { Box::new(claimed) }),
        },
        mode,
        batch: request.batch,
        options: IdFileOptions { column: request.column, header: request.header },
    };
    let run = server.engine.import(&caller.id, import).await?;
    Ok((StatusCode::ACCEPTED, Json(body(run.status()))))
}

/// Fetches the file of a crowd's link, and imports it if it is another than the last; returns the run.
/// Crowds that are made of it are computed again after it.
#[utoipa::path(post, path = "/apps/{app}/crowds/{crowd}/pull", operation_id = "pull_crowd", tag = "crowds", params(CrowdPath),
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
pub(crate) async fn pull(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app_in_part(&path.app, &caller, Action::Edit)?;
    let definitions = server.engine.definitions(&app).await?;
    caller.guard(&definitions).crowd(&path.crowd, Want::Edit)?;
    let definitions = server.engine.with_crowds(&app, std::slice::from_ref(&path.crowd)).await?;
    let run = server.engine.pull(&caller.id, &definitions, &Name::new(&path.crowd)?).await?;
    Ok((StatusCode::ACCEPTED, Json(body(run.status()))))
}

/// The file of an upload that has one.
fn only(files: Vec<PathBuf>) -> Result<PathBuf, Problem> {
    match <[PathBuf; 1]>::try_from(files) {
        Ok([file]) => Ok(file),
        Err(files) => {
            let count = files.len();
            let detail = format!("the upload has {count} files: one is imported at a time");
            Err(Problem::new(ErrorKind::Invalid, detail))
        }
    }
}

/// The rows of the file that made a version which gave no user, as CSV: first row, last row and what
/// is wrong with them. The ids are not kept.
#[utoipa::path(get, path = "/apps/{app}/crowds/{crowd}/versions/{version}/rows", operation_id = "list_import_rows", tag = "crowds", params(VersionPath),
    responses((status = 200, description = "The rows, streamed; only the header if each gave a user.", content((String = "text/csv"))), Problem))]
pub(crate) async fn rows(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<VersionPath>,
) -> Result<Response, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Read)?;
    let definitions = server.engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    guard.crowd(&path.crowd, Want::View)?;
    // Whoever has the file learns from its rows which ids are known.
    guard.single_users()?;
    server.engine.with_crowds(&app, std::slice::from_ref(&path.crowd)).await?;
    let packed = server.engine.crowds.import_rows(&app, &path.crowd, path.version).await?;
    let body = match packed {
        Some(packed) => Body::from_stream(stream::iter(UnpackedRows::new(packed.to_vec()))),
        None => Body::from(UnpackedRows::NONE),
    };
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], body).into_response())
}
