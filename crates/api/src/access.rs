//! Who may do what: keys, roles and the table between roles and actions.

use crate::{House, Problem};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use taghouse_catalog::{Catalog, KeyRecord, Role};
use taghouse_model::{AppId, Entropy, ErrorKind};

/// What a request wants to do.
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
    /// Make and revoke keys.
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

impl Caller {
    /// Checks the action on an app.
    pub(crate) fn may(&self, action: Action, app: &AppId) -> Result<(), Problem> {
        if self.app.as_ref().is_some_and(|own| own != app) {
            return Err(Problem::new(ErrorKind::Denied, format!("this key belongs to another app, not to \"{app}\"")));
        }
        self.may_anywhere(action)
    }

    /// Checks the action where no app is named.
    pub(crate) fn may_anywhere(&self, action: Action) -> Result<(), Problem> {
        if allows(self.role, action) {
            Ok(())
        } else {
            let role = self.role.as_str();
            Err(Problem::new(ErrorKind::Denied, format!("a key of role {role} may not do this; ask an admin for one that may")))
        }
    }
}

/// The keys that work now, by the hash of their secret. The secrets themselves are nowhere.
pub struct KeyRing {
    known: RwLock<HashMap<[u8; 32], KeyRecord>>,
    /// Held while keys are read and put in place, so that an older reading never comes after a newer one and brings a revoked key back.
    reading: tokio::sync::Mutex<()>,
    local: [u8; 32],
}

impl KeyRing {
    /// Loads the keys; `local_secret` is the folder's own key, of this process only.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn load(catalog: &dyn Catalog, local_secret: &str) -> taghouse_catalog::Result<Self> {
        let ring = Self { known: RwLock::default(), reading: tokio::sync::Mutex::default(), local: hash(local_secret) };
        ring.reload(catalog).await?;
        Ok(ring)
    }

    /// Reads the keys again, after a change.
    pub(crate) async fn reload(&self, catalog: &dyn Catalog) -> taghouse_catalog::Result<()> {
        let _reading = self.reading.lock().await;
        let keys = catalog.keys().await?;
        let working = keys.into_iter().filter(|key| key.revoked_ms.is_none()).map(|key| (key.secret_sha256, key)).collect();
        *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) = working;
        Ok(())
    }

    /// Whether any key works, besides the local one.
    pub fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }

    fn caller(&self, secret: &str) -> Option<Caller> {
        let hash = hash(secret);
        if hash == self.local {
            return Some(Caller { role: Role::Admin, app: None, id: "local".to_owned(), local: true });
        }
        let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(&hash).map(|key| Caller { role: key.role, app: key.app.clone(), id: key.id.clone(), local: false })
    }
}

/// A new secret: 192 bits, with a prefix by which leak scanners know it.
pub fn new_secret(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 24];
    entropy.fill(&mut bytes);
    format!("tgh_{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a secret. It holds 192 random bits, so one fast hash is enough.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Lets no request pass without a known key: `Authorization: Bearer KEY`, or `Basic` with the key as user name.
pub(crate) async fn authenticate(State(house): State<Arc<House>>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let secret = secret_of(request.headers())?;
    let caller = house
        .keys
        .caller(&secret)
        .ok_or_else(|| Problem::unauthenticated("this key is not known or was revoked; an admin makes keys with `taghouse keys create`"))?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn secret_of(headers: &HeaderMap) -> Result<String, Problem> {
    let missing =
        || Problem::unauthenticated("no key: send `Authorization: Bearer KEY`, or Basic with the key as user name and no password");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?.to_str().map_err(|_| missing())?;
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
                assert_eq!(allows(role, action), may.contains(&action), "{} {action:?}", role.as_str());
            }
        }
    }

    #[test]
    fn a_key_is_read_from_bearer_and_from_basic() {
        let mut headers = HeaderMap::new();
        for (value, secret) in
            [("Bearer k1", Some("k1")), ("Basic a2V5LTE6", Some("key-1")), ("Digest x", None), ("Basic ***", None), ("k1", None)]
        {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(secret_of(&headers).ok().as_deref(), secret, "{value}");
        }
        headers.clear();
        assert_eq!(secret_of(&headers).unwrap_err().status, 401);
    }
}
