//! Who is like the users of a crowd, and how many.

use super::compare::{Sizes, body};
use super::questions::{question, within};
use super::{App, defined_tag};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::guard::Want;
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::{Affinity, Reach};
use taghouse_engine::Engine;
use taghouse_wire::{AffinityBody, LookalikeAnswer, LookalikeRequest, ReachBody};

/// The values that tell the users of a crowd from others, and how many others are like them: what a
/// crowd with `lookalike` of a size would hold.
#[utoipa::path(post, path = "/apps/{app}/lookalike", operation_id = "find_lookalikes", tag = "questions", params(App), request_body = LookalikeRequest,
    responses((status = 200, description = "What they have in common, and how far others are like them.", body = LookalikeAnswer), Problem))]
pub(crate) async fn lookalike(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<LookalikeRequest>,
) -> Result<Json<LookalikeAnswer>, Problem> {
    let app = app.checked_in_part(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    // Weights and scores are computed of exact numbers.
    guard.single_users()?;
    for tag in &request.tags {
        guard.tag(tag, Want::View)?;
        defined_tag(&definitions, tag)?;
    }
    let (seed, among) = (question(&request.expression)?, within(request.among.as_ref())?);
    guard.question(&seed, Want::View)?;
    among.iter().try_for_each(|among| guard.question(among, Want::View))?;
    let found =
        engine.crowds.lookalikes(&app, &definitions, &seed, among.as_ref(), &request.tags).await?;
    let sizes = Sizes { crowd: found.seed, base: found.seed + found.candidates };
    let affinity = |of: &Affinity| AffinityBody {
        contrast: body(&of.contrast, sizes, guard.rounding()),
        weight: of.weight,
    };
    Ok(Json(LookalikeAnswer {
        affinities: found.affinities.iter().map(affinity).collect(),
        curve: found.curve.iter().map(reach).collect(),
        seed: found.seed,
        candidates: found.candidates,
        revision: found.revision,
    }))
}

fn reach(reach: &Reach) -> ReachBody {
    ReachBody {
        users: reach.users,
        share: reach.share,
        least_score: reach.least_score,
        similarity: reach.similarity,
        recall: reach.recall,
    }
}
