use crate::live::{Overlay, ShowsOverlay};
use crate::snapshot::{Cut, Snapshot};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::sync::Arc;

/// What readers of one app see. Each change of one half, the segments or the live changes, builds
/// the next snapshot; a reader takes the last one, without a lock.
#[derive(Default)]
pub(crate) struct Shown {
    halves: Mutex<Halves>,
    /// `None` as long as nobody has looked, `Some(None)` where nothing is published.
    snapshot: ArcSwapOption<Option<Arc<Snapshot>>>,
}

#[derive(Default)]
struct Halves {
    cut: Option<Arc<Cut>>,
    overlay: Option<Arc<Overlay>>,
}

impl Shown {
    /// The current snapshot; `None` when it must be loaded first.
    pub(crate) fn get(&self) -> Option<Option<Arc<Snapshot>>> {
        self.snapshot.load().as_ref().map(|known| Option::clone(known))
    }

    /// The segments that are current, if they are loaded.
    pub(crate) fn cut(&self) -> Option<Arc<Cut>> {
        self.halves().cut.clone()
    }

    /// Nothing is published, unless somebody has meanwhile.
    pub(crate) fn set_nothing(&self) {
        if self.halves().cut.is_none() {
            self.snapshot.store(Some(Arc::new(None)));
        }
    }

    /// Shows another revision, unless it is older than the current one. `live` when an overlay
    /// belongs on top.
    pub(crate) fn set_cut(&self, cut: Arc<Cut>, live: bool) {
        let mut halves = self.halves();
        if halves.cut.as_ref().is_some_and(|shown| shown.revision > cut.revision) {
            return;
        }
        halves.cut = Some(cut);
        if !live {
            halves.overlay = None;
        }
        self.show(&halves, live);
    }

    /// Makes the next reader load what is current.
    pub(crate) fn forget(&self) {
        let mut halves = self.halves();
        halves.cut = None;
        self.snapshot.store(None);
    }

    /// Shows both halves, unless one of them is yet to follow the other.
    fn show(&self, halves: &Halves, live: bool) {
        let Some(cut) = &halves.cut else { return };
        let overlay = halves.overlay.as_ref();
        let fit = match overlay {
            Some(overlay) => {
                overlay.generation == cut.generation && overlay.revision <= cut.revision
            }
            None => !live,
        };
        if fit {
            let snapshot = Snapshot::new(cut.clone(), overlay.cloned());
            self.snapshot.store(Some(Arc::new(Some(Arc::new(snapshot)))));
        }
    }

    fn halves(&self) -> parking_lot::MutexGuard<'_, Halves> {
        self.halves.lock()
    }
}

impl ShowsOverlay for Shown {
    fn set_overlay(&self, overlay: Arc<Overlay>) {
        let mut halves = self.halves();
        halves.overlay = Some(overlay);
        self.show(&halves, true);
    }
}
