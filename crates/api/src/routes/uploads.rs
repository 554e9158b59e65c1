//! Files sent over HTTP: kept in a folder of their own until one ingestion takes them.

use super::{App, app_checked};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::{House, Problem};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_model::{AppId, ErrorKind};
use tokio::io::AsyncWriteExt;

/// A new upload.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Upload {
    id: String,
}

/// An upload in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct UploadPath {
    /// The app's id.
    app: String,
    /// The upload's id.
    upload: String,
}

/// The file's name.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileName {
    /// The file's name, by which it is known for good: the same name again must hold the same bytes.
    name: String,
}

/// The folder of an upload that was begun.
pub(crate) fn folder(house: &House, app: &AppId, upload: &str) -> Result<PathBuf, Problem> {
    let unknown =
        || Problem::new(ErrorKind::NotFound, format!("there is no upload \"{upload}\" in \"{app}\"; it may have been ingested already"));
    if upload.is_empty() || !upload.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let folder = house.uploads.join(app.as_str()).join(upload);
    if folder.is_dir() { Ok(folder) } else { Err(unknown()) }
}

fn disk(error: std::io::Error) -> Problem {
    Problem::new(ErrorKind::Unavailable, format!("keeping the file: {error}; see to the server's disk and send it again"))
}

/// Begins an upload; send its files next, then ingest it.
#[utoipa::path(post, path = "/apps/{app}/uploads", tag = "ingest", params(App),
    responses((status = 201, body = Upload), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn begin(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<(StatusCode, Json<Upload>), Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let id = house.random_id();
    tokio::fs::create_dir_all(house.uploads.join(app.as_str()).join(&id)).await.map_err(disk)?;
    Ok((StatusCode::CREATED, Json(Upload { id })))
}

/// Sends one file of an upload, as it is (gzip too).
#[utoipa::path(put, path = "/apps/{app}/uploads/{upload}/files", tag = "ingest", params(UploadPath, FileName),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn put(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<UploadPath>,
    Query(file): Query<FileName>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let app = app_checked(&path.app, &caller, Action::Edit)?;
    let folder = folder(&house, &app, &path.upload)?;
    let plain = !file.name.is_empty() && file.name.len() <= 255 && !file.name.starts_with('.') && !file.name.contains(['/', '\\', '\0']);
    if !plain {
        return Err(Problem::new(ErrorKind::Invalid, format!("\"{}\" is not a plain file name", file.name)));
    }
    // A file that was cut on the way keeps its hidden name and is never ingested.
    let unfinished = folder.join(format!(".{}", house.random_id()));
    let mut out = tokio::fs::File::create(&unfinished).await.map_err(disk)?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Problem::new(ErrorKind::Invalid, format!("the body broke off: {error}")))?;
        out.write_all(&chunk).await.map_err(disk)?;
    }
    out.flush().await.map_err(disk)?;
    tokio::fs::rename(&unfinished, folder.join(&file.name)).await.map_err(disk)?;
    Ok(StatusCode::NO_CONTENT)
}
