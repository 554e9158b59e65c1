//! Reads the audit trail.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use axum::Extension;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_catalog::{AuditEntry, AuditQuery};
use taghouse_engine::Engine;
use taghouse_engine::clock_text::{instant, parse};
use taghouse_model::{AppId, ErrorKind};
use taghouse_wire::{AuditLine, AuditPage};

const DEFAULT_LINES: u32 = 100;
const MAX_LINES: u32 = 1000;

/// Selects lines of the audit trail.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditFilter {
    /// Only this action, such as `delete`; `key` is `key.create` and `key.revoke`.
    action: Option<String>,
    /// Only actions with this key: its id, or `local` for commands on the server's machine.
    actor: Option<String>,
    /// Not before this time, such as `2026-07-01T00:00` in the app's zone (of the whole data
    /// folder: UTC), or with an offset.
    from: Option<String>,
    /// Before this time.
    to: Option<String>,
    /// The `next` of the previous page.
    #[param(value_type = Option<usize>)]
    before: Option<u64>,
    /// How many lines, 1 to 1,000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Who did what in an app, newest first. For admins.
#[utoipa::path(get, path = "/apps/{app}/audit", operation_id = "list_audit", tag = "audit", params(App, AuditFilter),
    responses((status = 200, description = "A page of lines.", body = AuditPage), Problem))]
pub(crate) async fn of_app(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(filter): Query<AuditFilter>,
) -> Result<Json<AuditPage>, Problem> {
    let app = app.checked(&caller, Action::Administer)?;
    engine.exists(&app).await?;
    let zone = match engine.definitions(&app).await {
        Ok(definitions) => definitions.app.time_zone.clone(),
        Err(_) => TimeZone::UTC,
    };
    page(&engine, Some(app), filter, &zone).await
}

/// Actions that concern all apps, such as on keys for all apps. For admins of all apps.
#[utoipa::path(get, path = "/audit", operation_id = "list_house_audit", tag = "audit", params(AuditFilter),
    responses((status = 200, description = "A page of lines.", body = AuditPage), Problem))]
pub(crate) async fn of_all_apps(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<AuditFilter>,
) -> Result<Json<AuditPage>, Problem> {
    caller.may_anywhere(Action::Administer)?;
    if let Some(own) = &caller.app {
        return Err(Problem::new(
            ErrorKind::Denied,
            format!("an admin of \"{own}\" reads the trail of \"{own}\" only"),
        ));
    }
    page(&engine, None, filter, &TimeZone::UTC).await
}

async fn page(
    engine: &Engine,
    app: Option<AppId>,
    filter: AuditFilter,
    zone: &TimeZone,
) -> Result<Json<AuditPage>, Problem> {
    let limit = filter.limit.unwrap_or(DEFAULT_LINES);
    if !(1..=MAX_LINES).contains(&limit) {
        return Err(Problem::new(
            ErrorKind::Invalid,
            format!("{limit} lines in one call: 1 to {MAX_LINES} are allowed"),
        ));
    }
    let time = |text: &Option<String>| text.as_deref().map(|text| parse(text, zone)).transpose();
    let query = AuditQuery {
        app,
        action: filter.action,
        actor: filter.actor,
        from_ms: time(&filter.from)?,
        to_ms: time(&filter.to)?,
        before: filter.before,
        limit,
    };
    let found = engine.catalog.audit(&query).await?;
    let full = found.len() == limit as usize;
    let next = found.last().filter(|_| full).map(|last| last.id);
    Ok(Json(AuditPage { lines: found.into_iter().map(body).collect(), next }))
}

fn body(AuditEntry { id, line }: AuditEntry) -> AuditLine {
    AuditLine {
        id,
        at: instant(line.at_ms),
        actor: line.actor,
        action: line.action,
        subject: line.subject,
        outcome: line.outcome,
    }
}
