//! What became of the arms of a crowd's split.

use super::app_in_part;
use super::crowds::CrowdPath;
use super::defined_tag;
use super::questions::within;
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::ArmEffect;
use taghouse_engine::Engine;
use taghouse_wire::{ArmBody, EffectAnswer, EffectRequest};

/// Compares the arms of a crowd's split by a metric: means with 95% intervals, corrected by a
/// covariate if one is named, and whether users came into the arms as they should.
#[utoipa::path(post, path = "/apps/{app}/crowds/{crowd}/effect", operation_id = "compare_arms", tag = "crowds", params(CrowdPath), request_body = EffectRequest,
    responses((status = 200, description = "The arms, compared.", body = EffectAnswer), Problem))]
pub(crate) async fn effect(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<CrowdPath>,
    Json(request): Json<EffectRequest>,
) -> Result<Json<EffectAnswer>, Problem> {
    let app = app_in_part(&path.app, &caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    guard.crowd(&path.crowd, Want::View)?;
    // Means are computed of values, which no rounding of numbers hides.
    guard.single_users()?;
    for tag in [Some(&request.metric), request.before.as_ref()].into_iter().flatten() {
        guard.tag(tag, Want::View)?;
        defined_tag(&definitions, tag)?;
    }
    let exposed = within(request.exposed.as_ref())?;
    exposed.iter().try_for_each(|question| guard.question(question, Want::View))?;
    engine.with_crowds(&app, std::slice::from_ref(&path.crowd)).await?;
    let asked = taghouse_crowd::EffectRequest {
        exposed,
        metric: request.metric,
        before: request.before,
        control: request.control,
    };
    let Some(crowd) = definitions.crowds.get(path.crowd.as_str()) else {
        return Err(taghouse_crowd::Error::UnknownCrowd(path.crowd).into());
    };
    let found = engine.crowds.effect(&definitions, crowd, &asked).await?;
    Ok(Json(EffectAnswer {
        arms: found.arms.iter().map(body).collect(),
        control: found.control.to_string(),
        explained: found.explained,
        ratio_p: found.ratio_p,
        ratio_is_off: found.ratio_is_off,
        version: found.version,
    }))
}

fn body(of: &ArmEffect) -> ArmBody {
    let difference = of.difference;
    ArmBody {
        arm: of.arm.to_string(),
        share: of.share.to_string(),
        users: of.users,
        mean: of.mean,
        difference: difference.map(|of| of.absolute),
        low: difference.map(|of| of.low),
        high: difference.map(|of| of.high),
        relative: difference.and_then(|of| of.relative),
        p: difference.map(|of| of.p),
    }
}
