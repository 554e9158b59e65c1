//! Judgments: is this user in that crowd, and what is known of a user.

use super::App;
use crate::access::{Action, Caller};
use crate::clock_text::local;
use crate::extract::{Json, Path, Query};
use crate::{House, Problem, wire};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who and which.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct JudgeQuery {
    /// The user id.
    user: String,
    /// The crowd's name.
    crowd: String,
}

/// Many users and crowds.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgeRequest {
    /// User ids, 1,000 at most.
    users: Vec<String>,
    /// Crowd names, 100 at most.
    crowds: Vec<String>,
}

/// A judgment.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct JudgmentBody {
    user: String,
    crowd: String,
    in_crowd: bool,
    /// The crowd's version that was asked.
    version: u64,
    /// `unknown_user` where the user has never been seen.
    reason: Option<&'static str>,
}

/// Judgments of many users.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Judgments {
    /// In the order asked.
    judgments: Vec<UserJudgments>,
    /// The version of each crowd that was asked.
    versions: BTreeMap<String, u64>,
}

/// One user's judgments.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct UserJudgments {
    user: String,
    /// By crowd.
    crowds: BTreeMap<String, bool>,
}

/// Whose profile.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProfileQuery {
    /// The user id.
    user: String,
}

/// What the index knows of a user.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ProfileBody {
    user: String,
    /// Tag values by name; tags without a value are absent.
    #[schema(value_type = Object)]
    tags: serde_json::Map<String, serde_json::Value>,
    /// The as-of time of each of these tags, ISO 8601 with the app's offset.
    as_of: BTreeMap<String, String>,
}

/// Whether a user is in a crowd's current version. Only crowds that are defined answer.
#[utoipa::path(get, path = "/apps/{app}/judge", tag = "judgments", params(App, JudgeQuery),
    responses((status = 200, body = JudgmentBody), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn one(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<JudgeQuery>,
) -> Result<Json<JudgmentBody>, Problem> {
    let app = app.checked(&caller, Action::Judge)?;
    house.with_crowds(&app, std::slice::from_ref(&query.crowd)).await?;
    let judgment = house.crowds.judge(&app, &query.user, &query.crowd).await?;
    Ok(Json(JudgmentBody {
        user: query.user,
        crowd: query.crowd,
        in_crowd: judgment.in_crowd,
        version: judgment.version,
        reason: judgment.unknown_user.then_some("unknown_user"),
    }))
}

/// Every user against every crowd, at once.
#[utoipa::path(post, path = "/apps/{app}/judge", tag = "judgments", params(App), request_body = JudgeRequest,
    responses((status = 200, body = Judgments), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn batch(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<JudgeRequest>,
) -> Result<Json<Judgments>, Problem> {
    let app = app.checked(&caller, Action::Judge)?;
    house.with_crowds(&app, &request.crowds).await?;
    let batch = house.crowds.judge_batch(&app, &request.users, &request.crowds).await?;
    let judgments = request
        .users
        .into_iter()
        .zip(batch.in_crowd)
        .map(|(user, row)| UserJudgments { user, crowds: request.crowds.iter().cloned().zip(row).collect() });
    Ok(Json(Judgments { judgments: judgments.collect(), versions: request.crowds.iter().cloned().zip(batch.versions).collect() }))
}

/// All values of a user, of the tags that are defined.
#[utoipa::path(get, path = "/apps/{app}/profile", tag = "judgments", params(App, ProfileQuery),
    responses((status = 200, body = ProfileBody), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn profile(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<ProfileQuery>,
) -> Result<Json<ProfileBody>, Problem> {
    let app = app.checked(&caller, Action::Judge)?;
    let definitions = house.definitions(&app).await?;
    let mut values = house.crowds.profile(&app, &query.user).await?;
    values.retain(|tag| definitions.tags.contains_key(&tag.name));
    let zone = &definitions.app.time_zone;
    let as_of = values.iter().map(|tag| (tag.name.to_string(), local(tag.as_of_ms, zone))).collect();
    let tags = values.iter().map(|tag| (tag.name.to_string(), wire::value(&tag.value))).collect();
    Ok(Json(ProfileBody { user: query.user, tags, as_of }))
}
