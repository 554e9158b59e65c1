//! What becomes of live calls.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use axum::Extension;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use taghouse_engine::Engine;

/// What became of an app's live calls since the server started.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LandingBody {
    /// Rows of `events`.
    events: u64,
    /// Rows of `attributes`.
    attributes: u64,
    /// Rows of `rejected_events`.
    rejected: u64,
    /// Calls that a filter left out.
    filtered: u64,
    /// Calls of suppressed ids: nothing of them is kept.
    suppressed: u64,
    /// Rows of `user_changes`: values changed by hand, and users who were deleted or expired.
    changes: u64,
    /// Calls dropped because their message id had been received before.
    duplicates: u64,
    /// The log position through which everything has landed; 0 before the first landing.
    position: u64,
    /// Why the last landing failed; `null`: it did not.
    #[schema(required)]
    last_error: Option<String>,
}

/// What became of an app's live calls since the server started.
#[utoipa::path(get, path = "/apps/{app}/landing", operation_id = "get_landing", tag = "tracking", params(App),
    responses((status = 200, description = "The totals.", body = LandingBody), Problem))]
pub(crate) async fn get(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<LandingBody>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    engine.definitions(&app).await?;
    let totals = engine.memory.landing(&app);
    let landed = totals.landed;
    Ok(Json(LandingBody {
        events: landed.events,
        attributes: landed.attributes,
        rejected: landed.rejected,
        filtered: landed.filtered,
        suppressed: landed.suppressed,
        changes: landed.changes,
        duplicates: landed.duplicates,
        position: landed.position,
        last_error: totals.error,
    }))
}
