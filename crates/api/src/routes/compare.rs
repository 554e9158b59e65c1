//! Compares the tag values of a crowd with those of its base.

use super::group::group_body;
use super::questions::{question, within};
use super::{App, defined_tag};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::{CompareOrder, CompareRequest, Contrast};
use taghouse_engine::Engine;
use taghouse_wire::{ComparisonAnswer, ComparisonRequest, ContrastBody, OrderRequest};

const DEFAULT_CONTRASTS: usize = 50;

pub(super) fn body(found: &Contrast) -> ContrastBody {
    let percent = |ratio: Option<f64>| ratio.map(|ratio| ratio * 100.0);
    ContrastBody {
        tag: found.tag.clone(),
        group: group_body(&found.group),
        crowd_users: found.crowd_users,
        base_users: found.base_users,
        crowd_share: found.crowd_share,
        base_share: found.base_share,
        index: percent(found.interval.ratio),
        low: percent(found.interval.low),
        high: percent(found.interval.high),
        score: found.interval.score,
    }
}

/// The values that are more or less frequent in a crowd than in its base: an index with base = 100,
/// and its 95% interval.
#[utoipa::path(post, path = "/apps/{app}/compare", operation_id = "compare_crowd", tag = "questions", params(App), request_body = ComparisonRequest,
    responses((status = 200, description = "The crowd beside its base.", body = ComparisonAnswer), Problem))]
pub(crate) async fn compare(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<ComparisonRequest>,
) -> Result<Json<ComparisonAnswer>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    request.tags.iter().try_for_each(|tag| defined_tag(&definitions, tag))?;
    let (crowd, base) = (question(&request.expression)?, within(request.base.as_ref())?);
    let order = match request.order {
        OrderRequest::Significance => CompareOrder::Significance,
        OrderRequest::Index => CompareOrder::Index,
    };
    let (min_users, limit) =
        (request.min_users.unwrap_or(1), request.limit.unwrap_or(DEFAULT_CONTRASTS));
    let asked = CompareRequest { tags: request.tags, min_users, order, limit };
    let found = engine.crowds.compare(&app, &definitions, &crowd, base.as_ref(), &asked).await?;
    Ok(Json(ComparisonAnswer {
        values: found.contrasts.iter().map(body).collect(),
        found: found.found,
        crowd: found.crowd,
        base: found.base,
        both: found.both,
        revision: found.revision,
    }))
}
