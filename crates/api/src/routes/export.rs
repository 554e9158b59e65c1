//! A crowd's members as a file.

use super::app_in_part;
use super::crowds::CrowdPath;
use crate::access::{Action, Caller};
use crate::extract::{Path, Query};
use crate::guard::Want;
use crate::shape::{ExportFormat, RawBytes};
use crate::{Problem, Server};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use std::str::FromStr;
use std::sync::Arc;
use taghouse_activate::{FileFormat, MemberFile};
use taghouse_crowd::{CrowdMembers, PortablePieces};
use taghouse_model::Ordinal;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// About how many bytes of an export are encoded at a time.
const PIECE_BYTES: usize = 256 << 10;

/// How members are written.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// `csv` (default), `jsonl`, `parquet`, `roaring` (the ordinals as a portable 32-bit Roaring
    /// bitmap) or `roaring64` (in 64 bits).
    #[param(inline, value_type = Option<ExportFormat>)]
    format: Option<String>,
    /// An older version that is still kept. Default: the current one.
    version: Option<u64>,
    /// Only the members in this arm of the crowd's split.
    arm: Option<String>,
}

/// All members of a version of a crowd that is defined, streamed.
#[utoipa::path(get, path = "/apps/{app}/crowds/{crowd}/export", operation_id = "export_crowd", tag = "crowds", params(CrowdPath, ExportQuery),
    responses((status = 200, description = "The file, in the format asked for.", content((String = "text/csv"), (String = "application/x-ndjson"),
        (inline(RawBytes) = "application/vnd.apache.parquet"), (inline(RawBytes) = "application/octet-stream"))), Problem))]
pub(crate) async fn export(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Read)?;
    let format = FileFormat::from_str(query.format.as_deref().unwrap_or("csv"))?;
    let definitions = server.engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    guard.crowd(&path.crowd, Want::Members)?;
    server.engine.with_crowds(&app, std::slice::from_ref(&path.crowd)).await?;
    let crowds = &server.engine.crowds;
    let mut members = crowds.members(&app, &path.crowd, query.version).await?;
    if let (Some(arm), Some(crowd)) = (&query.arm, definitions.crowds.get(path.crowd.as_str())) {
        members = crowds.of_arm(crowd, members, arm).await?;
    }
    guard.audience(members.len())?;
    let (places, background) = (server.exports.clone(), server.engine.background.clone());
    let body = match MemberFile::new(format)? {
        Some(file) => pulled(
            Encoding::Rows { members: Box::new(members), file: Box::new(file), from: 0 },
            places,
            background,
        ),
        None => pulled(
            Encoding::Bitmap(members.portable_pieces(format == FileFormat::Roaring64)),
            places,
            background,
        ),
    };
    Ok(([(header::CONTENT_TYPE, format.media_type())], body).into_response())
}

/// An export between two pieces: what a reader who takes nothing keeps. The members are those that
/// judgments hold in memory too.
enum Encoding {
    Rows {
        members: Box<CrowdMembers>,
        file: Box<MemberFile>,
        /// Where the next piece begins.
        from: Ordinal,
    },
    Bitmap(PortablePieces),
}

/// The next bytes of an export, and what comes after them.
struct Encoded {
    bytes: Bytes,
    rest: Option<Encoding>,
}

impl Encoding {
    /// Encodes until there are some bytes: not on a thread that answers requests.
    fn next(self) -> Result<Encoded, Problem> {
        match self {
            Self::Bitmap(mut pieces) => {
                let bytes = pieces.next().unwrap_or_default().into();
                Ok(Encoded { rest: pieces.is_before_end().then_some(Self::Bitmap(pieces)), bytes })
            }
            Self::Rows { members, mut file, mut from } => {
                let mut bytes = Vec::new();
                while let Some(piece) = members.ids_from(from)? {
                    bytes.append(&mut file.write(&piece.ids)?);
                    let Some(next) = piece.next else { break };
                    if bytes.len() >= PIECE_BYTES {
                        return Ok(Encoded {
                            bytes: bytes.into(),
                            rest: Some(Self::Rows { members, file, from: next }),
                        });
                    }
                    from = next;
                }
                bytes.append(&mut file.finish()?);
                Ok(Encoded { bytes: bytes.into(), rest: None })
            }
        }
    }
}

/// A body whose pieces are encoded in the background when the reader wants them; one of the
/// `places` is taken only meanwhile. An error aborts the body, so that the reader does not take it
/// for complete. When the connection is cut, all memory of the export is freed.
fn pulled(encoding: Encoding, places: Arc<Semaphore>, background: Handle) -> Body {
    Body::from_stream(stream::try_unfold(Some(encoding), move |rest| {
        let (places, background) = (places.clone(), background.clone());
        async move {
            let Some(encoding) = rest else { return Ok::<_, std::io::Error>(None) };
            let _place = places.acquire_owned().await.map_err(std::io::Error::other)?;
            let encoded = background
                .spawn_blocking(move || encoding.next())
                .await
                .map_err(std::io::Error::other)?;
            let Encoded { bytes, rest } = encoded.map_err(|problem| {
                tracing::error!(detail = problem.detail, "an export failed");
                std::io::Error::other(problem.detail)
            })?;
            Ok(Some((bytes, rest)))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use taghouse_index::Bitmap;

    #[tokio::test]
    async fn a_reader_who_takes_nothing_keeps_no_place_and_leaves_nothing() {
        let places = Arc::new(Semaphore::new(2));
        let set: Arc<Bitmap> = Arc::new((0..9_000_000).step_by(3).collect());
        let exports: Vec<_> = (0..64)
            .map(|_| {
                pulled(
                    Encoding::Bitmap(set.portable_pieces(false)),
                    places.clone(),
                    Handle::current(),
                )
            })
            .collect();
        let mut stalled = Vec::new();
        for export in exports {
            let mut pieces = export.into_data_stream();
            let first = pieces.next().await.unwrap().unwrap();
            assert!(!first.is_empty() && first.len() <= 128 << 10);
            stalled.push(pieces);
        }
        assert_eq!(places.available_permits(), 2);
        let last =
            pulled(Encoding::Bitmap(set.portable_pieces(false)), places.clone(), Handle::current())
                .into_data_stream();
        let bytes: Vec<Bytes> = last.map(Result::unwrap).collect().await;
        assert_eq!(bytes.concat(), set.serialize_portable());
        assert_eq!(Arc::strong_count(&set), 1 + stalled.len());
        drop(stalled);
        assert_eq!(Arc::strong_count(&set), 1);
    }
}
