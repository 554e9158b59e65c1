//! All that is kept of one user.

use super::app_checked;
use super::users::{UserPath, digest};
use crate::Problem;
use crate::access::{Action, Caller};
use crate::extract::Path;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use std::sync::Arc;
use taghouse_engine::{Engine, Pieces};
use taghouse_model::{ErrorKind, check_user_id};
use taghouse_wire::{NewReceipt, ReceiptKind, ReceiptPlace};

/// All that is kept of the user whose id this is, by any of the user's ids: JSON lines, each a
/// UserLine, streamed. What calls have brought lands first. The last line has the kind `end`; without
/// it the export is cut off.
#[utoipa::path(get, path = "/apps/{app}/users/{user}/export", operation_id = "export_user", tag = "users", params(UserPath),
    responses((status = 200, description = "The lines.", content((String = "application/x-ndjson")),
        headers(("Taghouse-Receipt" = String, description = "The id of the export's receipt."))), Problem))]
pub(crate) async fn export(
    State(engine): State<Arc<Engine>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<UserPath>,
) -> Result<Response, Problem> {
    let app = app_checked(&path.app, &caller, Action::Read)?;
    check_user_id(&path.user)?;
    let definitions = engine.definitions(&app).await?;
    caller.guard(&definitions).person()?;
    let Some(pieces) = engine.export_user(&definitions, &path.user).await? else {
        return Err(Problem::new(
            ErrorKind::NotFound,
            format!("nothing is kept of the user \"{}\" of \"{app}\"", path.user),
        ));
    };
    let receipt = NewReceipt {
        kind: ReceiptKind::Export,
        actor: caller.id.clone(),
        digests: vec![digest(&path.user)],
        places: vec![ReceiptPlace {
            place: "export".to_owned(),
            done: "all that is kept of the user was sent; the audit trail says how much".to_owned(),
            count: None,
        }],
    };
    let receipt = engine.keep_receipt(&app, receipt).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (HeaderName::from_static("taghouse-receipt"), receipt),
    ];
    Ok((headers, body(pieces)).into_response())
}

/// An error aborts the body, so that the reader does not take it for complete.
fn body(pieces: Pieces) -> Body {
    Body::from_stream(stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.next().await?.map_err(|error| {
            tracing::error!(%error, "the export of a user failed");
            std::io::Error::other(error.to_string())
        });
        Some((piece, pieces))
    }))
}
