//! Bounds of a count at once, and the exact count after them.

use super::App;
use super::questions::{CountQuery, count_answer, of_one_time, question};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::guard::Want;
use crate::rounding::Rounding;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use std::sync::Arc;
use std::time::Duration;
use taghouse_crowd::{Estimate, Question, SLOW_MS};
use taghouse_engine::Engine;
use taghouse_model::{AppId, ErrorKind};
use taghouse_wire::{CountAnswer, CountLine, CountRequest, EstimateAnswer};

/// Lines of JSON.
const NDJSON: &str = "application/x-ndjson";

type Line = CountLine<Problem>;

fn bytes(line: &Line) -> std::io::Result<Bytes> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

fn body(estimate: &Estimate, rounding: Rounding) -> EstimateAnswer {
    EstimateAnswer {
        at_least: rounding.of(estimate.at_least),
        at_most: rounding.of(estimate.at_most),
        users: rounding.of(estimate.users),
        revision: estimate.revision,
        // A sparse set has two bytes for each of its users.
        reads_bytes: rounding.unless(estimate.reads_bytes, 0),
        slow: estimate.slow,
    }
}

/// Bounds of a count, from cardinalities alone, and whether the exact count is expected to take
/// longer than 100 ms.
#[utoipa::path(post, path = "/apps/{app}/count/estimate", operation_id = "estimate_count", tag = "questions", params(App), request_body = CountRequest,
    responses((status = 200, description = "The bounds.", body = EstimateAnswer), Problem))]
pub(crate) async fn estimate(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<CountRequest>,
) -> Result<Json<EstimateAnswer>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let (guard, question) = (caller.guard(&definitions), question(&request.expression)?);
    guard.question(&question, Want::View)?;
    let estimate = engine.crowds.estimate(&app, &definitions, &question).await?;
    Ok(Json(body(&estimate, guard.rounding())))
}

async fn streamed(
    engine: &Engine,
    caller: &Caller,
    app: &AppId,
    question: Question,
    strict: bool,
) -> Result<Response, Problem> {
    let definitions = engine.definitions(app).await?;
    let guard = caller.guard(&definitions);
    guard.question(&question, Want::View)?;
    let rounding = guard.rounding();
    let (estimate, exact) = engine.crowds.counting(app, &definitions, &question).await?;
    let exact = async move {
        let count = exact.await?;
        of_one_time(&count, strict, &definitions)?;
        Ok(count_answer(&count, &question, &definitions, rounding))
    };
    lines(body(&estimate, rounding), exact).await
}

/// Only the exact count if it is fast; otherwise first its bounds, then the exact count.
async fn lines(
    estimate: EstimateAnswer,
    exact: impl Future<Output = Result<CountAnswer, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let mut exact = Box::pin(exact);
    let headers = [(header::CONTENT_TYPE, NDJSON)];
    if let Ok(count) = tokio::time::timeout(Duration::from_millis(SLOW_MS), &mut exact).await {
        let line = Line::Exact { exact: true, count: count? };
        let bytes =
            bytes(&line).map_err(|error| Problem::new(ErrorKind::Internal, error.to_string()))?;
        return Ok((headers, bytes).into_response());
    }
    let last = stream::once(exact).map(|count| match count {
        Ok(count) => Line::Exact { exact: true, count },
        Err(error) => Line::Error { error },
    });
    let lines = stream::iter([Line::Bounds { exact: false, estimate }])
        .chain(last)
        .map(|line| bytes(&line));
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// The exact count as lines of JSON. The last line is the answer of `/count` with `"exact": true`;
/// where it takes longer than 100 ms, a line with `"exact": false` and the bounds of
/// `/count/estimate` comes first. An error after that is a last line `{"error": problem}`.
#[utoipa::path(post, path = "/apps/{app}/count/stream", operation_id = "stream_count", tag = "questions", params(App), request_body = CountRequest,
    responses((status = 200, description = "One or two lines of JSON.", content((String = "application/x-ndjson"))), Problem))]
pub(crate) async fn stream_post(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<CountRequest>,
) -> Result<Response, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    streamed(&engine, &caller, &app, question(&request.expression)?, request.strict_as_of).await
}

/// The same by GET.
#[utoipa::path(get, path = "/apps/{app}/count/stream", operation_id = "stream_count_by_url", tag = "questions", params(App, CountQuery),
    responses((status = 200, description = "One or two lines of JSON.", content((String = "application/x-ndjson"))), Problem))]
pub(crate) async fn stream_get(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<CountQuery>,
) -> Result<Response, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    streamed(&engine, &caller, &app, Question::parse(&query.expression)?, query.strict_as_of).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn count(count: u64) -> CountAnswer {
        CountAnswer {
            count,
            users: 9,
            expression: "vip is set".to_owned(),
            json: Value::Null,
            revision: 1,
            as_of: None,
            newest_as_of: None,
        }
    }

    async fn said(
        delay_ms: u64,
        exact: Result<CountAnswer, Problem>,
    ) -> Result<Vec<Value>, Problem> {
        let estimate = EstimateAnswer {
            at_least: 2,
            at_most: 8,
            users: 9,
            revision: 1,
            reads_bytes: 0,
            slow: false,
        };
        let exact = async move {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            exact
        };
        let body = lines(estimate, exact).await?.into_body();
        let bytes = axum::body::to_bytes(body, 1 << 16).await.unwrap();
        Ok(bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect())
    }

    #[tokio::test]
    async fn bounds_come_before_a_slow_count_only() {
        let slow = SLOW_MS + 50;
        let seen = |lines: &[Value]| -> Vec<Value> {
            lines
                .iter()
                .map(|line| json!([line["exact"], line["at_most"], line["count"]]))
                .collect()
        };
        assert_eq!(seen(&said(0, Ok(count(5))).await.unwrap()), [json!([true, null, 5])]);
        assert_eq!(
            seen(&said(slow, Ok(count(5))).await.unwrap()),
            [json!([false, 8, null]), json!([true, null, 5])]
        );
        let broken = || Err(Problem::new(ErrorKind::Corrupt, "a block is damaged"));
        assert_eq!(
            said(0, broken()).await.unwrap_err().status,
            500,
            "an error in time is the answer's status"
        );
        let lines = said(slow, broken()).await.unwrap();
        assert_eq!(
            (lines.len(), lines[1]["error"]["detail"].clone()),
            (2, json!("a block is damaged"))
        );
    }
}
