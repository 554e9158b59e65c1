//! Which ids belong to one user.

use super::App;
use super::users::subject;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use axum::Extension;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_model::check_user_id;
use taghouse_wire::{IdentityBody, LinkRequest, UnlinkRequest};

/// Whose ids are asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityQuery {
    /// Any id of the user.
    #[param(min_length = 1, max_length = 512)]
    id: String,
}

/// The user whose id this is, all ids of the user, and how they came to be the user's. An id that is
/// not known is its own user's.
#[utoipa::path(get, path = "/apps/{app}/identities", operation_id = "get_identity", tag = "users", params(App, IdentityQuery),
    responses((status = 200, description = "The user.", body = IdentityBody), Problem))]
pub(crate) async fn get(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<IdentityQuery>,
) -> Result<Json<IdentityBody>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    check_user_id(&query.id)?;
    let definitions = engine.definitions(&app).await?;
    engine.sum_read(&caller.id, &app, "identity", 1, std::iter::empty());
    Ok(Json(engine.identity(&definitions, &query.id).await?))
}

/// Makes an id a user's: from now on it leads to the user everywhere, and all that came under it
/// counts as the user's.
#[utoipa::path(post, path = "/apps/{app}/identities/link", operation_id = "link_id", tag = "users", params(App), request_body = LinkRequest,
    responses((status = 200, description = "The user.", body = IdentityBody), Problem))]
pub(crate) async fn link(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<LinkRequest>,
) -> Result<Json<IdentityBody>, Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let LinkRequest { id, id_type, user } = request;
    check_user_id(&id)?;
    check_user_id(&user)?;
    let definitions = engine.definitions(&app).await?;
    // A refusal names ids, which the audit trail must not.
    if engine.can_link(&definitions, &id, &id_type, &user).await? {
        let who = subject(&[id.clone(), user.clone()]);
        let act = engine.begin(&caller.id, &app, "link", &who).await?;
        act.end(engine.link(&app, &id, &id_type, &user).await.map_err(Problem::from)).await?;
    }
    Ok(Json(engine.identity(&definitions, &id).await?))
}

/// Makes an id its own user's again. What came under it counts as its own.
#[utoipa::path(post, path = "/apps/{app}/identities/unlink", operation_id = "unlink_id", tag = "users", params(App), request_body = UnlinkRequest,
    responses((status = 200, description = "The id as its own user's.", body = IdentityBody), Problem))]
pub(crate) async fn unlink(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<UnlinkRequest>,
) -> Result<Json<IdentityBody>, Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    check_user_id(&request.id)?;
    let who = subject(std::slice::from_ref(&request.id));
    let act = engine.begin(&caller.id, &app, "unlink", &who).await?;
    let unlinked = async {
        let definitions = engine.definitions(&app).await?;
        engine.unlink(&app, &request.id).await?;
        Ok::<_, Problem>(Json(engine.identity(&definitions, &request.id).await?))
    };
    act.end(unlinked.await).await
}
