//! Live events: the Segment HTTP tracking API. 200 means durable.

use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::{House, Problem};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::header;
use serde::Serialize;
use std::sync::Arc;
use taghouse_ingest::LiveCall;
use taghouse_model::{AppId, ErrorKind};

/// The tracking API's answer.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Tracked {
    /// Always true: errors are problems.
    success: bool,
}

/// The largest call before and after gzip, in bytes: Segment's limit of a batch, with room to spare.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// The kinds of calls.
const KINDS: [&str; 7] = ["track", "identify", "page", "screen", "group", "alias", "batch"];

/// Takes a call of the Segment tracking API: `track`, `identify`, `page`, `screen`, `group`, `alias`, or a `batch` of these.
/// The key stands as user name in Basic authorization, as Segment's libraries send it, and tells the app.
#[utoipa::path(post, path = "/{kind}", tag = "tracking",
    params(("kind" = String, Path, description = "track, identify, page, screen, group, alias or batch")),
    request_body(content = Object, description = "The call as Segment documents it; gzip is understood"),
    responses((status = 200, body = Tracked), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn track(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(kind): Path<String>,
    request: Request,
) -> Result<Json<Tracked>, Problem> {
    if !KINDS.contains(&kind.as_str()) {
        return Err(Problem::new(ErrorKind::NotFound, format!("there is no call \"{kind}\"; there are: {}", KINDS.join(", "))));
    }
    caller.may_anywhere(Action::Write)?;
    // Neither a key that may not nor a call too large is read to its end.
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BYTES) {
        return Err(Problem::too_large(format!("a call may have {MAX_BYTES} bytes at most: send several batches")));
    }
    let body = Bytes::from_request(request, &()).await?;
    let app = app_of(&house, &caller).await?;
    let records = LiveCall::parse(&kind, &body, house.clock.now_ms(), house.entropy.as_ref())?;
    let unwritable = |error: serde_json::Error| Problem::new(ErrorKind::Internal, format!("writing a record of the log: {error}"));
    let encoded = records.iter().map(taghouse_ingest::LogRecord::encode).collect::<Result<Vec<_>, _>>().map_err(unwritable)?;
    if !encoded.is_empty() {
        house.log.append(&app, encoded).await?;
    }
    Ok(Json(Tracked { success: true }))
}

/// The key's app; a key of every app writes where there is just one.
async fn app_of(house: &House, caller: &Caller) -> Result<AppId, Problem> {
    if let Some(app) = &caller.app {
        // What nobody defined would never land: it must not be acknowledged.
        house.exists(app).await?;
        return Ok(app.clone());
    }
    match house.catalog.apps().await?.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Problem::new(ErrorKind::NotFound, "there is no app yet: define one with `taghouse apply -f DIR`")),
        _ => Err(Problem::new(
            ErrorKind::Invalid,
            "this key is for every app, so it does not tell where the event belongs: use a write key of one app",
        )),
    }
}
