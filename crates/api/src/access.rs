//! Who may do what: keys, roles and the table between roles and actions.

use crate::refusals::Asked;
use crate::routes::track::refuse_large;
use crate::{Problem, Server};
use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_catalog::{Catalog, KeyRecord, Role};
use taghouse_ingest::LiveCall;
use taghouse_model::{AppId, Entropy, ErrorKind};

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
}

/// The id of the folder's own key.
const LOCAL: &str = "local";

impl Caller {
    fn of(key: &KeyRecord) -> Self {
        Self { role: key.role, app: key.app.clone(), id: key.id.clone(), local: false }
    }

    fn local() -> Self {
        Self { role: Role::Admin, app: None, id: LOCAL.to_owned(), local: true }
    }

    /// Checks the action on an app.
    pub(crate) fn may(&self, action: Action, app: &AppId) -> Result<(), Problem> {
        if self.app.as_ref().is_some_and(|own| own != app) {
            return Err(Problem::new(
                ErrorKind::Denied,
                format!("this key belongs to another app, not to \"{app}\""),
            ));
        }
        self.may_anywhere(action)
    }

    /// Checks the action where no app is named.
    pub(crate) fn may_anywhere(&self, action: Action) -> Result<(), Problem> {
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
}

/// The valid keys, by the hash of their secret. The secrets themselves are not stored.
pub struct KeyRing {
    /// Read without a lock: every call does.
    known: ArcSwap<HashMap<[u8; 32], KeyRecord>>,
    /// The revoked keys, to recognise calls that still use one.
    revoked: ArcSwap<HashMap<[u8; 32], KeyRecord>>,
    /// Held while keys are read and put in place, so that an older reading never comes after a
    /// newer one and brings a revoked key back.
    reading: tokio::sync::Mutex<()>,
    local: [u8; 32],
}

impl KeyRing {
    /// Loads the keys; `local_secret` is the folder's own key, of this process only.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn load(catalog: &dyn Catalog, local_secret: &str) -> taghouse_catalog::Result<Self> {
        let ring = Self {
            known: ArcSwap::default(),
            revoked: ArcSwap::default(),
            reading: tokio::sync::Mutex::default(),
            local: hash(local_secret),
        };
        ring.reload(catalog).await?;
        Ok(ring)
    }

    /// Reads the keys again, after a change.
    pub(crate) async fn reload(&self, catalog: &dyn Catalog) -> taghouse_catalog::Result<()> {
        let _reading = self.reading.lock().await;
        let keys = catalog.keys().await?;
        let by_secret = keys.into_iter().map(|key| (key.secret_sha256, key));
        let (working, revoked): (HashMap<_, _>, HashMap<_, _>) =
            by_secret.partition(|(_, key)| key.revoked_ms.is_none());
        self.known.store(Arc::new(working));
        self.revoked.store(Arc::new(revoked));
        Ok(())
    }

    /// Puts a new key on the ring. Needs no catalog, so it cannot fail.
    pub(crate) async fn add_key(&self, key: KeyRecord) {
        let _reading = self.reading.lock().await;
        let mut working = HashMap::clone(&self.known.load());
        working.insert(key.secret_sha256, key);
        self.known.store(Arc::new(working));
    }

    /// Takes a revoked key off the ring. Needs no catalog, so it cannot fail; a reading from before
    /// its revocation comes before this.
    pub(crate) async fn drop_key(&self, id: &str) {
        let _reading = self.reading.lock().await;
        let mut revoked = HashMap::clone(&self.revoked.load());
        let mut working = HashMap::clone(&self.known.load());
        revoked.extend(working.extract_if(|_, key| key.id == id));
        self.revoked.store(Arc::new(revoked));
        self.known.store(Arc::new(working));
    }

    /// Whether any key works, besides the local one.
    pub fn is_empty(&self) -> bool {
        self.known.load().is_empty()
    }

    /// The key of this secret, if it was revoked.
    fn revoked(&self, secret: &str) -> Option<KeyRecord> {
        self.revoked.load().get(&hash(secret)).cloned()
    }

    /// Whether the secret is of a key that sends calls and does nothing else, as one that a page
    /// shows to everybody should be.
    pub(crate) fn is_write_key(&self, secret: &str) -> bool {
        self.known.load().get(&hash(secret)).is_some_and(|key| key.role == Role::Write)
    }

    pub(crate) fn caller(&self, secret: &str) -> Option<Caller> {
        let hash = hash(secret);
        if hash == self.local {
            return Some(Caller::local());
        }
        self.known.load().get(&hash).map(Caller::of)
    }

    /// The caller whose key has this id, as long as the key works. Looks at all keys.
    pub(crate) fn caller_of_key(&self, id: &str) -> Option<Caller> {
        if id == LOCAL {
            return Some(Caller::local());
        }
        self.known.load().values().find(|key| key.id == id).map(Caller::of)
    }

    /// The hash of the secret of the key that has this id, as long as the key works.
    pub(crate) fn secret_hash(&self, id: &str) -> Option<[u8; 32]> {
        if id == LOCAL {
            return Some(self.local);
        }
        self.known.load().values().find(|key| key.id == id).map(|key| key.secret_sha256)
    }
}

/// A new secret: 192 bits, with a prefix by which leak scanners know it.
pub fn new_secret(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 24];
    entropy.fill(&mut bytes);
    format!("tgh_{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The hash of a secret that is stored. A secret has 192 random bits, so one fast hash is enough.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
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

async fn let_in(
    server: &Arc<Server>,
    secret: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = caller_with(server, secret, &Asked::of(&request))?;
    let_in_as(server, caller, request, next).await
}

/// The caller with this secret. A call with a revoked key is noted.
pub(crate) fn caller_with(server: &Server, secret: &str, asked: &Asked) -> Result<Caller, Problem> {
    server.keys.caller(secret).ok_or_else(|| {
        if let Some(key) = server.keys.revoked(secret) {
            server.refused_revoked(&key, asked);
        }
        Problem::unauthenticated(
            "this key is not known or was revoked; an admin makes keys with `taghouse keys create`",
        )
    })
}

/// Goes on as this caller.
pub(crate) async fn let_in_as(
    server: &Arc<Server>,
    caller: Caller,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let asked = Asked::of(&request);
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN {
        server.refused(&caller, &asked);
    }
    Ok(response)
}

/// The caller of a route that needs no key, if there is a known key.
pub(crate) fn caller_of(server: &Server, headers: &HeaderMap) -> Option<Caller> {
    server.keys.caller(&secret_of(headers).ok()?)
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
pub(crate) mod tests {
    use super::*;

    /// A ring with keys: each its id, its secret and its role.
    pub(crate) async fn ring(keys: &[(&str, &str, Role)]) -> KeyRing {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("catalog.db");
        let catalog = taghouse_catalog::SqliteCatalog::open(&place).await.unwrap();
        let ring = KeyRing::load(&catalog, "local").await.unwrap();
        for (id, secret, role) in keys {
            let key = KeyRecord {
                id: (*id).to_owned(),
                app: None,
                role: *role,
                secret_sha256: hash(secret),
                note: String::new(),
                created_ms: 1,
                revoked_ms: None,
            };
            ring.add_key(key).await;
        }
        catalog.close().await;
        ring
    }

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

    #[tokio::test]
    async fn keys_come_and_go_without_the_catalog() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            taghouse_catalog::SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let key = |id: &str, secret: &str| KeyRecord {
            id: id.to_owned(),
            app: None,
            role: Role::Viewer,
            secret_sha256: hash(secret),
            note: String::new(),
            created_ms: 1,
            revoked_ms: None,
        };
        catalog.commit(vec![taghouse_catalog::Change::PutKey(key("a", "one"))]).await.unwrap();
        let ring = KeyRing::load(&catalog, "local").await.unwrap();
        catalog.close().await;
        assert!(ring.reload(&catalog).await.is_err());
        ring.add_key(key("b", "two")).await;
        ring.drop_key("a").await;
        assert!(ring.caller("one").is_none(), "a revoked key works no more");
        assert_eq!(ring.revoked("one").map(|key| key.id).as_deref(), Some("a"));
        assert_eq!(ring.caller("two").map(|caller| caller.id).as_deref(), Some("b"));
        assert!(ring.revoked("two").is_none() && ring.revoked("three").is_none());
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
