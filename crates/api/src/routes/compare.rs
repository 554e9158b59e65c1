//! Compares the tag values of a crowd with those of its base.

use super::group::group_body;
use super::questions::{question, within};
use super::{App, defined_tag};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use crate::rounding::Rounding;
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::{CompareOrder, CompareRequest, Contrast};
use taghouse_engine::Engine;
use taghouse_wire::{ComparisonAnswer, ComparisonRequest, ContrastBody, OrderRequest};

const DEFAULT_CONTRASTS: usize = 50;

/// How many users a crowd and its base have.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) crowd: u64,
    pub(super) base: u64,
}

/// With rounded numbers an index is one of rounded shares, and has no interval.
pub(super) fn body(found: &Contrast, sizes: Sizes, rounding: Rounding) -> ContrastBody {
    let percent = |ratio: Option<f64>| ratio.map(|ratio| ratio * 100.0);
    let crowd_share = rounding.share(found.crowd_share, found.crowd_users, sizes.crowd);
    let base_share = rounding.share(found.base_share, found.base_users, sizes.base);
    let index = Some(crowd_share / base_share).filter(|_| base_share > 0.0);
    let interval = &found.interval;
    ContrastBody {
        tag: found.tag.clone(),
        group: group_body(&found.group),
        crowd_users: rounding.of(found.crowd_users),
        base_users: rounding.of(found.base_users),
        crowd_share,
        base_share,
        index: percent(rounding.unless(interval.ratio, index)),
        low: percent(rounding.unless(interval.low, None)),
        high: percent(rounding.unless(interval.high, None)),
        score: rounding.unless(interval.score, 0.0),
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
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    for tag in &request.tags {
        guard.tag(tag, Want::View)?;
        guard.groups(tag)?;
        defined_tag(&definitions, tag)?;
    }
    let (crowd, base) = (question(&request.expression)?, within(request.base.as_ref())?);
    guard.question(&crowd, Want::View)?;
    base.iter().try_for_each(|base| guard.question(base, Want::View))?;
    let order = match request.order {
        OrderRequest::Significance => CompareOrder::Significance,
        OrderRequest::Index => CompareOrder::Index,
    };
    let rounding = guard.rounding();
    let min_users = request.min_users.unwrap_or(1).max(rounding.multiple().unwrap_or_default());
    let limit = request.limit.unwrap_or(DEFAULT_CONTRASTS);
    let asked = CompareRequest { tags: request.tags, min_users, order, limit };
    let found = engine.crowds.compare(&app, &definitions, &crowd, base.as_ref(), &asked).await?;
    let sizes = Sizes { crowd: found.crowd, base: found.base };
    Ok(Json(ComparisonAnswer {
        values: found.contrasts.iter().map(|one| body(one, sizes, rounding)).collect(),
        found: found.found,
        crowd: rounding.of(found.crowd),
        base: rounding.of(found.base),
        both: rounding.of(found.both),
        revision: found.revision,
    }))
}
