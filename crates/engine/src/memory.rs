//! What this process remembers between requests. All of it can be read again, or starts empty with
//! the process.

use crate::AuditLimits;
use crate::apps::KnownApps;
use crate::deletion::Looked;
use crate::parity::LastParity;
use crate::reading::Reads;
use crate::sinks::Writers;
use crate::topics::Readers;
use crate::trail::Trail;
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use taghouse_ingest::Landed;
use taghouse_model::{AppId, Name, TimestampMs};
use taghouse_rules::Definitions;
use tokio::task::JoinHandle;

/// The memory of one process over one data folder.
pub struct Memory {
    /// Read without a lock: judgments ask too.
    definitions: ArcSwap<HashMap<AppId, Arc<KnownDefinitions>>>,
    pub(crate) apps: KnownApps,
    landings: Mutex<BTreeMap<AppId, LandingTotals>>,
    /// Apps whose live tags could not be kept current, and when it is tried again.
    paused: Mutex<HashMap<AppId, Instant>>,
    /// Held between checking that no production runs and starting the next one.
    pub(crate) producing: tokio::sync::Mutex<()>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) reads: Reads,
    /// Of each app the turn in which live tags are shown what has come.
    pub(crate) following: tokio::sync::Mutex<HashMap<AppId, JoinHandle<()>>>,
    /// Of each app the readers of its sources' topics.
    pub(crate) readers: tokio::sync::Mutex<BTreeMap<AppId, Readers>>,
    /// Held by whoever lands the membership history.
    pub(crate) membership: tokio::sync::Mutex<()>,
    /// Of each app the writers of its sinks.
    pub(crate) writers: Mutex<BTreeMap<AppId, Writers>>,
    /// Of each app what was looked at last of dead letters.
    pub(crate) letters: Mutex<HashMap<AppId, Looked>>,
    /// When rollouts of crowds last failed to go on.
    pub(crate) stuck: Mutex<HashMap<(AppId, String), TimestampMs>>,
    /// When crowds that are computed again and again were last begun.
    pub(crate) refreshed: Mutex<HashMap<(AppId, Name), TimestampMs>>,
    /// When the files of crowds' links were last fetched by the clock.
    pub(crate) pulled: Mutex<HashMap<(AppId, Name), TimestampMs>>,
    /// The last comparison of each app that was asked for; `None`: there is none.
    pub(crate) parity: Mutex<HashMap<AppId, Option<LastParity>>>,
}

/// An app's definitions as last read.
#[derive(Default)]
pub(crate) struct KnownDefinitions {
    checked: ArcSwapOption<Checked>,
    /// Grows with each change, so that definitions read before a change are not used after it.
    changes: AtomicU64,
    /// Held while they are read, so that of many callers only one reads.
    pub(crate) reading: tokio::sync::Mutex<()>,
    /// How often they could not be read.
    failures: AtomicU64,
}

/// Definitions, and the number of changes before they were read.
struct Checked {
    definitions: Arc<Definitions>,
    changes: u64,
}

impl KnownDefinitions {
    /// The definitions, if nobody changed them since they were read.
    pub(crate) fn current(&self) -> Option<Arc<Definitions>> {
        let changes = self.changes();
        self.checked
            .load()
            .as_ref()
            .filter(|checked| checked.changes == changes)
            .map(|checked| checked.definitions.clone())
    }

    /// The definitions as they were before a change, for when the new ones cannot be had.
    pub(crate) fn last(&self) -> Option<Arc<Definitions>> {
        self.checked.load().as_ref().map(|checked| checked.definitions.clone())
    }

    /// How many changes there were.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Keeps definitions that were read after this many changes.
    pub(crate) fn keep(&self, definitions: &Arc<Definitions>, changes: u64) {
        self.checked.store(Some(Arc::new(Checked { definitions: definitions.clone(), changes })));
    }

    /// How often they could not be read.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// They could not be read.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Release);
    }
}

/// What became of an app's live calls since the process started.
#[derive(Debug, Clone, Default)]
pub struct LandingTotals {
    /// The sums over all landings; the position is the last one's.
    pub landed: Landed,
    /// Why the last landing failed; `None`: it did not.
    pub error: Option<String>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(AuditLimits::default())
    }
}

impl Memory {
    /// The memory of a process that has just begun.
    pub fn new(audit: AuditLimits) -> Self {
        Self {
            definitions: ArcSwap::default(),
            apps: KnownApps::default(),
            landings: Mutex::default(),
            paused: Mutex::default(),
            producing: tokio::sync::Mutex::default(),
            trail: Arc::new(Trail::new(audit)),
            reads: Reads::default(),
            following: tokio::sync::Mutex::default(),
            readers: tokio::sync::Mutex::default(),
            membership: tokio::sync::Mutex::default(),
            writers: Mutex::default(),
            letters: Mutex::default(),
            stuck: Mutex::default(),
            refreshed: Mutex::default(),
            pulled: Mutex::default(),
            parity: Mutex::default(),
        }
    }

    /// What is known of an app's definitions.
    pub(crate) fn definitions(&self, app: &AppId) -> Arc<KnownDefinitions> {
        if let Some(known) = self.definitions.load().get(app) {
            return known.clone();
        }
        let new = Arc::new(KnownDefinitions::default());
        self.definitions.rcu(|apps| {
            let mut next = HashMap::clone(apps);
            next.entry(app.clone()).or_insert_with(|| new.clone());
            next
        });
        // Somebody else may have been first.
        self.definitions.load().get(app).cloned().unwrap_or(new)
    }

    /// Forgets an app that does not exist, so that requests for such apps do not fill the memory.
    pub(crate) fn no_app(&self, app: &AppId) {
        self.definitions.rcu(|apps| {
            let mut next = HashMap::clone(apps);
            next.remove(app);
            next
        });
    }

    /// Notes that an app's definitions were changed.
    pub(crate) fn forget(&self, app: &AppId) {
        self.definitions(app).changes.fetch_add(1, Ordering::Release);
        self.apps.forget();
    }

    /// Whether an app's live tags failed a moment ago and are not to be tried again yet, so that
    /// the same error is not logged ten times a second.
    pub(crate) fn is_paused(&self, app: &AppId) -> bool {
        let mut paused = self.paused.lock();
        let still = paused.get(app).is_some_and(|until| Instant::now() < *until);
        if !still {
            paused.remove(app);
        }
        still
    }

    /// Leaves an app's live tags alone for a while.
    pub(crate) fn pause(&self, app: &AppId, time: Duration) {
        self.paused.lock().insert(app.clone(), Instant::now() + time);
    }

    /// Adds what a landing did, or why it failed.
    pub(crate) fn landed(&self, app: &AppId, outcome: Result<&Landed, String>) {
        let mut landings = locked(&self.landings);
        let totals = landings.entry(app.clone()).or_default();
        match outcome {
            Ok(landed) => {
                totals.landed.events += landed.events;
                totals.landed.attributes += landed.attributes;
                totals.landed.rejected += landed.rejected;
                totals.landed.filtered += landed.filtered;
                totals.landed.suppressed += landed.suppressed;
                totals.landed.changes += landed.changes;
                totals.landed.duplicates += landed.duplicates;
                totals.landed.position = landed.position;
                totals.error = None;
            }
            Err(error) => totals.error = Some(error),
        }
    }

    /// An app's totals.
    pub fn landing(&self, app: &AppId) -> LandingTotals {
        locked(&self.landings).get(app).cloned().unwrap_or_default()
    }

    /// The apps whose last landing failed, and why.
    pub fn failing(&self) -> Vec<(AppId, String)> {
        locked(&self.landings)
            .iter()
            .filter_map(|(app, totals)| Some((app.clone(), totals.error.clone()?)))
            .collect()
    }
}

/// Nothing under these locks can be left half done.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_rules::{DefinitionFile, parse_definitions};

    #[test]
    fn definitions_read_before_a_change_are_not_kept_after_it() {
        let file =
            DefinitionFile { path: "a.yaml".to_owned(), text: "kind: app\nid: shop\n".to_owned() };
        let definitions =
            Arc::new(Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap());
        let (memory, app) = (Memory::default(), AppId::new("shop").unwrap());
        let known = memory.definitions(&app);
        assert!(known.current().is_none());
        let before = known.changes();
        memory.forget(&app);
        known.keep(&definitions, before);
        assert!(memory.definitions(&app).current().is_none() && known.last().is_some());
        known.keep(&definitions, known.changes());
        assert!(memory.definitions(&app).current().is_some());
    }

    #[test]
    fn a_landing_that_succeeds_ends_the_failure_and_adds_up() {
        let (memory, app) = (Memory::default(), AppId::new("shop").unwrap());
        memory.landed(&app, Err("disk full".to_owned()));
        assert_eq!(memory.failing(), [(app.clone(), "disk full".to_owned())]);
        for position in [3, 5] {
            memory.landed(&app, Ok(&Landed { events: 2, position, ..Landed::default() }));
        }
        assert_eq!(memory.failing(), []);
        assert_eq!(
            (memory.landing(&app).landed.events, memory.landing(&app).landed.position),
            (4, 5)
        );
    }
}
