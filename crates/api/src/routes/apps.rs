//! The apps, and whether the server lives.

use crate::access::{Action, Caller};
use crate::extract::Json;
use crate::{House, Problem};
use axum::Extension;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use taghouse_model::ErrorKind;

/// An app.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AppBody {
    id: String,
}

/// The apps that the key may see.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AppList {
    apps: Vec<AppBody>,
}

/// The server's state.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
    version: &'static str,
}

/// The apps that the key may see.
#[utoipa::path(get, path = "/apps", tag = "apps",
    responses((status = 200, body = AppList), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(State(house): State<Arc<House>>, Extension(caller): Extension<Caller>) -> Result<Json<AppList>, Problem> {
    caller.may_anywhere(Action::Judge)?;
    let apps = house.catalog.apps().await?.into_iter().filter(|app| caller.app.as_ref().is_none_or(|own| own == app));
    Ok(Json(AppList { apps: apps.map(|app| AppBody { id: app.to_string() }).collect() }))
}

/// Whether the server lives, its catalog answers and live calls land. Needs no key.
#[utoipa::path(get, path = "/health", tag = "apps", security(()), responses((status = 200, body = Health), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn health(State(house): State<Arc<House>>) -> Result<Json<Health>, Problem> {
    house.catalog.apps().await?;
    if let Some((app, reason)) = house.memory.failing() {
        let detail = format!("live calls of \"{app}\" do not land: {reason}; they are kept and tried again");
        return Err(Problem::new(ErrorKind::Unavailable, detail));
    }
    Ok(Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") }))
}

/// The JSON Schema of definition files. Needs no key.
#[utoipa::path(get, path = "/schema", tag = "definitions", security(()), responses((status = 200, body = Object)))]
pub(crate) async fn schema() -> Json<serde_json::Value> {
    Json(taghouse_rules::json_schema())
}
