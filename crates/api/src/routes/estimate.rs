//! Bounds of a count at once, and the exact count after them.

use super::App;
use super::questions::{CountAnswer, CountQuery, CountRequest, count_answer, question};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::{House, Problem};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use taghouse_crowd::{Estimate, Question, SLOW_MS};
use taghouse_model::AppId;

/// Lines of JSON.
const NDJSON: &str = "application/x-ndjson";

/// What is known of a count before anything is counted.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EstimateAnswer {
    /// Users for whom the expression holds, at the least.
    at_least: u64,
    /// And at the most.
    at_most: u64,
    /// Users that exist.
    users: u64,
    /// The index's revision that answered.
    revision: u64,
    /// About how many bytes an exact count reads.
    reads_bytes: u64,
    /// Whether an exact count is expected to take longer than 100 ms.
    slow: bool,
}

/// A line of a streamed count.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Bounds {
        exact: bool,
        #[serde(flatten)]
        estimate: EstimateAnswer,
    },
    Exact {
        exact: bool,
        #[serde(flatten)]
        count: CountAnswer,
    },
    Error {
        error: Problem,
    },
}

impl Line {
    fn bytes(&self) -> std::io::Result<Bytes> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes.into())
    }
}

fn body(estimate: &Estimate) -> EstimateAnswer {
    EstimateAnswer {
        at_least: estimate.at_least,
        at_most: estimate.at_most,
        users: estimate.users,
        revision: estimate.revision,
        reads_bytes: estimate.reads_bytes,
        slow: estimate.slow,
    }
}

/// Bounds of a count, from cardinalities alone, and whether the exact count is expected to take longer than 100 ms.
#[utoipa::path(post, path = "/apps/{app}/count/estimate", tag = "questions", params(App), request_body = CountRequest,
    responses((status = 200, body = EstimateAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn estimate(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<CountRequest>,
) -> Result<Json<EstimateAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = house.definitions(&app).await?;
    let estimate = house.crowds.estimate(&app, &definitions, &question(&request.expression)?).await?;
    Ok(Json(body(&estimate)))
}

async fn streamed(house: &House, app: &AppId, question: Question) -> Result<Response, Problem> {
    let definitions = house.definitions(app).await?;
    let (estimate, exact) = house.crowds.counting(app, &definitions, &question).await?;
    let mut exact = Box::pin(async move { exact.await.map(|count| count_answer(&count, &question, &definitions)) });
    let headers = [(header::CONTENT_TYPE, NDJSON)];
    if let Ok(count) = tokio::time::timeout(Duration::from_millis(SLOW_MS), &mut exact).await {
        let line = Line::Exact { exact: true, count: count? };
        let bytes = line.bytes().map_err(|error| Problem::new(taghouse_model::ErrorKind::Internal, error.to_string()))?;
        return Ok((headers, bytes).into_response());
    }
    let bounds = Line::Bounds { exact: false, estimate: body(&estimate) };
    let last = stream::once(exact).map(|count| match count {
        Ok(count) => Line::Exact { exact: true, count },
        Err(error) => Line::Error { error: error.into() },
    });
    let lines = stream::iter([bounds]).chain(last).map(|line| line.bytes());
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// The exact count as lines of JSON. The last line is the answer of `/count` with `"exact": true`; where it takes longer than 100 ms, a line
/// with `"exact": false` and the bounds of `/count/estimate` comes first. What goes wrong after that is a last line `{"error": problem}`.
#[utoipa::path(post, path = "/apps/{app}/count/stream", tag = "questions", params(App), request_body = CountRequest,
    responses((status = 200, description = "One or two lines", content((String = "application/x-ndjson"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn stream_post(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<CountRequest>,
) -> Result<Response, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    streamed(&house, &app, question(&request.expression)?).await
}

/// The same by GET.
#[utoipa::path(get, path = "/apps/{app}/count/stream", tag = "questions", params(App, CountQuery),
    responses((status = 200, description = "One or two lines", content((String = "application/x-ndjson"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn stream_get(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<CountQuery>,
) -> Result<Response, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    streamed(&house, &app, Question::parse(&query.expression)?).await
}
