//! Live events: the Segment HTTP tracking API. 200 means durable.

use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::position::Written;
use crate::problem::KeylessCallProblem;
use crate::shape::TrackCall;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_ingest::{LiveCall, LogRecord, RecordBody};
use taghouse_model::{AppId, ErrorKind};

/// The tracking API's answer.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Tracked {
    /// Always true: errors are problems.
    success: bool,
    /// The invalid messages of a batch, at most 100. They land in `rejected_events`, all others in
    /// their tables. Sending an invalid message again unchanged has no effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectedMessage>,
    /// How many messages of a batch are invalid.
    #[serde(skip_serializing_if = "is_zero")]
    rejected_total: usize,
}

/// An invalid message of a batch.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RejectedMessage {
    /// Its place in the batch, from 0.
    index: usize,
    /// Its id: as sent, or a generated one.
    message_id: String,
    /// Its class, as in `rejected_events`.
    reason: String,
    /// What is wrong.
    detail: String,
}

/// Wrong messages of a batch that its answer names.
const NAMED: usize = 100;

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Tracked {
    fn of(records: &[LogRecord]) -> Self {
        let wrong = |(index, record): (usize, &LogRecord)| match &record.body {
            RecordBody::Rejected { reason, detail, .. } => Some(RejectedMessage {
                index,
                message_id: record.message_id.clone(),
                reason: reason.clone(),
                detail: detail.clone(),
            }),
            _ => None,
        };
        let rejected_total = records
            .iter()
            .filter(|record| matches!(record.body, RecordBody::Rejected { .. }))
            .count();
        Self {
            success: true,
            rejected: records.iter().enumerate().filter_map(wrong).take(NAMED).collect(),
            rejected_total,
        }
    }
}

/// A call in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TrackPath {
    /// The kind of the call.
    #[param(inline, value_type = TrackCall)]
    kind: String,
}

/// The largest call before and after gzip, in bytes: Segment's limit of a batch, with room to
/// spare.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// Neither a key that may not nor a call too large is read to its end.
pub(crate) fn refuse_large(headers: &HeaderMap) -> Result<(), Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BYTES) {
        return Err(Problem::too_large(format!(
            "a call may have {MAX_BYTES} bytes at most: send several batches"
        )));
    }
    Ok(())
}

/// Accepts a call of the Segment tracking API: `track`, `identify`, `page`, `screen`, `group`,
/// `alias`, or a `batch` of these, which is called `import` too. Segment's libraries for browsers
/// and phones call them `t`, `i`, `p`, `s`, `g`, `a` and `b`. The key stands as user name in
/// Basic authorization, or as `writeKey` in the body, and tells the app. The body is JSON, whatever
/// its content type says.
#[utoipa::path(post, path = "/{kind}", operation_id = "track", tag = "tracking",
    params(TrackPath),
    request_body(content = Object, description = "The call as Segment documents it; gzip is understood"),
    responses((status = 200, description = "The call is durable.", body = Tracked,
        headers(("Taghouse-Position" = u64, description = "The position of the call in the log: a judgment with this as `at_least` holds it."))), Problem))]
pub(crate) async fn track(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(TrackPath { kind }): Path<TrackPath>,
    request: Request,
) -> Result<Written<Json<Tracked>>, Problem> {
    if !LiveCall::KINDS.contains(&kind.as_str()) {
        let kinds = LiveCall::KINDS.join(", ");
        return Err(Problem::new(
            ErrorKind::NotFound,
            format!("there is no call \"{kind}\"; there are: {kinds}"),
        ));
    }
    caller.may_anywhere(Action::Write)?;
    refuse_large(request.headers())?;
    let body = Bytes::from_request(request, &()).await?;
    let app = app_of(&engine, &caller).await?;
    let records = LiveCall::parse(&kind, &body, engine.clock.now_ms(), engine.entropy.as_ref())?;
    let answer = Tracked::of(&records);
    let unwritable = |error: serde_json::Error| {
        Problem::new(ErrorKind::Internal, format!("writing a record of the log: {error}"))
    };
    let encoded = records
        .iter()
        .map(taghouse_ingest::LogRecord::encode)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unwritable)?;
    let position = match encoded.is_empty() {
        true => None,
        false => Some(engine.log.append(&app, encoded).await?),
    };
    Ok(Written { answer: Json(answer), position })
}

/// Accepts the metrics that Segment's library for browsers sends about itself, and discards them.
/// Needs no key, because none is sent with them.
#[utoipa::path(post, path = "/m", operation_id = "send_metrics", tag = "tracking", security(()),
    request_body(content = Object, description = "Whatever the library counted"),
    responses((status = 200, description = "It was read and ignored.", body = Tracked), KeylessCallProblem))]
pub(crate) async fn metrics(body: Bytes) -> Result<Json<Tracked>, Problem> {
    if !LiveCall::is_object(&body) {
        return Err(Problem::new(ErrorKind::Invalid, "the body is not a JSON object"));
    }
    Ok(Json(Tracked { success: true, rejected: Vec::new(), rejected_total: 0 }))
}

/// The key's app; a key of every app writes where there is just one.
async fn app_of(engine: &Engine, caller: &Caller) -> Result<AppId, Problem> {
    if let Some(app) = &caller.app {
        // What nobody defined would never land: it must not be acknowledged.
        engine.exists(app).await?;
        return Ok(app.clone());
    }
    match engine.catalog.apps().await?.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Problem::new(
            ErrorKind::NotFound,
            "there is no app yet: define one with `taghouse apply -f DIR`",
        )),
        _ => Err(Problem::new(
            ErrorKind::Invalid,
            "this key is for every app, so it does not tell where the event belongs: use a write key of one app",
        )),
    }
}
