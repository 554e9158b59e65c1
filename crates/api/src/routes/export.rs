//! A crowd's members as a file.

use super::crowds::CrowdPath;
use super::{app_checked, blocking};
use crate::access::{Action, Caller};
use crate::extract::{Path, Query};
use crate::{House, Problem};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::str::FromStr;
use std::sync::Arc;
use taghouse_activate::{FileFormat, MemberFile};
use taghouse_crowd::Members;
use taghouse_model::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// How members are written.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// `csv` (default), `jsonl`, `parquet`, `roaring` (the ordinals as a portable 32-bit Roaring bitmap) or `roaring64` (in 64 bits).
    format: Option<String>,
    /// An older version that is still kept. Default: the current one.
    version: Option<u64>,
}

/// All members of a version of a crowd that is defined, streamed.
#[utoipa::path(get, path = "/apps/{app}/crowds/{crowd}/export", tag = "crowds", params(CrowdPath, ExportQuery),
    responses((status = 200, description = "The file", content((Vec<u8> = "application/octet-stream"), (String = "text/csv"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn export(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let app = app_checked(&path.app, &caller, Action::Read)?;
    let format = FileFormat::from_str(query.format.as_deref().unwrap_or("csv"))?;
    house.with_crowds(&app, std::slice::from_ref(&path.crowd)).await?;
    let members = house.crowds.members(&app, &path.crowd, query.version).await?;
    let ended = |_| Problem::new(ErrorKind::Unavailable, "the server is ending; export again when it is up");
    let turn = house.memory.exports.clone().acquire_owned().await.map_err(ended)?;
    let body = match MemberFile::new(format)? {
        None if format == FileFormat::Roaring64 => Body::from(blocking(move || members.roaring64()).await?),
        None => Body::from(blocking(move || members.roaring()).await?),
        Some(file) => stream(members, file, turn),
    };
    Ok(([(header::CONTENT_TYPE, format.media_type())], body).into_response())
}

/// Encodes on a blocking thread, a few chunks ahead of the reader; an error breaks the body off, so that the reader sees a cut, not an end.
fn stream(members: Members, mut file: MemberFile, turn: OwnedSemaphorePermit) -> Body {
    let (send, receive) = mpsc::channel::<Result<Bytes, Problem>>(4);
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let written = (|| -> Result<(), Problem> {
            for ids in members.ids() {
                let bytes = file.write(&ids?)?;
                if !bytes.is_empty() && send.blocking_send(Ok(bytes.into())).is_err() {
                    return Ok(());
                }
            }
            send.blocking_send(Ok(file.finish()?.into())).ok();
            Ok(())
        })();
        if let Err(problem) = written {
            tracing::error!(detail = problem.detail, "an export broke off");
            send.blocking_send(Err(problem)).ok();
        }
    });
    let chunks = futures::stream::unfold(receive, |mut receive| async move { receive.recv().await.map(|chunk| (chunk, receive)) });
    Body::from_stream(futures::StreamExt::map(chunks, |chunk| chunk.map_err(|problem| std::io::Error::other(problem.detail))))
}
