//! Deletion of users with a receipt, expiry and renumbering.

use super::runs::body;
use super::{App, app_checked};
use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::position::Written;
use crate::{Problem, values};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use taghouse_crowd::Question;
use taghouse_engine::clock_text::local;
use taghouse_engine::{Engine, named};
use taghouse_model::{AppId, ErrorKind};
use taghouse_users::Receipt;
use taghouse_wire::{
    CompactRequest, DeleteRequest, NewReceipt, ReceiptBody, ReceiptKind, ReceiptPlace,
    ReceiptTagBody, RunBody,
};

/// A user in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct UserPath {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    pub(super) app: String,
    /// The user id, percent-encoded.
    #[param(min_length = 1, max_length = 512)]
    pub(super) user: String,
}

async fn deleted(
    engine: &Arc<Engine>,
    caller: &Caller,
    app: &AppId,
    users: Vec<String>,
) -> Result<Written<Json<ReceiptBody>>, Problem> {
    if users.is_empty() {
        return Err(Problem::new(ErrorKind::Invalid, "users is empty: name at least one"));
    }
    let subject = subject(&users);
    let act = engine.begin(&caller.id, app, "delete", &subject).await?;
    let receipt = act.end(receipt(engine, caller, app, users).await).await?;
    let position = receipt.log_position;
    Ok(Written { answer: Json(receipt), position })
}

/// Who is deleted, for the audit trail, which outlives them: whoever knows an id finds its line,
/// and nobody learns an id from it.
pub(crate) fn subject(users: &[String]) -> String {
    format!("{} users, sha256 {}", users.len(), named(users.iter().map(|user| digest(user))))
}

/// By which the audit trail and receipts name an id.
pub(super) fn digest(id: &str) -> String {
    Sha256::digest(id.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Deletes users; what was done is kept as a receipt.
pub(super) async fn receipt(
    engine: &Engine,
    caller: &Caller,
    app: &AppId,
    users: Vec<String>,
) -> Result<ReceiptBody, Problem> {
    let definitions = engine.definitions(app).await?;
    let receipt = engine.delete_users(app, &users).await?;
    let kept = NewReceipt {
        kind: ReceiptKind::Deletion,
        actor: caller.id.clone(),
        digests: users.iter().map(|user| digest(user)).collect(),
        places: deleted_places(&receipt),
    };
    let kept = engine.keep_receipt(app, kept).await?;
    let guard = caller.guard(&definitions);
    let tags = receipt.tags.into_iter().filter(|of| guard.mask(of.tag.as_str()).is_none());
    Ok(ReceiptBody {
        receipt: kept,
        deleted_at: local(receipt.deleted_ms, &definitions.app.time_zone),
        users: receipt.users,
        unknown: receipt.unknown,
        tags: tags
            .map(|of| ReceiptTagBody {
                user: of.user,
                tag: of.tag.to_string(),
                value: values::value(&of.value),
            })
            .collect(),
        crowds: "hidden".into(),
        position: receipt.position,
        log_position: receipt.log_position,
        lake: "kept".into(),
    })
}

fn deleted_places(receipt: &Receipt) -> Vec<ReceiptPlace> {
    let place = |place: &str, done: &str, count: Option<usize>| ReceiptPlace {
        place: place.to_owned(),
        done: done.to_owned(),
        count: count.map(|count| count as u64),
    };
    vec![
        place("tags", "values removed from every answer", Some(receipt.tags.len())),
        place("crowds", "in no version of a crowd any more", None),
        place("dictionary", "ids removed", Some(receipt.users.len())),
        place("dead_letters", "removed", None),
        place("lake", "rows kept; older ones make no user again", None),
    ]
}

/// Deletes a user from all tags, crowd versions and the dictionary. The deletion is visible to
/// every reader when the call returns.
#[utoipa::path(delete, path = "/apps/{app}/users/{user}", operation_id = "delete_user", tag = "users", params(UserPath),
    responses((status = 200, description = "The receipt.", body = ReceiptBody,
        headers(("Taghouse-Position" = u64, description = "The `log_position` of the receipt."))), Problem))]
pub(crate) async fn delete(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<UserPath>,
) -> Result<Written<Json<ReceiptBody>>, Problem> {
    let app = app_checked(&path.app, &caller, Action::Edit)?;
    deleted(&engine, &caller, &app, vec![path.user]).await
}

/// The same for many.
#[utoipa::path(post, path = "/apps/{app}/users/delete", operation_id = "delete_users", tag = "users", params(App), request_body = DeleteRequest,
    responses((status = 200, description = "The receipt.", body = ReceiptBody,
        headers(("Taghouse-Position" = u64, description = "The `log_position` of the receipt."))), Problem))]
pub(crate) async fn delete_many(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<DeleteRequest>,
) -> Result<Written<Json<ReceiptBody>>, Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    deleted(&engine, &caller, &app, request.users).await
}

/// Expires users, renumbers the remaining users without gaps, and rewrites all files of the index
/// with the new numbers. Questions are answered meanwhile; changes and deletions wait. Returns the
/// run.
#[utoipa::path(post, path = "/apps/{app}/compact", operation_id = "start_compaction", tag = "users", params(App), request_body = CompactRequest,
    responses((status = 202, description = "The run has begun.", body = RunBody), Problem))]
pub(crate) async fn compact(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<App>,
    Json(request): Json<CompactRequest>,
) -> Result<(StatusCode, Json<RunBody>), Problem> {
    let app = app.checked(&caller, Action::Edit)?;
    let definitions = engine.definitions(&app).await?;
    let expire = match &request.expire {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(text)) => Some(Question::parse(text)?),
        Some(json) => Some(Question::from_json(json)?),
    };
    let subject = request
        .expire
        .map_or_else(|| "nobody expires".to_owned(), |expire| format!("expire {expire}"));
    let run = engine.compact(&caller.id, &definitions, expire, &subject).await?;
    Ok((StatusCode::ACCEPTED, Json(body(run.status()))))
}
