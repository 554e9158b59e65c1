//! Questions in the crowd language: how many, and who.

use super::App;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::guard::Want;
use crate::rounding::Rounding;
use axum::Extension;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_crowd::{Count, Question};
use taghouse_engine::Engine;
use taghouse_engine::clock_text::local;
use taghouse_model::{AppId, ErrorKind};
use taghouse_rules::Definitions;
use taghouse_wire::{CountAnswer, CountRequest, SampleAnswer, SampleRequest};

const DEFAULT_SAMPLE: u32 = 10;

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
pub(crate) fn count_answer(
    count: &Count,
    question: &Question,
    definitions: &Definitions,
    rounding: Rounding,
) -> CountAnswer {
    CountAnswer {
        count: rounding.of(count.count),
        users: rounding.of(count.users),
        expression: question.to_string(),
        json: question.to_json(),
        revision: count.revision,
        as_of: count.oldest_as_of_ms.map(|ms| local(ms, &definitions.app.time_zone)),
        newest_as_of: count
            .mixed_as_of()
            .map(|(_, newest)| local(newest, &definitions.app.time_zone)),
    }
}

/// Refuses a count over tags of two as-of times, where that was asked.
pub(crate) fn of_one_time(
    count: &Count,
    strict: bool,
    definitions: &Definitions,
) -> Result<(), Problem> {
    let Some((oldest, newest)) = count.mixed_as_of().filter(|_| strict) else { return Ok(()) };
    let zone = &definitions.app.time_zone;
    let detail = format!(
        "the tags asked for were produced as of two times, from {} to {}: produce them as of one, or ask without strict_as_of",
        local(oldest, zone),
        local(newest, zone)
    );
    Err(Problem::new(ErrorKind::Invalid, detail))
}

async fn answer(
    engine: &Engine,
    caller: &Caller,
    app: &AppId,
    question: &Question,
    strict: bool,
) -> Result<Json<CountAnswer>, Problem> {
    let definitions = engine.definitions(app).await?;
    let guard = caller.guard(&definitions);
    guard.question(question, Want::View)?;
    let count = engine.crowds.count(app, &definitions, question).await?;
    of_one_time(&count, strict, &definitions)?;
    Ok(Json(count_answer(&count, question, &definitions, guard.rounding())))
}

/// How many users match an expression.
#[utoipa::path(post, path = "/apps/{app}/count", operation_id = "count_users", tag = "questions", params(App), request_body = CountRequest,
    responses((status = 200, description = "The count.", body = CountAnswer), Problem))]
pub(crate) async fn count(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<CountRequest>,
) -> Result<Json<CountAnswer>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    answer(&engine, &caller, &app, &question(&request.expression)?, request.strict_as_of).await
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
    let app = app.checked_in_part(&caller, Action::Read)?;
    answer(&engine, &caller, &app, &Question::parse(&query.expression)?, query.strict_as_of).await
}

/// A random sample of the users who match an expression, determined by the seed.
#[utoipa::path(post, path = "/apps/{app}/sample", operation_id = "sample_users", tag = "questions", params(App), request_body = SampleRequest,
    responses((status = 200, description = "The sample.", body = SampleAnswer), Problem))]
pub(crate) async fn sample(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<SampleRequest>,
) -> Result<Json<SampleAnswer>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let size = request.size.unwrap_or(DEFAULT_SAMPLE);
    if size == 0 {
        return Err(Problem::new(ErrorKind::Invalid, "size must be at least 1"));
    }
    let definitions = engine.definitions(&app).await?;
    let (question, seed) = (question(&request.expression)?, request.seed.unwrap_or_default());
    caller.guard(&definitions).question(&question, Want::Members)?;
    let sample = engine.crowds.sample(&app, &definitions, &question, size as usize, seed).await?;
    engine.sum_read(
        &caller.id,
        &app,
        "sample",
        sample.users.len() as u64,
        question.tags().into_iter().chain(question.crowds()),
    );
    Ok(Json(SampleAnswer { users: sample.users, count: sample.count }))
}
