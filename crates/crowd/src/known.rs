//! What this process knows of an app's crowds. Readers take no lock and do not ask the catalog;
//! writers replace the whole map.

use crate::loaded_sets::Slot;
use crate::roster::Roster;
use crate::{CrowdVersion, CrowdVersions, Error, Result, Waits};
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use taghouse_bitmap::Bitmap;
use taghouse_catalog::Pointer;
use taghouse_index::{Deleted, Deletions};
use taghouse_model::TimestampMs;
use tokio::sync::OnceCell;

/// One app's crowds.
#[derive(Default)]
pub(crate) struct AppCrowds {
    crowds: ArcSwap<HashMap<String, Arc<KnownCrowd>>>,
    /// Held while the map is replaced.
    changing: Mutex<()>,
    /// Held while the catalog is asked, so that all who wait for an answer wait for one question.
    /// Why it gave none the last time.
    pub(crate) asking: tokio::sync::Mutex<Option<String>>,
    /// How often the catalog answered or refused.
    answers: AtomicU64,
    /// When the catalog last said that all of this is current; 0: never.
    confirmed_ms: AtomicI64,
    /// Held by computations; by whoever renumbers the users, alone.
    pub(crate) computing: Arc<tokio::sync::RwLock<()>>,
    /// Held by whoever imports, so that deltas of this process follow each other instead of trying again.
    pub(crate) importing: tokio::sync::Mutex<()>,
    /// Held by whoever rewrites kept versions.
    pub(crate) cleaning: tokio::sync::Mutex<()>,
    /// Leftovers of earlier processes in the store were removed.
    swept: AtomicBool,
    pub(crate) deletions: OnceCell<Option<Deletions>>,
    /// The deleted users of the generation before the users were renumbered, for those who still
    /// read its versions.
    before: ArcSwapOption<Deleted>,
    /// The crowds in a row, as of the last question which of them hold a user.
    pub(crate) roster: ArcSwapOption<Roster>,
}

/// A crowd's versions as last read or published.
pub(crate) struct KnownCrowd {
    name: String,
    pub(crate) revision: u64,
    pub(crate) versions: Arc<CrowdVersions>,
    /// The same versions, in the same order, with their sets.
    pub(crate) kept: Vec<Arc<KnownVersion>>,
    /// The position in `kept` of the one that answers.
    current: Option<usize>,
}

/// What the catalog's pointer of a crowd holds.
pub(crate) struct Record {
    pub(crate) crowd: String,
    pub(crate) versions: CrowdVersions,
    pub(crate) revision: u64,
}

/// A version, and its set where that is in memory.
pub(crate) struct KnownVersion {
    pub(crate) version: CrowdVersion,
    pub(crate) slot: Arc<Slot>,
}

impl KnownCrowd {
    /// Versions that are known already keep their sets.
    fn of(name: &str, versions: CrowdVersions, revision: u64, before: Option<&Self>) -> Self {
        let kept = versions.versions.iter().map(|version| {
            let same = before
                .and_then(|before| before.kept.iter().find(|known| known.version == *version));
            same.cloned().unwrap_or_else(|| {
                // The same object with another record, such as after a deletion that did not affect
                // it.
                let object =
                    before.and_then(|before| before.kept.iter().find(|known| known.is_of(version)));
                let slot = object.map_or_else(Arc::default, |known| known.slot.clone());
                Arc::new(KnownVersion { version: version.clone(), slot })
            })
        });
        let kept: Vec<_> = kept.collect();
        let current =
            versions.versions.iter().position(|version| version.version == versions.current);
        Self { name: name.to_owned(), revision, versions: Arc::new(versions), kept, current }
    }

    /// The version that answers.
    pub(crate) fn current(&self) -> Result<&Arc<KnownVersion>> {
        if let (0, Some(version)) = (self.versions.current, self.versions.versions.last()) {
            return Err(Error::Unpublished {
                crowd: self.name.clone(),
                version: version.version,
                waits: version.waits.clone().unwrap_or(Waits::Approval),
            });
        }
        // The error is the one of the record.
        self.current
            .and_then(|at| self.kept.get(at))
            .map_or_else(|| Err(self.versions.current().err().unwrap_or_else(damaged)), Ok)
    }
}

fn damaged() -> Error {
    Error::corrupt("a crowd's record", "it has no current version")
}

/// Reads a crowd's versions from the value of its pointer.
pub(crate) fn versions_of(crowd: &str, value: serde_json::Value) -> Result<CrowdVersions> {
    serde_json::from_value(value)
        .map_err(|e| Error::corrupt(format!("the record of crowd {crowd}"), e))
}

impl AppCrowds {
    pub(crate) fn get(&self, crowd: &str) -> Option<Arc<KnownCrowd>> {
        self.crowds.load().get(crowd).cloned()
    }

    pub(crate) fn all(&self) -> Arc<HashMap<String, Arc<KnownCrowd>>> {
        self.crowds.load_full()
    }

    /// Notes versions that were read or published. Those that are older than what is known are
    /// passed over: readers never go back.
    pub(crate) fn put(&self, crowd: &str, versions: CrowdVersions, revision: u64) {
        self.put_all(vec![Record { crowd: crowd.to_owned(), versions, revision }]);
    }

    /// The same of several at once: readers see all of them or none.
    pub(crate) fn put_all(&self, records: Vec<Record>) {
        let _changing = self.changing.lock();
        let mut next = HashMap::clone(&self.crowds.load());
        for Record { crowd, versions, revision } in records {
            let before = next.get(&crowd);
            if before.is_none_or(|known| known.revision < revision) {
                let known = KnownCrowd::of(&crowd, versions, revision, before.map(AsRef::as_ref));
                next.insert(crowd, Arc::new(known));
            }
        }
        self.crowds.store(Arc::new(next));
    }

    /// Forgets crowds that the catalog no longer has, unless they were published since `asked`,
    /// when it was asked.
    pub(crate) fn retain(
        &self,
        asked: &HashMap<String, Arc<KnownCrowd>>,
        there: &dyn Fn(&str) -> bool,
    ) {
        let removed: Vec<&String> = asked.keys().filter(|crowd| !there(crowd)).collect();
        if removed.is_empty() {
            return;
        }
        let _changing = self.changing.lock();
        let mut next = HashMap::clone(&self.crowds.load());
        for crowd in removed {
            if next.get(crowd).is_some_and(|known| {
                asked.get(crowd).is_some_and(|before| Arc::ptr_eq(before, known))
            }) {
                next.remove(crowd);
            }
        }
        self.crowds.store(Arc::new(next));
    }

    /// All that the catalog has, in the place of all that is known. A record that cannot be read is
    /// an error of its crowd alone.
    pub(crate) fn replace(
        &self,
        asked: &HashMap<String, Arc<KnownCrowd>>,
        pointers: &[(String, Pointer)],
    ) {
        let there: HashSet<&str> = pointers.iter().map(|(name, _)| name.as_str()).collect();
        self.retain(asked, &|crowd| there.contains(crowd));
        // What did not move need not be read.
        let known = |crowd: &str, revision: u64| {
            asked.get(crowd).is_some_and(|known| known.revision >= revision)
        };
        let moved = pointers.iter().filter(|(crowd, pointer)| !known(crowd, pointer.revision));
        let record = |(crowd, Pointer { revision, value }): &(String, Pointer)| match versions_of(
            crowd,
            value.clone(),
        ) {
            Ok(versions) => Some(Record { crowd: crowd.clone(), versions, revision: *revision }),
            Err(error) => {
                tracing::error!(%error, crowd, "a crowd has no versions to answer from");
                None
            }
        };
        self.put_all(moved.filter_map(record).collect());
    }

    /// When the catalog last said that what is known is current; `None`: never.
    pub(crate) fn confirmed_ms(&self) -> Option<TimestampMs> {
        Some(self.confirmed_ms.load(Ordering::Relaxed)).filter(|ms| *ms != 0)
    }

    /// The catalog said at `now_ms` that what is known is current.
    pub(crate) fn confirm(&self, now_ms: TimestampMs) {
        self.confirmed_ms.store(now_ms.max(1), Ordering::Relaxed);
    }

    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Acquire)
    }

    pub(crate) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn is_swept(&self) -> bool {
        self.swept.load(Ordering::Relaxed)
    }

    pub(crate) fn swept(&self) {
        self.swept.store(true, Ordering::Relaxed);
    }

    /// A version as the catalog has it, with its set if that is in memory.
    pub(crate) fn known_version(&self, crowd: &str, version: &CrowdVersion) -> Arc<KnownVersion> {
        let known = self
            .get(crowd)
            .and_then(|known| known.kept.iter().find(|kept| kept.is_of(version)).cloned());
        known.unwrap_or_else(|| {
            Arc::new(KnownVersion { version: version.clone(), slot: Arc::default() })
        })
    }

    /// Who is deleted of a generation; `None`: nobody, as far as is known here.
    pub(crate) fn deleted(&self, generation: u64) -> Option<Arc<Bitmap>> {
        let now = self.deletions.get()?.as_ref()?.now();
        let of =
            |deleted: &Deleted| deleted.generation() == generation && !deleted.users().is_empty();
        if now.generation() == generation {
            return of(&now).then(|| now.users().clone());
        }
        self.before.load().as_ref().filter(|before| of(before)).map(|before| before.users().clone())
    }

    /// Remembers who is deleted now, for readers of this generation after another has taken its
    /// place.
    pub(crate) fn keep_deleted(&self) {
        if let Some(deletions) = self.deletions.get().and_then(Option::as_ref) {
            self.before.store(Some(Arc::new(deletions.now())));
        }
    }
}

impl KnownVersion {
    /// Whether its set is the one of this version. A name may be given again once its object was
    /// deleted: for fewer members, or for as many with other ordinals.
    fn is_of(&self, version: &CrowdVersion) -> bool {
        let CrowdVersion { object, size, generation, .. } = &self.version;
        (object, *size, *generation) == (&version.object, version.size, version.generation)
    }

    /// The deleted users, if its set may contain some of them; `None`: it contains none.
    pub(crate) fn may_contain<'a>(
        &self,
        deleted: Option<&'a Arc<Bitmap>>,
    ) -> Option<&'a Arc<Bitmap>> {
        // In a generation the deleted only become more, so an equal number is the same users.
        deleted.filter(|deleted| deleted.len() != self.version.without_deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(generation: u64, size: u64) -> CrowdVersion {
        CrowdVersion {
            generation,
            object: "crowds/shop/a/5.crowd".to_owned(),
            ..CrowdVersion::sample(5, size)
        }
    }

    #[test]
    fn a_set_is_kept_only_for_the_same_members_with_the_same_ordinals() {
        let crowds = AppCrowds::default();
        let put = |revision, version: CrowdVersion| {
            let mut versions = CrowdVersions::none(0);
            versions.add(version);
            versions.answer_with(5, 1);
            crowds.put("a", versions, revision);
            crowds.get("a").unwrap().kept[0].slot.clone()
        };
        let first = put(1, version(1, 9));
        let same = put(2, CrowdVersion { without_deleted: 3, ..version(1, 9) });
        assert!(Arc::ptr_eq(&first, &same), "the same object under other words");
        let renumbered = put(3, version(2, 9));
        assert!(
            !Arc::ptr_eq(&same, &renumbered),
            "the name was given again, to as many users with other ordinals"
        );
        assert!(!Arc::ptr_eq(&renumbered, &put(4, version(2, 8))));
    }
}
