//! The values of a tag that most users of a crowd have.

use super::questions::within;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, whole};
use crate::shape::{Expression, TagValue};
use crate::{Problem, wire};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_engine::Engine;

const DEFAULT_VALUES: usize = 20;

/// Which tag, and among whom.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopRequest {
    /// The tag's name.
    tag: String,
    /// Only among the users for whom this holds: text or JSON. Default: all users.
    #[schema(value_type = Option<Expression>)]
    expression: Option<serde_json::Value>,
    /// How many values, 0 to 10,000; default 20.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 10_000)]
    limit: Option<usize>,
}

/// A value and who has it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TopValue {
    /// The value; of a set tag one of its members. Decimals, dates and instants as text.
    #[schema(value_type = TagValue)]
    value: serde_json::Value,
    /// How many of the users asked about have it.
    users: u64,
    /// Their share of the users asked about, 0 to 1.
    share: f64,
}

/// The most frequent values of a tag.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TopAnswer {
    /// The tag's name.
    tag: String,
    /// Most users first.
    values: Vec<TopValue>,
    /// How many different values the users asked about have.
    distinct: usize,
    /// The users asked about.
    users: u64,
    /// How many of them have a value.
    with_value: u64,
    /// The index's revision that answered.
    revision: u64,
}

/// The values of a tag that most users have, exact, also of numbers.
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
    let (within, limit) = (within(request.expression.as_ref())?, request.limit.unwrap_or(DEFAULT_VALUES));
    let top = engine.crowds.top(&app, &definitions, within.as_ref(), &request.tag, limit).await?;
    let value = |found: taghouse_crowd::ValueUsers| TopValue { value: wire::value(&found.value), users: found.users, share: found.share };
    Ok(Json(TopAnswer {
        tag: request.tag,
        values: top.values.into_iter().map(value).collect(),
        distinct: top.distinct,
        users: top.users,
        with_value: top.with_value,
        revision: top.revision,
    }))
}
