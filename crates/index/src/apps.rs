//! The state of each app's index in this process: what readers see, what is published, and who may
//! publish next.

use crate::manifest::Manifest;
use crate::shown::Shown;
use crate::snapshot::{Cut, Snapshot};
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use taghouse_model::AppId;

/// All apps in use. Looking one up takes no lock.
#[derive(Default)]
pub(crate) struct Apps(ArcSwap<HashMap<AppId, Arc<App>>>);

/// One app. The locks are taken in this order: `numbering`, `flushing`, `swapping`.
#[derive(Default)]
pub(crate) struct App {
    pub(crate) shown: Arc<Shown>,
    /// While it is not empty, the catalog is not asked.
    known: Mutex<Option<Known>>,
    /// One reader loads, others wait for it.
    pub(crate) loading: tokio::sync::Mutex<()>,
    /// See [`crate::Index::numbering`].
    pub(crate) numbering: Arc<tokio::sync::Mutex<()>>,
    /// Held by a flush, and by a publication of a position before the last flush's: neither
    /// overtakes the other.
    pub(crate) flushing: Arc<tokio::sync::Mutex<()>>,
    /// Held for a moment, while the pointer is moved, so that publishers of this process take
    /// turns.
    pub(crate) swapping: Arc<tokio::sync::Mutex<()>>,
    /// Cuts that may still be read, whose objects must stay.
    readable: Mutex<Vec<Weak<Cut>>>,
    publications: AtomicU64,
}

/// What is published.
#[derive(Clone, Default)]
pub(crate) struct Known {
    /// The pointer's; `None` where there is none.
    pub(crate) revision: Option<u64>,
    pub(crate) manifest: Arc<Manifest>,
    /// The manifest's own path; `None` where the pointer holds it.
    pub(crate) object: Option<String>,
}

impl Apps {
    /// What readers of an app see; the outer `None` when that has to be loaded first.
    pub(crate) fn shown(&self, app: &AppId) -> Option<Option<Arc<Snapshot>>> {
        self.0.load().get(app)?.shown.get()
    }

    pub(crate) fn get(&self, app: &AppId) -> Arc<App> {
        if let Some(known) = self.0.load().get(app) {
            return known.clone();
        }
        let new = Arc::new(App::default());
        self.0.rcu(|apps| {
            let mut next = HashMap::clone(apps);
            next.entry(app.clone()).or_insert_with(|| new.clone());
            next
        });
        self.0.load().get(app).cloned().unwrap_or(new)
    }

    /// The apps with a known revision.
    pub(crate) fn known(&self) -> Vec<(AppId, Option<u64>)> {
        let apps = self.0.load();
        apps.iter()
            .filter_map(|(app, state)| Some((app.clone(), state.known()?.revision)))
            .collect()
    }
}

impl App {
    pub(crate) fn known(&self) -> Option<Known> {
        self.known.lock().clone()
    }

    /// Notes a publication; `false` if it is older than the known one.
    pub(crate) fn know(&self, next: Known) -> bool {
        let mut known = self.known.lock();
        let older = known.as_ref().is_some_and(|known| known.revision > next.revision);
        if !older {
            *known = Some(next);
        }
        !older
    }

    /// Makes the next publisher ask the catalog; readers keep what they see.
    pub(crate) fn forget_known(&self) {
        *self.known.lock() = None;
    }

    /// Makes the next reader or publisher ask the catalog.
    pub(crate) fn forget(&self) {
        *self.known.lock() = None;
        self.shown.forget();
    }

    /// Notes a cut that may be read from now on.
    pub(crate) fn give(&self, cut: &Arc<Cut>) {
        let mut readable = self.readable.lock();
        readable.retain(|cut| cut.strong_count() > 0);
        readable.push(Arc::downgrade(cut));
    }

    /// The objects of snapshots that may still be read.
    pub(crate) fn in_use(&self) -> BTreeSet<String> {
        let alive: Vec<Arc<Cut>> = self.readable.lock().iter().filter_map(Weak::upgrade).collect();
        alive.iter().flat_map(|cut| cut.objects().cloned()).collect()
    }

    /// A number that no other publication of this process has: their objects never have one path.
    pub(crate) fn publication(&self) -> u64 {
        self.publications.fetch_add(1, Ordering::Relaxed)
    }
}
