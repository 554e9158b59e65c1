//! How far live tags have come.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_wire::LiveBody;

/// How an app's live tags stand, how far behind its log of calls they are, and what waits to land.
/// An app without live tags answers too.
#[utoipa::path(get, path = "/apps/{app}/live", operation_id = "get_live", tag = "tracking", params(App),
    responses((status = 200, description = "How they stand.", body = LiveBody), Problem))]
pub(crate) async fn get(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
) -> Result<Json<LiveBody>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    Ok(Json(engine.live(&definitions).await?))
}
