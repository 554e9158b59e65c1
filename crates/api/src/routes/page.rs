//! Users for whom an expression holds, page by page.

use super::App;
use super::questions::question;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, whole};
use crate::shape::Expression;
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_engine::Engine;

const DEFAULT_PAGE: usize = 1000;

/// A question for a page of users.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageRequest {
    /// Text such as `orders_30d >= 2`, or the same as JSON.
    #[schema(value_type = Expression)]
    expression: serde_json::Value,
    /// The `next` of the page before; `null` or absent: the first page.
    after: Option<String>,
    /// How many users, 1 to 10,000; default 1,000.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000)]
    limit: Option<usize>,
}

/// A page of users.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PageAnswer {
    /// User ids, in the order in which the users were first seen. Publications between two pages do not change it.
    users: Vec<String>,
    /// What to send as `after` for the next page; `null`: there is none.
    #[schema(required)]
    next: Option<String>,
    /// Users for whom it holds, on all pages together.
    count: u64,
    /// The index's revision that answered. Pages of one revision are one cut.
    revision: u64,
}

/// A page of the users for whom an expression holds, in a stable order.
#[utoipa::path(post, path = "/apps/{app}/list", operation_id = "list_users", tag = "questions", params(App), request_body = PageRequest,
    responses((status = 200, description = "The page.", body = PageAnswer), Problem))]
pub(crate) async fn page(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<PageRequest>,
) -> Result<Json<PageAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let (question, limit) = (question(&request.expression)?, request.limit.unwrap_or(DEFAULT_PAGE));
    let page = engine.crowds.page(&app, &definitions, &question, request.after.as_deref(), limit).await?;
    Ok(Json(PageAnswer { users: page.users, next: page.next, count: page.count, revision: page.revision }))
}
