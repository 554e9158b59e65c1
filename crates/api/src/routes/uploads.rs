//! Files sent over HTTP: kept in a folder of their own until one ingestion takes them.

use super::{App, app_in_part};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::quota::{Receiving, UploadQuota, unknown};
use crate::shape::RawBytes;
use crate::{Problem, Server};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_model::{AppId, ErrorKind};
use taghouse_wire::Upload;
use tokio::io::AsyncWriteExt;

/// An upload in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct UploadPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
    /// The upload's id.
    upload: String,
}

/// The file's name.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileName {
    /// The file's name, by which it is known from then on: a file of the same name must have the
    /// same bytes. It may be a path, such as `dt=2026-03-02/part-0.csv`.
    #[param(min_length = 1, max_length = 1024)]
    name: String,
    /// Whether the file is only ingested if it matches the source's pattern, as for files of a
    /// folder. Default: it is ingested whatever its name.
    #[serde(default)]
    picked: bool,
}

/// The largest file, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 8 << 30;
/// The longest name of a file, with the folders in it.
const MAX_NAME_BYTES: usize = 1024;
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
fn folder(server: &Server, app: &AppId, upload: &str) -> Result<PathBuf, Problem> {
    if upload.is_empty() || !upload.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown(app, upload));
    }
    let folder = server.uploads.join(app.as_str()).join(upload);
    if folder.is_dir() { Ok(folder) } else { Err(unknown(app, upload)) }
}

/// An upload that belongs to an ingestion. It is removed when this is dropped, however the
/// ingestion ends.
pub(crate) struct Claimed {
    folder: PathBuf,
    quota: Arc<UploadQuota>,
    app: AppId,
    upload: String,
}

/// The files of an upload that nobody claimed yet, by their place in its folder.
pub(crate) fn files(server: &Server, app: &AppId, upload: &str) -> Result<Vec<PathBuf>, Problem> {
    let folder = folder(server, app, upload)?;
    let mut files = Vec::new();
    for part in [NAMED, PICKED] {
        files_below(&folder.join(part), &mut files).map_err(disk)?;
    }
    let place = |file: PathBuf| file.strip_prefix(&folder).map(std::path::Path::to_owned).ok();
    Ok(files.into_iter().filter_map(place).collect())
}

/// Takes an upload for one ingestion: nobody else finds it any more.
pub(crate) fn claim(server: &Server, app: &AppId, upload: &str) -> Result<Claimed, Problem> {
    let found = folder(server, app, upload)?;
    let claimed = found.with_extension("claimed");
    server.quota.claim(app, upload)?;
    // From here on it goes with the ingestion, whatever comes of that.
    let taken = Claimed {
        folder: claimed,
        quota: server.quota.clone(),
        app: app.clone(),
        upload: upload.to_owned(),
    };
    std::fs::rename(&found, &taken.folder).map_err(disk)?;
    Ok(taken)
}

impl Claimed {
    /// Where a file of [`files`] is now.
    pub(crate) fn path(&self, file: &std::path::Path) -> PathBuf {
        self.folder.join(file)
    }

    /// What is to be ingested: the named files, and the folder to pick from where there is one.
    pub(crate) fn paths(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        files_below(&self.folder.join(NAMED), &mut paths)?;
        paths.push(self.folder.join(PICKED));
        Ok(paths)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.quota.forget(&self.app, &self.upload);
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "an ingested upload stays until the next start");
        }
    }
}

fn files_below(folder: &std::path::Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), files)?
        } else {
            files.push(entry.path())
        }
    }
    Ok(())
}

pub(crate) fn disk(error: std::io::Error) -> Problem {
    let detail = format!("keeping the file: {error}; see to the server's disk and send it again");
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Problem::of_status(StatusCode::INSUFFICIENT_STORAGE, detail)
        }
        _ => Problem::new(ErrorKind::Unavailable, detail),
    }
}

/// Begins an upload; send its files next, then ingest it.
#[utoipa::path(post, path = "/apps/{app}/uploads", operation_id = "begin_upload", tag = "ingest", params(App),
    responses((status = 201, description = "The upload was begun.", body = Upload), Problem))]
pub(crate) async fn begin(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<(StatusCode, Json<Upload>), Problem> {
    let app = app.checked_in_part(&caller, Action::Edit)?;
    let id = server.engine.random_id();
    server.engine.exists(&app).await?;
    server.quota.begin(&app, &id, server.engine.clock.now_ms())?;
    let folder = server.uploads.join(app.as_str()).join(&id);
    for part in [NAMED, PICKED] {
        if let Err(error) = tokio::fs::create_dir_all(folder.join(part)).await {
            server.quota.forget(&app, &id);
            return Err(disk(error));
        }
    }
    server
        .engine
        .note(&caller.id, Some(&app), "upload", &format!("upload {id} begun"), Ok::<_, Problem>(()))
        .await?;
    Ok((StatusCode::CREATED, Json(Upload { id })))
}

/// Sends one file of an upload, as it is (gzip too).
#[utoipa::path(put, path = "/apps/{app}/uploads/{upload}/files", operation_id = "send_file", tag = "ingest", params(UploadPath, FileName),
    request_body(content = inline(RawBytes), content_type = "application/octet-stream"),
    responses((status = 204, description = "The file was kept."), Problem))]
pub(crate) async fn put(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<UploadPath>,
    Query(file): Query<FileName>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Edit)?;
    let subject = format!("file {} of upload {}", file.name, path.upload);
    let kept = keep(&server, &app, &path.upload, &file, &headers, body).await;
    server
        .engine
        .note(&caller.id, Some(&app), "upload", &subject, kept)
        .await
        .map(|()| StatusCode::NO_CONTENT)
}

async fn keep(
    server: &Server,
    app: &AppId,
    upload: &str,
    file: &FileName,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Problem> {
    let folder = folder(server, app, upload)?;
    let plain = |part: &str| {
        !part.is_empty()
            && part.len() <= 255
            && !part.starts_with('.')
            && !part.contains(['\\', '\0'])
    };
    if file.name.len() > MAX_NAME_BYTES || !file.name.split('/').all(plain) {
        let detail = format!("\"{}\" is not a plain file name, nor a path of such", file.name);
        return Err(Problem::new(ErrorKind::Invalid, detail));
    }
    let taken = || {
        let detail = format!(
            "the upload has a file \"{}\" already: send each name once, or begin another upload",
            file.name
        );
        Problem::new(ErrorKind::Conflict, detail)
    };
    let places = [NAMED, PICKED].map(|part| folder.join(part).join(&file.name));
    if places.iter().any(|place| place.exists()) {
        return Err(taken());
    }
    let place = &places[usize::from(file.picked)];
    if let Some(above) = place.parent() {
        // A file of the upload may stand where a folder is wanted.
        tokio::fs::create_dir_all(above).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotADirectory => taken(),
            _ => disk(error),
        })?;
    }
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_FILE_BYTES) {
        return Err(too_large());
    }
    let mut receiving = server.quota.receive(app, upload, server.engine.clock.now_ms())?;
    receiving.up_to(length.unwrap_or(0))?;
    let unfinished = Unfinished(folder.join(format!(".part-{}", server.engine.random_id())));
    let kept = match receive(body, &unfinished.0, &mut receiving).await {
        // A link, unlike a renaming, fails where another request was faster with the name.
        Ok(bytes) => {
            tokio::fs::hard_link(&unfinished.0, place).await.map(|()| bytes).map_err(|error| {
                match error.kind() {
                    std::io::ErrorKind::AlreadyExists => taken(),
                    _ => disk(error),
                }
            })
        }
        Err(problem) => Err(problem),
    };
    drop(unfinished);
    receiving.keep(kept?, server.engine.clock.now_ms());
    Ok(())
}

/// A file that is being received. It is removed when this is dropped: otherwise the files of
/// callers who leave would fill the disk beyond the quota.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %self.0.display(), "the beginning of a file that did not come stays until its upload goes");
        }
    }
}

fn too_large() -> Problem {
    Problem::too_large(format!(
        "a file of an upload may have {} GiB at most: cut it into several",
        MAX_FILE_BYTES >> 30
    ))
}

/// Writes a body to a new file as it comes, and gives its bytes.
async fn receive(
    body: Body,
    path: &std::path::Path,
    receiving: &mut Receiving,
) -> Result<u64, Problem> {
    let mut out = tokio::fs::File::create(path).await.map_err(disk)?;
    let mut chunks = body.into_data_stream();
    let mut received = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::of_body(
                StatusCode::BAD_REQUEST,
                &error,
                format!("the body ended early: {error}"),
            )
        })?;
        received += chunk.len() as u64;
        if received > MAX_FILE_BYTES {
            return Err(too_large());
        }
        receiving.up_to(received)?;
        out.write_all(&chunk).await.map_err(disk)?;
    }
    out.flush().await.map_err(disk)?;
    Ok(received)
}
