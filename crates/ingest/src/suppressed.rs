//! Ids whose data is refused. Only digests of them are kept.
//!
//! An app's digests stand in pointers of the catalog, so that they are in backups and are seen by every
//! process: one for each first byte of a digest, which keeps a change small. All are salted by a value
//! of the app's own.

use crate::log_record::{LogRecord, RecordBody};
use crate::{Error, Result};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use taghouse_catalog::{Catalog, Change, Pointer};
use taghouse_model::{AppId, Entropy, TimestampMs};

const KIND: &str = "suppressed";
/// The pointer with the salt: value `{"salt": "<hex>"}`. All others are `{"since": {"<hex>": ms}}`.
const SALT: &str = "salt";
const DIGEST_BYTES: usize = 16;

/// The most ids of an app that are suppressed at a time.
pub const MAX_SUPPRESSED: usize = 1_000_000;

/// A digest of an id.
type IdDigest = [u8; DIGEST_BYTES];

/// The ids of an app whose data is refused, at one moment.
#[derive(Debug, Default)]
pub struct SuppressedIds {
    salt: Vec<u8>,
    since: HashMap<IdDigest, TimestampMs>,
}

/// A suppressed id, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Its digest in lower-case hex.
    pub digest: String,
    /// Since when its data is refused.
    pub since_ms: TimestampMs,
}

impl SuppressedIds {
    /// Whether the id's data is refused.
    pub fn holds(&self, id: &str) -> bool {
        self.since(id).is_some()
    }

    /// Since when the id's data is refused.
    pub fn since(&self, id: &str) -> Option<TimestampMs> {
        // Hashing is what costs.
        if self.since.is_empty() {
            return None;
        }
        self.since.get(&digest(&self.salt, id)).copied()
    }

    /// Whether a text that nobody could read may name one: an id between quotes, or a field.
    pub(crate) fn may_be_named_in(&self, raw: &[u8]) -> bool {
        if self.since.is_empty() {
            return false;
        }
        let text = String::from_utf8_lossy(raw);
        let fields = text.split([',', ';', '\t', '|', '\n', '\r', '"', '{', '}', '[', ']', ' ']);
        text.split('"').chain(fields).map(str::trim).any(|id| !id.is_empty() && self.holds(id))
    }

    /// Whether a message is of an id whose data is refused, or says that such an id is its user's.
    /// What is done by hand was refused where it was asked for.
    pub(crate) fn refuses(&self, record: &LogRecord) -> bool {
        match &record.body {
            RecordBody::Event { user_id, .. } | RecordBody::Traits { user_id, .. } => {
                self.holds(user_id) || record.other_ids.iter().any(|other| self.holds(&other.id))
            }
            RecordBody::Rejected { raw, .. } => self.may_be_named_in(raw.as_bytes()),
            _ => false,
        }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.since.len()
    }

    /// Whether no id's data is refused.
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    /// The newest ones, `limit` at most.
    pub fn newest(&self, limit: usize) -> Vec<Suppression> {
        let mut all: Vec<(&IdDigest, TimestampMs)> =
            self.since.iter().map(|(digest, since)| (digest, *since)).collect();
        all.sort_unstable_by_key(|(digest, since)| (std::cmp::Reverse(*since), **digest));
        all.truncate(limit);
        all.into_iter()
            .map(|(digest, since_ms)| Suppression { digest: hex(digest), since_ms })
            .collect()
    }
}

/// The suppressed ids of all apps.
pub struct Suppressions {
    catalog: Arc<dyn Catalog>,
    /// What was read last, and from which revisions of the pointers.
    read: Mutex<HashMap<AppId, Read>>,
}

#[derive(Clone, Default)]
struct Read {
    revisions: Vec<(String, u64)>,
    ids: Arc<SuppressedIds>,
}

/// What becomes of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppress {
    /// Their data is refused from now on.
    Begin,
    /// It is taken again.
    Lift,
}

impl Suppressions {
    /// Those that the catalog keeps.
    pub fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self { catalog, read: Mutex::default() }
    }

    /// Those of an app, as of now. The same value as before while nothing changed.
    ///
    /// # Errors
    /// Of the catalog; [`Error::Suppressed`] for what it never wrote.
    pub async fn of(&self, app: &AppId) -> Result<Arc<SuppressedIds>> {
        let revisions = self.catalog.pointer_revisions(KIND, app).await?;
        if let Some(read) = self.read.lock().get(app)
            && read.revisions == revisions
        {
            return Ok(read.ids.clone());
        }
        let pointers = self.catalog.pointers(KIND, app).await?;
        let revisions =
            pointers.iter().map(|(name, pointer)| (name.clone(), pointer.revision)).collect();
        let ids = Arc::new(read(app, &pointers)?);
        let read = Read { revisions, ids: ids.clone() };
        self.read.lock().insert(app.clone(), read);
        Ok(ids)
    }

    /// Changes them; gives the ids of which it made a difference. The caller sees to it that nothing is
    /// admitted meanwhile.
    pub(crate) async fn put(
        &self,
        app: &AppId,
        ids: &[String],
        what: Suppress,
        now_ms: TimestampMs,
        entropy: &dyn Entropy,
    ) -> Result<Vec<String>> {
        let pointers: BTreeMap<String, Pointer> =
            self.catalog.pointers(KIND, app).await?.into_iter().collect();
        let known = read(app, &pointers.clone().into_iter().collect::<Vec<_>>())?;
        let (salt, mut changes) = match pointers.contains_key(SALT) {
            true => (known.salt.clone(), Vec::new()),
            false => new_salt(app, entropy),
        };
        let ids: BTreeSet<&String> = ids.iter().collect();
        let mut changed: BTreeMap<String, serde_json::Map<String, serde_json::Value>> =
            BTreeMap::new();
        let (mut differ, mut count) = (Vec::new(), known.len());
        for id in ids {
            let of = digest(&salt, id);
            if known.since.contains_key(&of) == (what == Suppress::Begin) {
                continue;
            }
            let text = hex(&of);
            let part = text[..2].to_owned();
            let since = changed.entry(part).or_insert_with_key(|part| since_of(pointers.get(part)));
            match what {
                Suppress::Begin => {
                    since.insert(text, now_ms.into());
                    count += 1;
                }
                Suppress::Lift => drop(since.remove(&text)),
            }
            differ.push(id.clone());
        }
        if differ.is_empty() {
            return Ok(differ);
        }
        if what == Suppress::Begin && count > MAX_SUPPRESSED {
            return Err(Error::Invalid(format!(
                "{count} ids of app \"{app}\" would be suppressed, and {MAX_SUPPRESSED} can be: lift some"
            )));
        }
        changes.extend(changed.into_iter().map(|(name, since)| Change::PutPointer {
            kind: KIND.to_owned(),
            app: app.clone(),
            expected: pointers.get(&name).map(|pointer| pointer.revision),
            name,
            value: serde_json::json!({ "since": since }),
        }));
        self.catalog.commit(changes).await?;
        Ok(differ)
    }
}

fn new_salt(app: &AppId, entropy: &dyn Entropy) -> (Vec<u8>, Vec<Change>) {
    let mut salt = vec![0; 32];
    entropy.fill(&mut salt);
    let put = Change::PutPointer {
        kind: KIND.to_owned(),
        app: app.clone(),
        name: SALT.to_owned(),
        expected: None,
        value: serde_json::json!({ "salt": hex(&salt) }),
    };
    (salt, vec![put])
}

fn since_of(pointer: Option<&Pointer>) -> serde_json::Map<String, serde_json::Value> {
    pointer.and_then(|p| p.value.get("since")?.as_object().cloned()).unwrap_or_default()
}

fn read(app: &AppId, pointers: &[(String, Pointer)]) -> Result<SuppressedIds> {
    let mut ids = SuppressedIds::default();
    let wrong = |name: &str| Error::Suppressed { app: app.to_string(), pointer: name.to_owned() };
    for (name, pointer) in pointers {
        if name == SALT {
            let salt = pointer.value.get("salt").and_then(|salt| bytes(salt.as_str()?));
            ids.salt = salt.ok_or_else(|| wrong(name))?;
            continue;
        }
        for (text, since) in since_of(Some(pointer)) {
            let digest = bytes(&text).and_then(|bytes| IdDigest::try_from(bytes).ok());
            let (Some(digest), Some(since)) = (digest, since.as_i64()) else {
                return Err(wrong(name));
            };
            ids.since.insert(digest, since);
        }
    }
    Ok(ids)
}

fn digest(salt: &[u8], id: &str) -> IdDigest {
    let whole = Sha256::new().chain_update(salt).chain_update(id.as_bytes()).finalize();
    let mut digest = IdDigest::default();
    digest.copy_from_slice(&whole[..DIGEST_BYTES]);
    digest
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.is_ascii() || !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(ids: &[&str]) -> SuppressedIds {
        let salt = vec![7; 32];
        let since = ids.iter().map(|id| (digest(&salt, id), 5)).collect();
        SuppressedIds { salt, since }
    }

    #[test]
    fn ids_are_known_by_their_digests() {
        let ids = holding(&["ann", "user:7"]);
        assert!(ids.holds("ann") && !ids.holds("an") && !ids.holds(""));
        assert_eq!(ids.newest(9).len(), 2);
        assert_eq!(ids.newest(1)[0].digest.len(), 32);
        assert!(!SuppressedIds::default().holds("ann"));
    }

    #[test]
    fn what_nobody_could_read_may_name_them() {
        let ids = holding(&["ann", "user:7", "a,b"]);
        for raw in [
            r#"{"userId":"ann","event":""}"#,
            r#"{"userId": "user:7", "timest"#,
            "1;ann;x",
            "\"a,b\",1,2,3",
            "ann",
        ] {
            assert!(ids.may_be_named_in(raw.as_bytes()), "{raw}");
        }
        for raw in [r#"{"userId":"anna"}"#, "1;annabel", "", ",,,"] {
            assert!(!ids.may_be_named_in(raw.as_bytes()), "{raw}");
        }
    }

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(bytes(&hex(&[0, 171, 255])), Some(vec![0, 171, 255]));
        assert_eq!((bytes("0"), bytes("zz"), bytes("é")), (None, None, None));
    }
}
