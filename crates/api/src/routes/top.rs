//! The most frequent values of a tag.

use super::questions::within;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
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
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    guard.tag(&request.tag, Want::View)?;
    defined_tag(&definitions, &request.tag)?;
    let (within, limit) =
        (within(request.expression.as_ref())?, request.limit.unwrap_or(DEFAULT_VALUES));
    within.iter().try_for_each(|within| guard.question(within, Want::View))?;
    let top = engine.crowds.top(&app, &definitions, within.as_ref(), &request.tag, limit).await?;
    let rounding = guard.rounding();
    let whole = top.users;
    let value = |found: taghouse_crowd::ValueUsers| TopValue {
        value: values::value(&found.value),
        users: rounding.of(found.users),
        share: rounding.share(found.share, found.users, whole),
    };
    let shown = |found: &taghouse_crowd::ValueUsers| rounding.shows(found.users);
    let listed: Vec<TopValue> = top.values.into_iter().filter(shown).map(value).collect();
    Ok(Json(TopAnswer {
        tag: request.tag,
        distinct: rounding.unless(top.distinct, listed.len()),
        values: listed,
        users: rounding.of(top.users),
        with_value: rounding.of(top.with_value),
        revision: top.revision,
    }))
}
