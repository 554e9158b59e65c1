use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use taghouse_model::AppId;

/// Ids, whose order does not matter.
type Ids = Mutex<HashSet<String>>;

/// The ids of an app that are deleted while it lives: whoever works with ids read before must not
/// give them back to the dictionary.
pub struct DeletionWatch(Arc<Ids>);

impl DeletionWatch {
    /// Whether one of the ids was deleted since the watch began.
    pub fn deleted(&self, id: &str) -> bool {
        self.0.lock().contains(id)
    }

    /// The ids deleted since the watch began, or since the last call of this; they are watched no
    /// more.
    pub fn take(&self) -> HashSet<String> {
        std::mem::take(&mut self.0.lock())
    }

    /// Whether nobody was deleted since.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// All watches that somebody holds.
#[derive(Default)]
pub(crate) struct Watches(Mutex<HashMap<AppId, Vec<Weak<Ids>>>>);

impl Watches {
    pub(crate) fn watch(&self, app: &AppId) -> DeletionWatch {
        let ids = Arc::new(Ids::default());
        let mut watches = self.0.lock();
        let of_app = watches.entry(app.clone()).or_default();
        of_app.retain(|watch| watch.strong_count() > 0);
        of_app.push(Arc::downgrade(&ids));
        DeletionWatch(ids)
    }

    pub(crate) fn is_watched(&self, app: &AppId) -> bool {
        self.0
            .lock()
            .get(app)
            .is_some_and(|watches| watches.iter().any(|watch| watch.strong_count() > 0))
    }

    pub(crate) fn note(&self, app: &AppId, deleted: &[String]) {
        for watch in self.0.lock().get(app).into_iter().flatten().filter_map(Weak::upgrade) {
            watch.lock().extend(deleted.iter().cloned());
        }
    }
}
