//! Files sent over HTTP: kept in a folder of their own until one ingestion takes them.

use super::{App, app_checked};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::{House, Problem};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
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
    /// Whether the source's pattern decides on the file, as it does for files of a folder. Default: it is ingested whatever its name.
    #[serde(default)]
    picked: bool,
}

/// The largest file, in bytes.
const MAX_FILE_BYTES: u64 = 8 << 30;
/// Files that are meant by themselves.
const NAMED: &str = "named";
/// Files of a folder, of which the source's pattern picks.
const PICKED: &str = "picked";

/// The folder of an upload that was begun and not yet claimed.
///
/// ```text
/// UPLOADS/app/id/.part-…     on the way, or cut on the way: never ingested
/// UPLOADS/app/id/named/      NAMED
/// UPLOADS/app/id/picked/     PICKED
/// ```
fn folder(house: &House, app: &AppId, upload: &str) -> Result<PathBuf, Problem> {
    let unknown =
        || Problem::new(ErrorKind::NotFound, format!("there is no upload \"{upload}\" in \"{app}\"; it may have been ingested already"));
    if upload.is_empty() || !upload.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let folder = house.uploads.join(app.as_str()).join(upload);
    if folder.is_dir() { Ok(folder) } else { Err(unknown()) }
}

/// An upload that one ingestion has taken. It goes when this is dropped, however the ingestion ends.
pub(crate) struct Claimed(PathBuf);

/// Takes an upload for one ingestion: nobody else finds it any more.
pub(crate) fn claim(house: &House, app: &AppId, upload: &str) -> Result<Claimed, Problem> {
    let found = folder(house, app, upload)?;
    let claimed = found.with_extension("claimed");
    std::fs::rename(&found, &claimed).map_err(disk)?;
    Ok(Claimed(claimed))
}

impl Claimed {
    /// What is to be ingested: the named files, and the folder to pick from where there is one.
    pub(crate) fn paths(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut paths = std::fs::read_dir(self.0.join(NAMED))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.push(self.0.join(PICKED));
        Ok(paths)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "an ingested upload stays until the next start");
        }
    }
}

pub(crate) fn disk(error: std::io::Error) -> Problem {
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
    house.exists(&app).await?;
    let folder = house.uploads.join(app.as_str()).join(&id);
    for part in [NAMED, PICKED] {
        tokio::fs::create_dir_all(folder.join(part)).await.map_err(disk)?;
    }
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
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let app = app_checked(&path.app, &caller, Action::Edit)?;
    let folder = folder(&house, &app, &path.upload)?;
    let plain = !file.name.is_empty() && file.name.len() <= 255 && !file.name.starts_with('.') && !file.name.contains(['/', '\\', '\0']);
    if !plain {
        return Err(Problem::new(ErrorKind::Invalid, format!("\"{}\" is not a plain file name", file.name)));
    }
    let taken = || {
        let detail = format!("the upload has a file \"{}\" already: send each name once, or begin another upload", file.name);
        Problem::new(ErrorKind::Conflict, detail)
    };
    let places = [NAMED, PICKED].map(|part| folder.join(part).join(&file.name));
    if places.iter().any(|place| place.exists()) {
        return Err(taken());
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_FILE_BYTES) {
        return Err(too_large());
    }
    let unfinished = folder.join(format!(".part-{}", house.random_id()));
    let kept = match receive(body, &unfinished).await {
        // A link, unlike a renaming, fails where another request was faster with the name.
        Ok(()) => tokio::fs::hard_link(&unfinished, &places[usize::from(file.picked)]).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => taken(),
            _ => disk(error),
        }),
        Err(problem) => Err(problem),
    };
    tokio::fs::remove_file(&unfinished).await.ok();
    kept.map(|()| StatusCode::NO_CONTENT)
}

fn too_large() -> Problem {
    Problem::too_large(format!("a file of an upload may have {} GiB at most: cut it into several", MAX_FILE_BYTES >> 30))
}

/// Writes a body to a new file as it comes.
async fn receive(body: Body, path: &std::path::Path) -> Result<(), Problem> {
    let mut out = tokio::fs::File::create(path).await.map_err(disk)?;
    let mut chunks = body.into_data_stream();
    let mut received = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Problem::new(ErrorKind::Invalid, format!("the body broke off: {error}")))?;
        received += chunk.len() as u64;
        if received > MAX_FILE_BYTES {
            return Err(too_large());
        }
        out.write_all(&chunk).await.map_err(disk)?;
    }
    out.flush().await.map_err(disk)
}
