//! Who may do what: keys, roles and the table between roles and actions.

use crate::key_ring::{Found, KeyUse};
use crate::rate::Left;
use crate::refusals::Asked;
use crate::routes::track::refuse_large;
use crate::{Problem, Server};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use taghouse_catalog::{KeyRecord, Role};
use taghouse_engine::clock_text::instant;
use taghouse_ingest::LiveCall;
use taghouse_model::{AppId, ErrorKind, Grant, Granted, Right};

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// See definitions, tags, crowds, runs; count, sample, export, profile.
    Read,
    /// Ask about single users.
    Judge,
    /// Send events and live changes.
    Write,
    /// Change definitions, ingest files, produce.
    Edit,
    /// Create and revoke keys.
    Administer,
}

fn allows(role: Role, action: Action) -> bool {
    match role {
        Role::Admin => true,
        Role::Editor => matches!(action, Action::Read | Action::Judge | Action::Edit),
        Role::Viewer => matches!(action, Action::Read | Action::Judge),
        Role::Write => action == Action::Write,
        Role::Judge => action == Action::Judge,
    }
}

/// Who calls: a key's role and app.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) role: Role,
    /// `None`: every app.
    pub(crate) app: Option<AppId>,
    /// For the audit: the key's id, or `local`.
    pub(crate) id: String,
    /// On the same machine with the folder's own key, and so free to name paths.
    pub(crate) local: bool,
    /// `None`: the folder's own.
    key: Option<Arc<KeyRecord>>,
}

/// The id of the folder's own key.
pub(crate) const LOCAL: &str = "local";

impl Caller {
    /// With the folder's own key.
    pub(crate) fn local() -> Self {
        Self { role: Role::Admin, app: None, id: LOCAL.to_owned(), local: true, key: None }
    }

    pub(crate) fn of(key: Arc<KeyRecord>) -> Self {
        let (role, app, id) = (key.role, key.app.clone(), key.id.clone());
        Self { role, app, id, local: false, key: Some(key) }
    }

    fn grants(&self) -> &[Grant] {
        self.key.as_ref().map_or(&[], |key| &key.terms.grants)
    }

    /// Whether the key may only do what its grants name.
    pub(crate) fn is_limited(&self) -> bool {
        self.grants().iter().any(Grant::limits)
    }

    /// Whether a grant gives the right on what has this name.
    pub(crate) fn is_given(&self, of: Granted, name: &str, right: Right) -> bool {
        self.grants().iter().any(|grant| grant.gives(of, name, right))
    }

    /// Whether values are shown that this label masks.
    pub(crate) fn sees_label(&self, label: &str) -> bool {
        self.local
            || self.grants().iter().any(|grant| matches!(grant, Grant::Label(of) if of == label))
    }

    /// Whether exact numbers and single users are shown where an app shows rounded numbers.
    pub(crate) fn sees_exact(&self) -> bool {
        self.local || self.grants().contains(&Grant::Exact)
    }

    /// Checks an action on an app as a whole, which keys with grants may not do.
    pub(crate) fn may(&self, action: Action, app: &AppId) -> Result<(), Problem> {
        self.may_in_part(action, app)?;
        self.refuse_limited()
    }

    /// Checks the action on an app, for calls that check what the key's grants name: each tag and
    /// crowd, with a [`Guard`](crate::guard::Guard).
    pub(crate) fn may_in_part(&self, action: Action, app: &AppId) -> Result<(), Problem> {
        self.is_of(app)?;
        self.has_role(action)
    }

    /// Checks that the key opens the app.
    pub(crate) fn is_of(&self, app: &AppId) -> Result<(), Problem> {
        if self.app.as_ref().is_some_and(|own| own != app) {
            return Err(Problem::new(
                ErrorKind::Denied,
                format!("this key belongs to another app, not to \"{app}\""),
            ));
        }
        Ok(())
    }

    /// Checks the action where no app is named, which keys with grants may not do.
    pub(crate) fn may_anywhere(&self, action: Action) -> Result<(), Problem> {
        self.has_role(action)?;
        self.refuse_limited()
    }

    /// Checks the role alone.
    pub(crate) fn has_role(&self, action: Action) -> Result<(), Problem> {
        if allows(self.role, action) {
            Ok(())
        } else {
            let role = self.role.as_str();
            Err(Problem::new(
                ErrorKind::Denied,
                format!("a key of role {role} may not do this; ask an admin for one that may"),
            ))
        }
    }

    fn refuse_limited(&self) -> Result<(), Problem> {
        if self.is_limited() {
            let detail = "this key has grants of single tags and crowds, and the call is about all of them: an admin makes keys without such grants with `taghouse keys create`";
            return Err(Problem::new(ErrorKind::Denied, detail));
        }
        Ok(())
    }
}

/// Refuses requests without a known key: `Authorization: Bearer KEY`, or `Basic` with the key
/// as user name.
pub(crate) async fn authenticate(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let secret = secret_of(request.headers())?;
    let_in(&server, &secret, request, next).await
}

/// The same for tracking calls, whose key may stand in their body: a page that is left sends no
/// headers of its own.
pub(crate) async fn authenticate_call(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return authenticate(State(server), request, next).await;
    }
    let (parts, body) = request.into_parts();
    refuse_large(&parts.headers)?;
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), &()).await?;
    let secret = LiveCall::write_key(&body).ok_or_else(|| {
        Problem::unauthenticated(
            "no key: send it as `writeKey` in the body, or as the user name of Basic authorization, without a password",
        )
    })?;
    let_in(&server, &secret, Request::from_parts(parts, Body::from(body)), next).await
}

/// The same for calls for flags, whose key providers may send as `X-API-Key`.
pub(crate) async fn authenticate_flag(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let secret = key_of(request.headers())?;
    let_in(&server, &secret, request, next).await
}

/// The key in either header. `Authorization` goes first.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<String, Problem> {
    match headers.get("X-API-Key").and_then(|key| key.to_str().ok()) {
        Some(key) if !headers.contains_key(header::AUTHORIZATION) => Ok(key.to_owned()),
        _ => secret_of(headers),
    }
}

/// Who may pass.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    /// What is left of the key's rate; `None`: it has none.
    pub(crate) left: Option<Left>,
}

/// Whose key a secret is of, if the key's rate lets another request in.
pub(crate) fn admitted(
    server: &Arc<Server>,
    secret: &str,
    asked: &Asked,
) -> Result<Admitted, Problem> {
    let (caller, used) = found(server, secret, asked)?;
    let rate = used.as_ref().and_then(|used| used.rate.as_ref());
    let left = rate.map(|rate| rate.take(&caller.id)).transpose()?;
    Ok(Admitted { caller, left })
}

async fn let_in(
    server: &Arc<Server>,
    secret: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let admitted = admitted(server, secret, &Asked::of(&request))?;
    let_in_as(server, admitted, request, next).await
}

/// Goes on as this caller.
pub(crate) async fn let_in_as(
    server: &Arc<Server>,
    admitted: Admitted,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Admitted { caller, left } = admitted;
    let asked = Asked::of(&request);
    request.extensions_mut().insert(caller.clone());
    if let Some(left) = left {
        request.extensions_mut().insert(left);
    }
    let mut response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN {
        server.refused(&caller, &asked);
    }
    if let Some(left) = left {
        left.tell(response.headers_mut());
    }
    Ok(response)
}

/// Whose key it is.
fn found(
    server: &Arc<Server>,
    secret: &str,
    asked: &Asked,
) -> Result<(Caller, Option<Arc<KeyUse>>), Problem> {
    match server.keys.find(secret, server.engine.clock.now_ms()) {
        Found::Caller(caller, used) => Ok((caller, used)),
        Found::Expired { key, at_ms, rotated } => {
            server.refused_key(&key, "the key has expired", asked);
            let (id, at) = (&key.id, instant(at_ms));
            Err(Problem::unauthenticated(if rotated {
                format!(
                    "this secret of the key {id} was rotated out and expired at {at}: send the new one"
                )
            } else {
                format!(
                    "the key {id} expired at {at}; an admin lets it work again with `taghouse keys rotate {id} --expires` or makes another with `taghouse keys create`"
                )
            }))
        }
        Found::Revoked(key) => {
            server.refused_key(&key, "the key was revoked", asked);
            Err(unknown_key())
        }
        Found::Unknown => Err(unknown_key()),
    }
}

fn unknown_key() -> Problem {
    Problem::unauthenticated(
        "this key is not known or was revoked; an admin makes keys with `taghouse keys create`",
    )
}

/// The caller of a route that needs no key, if there is a known key.
pub(crate) fn caller_of(server: &Server, headers: &HeaderMap) -> Option<Caller> {
    match server.keys.find(&secret_of(headers).ok()?, server.engine.clock.now_ms()) {
        Found::Caller(caller, _) => Some(caller),
        _ => None,
    }
}

fn secret_of(headers: &HeaderMap) -> Result<String, Problem> {
    let missing = || {
        Problem::unauthenticated(
            "no key: send `Authorization: Bearer KEY`, or Basic with the key as user name and no password",
        )
    };
    let value =
        headers.get(header::AUTHORIZATION).ok_or_else(missing)?.to_str().map_err(|_| missing())?;
    let (scheme, rest) = value.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let bytes = STANDARD.decode(rest.trim()).map_err(|_| missing())?;
        let text = String::from_utf8(bytes).map_err(|_| missing())?;
        return Ok(text.split_once(':').map_or(text.as_str(), |(user, _)| user).to_owned());
    }
    Err(missing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_do_what_they_are_for_and_no_more() {
        use Action::{Administer, Edit, Judge, Read, Write};
        let table = [
            (Role::Admin, vec![Read, Judge, Write, Edit, Administer]),
            (Role::Editor, vec![Read, Judge, Edit]),
            (Role::Viewer, vec![Read, Judge]),
            (Role::Write, vec![Write]),
            (Role::Judge, vec![Judge]),
        ];
        for (role, may) in table {
            for action in [Read, Judge, Write, Edit, Administer] {
                assert_eq!(
                    allows(role, action),
                    may.contains(&action),
                    "{} {action:?}",
                    role.as_str()
                );
            }
        }
    }

    #[test]
    fn a_key_is_read_from_bearer_and_from_basic() {
        let mut headers = HeaderMap::new();
        for (value, secret) in [
            ("Bearer k1", Some("k1")),
            ("Basic a2V5LTE6", Some("key-1")),
            ("Digest x", None),
            ("Basic ***", None),
            ("k1", None),
        ] {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(secret_of(&headers).ok().as_deref(), secret, "{value}");
        }
        headers.clear();
        assert_eq!(secret_of(&headers).unwrap_err().status, 401);
    }
}
