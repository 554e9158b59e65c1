//! What this process remembers between requests. All of it can be read again, or begins anew with the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use taghouse_ingest::Landed;
use taghouse_model::AppId;
use taghouse_rules::Definitions;
use tokio::sync::Semaphore;

/// Exports that are encoded at one time; further ones wait.
const EXPORTS_AT_ONCE: usize = 16;

/// The memory of one process over one data folder.
pub struct Memory {
    definitions: Mutex<KnownDefinitions>,
    landings: Mutex<BTreeMap<AppId, LandingTotals>>,
    /// Held while it is looked whether a production runs and the next one is started.
    pub(crate) producing: tokio::sync::Mutex<()>,
    pub(crate) exports: Arc<Semaphore>,
}

#[derive(Default)]
struct KnownDefinitions {
    /// Grows with each change, so that what was read before a change is not kept after it.
    changes: u64,
    checked: HashMap<AppId, Arc<Definitions>>,
}

/// What became of an app's live calls since the process started.
#[derive(Debug, Clone, Default)]
pub(crate) struct LandingTotals {
    /// The sums over all landings; the position is the last one's.
    pub(crate) landed: Landed,
    /// Why the last landing failed; `None`: it did not.
    pub(crate) error: Option<String>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            definitions: Mutex::default(),
            landings: Mutex::default(),
            producing: tokio::sync::Mutex::default(),
            exports: Arc::new(Semaphore::new(EXPORTS_AT_ONCE)),
        }
    }
}

impl Memory {
    /// The definitions as last read; and, for [`Memory::keep`], how many changes there were before.
    pub(crate) fn definitions(&self, app: &AppId) -> (Option<Arc<Definitions>>, u64) {
        let known = held(&self.definitions);
        (known.checked.get(app).cloned(), known.changes)
    }

    /// Keeps definitions that were read after so many changes, unless there was one meanwhile.
    pub(crate) fn keep(&self, app: &AppId, definitions: &Arc<Definitions>, changes: u64) {
        let mut known = held(&self.definitions);
        if known.changes == changes {
            known.checked.insert(app.clone(), definitions.clone());
        }
    }

    /// Forgets an app's definitions, after they were changed.
    pub(crate) fn forget(&self, app: &AppId) {
        let mut known = held(&self.definitions);
        known.changes += 1;
        known.checked.remove(app);
    }

    /// Adds what a landing did, or why it failed.
    pub(crate) fn landed(&self, app: &AppId, outcome: Result<&Landed, String>) {
        let mut landings = held(&self.landings);
        let totals = landings.entry(app.clone()).or_default();
        match outcome {
            Ok(landed) => {
                totals.landed.events += landed.events;
                totals.landed.attributes += landed.attributes;
                totals.landed.rejected += landed.rejected;
                totals.landed.filtered += landed.filtered;
                totals.landed.duplicates += landed.duplicates;
                totals.landed.position = landed.position;
                totals.error = None;
            }
            Err(error) => totals.error = Some(error),
        }
    }

    /// An app's totals.
    pub(crate) fn landing(&self, app: &AppId) -> LandingTotals {
        held(&self.landings).get(app).cloned().unwrap_or_default()
    }

    /// An app whose last landing failed, and why.
    pub(crate) fn failing(&self) -> Option<(AppId, String)> {
        held(&self.landings).iter().find_map(|(app, totals)| Some((app.clone(), totals.error.clone()?)))
    }
}

/// Nothing under these locks can be left half done.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_rules::{DefinitionFile, parse_definitions};

    #[test]
    fn definitions_read_before_a_change_are_not_kept_after_it() {
        let file = DefinitionFile { path: "a.yaml".to_owned(), text: "kind: app\nid: shop\n".to_owned() };
        let definitions = Arc::new(Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap());
        let (memory, app) = (Memory::default(), AppId::new("shop").unwrap());
        let (none, before) = memory.definitions(&app);
        assert!(none.is_none());
        memory.forget(&app);
        memory.keep(&app, &definitions, before);
        assert!(memory.definitions(&app).0.is_none());
        let (_, now) = memory.definitions(&app);
        memory.keep(&app, &definitions, now);
        assert!(memory.definitions(&app).0.is_some());
    }

    #[test]
    fn a_landing_that_succeeds_ends_the_failure_and_adds_up() {
        let (memory, app) = (Memory::default(), AppId::new("shop").unwrap());
        memory.landed(&app, Err("disk full".to_owned()));
        assert_eq!(memory.failing(), Some((app.clone(), "disk full".to_owned())));
        for position in [3, 5] {
            memory.landed(&app, Ok(&Landed { events: 2, position, ..Landed::default() }));
        }
        assert_eq!(memory.failing(), None);
        assert_eq!((memory.landing(&app).landed.events, memory.landing(&app).landed.position), (4, 5));
    }
}
