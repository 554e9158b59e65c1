//! The users who match an expression, page by page.

use super::App;
use super::questions::question;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_wire::{PageAnswer, PageRequest};

const DEFAULT_PAGE: usize = 1000;

/// A page of the users who match an expression, in a stable order.
#[utoipa::path(post, path = "/apps/{app}/list", operation_id = "list_users", tag = "questions", params(App), request_body = PageRequest,
    responses((status = 200, description = "The page.", body = PageAnswer), Problem))]
pub(crate) async fn page(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<PageRequest>,
) -> Result<Json<PageAnswer>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let (question, limit) = (question(&request.expression)?, request.limit.unwrap_or(DEFAULT_PAGE));
    caller.guard(&definitions).question(&question, Want::Members)?;
    let page =
        engine.crowds.page(&app, &definitions, &question, request.after.as_deref(), limit).await?;
    engine.sum_read(
        &caller.id,
        &app,
        "list",
        page.users.len() as u64,
        question.tags().into_iter().chain(question.crowds()),
    );
    Ok(Json(PageAnswer {
        users: page.users,
        next: page.next,
        count: page.count,
        revision: page.revision,
    }))
}
