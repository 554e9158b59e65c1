//! Judgments (whether a user is in a crowd), and the tag values of a user.

use super::questions::question;
use super::{App, defined_tag};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use crate::guard::{Guard, Want};
use crate::position::at_least;
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_crowd::NamedQuestion;
use taghouse_engine::clock_text::local;
use taghouse_engine::{AtLeast, Engine};
use taghouse_model::{ErrorKind, Name};
use taghouse_rules::{Definitions, Labelled};
use taghouse_wire::reading::{by_name, whole};
use taghouse_wire::shape::Expression;
use taghouse_wire::{JudgmentBody, ProfileBody};

/// The user and the crowd, and what the answer must hold.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OneQuery {
    /// The user id.
    pub(super) user: String,
    /// The crowd's name.
    pub(super) crowd: String,
    /// The answer must hold what was acknowledged with this position of the log, which writes return
    /// as `Taghouse-Position`. Of live crowds only.
    pub(super) at_least: Option<u64>,
    /// How many ms to wait for that, 10,000 at most. Default: 2,000.
    #[param(maximum = 10_000)]
    pub(super) wait_ms: Option<u64>,
}

/// Many users, crowds and expressions.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgeRequest {
    /// User ids, 1,000 at most.
    #[schema(max_items = 1000)]
    users: Vec<String>,
    /// Crowd names, 100 at most. Default: none.
    #[serde(default)]
    #[schema(max_items = 100)]
    crowds: Vec<String>,
    /// Expressions over tags and crowds, each under a name for its answer, 20 at most; as text such
    /// as `orders_30d >= 2 && crowd("regulars")`, or the same as JSON. Default: none.
    #[serde(default, deserialize_with = "by_name")]
    #[schema(value_type = BTreeMap<String, Expression>)]
    expressions: BTreeMap<String, serde_json::Value>,
    /// The answers must hold what was acknowledged with this position of the log, which writes
    /// return as `Taghouse-Position`. Of live crowds and of expressions over live tags and live
    /// crowds only.
    #[serde(default, deserialize_with = "whole")]
    at_least: Option<u64>,
    /// How many ms to wait for that, 10,000 at most. Default: 2,000.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 10_000)]
    wait_ms: Option<u64>,
}

/// Judgments of many users.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Judgments {
    /// In the order asked.
    judgments: Vec<UserJudgments>,
    /// The version of each crowd that was asked; 0 of a live one.
    #[schema(value_type = BTreeMap<String, u64>)]
    versions: ByName<u64>,
    /// The revision of the index that answered all expressions; not there without expressions.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// The position of the log that the answers hold, where `at_least` asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// How many ms ago the catalog last confirmed that these are the current versions, or the
    /// instant was that live crowds are as of, as for one judgment: the longest of these times.
    /// Of expressions: how old their live tags and crowds are.
    age_ms: u64,
}

/// One user's judgments.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct UserJudgments {
    /// The user id.
    user: String,
    /// The answers, by the name of the crowd.
    #[schema(value_type = BTreeMap<String, bool>)]
    crowds: ByName<bool>,
    /// The answers, by the name of the expression; not there without expressions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, bool>>)]
    expressions: Option<ByName<bool>>,
}

/// The names of a call, and the order in which an answer has them: each once.
struct Asked {
    names: Vec<String>,
    order: Vec<usize>,
}

/// Something of each name of a call. A thousand users share the names.
struct ByName<T> {
    asked: Arc<Asked>,
    values: Vec<T>,
}

impl Asked {
    fn of(names: Vec<String>) -> Self {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|name| names[*name].as_str());
        order.dedup_by_key(|name| names[*name].as_str());
        Self { names, order }
    }
}

impl<T: Serialize> Serialize for ByName<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = self
            .asked
            .order
            .iter()
            .filter_map(|name| Some((self.asked.names.get(*name)?, self.values.get(*name)?)));
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
    /// Only these tags, by their names with commas in between. Default: all.
    #[param(pattern = "^[A-Za-z_][A-Za-z0-9_]*(,[A-Za-z_][A-Za-z0-9_]*)*$")]
    tags: Option<String>,
}

/// Whether a user is in a crowd's current version. Only crowds that are defined answer.
#[utoipa::path(get, path = "/apps/{app}/judge", operation_id = "judge_user", tag = "judgments", params(App, OneQuery),
    responses((status = 200, description = "The judgment.", body = JudgmentBody), Problem))]
pub(crate) async fn one(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<OneQuery>,
) -> Result<Json<JudgmentBody>, Problem> {
    let app = app.checked_in_part(&caller, Action::Judge)?;
    let at_least = at_least(query.at_least, query.wait_ms)?;
    let crowds = std::slice::from_ref(&query.crowd);
    let definitions = engine.definitions(&app).await?;
    caller.guard(&definitions).crowd(&query.crowd, Want::Judge)?;
    let definitions = engine.with_crowds(&app, crowds).await?;
    let position = held(&engine, &definitions, at_least, crowds, &[]).await?;
    let live = definitions.crowds.get(query.crowd.as_str()).is_some_and(|crowd| crowd.is_live);
    let judgment = engine.crowds.judge(&app, &query.user, &query.crowd).await?;
    let arm = match definitions.crowds.get(query.crowd.as_str()) {
        Some(crowd) if judgment.in_crowd => engine.crowds.arm(&app, crowd, &query.user).await,
        _ => None,
    };
    engine.sum_read(&caller.id, &app, "judge", 1, [query.crowd.as_str()].into_iter());
    Ok(Json(JudgmentBody {
        arm: arm.map(ToString::to_string),
        user: query.user,
        crowd: query.crowd,
        in_crowd: judgment.in_crowd,
        version: judgment.version,
        reason: judgment.reason().map(Into::into),
        age_ms: if live { engine.live_age_ms(&app) } else { judgment.age_ms },
        live,
        position,
    }))
}

/// Waits for what the answer must hold. Gives the position that it holds then.
pub(crate) async fn held(
    engine: &Engine,
    definitions: &Definitions,
    at_least: Option<AtLeast>,
    crowds: &[String],
    questions: &[NamedQuestion],
) -> Result<Option<u64>, Problem> {
    let Some(at_least) = at_least else { return Ok(None) };
    engine.hold_positions(definitions, crowds, questions)?;
    Ok(Some(engine.wait_for(&definitions.app.id, at_least).await?))
}

/// Whether each of some users is in each of some crowds, and matches each of some expressions.
#[utoipa::path(post, path = "/apps/{app}/judge", operation_id = "judge_users", tag = "judgments", params(App), request_body = JudgeRequest,
    responses((status = 200, description = "The judgments.", body = Judgments), Problem))]
pub(crate) async fn batch(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<JudgeRequest>,
) -> Result<Json<Judgments>, Problem> {
    let app = app.checked_in_part(&caller, Action::Judge)?;
    let at_least = at_least(request.at_least, request.wait_ms)?;
    let questions = named_questions(&request.expressions)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    request.crowds.iter().try_for_each(|crowd| guard.crowd(crowd, Want::Judge))?;
    questions.iter().try_for_each(|named| guard.question(&named.question, Want::Judge))?;
    let definitions = engine.with_crowds(&app, &request.crowds).await?;
    let position = held(&engine, &definitions, at_least, &request.crowds, &questions).await?;
    let is_live = |crowd: &str| definitions.crowds.get(crowd).is_some_and(|crowd| crowd.is_live);
    let asks_live = request.crowds.iter().any(|crowd| is_live(crowd))
        || questions.iter().any(|named| named.question.asks_live(&definitions));
    let live_age_ms = if asks_live { engine.live_age_ms(&app) } else { 0 };
    let batch = engine.crowds.judge_batch(&app, &request.users, &request.crowds).await?;
    let matches = match questions.as_slice() {
        [] => None,
        questions => {
            Some(engine.crowds.judge_expressions(&definitions, &request.users, questions).await?)
        }
    };
    let asked = questions
        .iter()
        .flat_map(|named| named.question.tags().into_iter().chain(named.question.crowds()));
    let names = request.crowds.iter().map(String::as_str).chain(asked);
    engine.sum_read(&caller.id, &app, "judge", request.users.len() as u64, names);
    let crowds = Arc::new(Asked::of(request.crowds));
    let expressions = Arc::new(Asked::of(request.expressions.into_keys().collect()));
    let revision = matches.as_ref().map(|matches| matches.revision);
    let mut matches = matches.map(|matches| matches.matches.into_iter());
    let of_user = |(user, values)| UserJudgments {
        user,
        crowds: ByName { asked: crowds.clone(), values },
        expressions: matches
            .as_mut()
            .and_then(Iterator::next)
            .map(|values| ByName { asked: expressions.clone(), values }),
    };
    let judgments = request.users.into_iter().zip(batch.in_crowd).map(of_user).collect();
    let versions = ByName { asked: crowds, values: batch.versions };
    let age_ms = batch.age_ms.max(live_age_ms);
    Ok(Json(Judgments { judgments, versions, revision, position, age_ms }))
}

fn named_questions(
    expressions: &BTreeMap<String, serde_json::Value>,
) -> Result<Vec<NamedQuestion>, Problem> {
    let named = |(name, expression): (&String, &serde_json::Value)| {
        Name::new(name)?;
        let question = question(expression).map_err(|problem| Problem {
            detail: format!("the expression `{name}`: {}", problem.detail),
            ..problem
        })?;
        Ok(NamedQuestion { name: name.clone(), question })
    };
    expressions.iter().map(named).collect()
}

/// The values of a user: of all tags that are defined, or of those that are named.
#[utoipa::path(get, path = "/apps/{app}/profile", operation_id = "get_profile", tag = "judgments", params(App, ProfileQuery),
    responses((status = 200, description = "What is known of the user; a user never seen has no values.", body = ProfileBody), Problem))]
pub(crate) async fn profile(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<ProfileQuery>,
) -> Result<Json<ProfileBody>, Problem> {
    let app = app.checked_in_part(&caller, Action::Judge)?;
    let definitions = engine.definitions(&app).await?;
    let guard = caller.guard(&definitions);
    let chosen = query.tags.as_deref().map(|tags| chosen(tags, guard, &definitions)).transpose()?;
    let mut values = engine.crowds.profile(&app, &query.user, chosen).await?;
    values.retain(|tag| {
        let named = definitions.tags.get(&tag.name).is_some_and(|tag| !tag.is_anonymous());
        named && guard.judges(Labelled::Tag(tag.name.as_str()))
    });
    let mut masked = BTreeMap::new();
    values.retain(|tag| match guard.mask(tag.name.as_str()) {
        Some(forbidden) => masked.insert(tag.name.to_string(), forbidden.label).is_some(),
        None => true,
    });
    let names = values.iter().map(|tag| tag.name.as_str());
    engine.sum_read(&caller.id, &app, "profile", 1, names);
    let zone = &definitions.app.time_zone;
    let as_of =
        values.iter().map(|tag| (tag.name.to_string(), local(tag.as_of_ms, zone))).collect();
    let tags = values.iter().map(|tag| (tag.name.to_string(), values::value(&tag.value))).collect();
    Ok(Json(ProfileBody { user: query.user, tags, as_of, masked }))
}

/// The tags of a list with commas.
fn chosen(
    tags: &str,
    guard: Guard<'_>,
    definitions: &Definitions,
) -> Result<BTreeSet<Name>, Problem> {
    let tag = |tag: &str| {
        if tag.is_empty() {
            let detail = "tags has an empty name: write names with commas in between, such as tags=orders,plan";
            return Err(Problem::new(ErrorKind::Invalid, detail));
        }
        guard.tag(tag, Want::Judge)?;
        defined_tag(definitions, tag)?;
        Ok(Name::new(tag)?)
    };
    tags.split(',').map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crowd_is_named_once() {
        let asked = Arc::new(Asked::of(["b", "a", "b"].map(str::to_owned).to_vec()));
        let answers = ByName { asked, values: vec![true, false, true] };
        assert_eq!(serde_json::to_string(&answers).unwrap(), r#"{"a":false,"b":true}"#);
    }
}
