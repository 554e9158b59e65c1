//! Which crowds hold a user.

use super::app_in_part;
use super::users::UserPath;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Guard;
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::{Holding, Holds, Unanswered};
use taghouse_engine::Engine;
use taghouse_model::check_user_id;
use taghouse_rules::Labelled;
use taghouse_wire::{UnansweredBody, UserCrowdBody, UserCrowdsBody};

/// The crowds that a user is in, of those that are defined: by their current versions, or, where
/// they are live, by their rules now. Any id of the user names the user.
#[utoipa::path(get, path = "/apps/{app}/users/{user}/crowds", operation_id = "list_user_crowds", tag = "judgments", params(UserPath),
    responses((status = 200, description = "The crowds; a user never seen is in none.", body = UserCrowdsBody), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<UserPath>,
) -> Result<Json<UserCrowdsBody>, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Judge)?;
    check_user_id(&path.user)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    let mut holding = engine.crowds.crowds_of(&definitions, &path.user).await?;
    visible(&mut holding, guard);
    let is_live = definitions.crowds.values().any(|crowd| crowd.is_live);
    let live_age_ms = if is_live { engine.live_age_ms(&app) } else { 0 };
    engine.sum_read(&caller.id, &app, "user_crowds", 1, std::iter::empty());
    let crowd =
        |Holds { crowd, version, live }| UserCrowdBody { crowd: crowd.to_string(), version, live };
    let unanswered = |Unanswered { crowd, why }| UnansweredBody { crowd: crowd.to_string(), why };
    Ok(Json(UserCrowdsBody {
        user: path.user,
        crowds: holding.crowds.into_iter().map(crowd).collect(),
        reason: holding.unknown_user.then_some("unknown_user".into()),
        unanswered: holding.unanswered.into_iter().map(unanswered).collect(),
        unanswered_count: holding.unanswered_count as u64,
        age_ms: holding.age_ms.max(live_age_ms),
    }))
}

/// Leaves out the crowds that the caller may not ask.
pub(crate) fn visible(holding: &mut Holding, guard: Guard<'_>) {
    holding.crowds.retain(|holds| guard.judges(Labelled::Crowd(holds.crowd.as_str())));
    let listed = holding.unanswered.len();
    holding.unanswered.retain(|of| guard.judges(Labelled::Crowd(of.crowd.as_str())));
    if holding.unanswered.len() < listed {
        holding.unanswered_count = holding.unanswered.len();
    }
}
