//! The most frequent values of a tag.

use super::questions::within;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_wire::{TopAnswer, TopRequest, TopValue};

const DEFAULT_VALUES: usize = 20;

/// The most frequent values of a tag. Exact, also for numbers.
#[utoipa::path(post, path = "/apps/{app}/top", operation_id = "list_top_values", tag = "questions", params(App), request_body = TopRequest,
    responses((status = 200, description = "The values.", body = TopAnswer), Problem))]
pub(crate) async fn top(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<TopRequest>,
) -> Result<Json<TopAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    defined_tag(&definitions, &request.tag)?;
    let (within, limit) =
        (within(request.expression.as_ref())?, request.limit.unwrap_or(DEFAULT_VALUES));
    let top = engine.crowds.top(&app, &definitions, within.as_ref(), &request.tag, limit).await?;
    let value = |found: taghouse_crowd::ValueUsers| TopValue {
        value: values::value(&found.value),
        users: found.users,
        share: found.share,
    };
    Ok(Json(TopAnswer {
        tag: request.tag,
        values: top.values.into_iter().map(value).collect(),
        distinct: top.distinct,
        users: top.users,
        with_value: top.with_value,
        revision: top.revision,
    }))
}
