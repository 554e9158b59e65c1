//! What a crowd has more or less often than its base.

use super::group::{GroupBody, group_body};
use super::questions::{question, within};
use super::{App, defined_tag};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, whole};
use crate::shape::Expression;
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_crowd::{CompareOrder, CompareRequest, Contrast};
use taghouse_engine::Engine;

const DEFAULT_CONTRASTS: usize = 50;

/// Which crowd, against whom, by what.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComparisonRequest {
    /// The crowd: text such as `crowd("big_spenders")`, or JSON.
    #[schema(value_type = Expression)]
    expression: serde_json::Value,
    /// The base: text or JSON. It may hold the crowd, share users with it, or not. Default: all users.
    #[schema(value_type = Option<Expression>)]
    base: Option<serde_json::Value>,
    /// Tags, 1 to 100. Numbers are cut at the deciles of the base.
    #[schema(min_items = 1, max_items = 100)]
    tags: Vec<String>,
    /// Values with fewer users in the base are left out; default 1.
    #[serde(default, deserialize_with = "whole")]
    min_users: Option<u64>,
    /// What comes first.
    #[serde(default)]
    order: OrderRequest,
    /// How many values are listed, 0 to 10,000; default 50.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 10_000)]
    limit: Option<usize>,
}

/// What comes first.
#[derive(Deserialize, Default, Clone, Copy, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderRequest {
    /// What differs most surely from the base, above or below.
    #[default]
    Significance,
    /// The highest index.
    Index,
}

/// A value in the crowd and in its base.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ContrastBody {
    /// The tag's name.
    tag: String,
    /// Its value, or a range of a number.
    group: GroupBody,
    /// How many of the crowd have it.
    crowd_users: u64,
    /// How many of the base have it.
    base_users: u64,
    /// Their share of the crowd, 0 to 1.
    crowd_share: f64,
    /// Their share of the base, 0 to 1.
    base_share: f64,
    /// The share of the crowd by that of the base, times 100 (TGI); `null`: nobody of the base has it, or the crowd is empty.
    #[schema(required)]
    index: Option<f64>,
    /// The lower end of the index's 95% interval; `null` where the crowd or the base is empty.
    #[schema(required)]
    low: Option<f64>,
    /// The upper end; `null` where there is none.
    #[schema(required)]
    high: Option<f64>,
    /// How many standard errors the index's logarithm lies off that of 100. Beyond ±1.96, the interval leaves 100 out.
    score: f64,
}

/// A crowd beside its base.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ComparisonAnswer {
    /// In the order asked for.
    values: Vec<ContrastBody>,
    /// How many values had enough users, listed or not.
    found: usize,
    /// How many users are in the crowd.
    crowd: u64,
    /// How many are in the base.
    base: u64,
    /// How many are in both.
    both: u64,
    /// The index's revision that answered.
    revision: u64,
}

fn body(found: &Contrast) -> ContrastBody {
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

/// What a crowd has more or less often than its base: an index with base = 100, and its 95% interval.
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
    let (min_users, limit) = (request.min_users.unwrap_or(1), request.limit.unwrap_or(DEFAULT_CONTRASTS));
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
