//! Judgments (whether a user is in a crowd), and the tag values of a user.

use super::App;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_engine::clock_text::local;
use taghouse_wire::{JudgmentBody, ProfileBody};

/// The user and the crowd.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
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
    #[schema(max_items = 1000)]
    users: Vec<String>,
    /// Crowd names, 100 at most.
    #[schema(max_items = 100)]
    crowds: Vec<String>,
}

/// Judgments of many users.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Judgments {
    /// In the order asked.
    judgments: Vec<UserJudgments>,
    /// The version of each crowd that was asked; 0 of a live one.
    #[schema(value_type = BTreeMap<String, u64>)]
    versions: ByCrowd<u64>,
    /// How many ms ago the catalog last confirmed that these are the current versions, or the
    /// instant was that live crowds are as of, as for one judgment: the longest of these times.
    age_ms: u64,
}

/// One user's judgments.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct UserJudgments {
    /// The user id.
    user: String,
    /// The answers, by the name of the crowd.
    #[schema(value_type = BTreeMap<String, bool>)]
    crowds: ByCrowd<bool>,
}

/// The crowds of a call, and the order in which an answer names them: each once.
struct Asked {
    crowds: Vec<String>,
    order: Vec<usize>,
}

/// Something of each crowd of a call. A thousand users share the names.
struct ByCrowd<T> {
    asked: Arc<Asked>,
    values: Vec<T>,
}

impl Asked {
    fn of(crowds: Vec<String>) -> Self {
        let mut order: Vec<usize> = (0..crowds.len()).collect();
        order.sort_by_key(|crowd| crowds[*crowd].as_str());
        order.dedup_by_key(|crowd| crowds[*crowd].as_str());
        Self { crowds, order }
    }
}

impl<T: Serialize> Serialize for ByCrowd<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named =
            self.asked.order.iter().filter_map(|crowd| {
                Some((self.asked.crowds.get(*crowd)?, self.values.get(*crowd)?))
            });
        serializer.collect_map(named)
    }
}

/// The user whose profile is asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProfileQuery {
    /// The user id.
    user: String,
}

/// Whether a user is in a crowd's current version. Only crowds that are defined answer.
#[utoipa::path(get, path = "/apps/{app}/judge", operation_id = "judge_user", tag = "judgments", params(App, JudgeQuery),
    responses((status = 200, description = "The judgment.", body = JudgmentBody), Problem))]
pub(crate) async fn one(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<JudgeQuery>,
) -> Result<Json<JudgmentBody>, Problem> {
    let app = app.checked(&caller, Action::Judge)?;
    let definitions = engine.with_crowds(&app, std::slice::from_ref(&query.crowd)).await?;
    let live = definitions.crowds.get(query.crowd.as_str()).is_some_and(|crowd| crowd.is_live);
    let judgment = engine.crowds.judge(&app, &query.user, &query.crowd).await?;
    Ok(Json(JudgmentBody {
        user: query.user,
        crowd: query.crowd,
        in_crowd: judgment.in_crowd,
        version: judgment.version,
        reason: judgment.reason().map(Into::into),
        age_ms: if live { engine.live_age_ms(&app) } else { judgment.age_ms },
        live,
    }))
}

/// Whether each of some users is in each of some crowds.
#[utoipa::path(post, path = "/apps/{app}/judge", operation_id = "judge_users", tag = "judgments", params(App), request_body = JudgeRequest,
    responses((status = 200, description = "The judgments.", body = Judgments), Problem))]
pub(crate) async fn batch(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<JudgeRequest>,
) -> Result<Json<Judgments>, Problem> {
    let app = app.checked(&caller, Action::Judge)?;
    let definitions = engine.with_crowds(&app, &request.crowds).await?;
    let is_live =
        |crowd: &String| definitions.crowds.get(crowd.as_str()).is_some_and(|crowd| crowd.is_live);
    let live_age_ms = if request.crowds.iter().any(is_live) { engine.live_age_ms(&app) } else { 0 };
    let batch = engine.crowds.judge_batch(&app, &request.users, &request.crowds).await?;
    let asked = Arc::new(Asked::of(request.crowds));
    let of_user =
        |(user, values)| UserJudgments { user, crowds: ByCrowd { asked: asked.clone(), values } };
    let judgments = request.users.into_iter().zip(batch.in_crowd).map(of_user).collect();
    let versions = ByCrowd { asked: asked.clone(), values: batch.versions };
    Ok(Json(Judgments { judgments, versions, age_ms: batch.age_ms.max(live_age_ms) }))
}

/// All values of a user, of the tags that are defined.
#[utoipa::path(get, path = "/apps/{app}/profile", operation_id = "get_profile", tag = "judgments", params(App, ProfileQuery),
    responses((status = 200, description = "What is known of the user; a user never seen has no values.", body = ProfileBody), Problem))]
pub(crate) async fn profile(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<ProfileQuery>,
) -> Result<Json<ProfileBody>, Problem> {
    let app = app.checked(&caller, Action::Judge)?;
    let definitions = engine.definitions(&app).await?;
    let mut values = engine.crowds.profile(&app, &query.user).await?;
    values.retain(|tag| definitions.tags.get(&tag.name).is_some_and(|tag| !tag.is_anonymous()));
    let zone = &definitions.app.time_zone;
    let as_of =
        values.iter().map(|tag| (tag.name.to_string(), local(tag.as_of_ms, zone))).collect();
    let tags = values.iter().map(|tag| (tag.name.to_string(), values::value(&tag.value))).collect();
    Ok(Json(ProfileBody { user: query.user, tags, as_of }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crowd_is_named_once() {
        let asked = Arc::new(Asked::of(["b", "a", "b"].map(str::to_owned).to_vec()));
        let answers = ByCrowd { asked, values: vec![true, false, true] };
        assert_eq!(serde_json::to_string(&answers).unwrap(), r#"{"a":false,"b":true}"#);
    }
}
