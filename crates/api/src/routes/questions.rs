//! Questions in the crowd language: how many, and who.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query, whole};
use crate::shape::Expression;
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_crowd::{Count, Question};
use taghouse_engine::Engine;
use taghouse_engine::clock_text::local;
use taghouse_model::{AppId, ErrorKind};
use taghouse_rules::Definitions;

const DEFAULT_SAMPLE: u32 = 10;

/// A question.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountRequest {
    /// Text such as `country == "France" && orders_30d >= 2`, or the same as JSON.
    #[schema(value_type = Expression)]
    pub(crate) expression: serde_json::Value,
    /// Whether to refuse to count over tags that were not produced as of one time. Default: false.
    #[serde(default)]
    pub(crate) strict_as_of: bool,
}

/// The same in a URL.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CountQuery {
    /// Text such as `orders_30d >= 2`.
    pub(crate) expression: String,
    /// Whether to refuse to count over tags that were not produced as of one time. Default: false.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub(crate) strict_as_of: bool,
}

/// A question for users.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleRequest {
    /// Text or JSON.
    #[schema(value_type = Expression)]
    expression: serde_json::Value,
    /// How many users, 1 to 10,000; default 10.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000)]
    size: Option<u32>,
    /// Another seed, another sample; the same seed, the same one. Default: 0.
    #[serde(default, deserialize_with = "whole")]
    seed: Option<u64>,
}

/// How many.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CountAnswer {
    /// Users for whom the expression holds.
    pub(crate) count: u64,
    /// Users that exist.
    pub(crate) users: u64,
    /// The expression in canonical form.
    pub(crate) expression: String,
    /// The same as JSON.
    #[schema(value_type = Object)]
    pub(crate) json: serde_json::Value,
    /// The index's revision that answered.
    pub(crate) revision: u64,
    /// The oldest as-of time of the tags asked, ISO 8601 with the app's offset; `null`: none was.
    #[schema(required)]
    pub(crate) as_of: Option<String>,
    /// The newest, where it is another: the count then mixes what was known at two times. `null`: there is none.
    #[schema(required)]
    pub(crate) newest_as_of: Option<String>,
}

/// Who.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SampleAnswer {
    /// User ids.
    users: Vec<String>,
    /// Of so many for whom it holds.
    count: u64,
}

/// An expression, text or JSON.
pub(crate) fn question(expression: &serde_json::Value) -> Result<Question, Problem> {
    match expression {
        serde_json::Value::String(text) => Ok(Question::parse(text)?),
        json => Ok(Question::from_json(json)?),
    }
}

/// An expression that may be left out: then all users are meant.
pub(crate) fn within(expression: Option<&serde_json::Value>) -> Result<Option<Question>, Problem> {
    expression.map(question).transpose()
}

/// A count on the wire.
pub(crate) fn count_answer(count: &Count, question: &Question, definitions: &Definitions) -> CountAnswer {
    CountAnswer {
        count: count.count,
        users: count.users,
        expression: question.to_string(),
        json: question.to_json(),
        revision: count.revision,
        as_of: count.oldest_as_of_ms.map(|ms| local(ms, &definitions.app.time_zone)),
        newest_as_of: count.mixed_as_of().map(|(_, newest)| local(newest, &definitions.app.time_zone)),
    }
}

/// Refuses a count over tags of two as-of times, where that was asked.
pub(crate) fn of_one_time(count: &Count, strict: bool, definitions: &Definitions) -> Result<(), Problem> {
    let Some((oldest, newest)) = count.mixed_as_of().filter(|_| strict) else { return Ok(()) };
    let zone = &definitions.app.time_zone;
    let detail = format!(
        "the tags asked for were produced as of two times, from {} to {}: produce them as of one, or ask without strict_as_of",
        local(oldest, zone),
        local(newest, zone)
    );
    Err(Problem::new(ErrorKind::Invalid, detail))
}

async fn answer(engine: &Engine, app: &AppId, question: &Question, strict: bool) -> Result<Json<CountAnswer>, Problem> {
    let definitions = engine.definitions(app).await?;
    let count = engine.crowds.count(app, &definitions, question).await?;
    of_one_time(&count, strict, &definitions)?;
    Ok(Json(count_answer(&count, question, &definitions)))
}

/// How many users an expression holds for.
#[utoipa::path(post, path = "/apps/{app}/count", operation_id = "count_users", tag = "questions", params(App), request_body = CountRequest,
    responses((status = 200, description = "The count.", body = CountAnswer), Problem))]
pub(crate) async fn count(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<CountRequest>,
) -> Result<Json<CountAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    answer(&engine, &app, &question(&request.expression)?, request.strict_as_of).await
}

/// The same by GET.
#[utoipa::path(get, path = "/apps/{app}/count", operation_id = "count_users_by_url", tag = "questions", params(App, CountQuery),
    responses((status = 200, description = "The count.", body = CountAnswer), Problem))]
pub(crate) async fn count_get(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<CountQuery>,
) -> Result<Json<CountAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    answer(&engine, &app, &Question::parse(&query.expression)?, query.strict_as_of).await
}

/// Some users for whom an expression holds, drawn by the seed.
#[utoipa::path(post, path = "/apps/{app}/sample", operation_id = "sample_users", tag = "questions", params(App), request_body = SampleRequest,
    responses((status = 200, description = "The sample.", body = SampleAnswer), Problem))]
pub(crate) async fn sample(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<SampleRequest>,
) -> Result<Json<SampleAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let size = request.size.unwrap_or(DEFAULT_SAMPLE);
    if size == 0 {
        return Err(Problem::new(ErrorKind::Invalid, "size must be at least 1"));
    }
    let definitions = engine.definitions(&app).await?;
    let sample =
        engine.crowds.sample(&app, &definitions, &question(&request.expression)?, size as usize, request.seed.unwrap_or_default()).await?;
    Ok(Json(SampleAnswer { users: sample.users, count: sample.count }))
}
