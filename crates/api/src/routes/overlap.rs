//! How many users crowds, values and other expressions share.

use super::App;
use super::questions::question;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::shape::Expression;
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_crowd::Question;
use taghouse_engine::Engine;

/// What to lay over what.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverlapRequest {
    /// Up to 1,000 expressions, text or JSON: `crowd("big_spenders")`, `country == "DE"`, or any other.
    #[schema(value_type = Vec<Expression>, max_items = 1000)]
    rows: Vec<serde_json::Value>,
    /// As the rows, up to 1,000; default: the rows.
    #[schema(value_type = Option<Vec<Expression>>, max_items = 1000)]
    columns: Option<Vec<serde_json::Value>>,
    /// Whether `jaccard` is wanted too.
    #[serde(default)]
    jaccard: bool,
}

/// A row or a column.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct OverlapItem {
    /// In canonical form.
    expression: String,
    /// How many users it holds for.
    users: u64,
}

/// A matrix.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct OverlapAnswer {
    /// In the order asked.
    rows: Vec<OverlapItem>,
    /// In the order asked.
    columns: Vec<OverlapItem>,
    /// How many users are in both, exact: a list for each row.
    counts: Vec<Vec<u64>>,
    /// Users in both by users in either, 0 to 1, likewise; `null` in it: nobody is in either. Absent unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    jaccard: Option<Vec<Vec<Option<f64>>>>,
    /// Users that exist.
    users: u64,
    /// The index's revision that answered.
    revision: u64,
}

fn questions(expressions: &[serde_json::Value]) -> Result<Vec<Question>, Problem> {
    expressions.iter().map(question).collect()
}

fn items(questions: &[Question], users: &[u64]) -> Vec<OverlapItem> {
    let items = questions.iter().zip(users);
    items.map(|(question, users)| OverlapItem { expression: question.to_string(), users: *users }).collect()
}

/// How many users each row shares with each column, exact.
#[utoipa::path(post, path = "/apps/{app}/overlap", operation_id = "get_overlap", tag = "questions", params(App), request_body = OverlapRequest,
    responses((status = 200, description = "The matrix.", body = OverlapAnswer), Problem))]
pub(crate) async fn overlap(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<OverlapRequest>,
) -> Result<Json<OverlapAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let rows = questions(&request.rows)?;
    let columns = request.columns.as_deref().map(questions).transpose()?;
    let found = engine.crowds.overlaps(&app, &definitions, &rows, columns.as_deref()).await?;
    let width = found.columns.len();
    let jaccard = |row| (0..width).map(|column| found.jaccard(row, column)).collect();
    Ok(Json(OverlapAnswer {
        counts: found.counts.chunks(width.max(1)).map(<[u64]>::to_vec).collect(),
        jaccard: request.jaccard.then(|| (0..found.rows.len()).map(jaccard).collect()),
        columns: items(columns.as_ref().unwrap_or(&rows), &found.columns),
        rows: items(&rows, &found.rows),
        users: found.users,
        revision: found.revision,
    }))
}
