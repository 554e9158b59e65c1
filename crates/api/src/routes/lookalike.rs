//! Who is like the users of a crowd, and how many.

use super::compare::body;
use super::questions::{question, within};
use super::{App, defined_tag};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
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
    let app = app.checked(&caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    request.tags.iter().try_for_each(|tag| defined_tag(&definitions, tag))?;
    let (seed, among) = (question(&request.expression)?, within(request.among.as_ref())?);
    let found =
        engine.crowds.lookalikes(&app, &definitions, &seed, among.as_ref(), &request.tags).await?;
    let affinity = |of: &Affinity| AffinityBody { contrast: body(&of.contrast), weight: of.weight };
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
