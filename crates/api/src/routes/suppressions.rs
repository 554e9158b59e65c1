//! Ids whose data is refused, and receipts of what was done with people's data.

use super::users::{digest, receipt, subject};
use super::{App, app_checked};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::{Json, Path, Query};
use axum::Extension;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use taghouse_engine::Engine;
use taghouse_engine::clock_text::local;
use taghouse_ingest::Suppress;
use taghouse_model::{ErrorKind, check_user_id};
use taghouse_users::MAX_DELETED;
use taghouse_wire::{
    LiftRequest, NewReceipt, PrivacyReceipt, ReceiptKind, ReceiptList, ReceiptPlace, ReceiptRecord,
    SuppressRequest, SuppressionAnswer, SuppressionBody, SuppressionList,
};

const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 1000;

/// Which suppressed ids to show.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SuppressionQuery {
    /// Only this id, if it is suppressed.
    #[param(min_length = 1, max_length = 512)]
    id: Option<String>,
    /// How many, 1 to 1,000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// How many receipts to show.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReceiptQuery {
    /// How many, 1 to 1,000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A receipt in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ReceiptPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
    /// The receipt's id.
    id: String,
}

fn checked_limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LINES);
    if !(1..=MAX_LINES).contains(&limit) {
        let detail = format!("limit: {limit} is not 1 to {MAX_LINES}");
        return Err(Problem::new(ErrorKind::Invalid, detail));
    }
    Ok(limit)
}

fn checked_ids(ids: &[String]) -> Result<(), Problem> {
    let invalid = |detail: String| Problem::new(ErrorKind::Invalid, detail);
    if ids.is_empty() {
        return Err(invalid("ids is empty: name at least one".to_owned()));
    }
    if ids.len() > MAX_DELETED {
        let given = ids.len();
        return Err(invalid(format!(
            "ids: {given} are over the limit of {MAX_DELETED} of one call"
        )));
    }
    for id in ids {
        check_user_id(id)?;
    }
    Ok(())
}

/// Refuses all future data of ids: of calls, files, topics, imports and changes by hand. What came
/// before stays, unless the users are to be deleted. Ids need not be known; all ids of a user are
/// suppressed. Only digests of them are kept.
#[utoipa::path(post, path = "/apps/{app}/suppressions", operation_id = "suppress_ids", tag = "users", params(App), request_body = SuppressRequest,
    responses((status = 200, description = "The ids are suppressed.", body = SuppressionAnswer), Problem))]
pub(crate) async fn suppress(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<SuppressRequest>,
) -> Result<Json<SuppressionAnswer>, Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    checked_ids(&request.ids)?;
    let definitions = engine.definitions(&app).await?;
    let act = engine.begin(&caller.id, &app, "suppress", &subject(&request.ids)).await?;
    let done = async {
        let ids = engine.suppress(&definitions, &request.ids, Suppress::Begin).await?;
        // After it: nothing that comes meanwhile makes the user again.
        let deletion = match request.delete {
            true => Some(receipt(&engine, &caller, &app, request.ids.clone()).await?),
            false => None,
        };
        let kept = kept(&caller, ReceiptKind::Suppression, &request.ids, &ids);
        let receipt = engine.keep_receipt(&app, kept).await?;
        Ok::<_, Problem>(Json(SuppressionAnswer { receipt, ids, deletion }))
    };
    act.end(done.await).await
}

/// Takes the data of ids again that comes from now on. What was refused is gone.
#[utoipa::path(post, path = "/apps/{app}/suppressions/lift", operation_id = "lift_suppressions", tag = "users", params(App), request_body = LiftRequest,
    responses((status = 200, description = "The ids are not suppressed.", body = SuppressionAnswer), Problem))]
pub(crate) async fn lift(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<LiftRequest>,
) -> Result<Json<SuppressionAnswer>, Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    checked_ids(&request.ids)?;
    let definitions = engine.definitions(&app).await?;
    let act = engine.begin(&caller.id, &app, "lift", &subject(&request.ids)).await?;
    let done = async {
        let ids = engine.suppress(&definitions, &request.ids, Suppress::Lift).await?;
        let kept = kept(&caller, ReceiptKind::Lift, &request.ids, &ids);
        let receipt = engine.keep_receipt(&app, kept).await?;
        Ok::<_, Problem>(Json(SuppressionAnswer { receipt, ids, deletion: None }))
    };
    act.end(done.await).await
}

/// The suppressed ids: how many, and the digests of the newest; or whether one id is suppressed.
#[utoipa::path(get, path = "/apps/{app}/suppressions", operation_id = "list_suppressions", tag = "users", params(App, SuppressionQuery),
    responses((status = 200, description = "The suppressed ids.", body = SuppressionList), Problem))]
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<SuppressionQuery>,
) -> Result<Json<SuppressionList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let limit = checked_limit(query.limit)?;
    let definitions = engine.definitions(&app).await?;
    let since = |ms: i64| local(ms, &definitions.app.time_zone);
    let suppressed = engine.suppressed(&app).await?;
    let suppressions = match &query.id {
        Some(id) => {
            check_user_id(id)?;
            let body = |ms: i64| SuppressionBody { digest: None, since: since(ms) };
            suppressed.since(id).map(body).into_iter().collect()
        }
        None => suppressed
            .newest(limit)
            .into_iter()
            .map(|of| SuppressionBody { digest: Some(of.digest), since: since(of.since_ms) })
            .collect(),
    };
    Ok(Json(SuppressionList { count: suppressed.len() as u64, suppressions }))
}

/// Receipts of deletions, suppressions and exports of users, newest first. No id of a user stands in
/// one.
#[utoipa::path(get, path = "/apps/{app}/receipts", operation_id = "list_receipts", tag = "users", params(App, ReceiptQuery),
    responses((status = 200, description = "The receipts.", body = ReceiptList), Problem))]
pub(crate) async fn receipts(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Query(query): Query<ReceiptQuery>,
) -> Result<Json<ReceiptList>, Problem> {
    let app = app.checked(&caller, Action::Read)?;
    let limit = checked_limit(query.limit)?;
    let definitions = engine.definitions(&app).await?;
    let (receipts, count) = engine.receipts(&app, limit).await?;
    let body = |record| body(record, &definitions.app.time_zone);
    let receipts = receipts.into_iter().map(body).collect();
    Ok(Json(ReceiptList { count: count as u64, receipts }))
}

/// One receipt.
#[utoipa::path(get, path = "/apps/{app}/receipts/{id}", operation_id = "get_receipt", tag = "users", params(ReceiptPath),
    responses((status = 200, description = "The receipt.", body = PrivacyReceipt), Problem))]
pub(crate) async fn get_receipt(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(ReceiptPath { app, id }): Path<ReceiptPath>,
) -> Result<Json<PrivacyReceipt>, Problem> {
    let app = app_checked(&app, &caller, Action::Read)?;
    let definitions = engine.definitions(&app).await?;
    let Some(record) = engine.receipt(&app, &id).await? else {
        let detail =
            format!("there is no receipt \"{id}\" in \"{app}\"; `taghouse receipts` lists them");
        return Err(Problem::new(ErrorKind::NotFound, detail));
    };
    Ok(Json(body(record, &definitions.app.time_zone)))
}

fn body(record: ReceiptRecord, zone: &jiff::tz::TimeZone) -> PrivacyReceipt {
    let ReceiptRecord { id, at_ms, receipt } = record;
    let NewReceipt { kind, actor, digests, places } = receipt;
    PrivacyReceipt { id, kind, at: local(at_ms, zone), actor, digests, places }
}

/// The receipt of ids that were suppressed, or are not any more.
fn kept(caller: &Caller, kind: ReceiptKind, ids: &[String], changed: &[String]) -> NewReceipt {
    let done = match kind {
        ReceiptKind::Lift => "ids whose data is taken again",
        _ => "ids whose data is refused",
    };
    NewReceipt {
        kind,
        actor: caller.id.clone(),
        digests: ids.iter().map(|id| digest(id)).collect(),
        places: vec![ReceiptPlace {
            place: "suppressions".to_owned(),
            done: done.to_owned(),
            count: Some(changed.len() as u64),
        }],
    }
}
