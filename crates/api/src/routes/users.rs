//! Users who go: deletion with a receipt, expiry and new numbers.

use super::runs::RunBody;
use super::{App, app_checked};
use crate::access::{Action, Caller};
use crate::clock_text::local;
use crate::extract::{Json, Path};
use crate::tasks::compaction;
use crate::{House, Problem, wire};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use taghouse_crowd::Question;
use taghouse_model::{AppId, ErrorKind};

/// A user in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct UserPath {
    /// The app's id.
    app: String,
    /// The user id, percent-encoded.
    user: String,
}

/// Whom.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteRequest {
    /// User ids, 10,000 at most.
    users: Vec<String>,
}

/// What a deletion touched.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReceiptBody {
    /// When, ISO 8601 with the app's offset.
    deleted_at: String,
    /// The ids that the dictionary held and holds no more.
    users: Vec<String>,
    /// Ids asked for that it did not hold.
    unknown: Vec<String>,
    /// The values that were taken away.
    tags: Vec<ReceiptTagBody>,
    /// The crowd versions that held one of the users. Their objects were written anew without them.
    crowds: Vec<ReceiptCrowdBody>,
    /// The position of the deletion in the app's log of changes. The index's files are free of the users when a fold has passed it, seconds later.
    position: u64,
    /// `kept`: events and attributes in the lake are not touched, and as long as they are there a production finds a user of the id again.
    lake: &'static str,
}

/// A value that was taken away.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReceiptTagBody {
    user: String,
    tag: String,
    #[schema(value_type = Object)]
    value: serde_json::Value,
}

/// A version that held a deleted user.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReceiptCrowdBody {
    crowd: String,
    version: u64,
}

/// Who expires.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompactRequest {
    /// Users for whom it holds expire, such as `last_seen < "2025-10-01"`; text or JSON. Default: nobody.
    #[schema(value_type = Object)]
    expire: Option<serde_json::Value>,
}

async fn deleted(house: &House, app: &AppId, users: Vec<String>) -> Result<Json<ReceiptBody>, Problem> {
    if users.is_empty() {
        return Err(Problem::new(ErrorKind::Invalid, "users is empty: name at least one"));
    }
    let definitions = house.definitions(app).await?;
    let receipt = house.users.delete(app, &users).await?;
    let tags = receipt.tags.into_iter();
    Ok(Json(ReceiptBody {
        deleted_at: local(receipt.deleted_ms, &definitions.app.time_zone),
        users: receipt.users,
        unknown: receipt.unknown,
        tags: tags.map(|of| ReceiptTagBody { user: of.user, tag: of.tag.to_string(), value: wire::value(&of.value) }).collect(),
        crowds: receipt.crowds.into_iter().map(|of| ReceiptCrowdBody { crowd: of.crowd, version: of.version }).collect(),
        position: receipt.position,
        lake: "kept",
    }))
}

/// Deletes a user from every tag, every crowd version and the dictionary. Gone for every reader when the answer comes.
#[utoipa::path(delete, path = "/apps/{app}/users/{user}", tag = "users", params(UserPath),
    responses((status = 200, body = ReceiptBody), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn delete(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<UserPath>,
) -> Result<Json<ReceiptBody>, Problem> {
    let app = app_checked(&path.app, &caller, Action::Edit)?;
    deleted(&house, &app, vec![path.user]).await
}

/// The same for many.
#[utoipa::path(post, path = "/apps/{app}/users/delete", tag = "users", params(App), request_body = DeleteRequest,
    responses((status = 200, body = ReceiptBody), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn delete_many(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<DeleteRequest>,
) -> Result<Json<ReceiptBody>, Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    deleted(&house, &app, request.users).await
}

/// Lets users expire, numbers all others anew without gaps, and writes all files of the index under the new numbers. Questions are answered
/// meanwhile; changes and deletions wait. Answers with the run to follow.
#[utoipa::path(post, path = "/apps/{app}/compact", tag = "users", params(App), request_body = CompactRequest,
    responses((status = 202, body = RunBody), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn compact(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<CompactRequest>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let definitions = house.definitions(&app).await?;
    let expire = match &request.expire {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(text)) => Some(Question::parse(text)?),
        Some(json) => Some(Question::from_json(json)?),
    };
    // A production that began before would publish the old numbers.
    let _one = house.memory.producing.lock().await;
    house.no_run_of(&app, &["produce", "compact"])?;
    let run = house.scheduler.start(&app, "compact", compaction(&house, &app, &definitions, expire)).await?;
    Ok((StatusCode::ACCEPTED, Json(run.status().into())))
}
