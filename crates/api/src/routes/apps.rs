//! The apps, and the health of the server.

use crate::access::{Action, Caller, caller_of};
use crate::extract::Json;
use crate::problem::KeylessProblem;
use crate::{Problem, Server};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use taghouse_engine::Engine;
use taghouse_model::{AppId, ErrorKind};
use taghouse_wire::{AppBody, AppList};

/// How long a health check waits for the catalog.
const CATALOG_WAIT: Duration = Duration::from_secs(2);

/// The server's state.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
    /// The version of the server.
    version: &'static str,
    /// How many ms ago the catalog last confirmed the crowds that judgments are made by; `null`:
    /// none was read yet. It is read once a second: more than some seconds say that judgments
    /// are given without the catalog.
    #[schema(required)]
    crowds_age_ms: Option<u64>,
}

/// The apps that the key may see.
#[utoipa::path(get, path = "/apps", operation_id = "list_apps", tag = "apps",
    responses((status = 200, description = "The apps that the key may see.", body = AppList), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<AppList>, Problem> {
    caller.has_role(Action::Judge)?;
    let apps = engine
        .catalog
        .apps()
        .await?
        .into_iter()
        .filter(|app| caller.app.as_ref().is_none_or(|own| own == app));
    Ok(Json(AppList { apps: apps.map(|app| AppBody { id: app.to_string() }).collect() }))
}

/// Whether the server is up, its catalog answers and live calls land. Needs no key; details about
/// an app are only shown to a key that may read it.
#[utoipa::path(get, path = "/health", operation_id = "get_health", tag = "apps", security(()),
    responses((status = 200, description = "The server lives.", body = Health), KeylessProblem))]
pub(crate) async fn health(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
) -> Result<Json<Health>, Problem> {
    let (engine, caller) = (&server.engine, caller_of(&server, &headers));
    let sees = |app: &AppId| sees(caller.as_ref(), app);
    all_apps(engine, caller.as_ref()).await?;
    let failing = engine.memory.failing();
    if let Some((app, reason)) = failing.iter().find(|(app, _)| sees(app)) {
        let detail =
            format!("live calls of \"{app}\" do not land: {reason}; they are kept and tried again");
        return Err(Problem::new(ErrorKind::Unavailable, detail));
    }
    if !failing.is_empty() {
        return Err(unwell("live calls do not land; they are kept and tried again"));
    }
    Ok(Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        crowds_age_ms: engine.crowds.stalest_ms(),
    }))
}

/// All apps, if the catalog tells them soon.
///
/// # Errors
/// It does not; why is for callers who may read every app.
pub(crate) async fn all_apps(
    engine: &Engine,
    caller: Option<&Caller>,
) -> Result<Vec<AppId>, Problem> {
    let late = |_| {
        taghouse_catalog::Error::Unavailable(format!(
            "it did not answer within {} s",
            CATALOG_WAIT.as_secs()
        ))
    };
    let error = match tokio::time::timeout(CATALOG_WAIT, engine.catalog.apps())
        .await
        .unwrap_or_else(|elapsed| Err(late(elapsed)))
    {
        Ok(apps) => return Ok(apps),
        Err(error) => error,
    };
    tracing::error!(%error, "health: the catalog does not answer");
    let age = engine
        .crowds
        .stalest_ms()
        .map(|age| format!("; judgments are given from what was known {age} ms ago"))
        .unwrap_or_default();
    let whole = caller
        .is_some_and(|caller| caller.app.is_none() && caller.may_anywhere(Action::Read).is_ok());
    Err(if whole {
        Problem::new(ErrorKind::Unavailable, format!("the catalog does not answer ({error}){age}"))
    } else {
        unwell(&format!("the catalog does not answer{age}"))
    })
}

/// Whether the caller of a route that needs no key may be told of the app.
pub(crate) fn sees(caller: Option<&Caller>, app: &AppId) -> bool {
    caller.is_some_and(|caller| caller.may(Action::Read, app).is_ok())
}

/// What anybody may know.
pub(crate) fn unwell(what: &str) -> Problem {
    Problem::new(
        ErrorKind::Unavailable,
        format!("{what}: ask again with a key that may read to be told why"),
    )
}

/// The JSON Schema of definition files. Needs no key.
#[utoipa::path(get, path = "/schema", operation_id = "get_schema", tag = "definitions", security(()),
    responses((status = 200, description = "The JSON Schema.", body = Object), KeylessProblem))]
pub(crate) async fn schema() -> Json<serde_json::Value> {
    Json(taghouse_rules::json_schema())
}
