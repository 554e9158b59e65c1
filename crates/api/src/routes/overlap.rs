//! How many users expressions have in common.

use super::App;
use super::questions::question;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use crate::rounding::Rounding;
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::Question;
use taghouse_engine::Engine;
use taghouse_wire::{OverlapAnswer, OverlapItem, OverlapRequest};

fn questions(expressions: &[serde_json::Value]) -> Result<Vec<Question>, Problem> {
    expressions.iter().map(question).collect()
}

fn items(questions: &[Question], users: &[u64], rounding: Rounding) -> Vec<OverlapItem> {
    let item = |(question, users): (&Question, &u64)| OverlapItem {
        expression: question.to_string(),
        users: rounding.of(*users),
    };
    questions.iter().zip(users).map(item).collect()
}

/// How many users each row has in common with each column. Exact.
#[utoipa::path(post, path = "/apps/{app}/overlap", operation_id = "get_overlap", tag = "questions", params(App), request_body = OverlapRequest,
    responses((status = 200, description = "The matrix.", body = OverlapAnswer), Problem))]
pub(crate) async fn overlap(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<OverlapRequest>,
) -> Result<Json<OverlapAnswer>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let rows = questions(&request.rows)?;
    let columns = request.columns.as_deref().map(questions).transpose()?;
    let guard = caller.guard(&definitions);
    let asked = rows.iter().chain(columns.iter().flatten());
    asked.into_iter().try_for_each(|asked| guard.question(asked, Want::View))?;
    let mut found = engine.crowds.overlaps(&app, &definitions, &rows, columns.as_deref()).await?;
    let rounding = guard.rounding();
    let numbers = found.counts.iter_mut().chain(&mut found.rows).chain(&mut found.columns);
    numbers.for_each(|users| *users = rounding.of(*users));
    let width = found.columns.len();
    let jaccard = |row| (0..width).map(|column| found.jaccard(row, column)).collect();
    Ok(Json(OverlapAnswer {
        counts: found.counts.chunks(width.max(1)).map(<[u64]>::to_vec).collect(),
        jaccard: request.jaccard.then(|| (0..found.rows.len()).map(jaccard).collect()),
        columns: items(columns.as_ref().unwrap_or(&rows), &found.columns, rounding),
        rows: items(&rows, &found.rows, rounding),
        users: rounding.of(found.users),
        revision: found.revision,
    }))
}
