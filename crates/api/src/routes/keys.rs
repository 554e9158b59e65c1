//! API keys: list, create, revoke.

use crate::access::{Action, Caller, hash, new_secret};
use crate::extract::{Json, Path};
use crate::{Problem, Server};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;
use taghouse_catalog::{AuditRecord, Change, KeyRecord, Role};
use taghouse_model::{AppId, ErrorKind};
use taghouse_wire::{CreatedKey, KeyBody, KeyList, NewKey};

fn body(key: KeyRecord) -> KeyBody {
    KeyBody {
        id: key.id,
        role: key.role.as_str().into(),
        app: key.app.map(|app| app.to_string()),
        note: key.note,
        created_ms: key.created_ms,
        revoked_ms: key.revoked_ms,
    }
}

/// The caller must be an admin, and one of every app unless the key is of its own.
fn administers(caller: &Caller, app: Option<&AppId>) -> Result<(), Problem> {
    match (app, &caller.app) {
        (Some(app), _) => caller.may(Action::Administer, app),
        (None, None) => caller.may_anywhere(Action::Administer),
        (None, Some(own)) => Err(Problem::new(
            ErrorKind::Denied,
            format!("an admin of \"{own}\" makes keys of \"{own}\" only: name the app"),
        )),
    }
}

/// All keys, the revoked ones too, without secrets.
#[utoipa::path(get, path = "/keys", operation_id = "list_keys", tag = "keys",
    responses((status = 200, description = "The keys.", body = KeyList), Problem))]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<KeyList>, Problem> {
    caller.may_anywhere(Action::Administer)?;
    let visible = |key: &KeyRecord| caller.app.is_none() || caller.app == key.app;
    let keys = server.engine.catalog.keys().await?.into_iter().filter(visible).map(body).collect();
    Ok(Json(KeyList { keys }))
}

/// Creates a key. Its secret is only in this answer.
#[utoipa::path(post, path = "/keys", operation_id = "create_key", tag = "keys", request_body = NewKey,
    responses((status = 201, description = "The key was made.", body = CreatedKey), Problem))]
pub(crate) async fn create(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<NewKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    let app = request.app.as_deref().map(AppId::new).transpose()?;
    administers(&caller, app.as_ref())?;
    let role: Role = request.role.parse()?;
    if let Some(app) = &app {
        server.engine.exists(app).await?;
    }
    let made =
        server.make_key(role, app.clone(), request.note, &caller.id).await.map_err(Problem::from);
    let (record, secret) = server
        .engine
        .note_failure(&caller.id, app.as_ref(), "key.create", role.as_str(), made)
        .await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { key: body(record), secret })))
}

/// Revokes a key: it stops working at once.
#[utoipa::path(delete, path = "/keys/{id}", operation_id = "revoke_key", tag = "keys", params(("id" = String, Path, description = "The key's id, from the list")),
    responses((status = 204, description = "The key works no more."), Problem))]
pub(crate) async fn revoke(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.may_anywhere(Action::Administer)?;
    let unknown = || {
        Problem::new(
            ErrorKind::NotFound,
            format!("there is no key \"{id}\"; `taghouse keys` lists them"),
        )
    };
    let key = server
        .engine
        .catalog
        .keys()
        .await?
        .into_iter()
        .find(|key| key.id == id)
        .ok_or_else(unknown)?;
    administers(&caller, key.app.as_ref())?;
    let at_ms = server.engine.clock.now_ms();
    let line = AuditRecord {
        app: key.app.clone(),
        at_ms,
        actor: caller.id.clone(),
        action: "key.revoke".to_owned(),
        subject: id.clone(),
        outcome: "done".to_owned(),
    };
    let revoked = server
        .engine
        .catalog
        .commit(vec![Change::RevokeKey { id: id.clone(), at_ms }, Change::Audit(line)])
        .await;
    match &revoked {
        Ok(()) => server.keys.drop_key(&id).await,
        // It may have been committed all the same.
        Err(_) => server.keys.reload(server.engine.catalog.as_ref()).await.unwrap_or_default(),
    }
    server
        .engine
        .note_failure(
            &caller.id,
            key.app.as_ref(),
            "key.revoke",
            &id,
            revoked.map_err(Problem::from),
        )
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Server {
    /// Makes a key; the secret is returned here and kept nowhere.
    ///
    /// # Errors
    /// The catalog cannot be written.
    pub async fn make_key(
        &self,
        role: Role,
        app: Option<AppId>,
        note: String,
        actor: &str,
    ) -> taghouse_catalog::Result<(KeyRecord, String)> {
        let secret = new_secret(self.engine.entropy.as_ref());
        let at_ms = self.engine.clock.now_ms();
        let record = KeyRecord {
            id: self.engine.random_id(),
            app: app.clone(),
            role,
            secret_sha256: hash(&secret),
            note,
            created_ms: at_ms,
            revoked_ms: None,
        };
        let audit = AuditRecord {
            app,
            at_ms,
            actor: actor.to_owned(),
            action: "key.create".to_owned(),
            subject: format!("{} {role}", record.id),
            outcome: "done".to_owned(),
        };
        self.engine
            .catalog
            .commit(vec![Change::PutKey(record.clone()), Change::Audit(audit)])
            .await?;
        self.keys.add_key(record.clone()).await;
        Ok((record, secret))
    }
}
