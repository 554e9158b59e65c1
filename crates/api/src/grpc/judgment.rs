//! The service of judgments.

use crate::Problem;
use crate::access::{Action, Caller};
use crate::guard::Want;
use crate::position::at_least;
use crate::routes::judge::held;
use crate::routes::questions::question;
use crate::routes::user_crowds::visible;
use std::sync::Arc;
use taghouse_crowd::{Holds, Judgments, NamedQuestion};
use taghouse_engine::Engine;
use taghouse_model::{AppId, ErrorKind, check_user_id};
use taghouse_proto::packed::pack;
use taghouse_proto::v1::judgment_server::Judgment;
use taghouse_proto::v1::{
    AtLeast, CrowdJudgment, CrowdState, CrowdsOfRequest, CrowdsOfResponse, EvaluateRequest,
    EvaluateResponse, Holding, JudgeManyRequest, JudgeManyResponse, JudgeRequest, JudgeResponse,
    Unanswered,
};
use tonic::{Request, Response, Status};

/// The service over one engine.
pub(super) struct JudgmentOf {
    pub(super) engine: Arc<Engine>,
}

/// The judgments of some users, and what the crowds answered by.
struct Judged {
    judgments: Judgments,
    crowds: Vec<CrowdState>,
    age_ms: u64,
    position: Option<u64>,
}

#[tonic::async_trait]
impl Judgment for JudgmentOf {
    async fn judge(
        &self,
        request: Request<JudgeRequest>,
    ) -> Result<Response<JudgeResponse>, Status> {
        let (caller, request) = called(request)?;
        let JudgeRequest { app, user, crowds, at_least } = request;
        let app = self.app(&caller, &app).await?;
        let judged = self.judged(&caller, &app, &[user], crowds, at_least).await?;
        let row = judged.judgments.in_crowd.into_iter().next().unwrap_or_default();
        let of_crowd = |(crowd, in_crowd)| CrowdJudgment { crowd: Some(crowd), in_crowd };
        Ok(Response::new(JudgeResponse {
            judgments: judged.crowds.into_iter().zip(row).map(of_crowd).collect(),
            unknown_user: judged.judgments.unknown_user.first().is_some_and(|unknown| *unknown),
            age_ms: judged.age_ms,
            position: judged.position,
        }))
    }

    async fn judge_many(
        &self,
        request: Request<JudgeManyRequest>,
    ) -> Result<Response<JudgeManyResponse>, Status> {
        let (caller, request) = called(request)?;
        let JudgeManyRequest { app, users, crowds, at_least } = request;
        let app = self.app(&caller, &app).await?;
        let judged = self.judged(&caller, &app, &users, crowds, at_least).await?;
        Ok(Response::new(JudgeManyResponse {
            crowds: judged.crowds,
            in_crowd: pack(judged.judgments.in_crowd.into_iter().flatten()),
            unknown_user: pack(judged.judgments.unknown_user),
            age_ms: judged.age_ms,
            position: judged.position,
        }))
    }

    async fn crowds_of(
        &self,
        request: Request<CrowdsOfRequest>,
    ) -> Result<Response<CrowdsOfResponse>, Status> {
        let (caller, request) = called(request)?;
        let CrowdsOfRequest { app, user } = request;
        let app = self.app(&caller, &app).await?;
        Ok(Response::new(self.holding(&caller, &app, &user).await?))
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        let (caller, request) = called(request)?;
        let app = self.app(&caller, &request.app).await?;
        Ok(Response::new(self.evaluated(&caller, &app, request).await?))
    }
}

/// The caller, whom the gate let in, and what it asks.
fn called<T>(request: Request<T>) -> Result<(Caller, T), Problem> {
    let (_, mut extensions, request) = request.into_parts();
    let caller = extensions.remove::<Caller>();
    let caller =
        caller.ok_or_else(|| Problem::new(ErrorKind::Internal, "a call passed no gate"))?;
    Ok((caller, request))
}

fn asked_position(asked: Option<AtLeast>) -> Result<Option<taghouse_engine::AtLeast>, Problem> {
    let wait_ms = asked.and_then(|asked| asked.wait_ms).map(u64::from);
    at_least(asked.map(|asked| asked.position), wait_ms)
}

impl JudgmentOf {
    /// The app that is named, or the one of the key.
    async fn app(&self, caller: &Caller, named: &str) -> Result<AppId, Problem> {
        caller.has_role(Action::Judge)?;
        let app = match (named, &caller.app) {
            ("", Some(own)) => own.clone(),
            ("", None) => self.engine.only_app().await?.ok_or_else(|| {
                let detail = "this key is of all apps: name one in `app`, or use a key of one app";
                Problem::new(ErrorKind::Invalid, detail)
            })?,
            (named, _) => AppId::new(named)?,
        };
        caller.may_in_part(Action::Judge, &app)?;
        Ok(app)
    }

    async fn judged(
        &self,
        caller: &Caller,
        app: &AppId,
        users: &[String],
        crowds: Vec<String>,
        asked: Option<AtLeast>,
    ) -> Result<Judged, Problem> {
        let engine = &self.engine;
        let at_least = asked_position(asked)?;
        let definitions = engine.definitions(app).await?;
        let guard = caller.guard(&definitions);
        crowds.iter().try_for_each(|crowd| guard.crowd(crowd, Want::Judge))?;
        let definitions = engine.with_crowds(app, &crowds).await?;
        let position = held(engine, &definitions, at_least, &crowds, &[]).await?;
        let judgments = engine.crowds.judge_batch(app, users, &crowds).await?;
        let names = crowds.iter().map(String::as_str);
        engine.sum_read(&caller.id, app, "judge", users.len() as u64, names);
        let live_as_of_ms = engine.stream.as_of_ms(app);
        let is_live =
            |crowd: &str| definitions.crowds.get(crowd).is_some_and(|crowd| crowd.is_live);
        let asked = crowds.into_iter().zip(&judgments.versions).zip(&judgments.as_of_ms);
        let crowds: Vec<CrowdState> = asked
            .map(|((name, version), as_of_ms)| {
                let live = is_live(&name);
                let as_of_ms = if live { live_as_of_ms } else { *as_of_ms };
                CrowdState { name, version: *version, live, as_of_ms }
            })
            .collect();
        let asks_live = crowds.iter().any(|crowd| crowd.live);
        let live_age_ms = if asks_live { engine.live_age_ms(app) } else { 0 };
        let age_ms = judgments.age_ms.max(live_age_ms);
        Ok(Judged { judgments, crowds, age_ms, position })
    }

    async fn holding(
        &self,
        caller: &Caller,
        app: &AppId,
        user: &str,
    ) -> Result<CrowdsOfResponse, Problem> {
        check_user_id(user)?;
        let engine = &self.engine;
        let definitions = engine.definitions(app).await?;
        let mut holding = engine.crowds.crowds_of(&definitions, user).await?;
        visible(&mut holding, caller.guard(&definitions));
        engine.sum_read(&caller.id, app, "user_crowds", 1, std::iter::empty());
        let asks_live = definitions.crowds.values().any(|crowd| crowd.is_live);
        let live_age_ms = if asks_live { engine.live_age_ms(app) } else { 0 };
        let crowd =
            |Holds { crowd, version, live }| Holding { crowd: crowd.to_string(), version, live };
        let unanswered = |unanswered: taghouse_crowd::Unanswered| Unanswered {
            crowd: unanswered.crowd.to_string(),
            why: unanswered.why,
        };
        Ok(CrowdsOfResponse {
            crowds: holding.crowds.into_iter().map(crowd).collect(),
            unknown_user: holding.unknown_user,
            unanswered: holding.unanswered.into_iter().map(unanswered).collect(),
            unanswered_count: holding.unanswered_count as u64,
            age_ms: holding.age_ms.max(live_age_ms),
        })
    }

    async fn evaluated(
        &self,
        caller: &Caller,
        app: &AppId,
        request: EvaluateRequest,
    ) -> Result<EvaluateResponse, Problem> {
        let engine = &self.engine;
        let at_least = asked_position(request.at_least)?;
        let named = |(place, text): (usize, &String)| {
            let name = format!("number {}", place + 1);
            let question =
                question(&serde_json::Value::from(text.as_str())).map_err(|problem| Problem {
                    detail: format!("the expression {name}: {}", problem.detail),
                    ..problem
                })?;
            Ok(NamedQuestion { name, question })
        };
        let questions = request.expressions.iter().enumerate().map(named);
        let questions = questions.collect::<Result<Vec<_>, Problem>>()?;
        let definitions = engine.definitions(app).await?;
        let guard = caller.guard(&definitions);
        questions.iter().try_for_each(|named| guard.question(&named.question, Want::Judge))?;
        let position = held(engine, &definitions, at_least, &[], &questions).await?;
        let asks_live = questions.iter().any(|named| named.question.asks_live(&definitions));
        let age_ms = if asks_live { engine.live_age_ms(app) } else { 0 };
        let matches =
            engine.crowds.judge_expressions(&definitions, &request.users, &questions).await?;
        let names = questions
            .iter()
            .flat_map(|named| named.question.tags().into_iter().chain(named.question.crowds()));
        engine.sum_read(&caller.id, app, "judge", request.users.len() as u64, names);
        Ok(EvaluateResponse {
            matches: pack(matches.matches.into_iter().flatten()),
            revision: matches.revision,
            age_ms,
            position,
        })
    }
}
