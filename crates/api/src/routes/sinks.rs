//! Sinks that send changes to HTTP servers: what became of what was sent.

use super::app_checked;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use axum::Extension;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_model::ErrorKind;
use taghouse_wire::{DeadLetterPage, DeliveryPage, ResendReport, ResendRequest, SinkTestReport};

const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 1000;

/// A sink in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SinkPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
    /// The sink's name.
    sink: String,
}

/// How many to show.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SinkQuery {
    /// How many, 1 to 1,000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

fn checked_limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LINES);
    if !(1..=MAX_LINES).contains(&limit) {
        let detail = format!("limit: {limit} is not 1 to {MAX_LINES}");
        return Err(Problem::new(ErrorKind::Invalid, detail));
    }
    Ok(limit)
}

/// The last deliveries of a webhook, newest first: up to 200 since long ago, each attempt for itself.
#[utoipa::path(get, path = "/apps/{app}/sinks/{sink}/deliveries", operation_id = "list_deliveries", tag = "sinks", params(SinkPath, SinkQuery),
    responses((status = 200, description = "The deliveries.", body = DeliveryPage), Problem))]
pub(crate) async fn deliveries(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(SinkPath { app, sink }): Path<SinkPath>,
    Query(query): Query<SinkQuery>,
) -> Result<Json<DeliveryPage>, Problem> {
    let app = app_checked(&app, &caller, Action::Read)?;
    let limit = checked_limit(query.limit)?;
    let definitions = engine.definitions(&app).await?;
    Ok(Json(engine.deliveries(&definitions, &sink, limit)?))
}

/// The oldest dead letters of a webhook: events that could not be delivered.
#[utoipa::path(get, path = "/apps/{app}/sinks/{sink}/dead-letters", operation_id = "list_dead_letters", tag = "sinks", params(SinkPath, SinkQuery),
    responses((status = 200, description = "The dead letters.", body = DeadLetterPage), Problem))]
pub(crate) async fn dead_letters(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(SinkPath { app, sink }): Path<SinkPath>,
    Query(query): Query<SinkQuery>,
) -> Result<Json<DeadLetterPage>, Problem> {
    let app = app_checked(&app, &caller, Action::Read)?;
    let limit = checked_limit(query.limit)?;
    let definitions = engine.definitions(&app).await?;
    caller.guard(&definitions).events_of(&sink)?;
    let page = engine.dead_letters(&definitions, &sink, limit).await?;
    let users = page.dead_letters.len() as u64;
    engine.sum_read(&caller.id, &app, "dead_letters", users, [sink.as_str()].into_iter());
    Ok(Json(page))
}

/// Sends the oldest dead letters of a webhook again, once. What the receiver takes is not a dead letter
/// any more. It ends where the receiver does not work, and says why.
#[utoipa::path(post, path = "/apps/{app}/sinks/{sink}/dead-letters/retry", operation_id = "retry_dead_letters", tag = "sinks", params(SinkPath), request_body = ResendRequest,
    responses((status = 200, description = "What came of it.", body = ResendReport), Problem))]
pub(crate) async fn retry(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(SinkPath { app, sink }): Path<SinkPath>,
    Json(request): Json<ResendRequest>,
) -> Result<Json<ResendReport>, Problem> {
    let app = app_checked(&app, &caller, Action::Edit)?;
    let limit = checked_limit(request.limit)?;
    let definitions = engine.definitions(&app).await?;
    let act = engine.begin(&caller.id, &app, "retry_dead_letters", &sink).await?;
    let resent = engine.resend(&definitions, &sink, limit).await;
    act.end(resent.map(Json).map_err(Problem::from)).await
}

/// Sends a test event to a webhook, once, and says what came back. Its type is `taghouse.sink.test`.
#[utoipa::path(post, path = "/apps/{app}/sinks/{sink}/test", operation_id = "test_sink", tag = "sinks", params(SinkPath),
    responses((status = 200, description = "What came of it, be it a failure of the receiver.", body = SinkTestReport), Problem))]
pub(crate) async fn test(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(SinkPath { app, sink }): Path<SinkPath>,
) -> Result<Json<SinkTestReport>, Problem> {
    let app = app_checked(&app, &caller, Action::Edit)?;
    let definitions = engine.definitions(&app).await?;
    let act = engine.begin(&caller.id, &app, "test_sink", &sink).await?;
    let tested = engine.test_sink(&definitions, &sink).await;
    act.end(tested.map(Json).map_err(Problem::from)).await
}
