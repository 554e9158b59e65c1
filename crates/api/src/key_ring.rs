//! The keys of a server: which secrets work, for whom, until when and how often.

use crate::Problem;
use crate::access::{Caller, LOCAL};
use crate::rate::{Left, Rate};
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use taghouse_catalog::{Catalog, Change, KeyRate, KeyRecord, Role};
use taghouse_model::{Entropy, TimestampMs};

type Secret = [u8; 32];

/// The valid keys, by the hash of their secret. The secrets themselves are not stored.
pub struct KeyRing {
    /// Read without a lock: every call does.
    known: ArcSwap<HashMap<Secret, Known>>,
    /// The revoked keys, to recognise calls that still use one.
    revoked: ArcSwap<HashMap<Secret, KeyRecord>>,
    /// Held while keys are read and put in place, so that an older reading never comes after a
    /// newer one and brings a revoked key back.
    reading: tokio::sync::Mutex<()>,
    /// Of each key that works, by its id.
    uses: Mutex<HashMap<String, Arc<KeyUse>>>,
    /// Of keys that say nothing of it.
    default_rate: Option<KeyRate>,
    local: Secret,
}

/// A secret that works, or did.
#[derive(Clone)]
struct Known {
    key: Arc<KeyRecord>,
    /// It was rotated out, and works until then.
    until_ms: Option<TimestampMs>,
    used: Arc<KeyUse>,
}

/// How a key is used.
pub(crate) struct KeyUse {
    /// The last call; 0: none since the start.
    last_ms: AtomicI64,
    /// The same as far as the catalog knows it.
    noted_ms: AtomicI64,
    /// What its calls are counted against; `None`: nothing.
    pub(crate) rate: Option<Rate>,
}

/// Whose a secret is.
pub(crate) enum Found {
    /// Of a key that works.
    Caller(Caller, Option<Arc<KeyUse>>),
    /// Of a key that worked until then.
    Expired {
        key: Arc<KeyRecord>,
        at_ms: TimestampMs,
        /// The key has another secret, which may work.
        rotated: bool,
    },
    /// Of a key that was revoked.
    Revoked(KeyRecord),
    Unknown,
}

impl KeyRing {
    /// Loads the keys; `local_secret` is the folder's own key, of this process only. Keys that have no
    /// rate of their own may call as often as `default_rate` says; `None`: as often as they like.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn load(
        catalog: &dyn Catalog,
        local_secret: &str,
        default_rate: Option<KeyRate>,
    ) -> taghouse_catalog::Result<Self> {
        let ring = Self {
            known: ArcSwap::default(),
            revoked: ArcSwap::default(),
            reading: tokio::sync::Mutex::default(),
            uses: Mutex::default(),
            default_rate,
            local: hash(local_secret),
        };
        ring.reload(catalog).await?;
        Ok(ring)
    }

    /// Reads the keys again, after a change.
    pub(crate) async fn reload(&self, catalog: &dyn Catalog) -> taghouse_catalog::Result<()> {
        let _reading = self.reading.lock().await;
        let (mut working, mut revoked) = (HashMap::new(), HashMap::new());
        for key in catalog.keys().await? {
            match key.revoked_ms {
                None => self.hang(&mut working, key),
                Some(_) => unhang(&mut revoked, key),
            }
        }
        self.known.store(Arc::new(working));
        self.revoked.store(Arc::new(revoked));
        Ok(())
    }

    /// Puts a key on the ring, new or with another secret. Needs no catalog, so it cannot fail.
    pub(crate) async fn add_key(&self, key: KeyRecord) {
        let _reading = self.reading.lock().await;
        // Revoked while it was being rotated.
        if self.revoked.load().values().any(|revoked| revoked.id == key.id) {
            return;
        }
        let mut working = HashMap::clone(&self.known.load());
        working.retain(|_, known| known.key.id != key.id);
        self.hang(&mut working, key);
        self.known.store(Arc::new(working));
    }

    /// Takes a revoked key off the ring. Needs no catalog, so it cannot fail; a reading from before
    /// its revocation comes before this.
    pub(crate) async fn drop_key(&self, id: &str) {
        let _reading = self.reading.lock().await;
        let mut revoked = HashMap::clone(&self.revoked.load());
        let mut working = HashMap::clone(&self.known.load());
        for (_, known) in working.extract_if(|_, known| known.key.id == id) {
            unhang(&mut revoked, KeyRecord::clone(&known.key));
        }
        self.revoked.store(Arc::new(revoked));
        self.known.store(Arc::new(working));
    }

    fn hang(&self, working: &mut HashMap<Secret, Known>, key: KeyRecord) {
        let rate = key.terms.rate.or(self.default_rate);
        let used = {
            let mut uses = self.uses.lock();
            let before = uses.get(&key.id).filter(|used| Rate::terms(&used.rate) == rate).cloned();
            let used = before.unwrap_or_else(|| Arc::new(KeyUse::new(rate, key.used_ms)));
            uses.insert(key.id.clone(), used.clone());
            used
        };
        let key = Arc::new(key);
        if let Some(former) = &key.terms.former {
            let until_ms = Some(former.until_ms);
            let known = Known { key: key.clone(), until_ms, used: used.clone() };
            working.insert(former.sha256, known);
        }
        working.insert(key.secret_sha256, Known { key, until_ms: None, used });
    }

    /// Whether any key works, besides the local one.
    pub fn is_empty(&self) -> bool {
        self.known.load().is_empty()
    }

    /// Whether the secret is of a key that sends calls and does nothing else, as one that a page
    /// shows to everybody should be.
    pub(crate) fn is_write_key(&self, secret: &str, now_ms: TimestampMs) -> bool {
        match self.find(secret, now_ms) {
            Found::Caller(caller, _) => caller.role == Role::Write,
            _ => false,
        }
    }

    pub(crate) fn find(&self, secret: &str, now_ms: TimestampMs) -> Found {
        let hash = hash(secret);
        if hash == self.local {
            return Found::Caller(Caller::local(), None);
        }
        let known = self.known.load();
        let Some(Known { key, until_ms, used }) = known.get(&hash) else {
            let revoked = self.revoked.load().get(&hash).cloned();
            return revoked.map_or(Found::Unknown, Found::Revoked);
        };
        let expired = |at_ms: &TimestampMs| *at_ms <= now_ms;
        if let Some(at_ms) = key.terms.expires_ms.filter(expired) {
            return Found::Expired { key: key.clone(), at_ms, rotated: false };
        }
        if let Some(at_ms) = until_ms.filter(expired) {
            return Found::Expired { key: key.clone(), at_ms, rotated: true };
        }
        used.last_ms.fetch_max(now_ms, Ordering::Relaxed);
        Found::Caller(Caller::of(key.clone()), Some(used.clone()))
    }

    /// The caller whose key has this id, as long as the key works. Looks at all keys.
    pub(crate) fn caller_of_key(&self, id: &str, now_ms: TimestampMs) -> Option<Caller> {
        if id == LOCAL {
            return Some(Caller::local());
        }
        let known = self.known.load();
        let key = &known.values().find(|known| known.is_current_of(id))?.key;
        let works = key.terms.expires_ms.is_none_or(|at_ms| now_ms < at_ms);
        works.then(|| Caller::of(key.clone()))
    }

    /// The hash of the secret of the key that has this id, not of one that was rotated out.
    pub(crate) fn secret_hash(&self, id: &str) -> Option<Secret> {
        if id == LOCAL {
            return Some(self.local);
        }
        let known = self.known.load();
        known.iter().find(|(_, known)| known.is_current_of(id)).map(|(secret, _)| *secret)
    }

    /// Counts a call of a key that is known by its id.
    ///
    /// # Errors
    /// The key has called too often.
    pub(crate) fn take(&self, id: &str, now_ms: TimestampMs) -> Result<Option<Left>, Problem> {
        let used = self.uses.lock().get(id).cloned();
        let Some(used) = used else { return Ok(None) };
        used.last_ms.fetch_max(now_ms, Ordering::Relaxed);
        used.rate.as_ref().map(|rate| rate.take(id)).transpose()
    }

    /// When a key was last used, as far as this process knows.
    pub(crate) fn last_use_ms(&self, id: &str) -> Option<TimestampMs> {
        let last_ms = self.uses.lock().get(id)?.last_ms.load(Ordering::Relaxed);
        Some(last_ms).filter(|last_ms| *last_ms > 0)
    }

    /// Writes when keys were last used; call it every minute.
    ///
    /// # Errors
    /// The catalog cannot be written; it is written next time.
    pub(crate) async fn note_uses(&self, catalog: &dyn Catalog) -> taghouse_catalog::Result<()> {
        let newer: Vec<(String, Arc<KeyUse>, i64)> = {
            let uses = self.uses.lock();
            let last = |used: &KeyUse| used.last_ms.load(Ordering::Relaxed);
            let newer = uses.iter().filter(|(_, u)| last(u) > u.noted_ms.load(Ordering::Relaxed));
            newer.map(|(id, used)| (id.clone(), used.clone(), last(used))).collect()
        };
        if newer.is_empty() {
            return Ok(());
        }
        let change =
            |(id, _, at_ms): &(String, _, i64)| Change::UseKey { id: id.clone(), at_ms: *at_ms };
        catalog.commit(newer.iter().map(change).collect()).await?;
        for (_, used, at_ms) in newer {
            used.noted_ms.fetch_max(at_ms, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Known {
    /// Whether it is the present secret of the key.
    fn is_current_of(&self, id: &str) -> bool {
        self.key.id == id && self.until_ms.is_none()
    }
}

impl KeyUse {
    fn new(rate: Option<KeyRate>, noted_ms: Option<TimestampMs>) -> Self {
        let noted_ms = noted_ms.unwrap_or_default();
        Self {
            last_ms: AtomicI64::new(noted_ms),
            noted_ms: AtomicI64::new(noted_ms),
            rate: rate.map(Rate::new),
        }
    }
}

/// All secrets of a key that was revoked.
fn unhang(revoked: &mut HashMap<Secret, KeyRecord>, key: KeyRecord) {
    if let Some(former) = &key.terms.former {
        revoked.insert(former.sha256, key.clone());
    }
    revoked.insert(key.secret_sha256, key);
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use taghouse_catalog::{FormerSecret, KeyTerms, SqliteCatalog};

    pub(crate) fn key(id: &str, secret: &str, terms: KeyTerms) -> KeyRecord {
        KeyRecord {
            id: id.to_owned(),
            app: None,
            role: Role::Viewer,
            secret_sha256: hash(secret),
            note: String::new(),
            created_ms: 1,
            revoked_ms: None,
            terms,
            used_ms: None,
        }
    }

    fn said(ring: &KeyRing, secret: &str, now_ms: i64) -> String {
        match ring.find(secret, now_ms) {
            Found::Caller(caller, _) => caller.id,
            Found::Expired { key, at_ms, rotated } => format!("{} {at_ms} {rotated}", key.id),
            Found::Revoked(key) => format!("{} revoked", key.id),
            Found::Unknown => "unknown".to_owned(),
        }
    }

    async fn opened() -> (tempfile::TempDir, SqliteCatalog) {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
        (folder, catalog)
    }

    #[tokio::test]
    async fn keys_come_and_go_without_the_catalog() {
        let (_folder, catalog) = opened().await;
        catalog.commit(vec![Change::PutKey(key("a", "one", KeyTerms::default()))]).await.unwrap();
        let ring = KeyRing::load(&catalog, "local", None).await.unwrap();
        catalog.close().await;
        assert!(ring.reload(&catalog).await.is_err());
        ring.add_key(key("b", "two", KeyTerms::default())).await;
        ring.drop_key("a").await;
        assert_eq!(said(&ring, "one", 5), "a revoked", "a revoked key works no more");
        assert_eq!(said(&ring, "two", 5), "b");
        assert_eq!(said(&ring, "three", 5), "unknown");
        assert_eq!(said(&ring, "local", 5), "local");
    }

    #[tokio::test]
    async fn secrets_work_until_they_expire() {
        let (_folder, catalog) = opened().await;
        let ring = KeyRing::load(&catalog, "local", None).await.unwrap();
        let former = Some(FormerSecret { sha256: hash("old"), until_ms: 50 });
        let terms = KeyTerms { expires_ms: Some(100), former, ..KeyTerms::default() };
        ring.add_key(key("a", "new", terms)).await;
        for (secret, now_ms, expected) in [
            ("new", 99, "a"),
            ("new", 100, "a 100 false"),
            ("old", 49, "a"),
            ("old", 50, "a 50 true"),
            ("old", 100, "a 100 false"),
        ] {
            assert_eq!(said(&ring, secret, now_ms), expected, "{secret} {now_ms}");
        }
        assert_eq!(ring.last_use_ms("a"), Some(99));
        ring.drop_key("a").await;
        assert_eq!(said(&ring, "old", 1), "a revoked");
    }

    #[tokio::test]
    async fn the_last_use_outlives_the_process() {
        let (_folder, catalog) = opened().await;
        catalog.commit(vec![Change::PutKey(key("a", "one", KeyTerms::default()))]).await.unwrap();
        let ring = KeyRing::load(&catalog, "local", None).await.unwrap();
        said(&ring, "one", 70);
        said(&ring, "one", 60);
        ring.note_uses(&catalog).await.unwrap();
        assert_eq!(catalog.keys().await.unwrap()[0].used_ms, Some(70));
        let again = KeyRing::load(&catalog, "local", None).await.unwrap();
        assert_eq!(again.last_use_ms("a"), Some(70));
    }
}
