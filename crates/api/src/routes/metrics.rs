//! Numbers for Prometheus.

use crate::access::{Action, Caller};
use crate::exposition::{AppNumbers, ProcessNumbers, exposed};
use crate::{Problem, Server};
use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus::TEXT_FORMAT;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_model::AppId;

/// Numbers of the process and of the apps that the key may read, in the text format 0.0.4 of
/// Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "apps",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"), Problem))]
pub(crate) async fn get(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    caller.may_anywhere(Action::Read)?;
    let engine = &server.engine;
    let mut apps = Vec::new();
    for app in engine.catalog.apps().await? {
        if caller.may(Action::Read, &app).is_ok() {
            apps.push(numbers(engine, app).await?);
        }
    }
    let process = ProcessNumbers {
        uptime_ms: engine.clock.steady_ms().saturating_sub(server.began_ms),
        open: server.gates.open(),
    };
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], exposed(&process, &apps)?).into_response())
}

async fn numbers(engine: &Engine, app: AppId) -> Result<AppNumbers, Problem> {
    // Of an app whose definitions cannot be read, that it is not ready is all that is said.
    let live = match engine.definitions(&app).await {
        Ok(definitions) => Some(engine.live(&definitions).await?),
        Err(_) => None,
    };
    Ok(AppNumbers {
        is_ready: engine.not_ready(&app).await.is_none(),
        live,
        feed: engine.feeds.extent(&app).await?,
        lag: engine.feeds.lag(&app).await?,
        parity: engine.last_parity(&app).await?,
        messages: engine.landing.totals(&app).await?,
        app,
    })
}
