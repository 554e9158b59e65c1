//! Backups of the whole data folder.

use crate::access::{Action, Caller};
use crate::extract::Json;
use crate::{Problem, Server};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_engine::clock_text::instant;
use taghouse_model::ErrorKind;
use taghouse_wire::{BackupBody, NewBackup};

/// The longest name of a folder below `--backup-dir`.
const MAX_NAME: usize = 200;

/// Backs up the whole data folder, with all apps and keys, to a folder on the server's machine.
/// Questions and calls are answered meanwhile; changes wait for a moment. The call returns when the
/// backup is complete. Only for admins of all apps.
#[utoipa::path(post, path = "/backups", operation_id = "create_backup", tag = "backups", request_body = NewBackup,
    responses((status = 201, description = "The backup is complete.", body = BackupBody), Problem))]
pub(crate) async fn create(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<NewBackup>,
) -> Result<(StatusCode, Json<BackupBody>), Problem> {
    caller.may_anywhere(Action::Administer)?;
    if let Some(app) = &caller.app {
        let detail = format!(
            "a backup holds all apps, and this key is an admin of \"{app}\" only: use a key of every app"
        );
        return Err(Problem::new(ErrorKind::Denied, detail));
    }
    let folder = folder(&server, &caller, &request.folder)?;
    let act =
        server.engine.begin(&caller.id, None, "backup", &folder.display().to_string()).await?;
    let written = act.end(server.engine.back_up(folder).await).await?;
    let body = BackupBody {
        folder: written.folder.display().to_string(),
        taken_at: instant(written.taken_ms),
        files: written.files,
        bytes: written.bytes,
        held_ms: u64::try_from(written.held.as_millis()).unwrap_or(u64::MAX),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Callers on other machines may not write wherever the server can.
fn folder(server: &Server, caller: &Caller, asked: &str) -> Result<PathBuf, Problem> {
    if caller.local {
        return Ok(PathBuf::from(asked));
    }
    let Some(folder) = &server.backups else {
        return Err(Problem::new(
            ErrorKind::Invalid,
            "this server writes no backups for callers on other machines: start it with --backup-dir, or run `taghouse backup` on its machine",
        ));
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if asked.starts_with(|c: char| c.is_ascii_alphanumeric())
        && asked.chars().all(fits)
        && asked.len() <= MAX_NAME
    {
        return Ok(folder.join(asked));
    }
    Err(Problem::new(
        ErrorKind::Invalid,
        format!(
            "folder \"{asked}\" is not a name of letters, digits, - _ and . ({MAX_NAME} at most): give one such as 2026-03-02, it is made below the \
             server's --backup-dir"
        ),
    ))
}
