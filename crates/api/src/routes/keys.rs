//! API keys: list, create, revoke.

use crate::access::{Action, Caller};
use crate::extract::{Json, Path};
use crate::key_ring::{hash, new_secret};
use crate::{Problem, Server};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use std::sync::Arc;
use taghouse_catalog::{AuditRecord, Change, FormerSecret, KeyRate, KeyRecord, KeyTerms, Role};
use taghouse_engine::clock_text::{instant, parse};
use taghouse_model::{AppId, ErrorKind, TimestampMs};
use taghouse_rules::duration;
use taghouse_wire::{CreatedKey, KeyBody, KeyList, NewKey, RotateRequest};

/// The longest that a secret works beside the one that replaced it.
const MAX_GRACE_MS: i64 = 30 * 86_400_000;
/// How long it does if nothing is said.
const GRACE_MS: i64 = 86_400_000;
/// The most grants of a key: each call is held against them.
pub(super) const MAX_GRANTS: usize = 1000;
/// The most requests a second of one key.
const MAX_RATE: u32 = 1_000_000;

/// A key as it is shown. When it was last used this process knows best.
fn body(key: KeyRecord, used_ms: Option<TimestampMs>) -> KeyBody {
    KeyBody {
        used_ms: used_ms.max(key.used_ms),
        grants: key.terms.grants.iter().map(ToString::to_string).collect(),
        expires_ms: key.terms.expires_ms,
        former_until_ms: key.terms.former.map(|former| former.until_ms),
        requests_per_second: key.terms.rate.map(|rate| rate.per_second),
        burst: key.terms.rate.map(|rate| rate.burst),
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
    let shown = |key: KeyRecord| {
        let used_ms = server.keys.last_use_ms(&key.id);
        body(key, used_ms)
    };
    let keys = server.engine.catalog.keys().await?.into_iter().filter(visible);
    Ok(Json(KeyList { keys: keys.map(shown).collect() }))
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
    let terms = terms(&request, server.engine.clock.now_ms())?;
    if let Some(app) = &app {
        server.engine.exists(app).await?;
    }
    let made = server
        .make_key(role, app.clone(), request.note, terms, &caller.id)
        .await
        .map_err(Problem::from);
    let (record, secret) = server
        .engine
        .note_failure(&caller.id, app.as_ref(), "key.create", role.as_str(), made)
        .await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { key: body(record, None), secret })))
}

/// Gives a key another secret, which is only in this answer. The one that it has goes on to work for a
/// while, so that callers can be changed one by one; a secret from an earlier rotation does not.
#[utoipa::path(post, path = "/keys/{id}/rotate", operation_id = "rotate_key", tag = "keys", params(("id" = String, Path, description = "The key's id, from the list")), request_body = RotateRequest,
    responses((status = 200, description = "The key with its new secret.", body = CreatedKey), Problem))]
pub(crate) async fn rotate(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(request): Json<RotateRequest>,
) -> Result<Json<CreatedKey>, Problem> {
    let key = administered(&server, &caller, &id).await?;
    let now_ms = server.engine.clock.now_ms();
    let grace_ms = match &request.grace {
        None => GRACE_MS,
        Some(text) if text == "0s" => 0,
        Some(text) => {
            duration(text).ok().filter(|grace_ms| *grace_ms <= MAX_GRACE_MS).ok_or_else(|| {
                invalid(format!("grace: \"{text}\" is not a time of at most 30d, such as 1h"))
            })?
        }
    };
    let expires_ms = match request.expires.as_deref() {
        None => key.terms.expires_ms,
        Some("never") => None,
        Some(text) => Some(expiry(text, now_ms)?),
    };
    if let Some(at_ms) = expires_ms.filter(|at_ms| *at_ms <= now_ms) {
        let detail = format!(
            "the key {id} expired at {}: say with `expires` until when it is to work from now on",
            instant(at_ms)
        );
        return Err(Problem::new(ErrorKind::Conflict, detail));
    }
    let secret = new_secret(server.engine.entropy.as_ref());
    let former = FormerSecret { sha256: key.secret_sha256, until_ms: now_ms + grace_ms };
    let former = Some(former).filter(|_| grace_ms > 0);
    let terms = KeyTerms { expires_ms, former, ..key.terms.clone() };
    let rotated = KeyRecord { secret_sha256: hash(&secret), terms: terms.clone(), ..key.clone() };
    let until = |at_ms: Option<TimestampMs>| at_ms.map_or_else(|| "never".to_owned(), instant);
    let line = AuditRecord {
        app: key.app.clone(),
        at_ms: now_ms,
        actor: caller.id.clone(),
        action: "key.rotate".to_owned(),
        subject: format!(
            "{id}, expires {} → {}",
            until(key.terms.expires_ms),
            until(terms.expires_ms)
        ),
        outcome: "done".to_owned(),
    };
    let change = Change::RotateKey {
        id: id.clone(),
        expected: key.secret_sha256,
        secret_sha256: rotated.secret_sha256,
        terms,
    };
    let committed = server.engine.catalog.commit(vec![change, Change::Audit(line)]).await;
    match &committed {
        Ok(()) => server.keys.add_key(rotated.clone()).await,
        // It may have been committed all the same.
        Err(_) => server.keys.reload(server.engine.catalog.as_ref()).await.unwrap_or_default(),
    }
    let committed = committed.map_err(Problem::from);
    server.engine.note_failure(&caller.id, key.app.as_ref(), "key.rotate", &id, committed).await?;
    let used_ms = server.keys.last_use_ms(&id);
    Ok(Json(CreatedKey { key: body(rotated, used_ms), secret }))
}

/// A key that the caller may change.
async fn administered(server: &Server, caller: &Caller, id: &str) -> Result<KeyRecord, Problem> {
    caller.may_anywhere(Action::Administer)?;
    let unknown = || {
        Problem::new(
            ErrorKind::NotFound,
            format!("there is no key \"{id}\"; `taghouse keys` lists them"),
        )
    };
    let keys = server.engine.catalog.keys().await?;
    let key = keys.into_iter().find(|key| key.id == id).ok_or_else(unknown)?;
    administers(caller, key.app.as_ref())?;
    Ok(key)
}

fn invalid(detail: String) -> Problem {
    Problem::new(ErrorKind::Invalid, detail)
}

/// What a key that is to be made is limited to.
fn terms(request: &NewKey, now_ms: TimestampMs) -> Result<KeyTerms, Problem> {
    if request.grants.len() > MAX_GRANTS {
        let given = request.grants.len();
        return Err(invalid(format!(
            "{given} grants, more than {MAX_GRANTS}: use patterns such as crowd:vip_*=judge"
        )));
    }
    let grants = request.grants.iter().map(|grant| grant.parse()).collect::<Result<_, _>>()?;
    for (field, number) in
        [("requests_per_second", request.requests_per_second), ("burst", request.burst)]
    {
        if number.is_some_and(|number| !(1..=MAX_RATE).contains(&number)) {
            return Err(invalid(format!("{field}: a whole number from 1 to {MAX_RATE}")));
        }
    }
    let rate = match (request.requests_per_second, request.burst) {
        (Some(per_second), burst) => {
            Some(KeyRate { per_second, burst: burst.unwrap_or(per_second) })
        }
        (None, Some(_)) => {
            return Err(invalid("burst needs requests_per_second beside it".to_owned()));
        }
        (None, None) => None,
    };
    let expires_ms = request.expires.as_deref().map(|text| expiry(text, now_ms)).transpose()?;
    Ok(KeyTerms { grants, expires_ms, former: None, rate })
}

/// An instant to come, or one after a time.
fn expiry(text: &str, now_ms: TimestampMs) -> Result<TimestampMs, Problem> {
    if let Ok(after_ms) = duration(text) {
        return Ok(now_ms.saturating_add(after_ms));
    }
    let at_ms = parse(text, &TimeZone::UTC).map_err(|_| {
        invalid(format!("expires: \"{text}\" is not an instant such as 2027-01-01T00:00:00Z, or a time such as 90d"))
    })?;
    if at_ms <= now_ms {
        return Err(invalid(format!("expires: {text} is over: give an instant that is to come")));
    }
    Ok(at_ms)
}

/// Revokes a key: it stops working at once.
#[utoipa::path(delete, path = "/keys/{id}", operation_id = "revoke_key", tag = "keys", params(("id" = String, Path, description = "The key's id, from the list")),
    responses((status = 204, description = "The key works no more."), Problem))]
pub(crate) async fn revoke(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let key = administered(&server, &caller, &id).await?;
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

/// A key and what it may, for the audit trail.
fn described(key: &KeyRecord) -> String {
    let mut text = format!("{} {}", key.id, key.role);
    if !key.terms.grants.is_empty() {
        let grants = key.terms.grants.iter().map(ToString::to_string);
        text += &format!(", {}", grants.collect::<Vec<_>>().join(" "));
    }
    if let Some(at_ms) = key.terms.expires_ms {
        text += &format!(", expires {}", instant(at_ms));
    }
    text
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
        terms: KeyTerms,
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
            terms,
            used_ms: None,
        };
        let audit = AuditRecord {
            app,
            at_ms,
            actor: actor.to_owned(),
            action: "key.create".to_owned(),
            subject: described(&record),
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
