//! Activations: crowds that are sent somewhere.
//!
//! ```text
//! version of the crowd ─► without crowds of `unless`, without those who did not consent ─► a kept set
//!     kept set − what the destination holds ─► pieces ─► destination; after each, how far it has come
//! ```
//!
//! - A delivery pins who is sent as a kept set (`taghouse_crowd`), before anything goes out. So it goes on
//!   after a crash with the same users, whatever was published since, also if users were renumbered.
//! - What the destination holds is the set of the last delivery that ended. A delta is the difference to
//!   it, not to a version of the crowd: so who withdrew consent leaves, too.
//! - Of users whom a delivery may have reached that never ended, or that the destination did not take,
//!   nobody knows what it holds of them. They are told again with the next delta.
//! - The record of an activation is a pointer of the catalog, written after each piece.

mod due;
mod failed_rows;
mod listing;
mod plan;
mod record;
mod sending;
mod start;
mod target;
mod task;

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_model::{AppId, Name};

pub use failed_rows::FailedRows;

/// The kind of runs.
pub(crate) const ACTIVATE: &str = "activate";

/// What activations of a data folder share.
pub struct Activations {
    /// Where users whom destinations did not take are noted.
    pub failed_rows: FailedRows,
    /// The operator's folder for files; `None`: there is none.
    pub files: Option<PathBuf>,
    under_way: Arc<Mutex<BTreeSet<(AppId, Name)>>>,
}

impl Activations {
    /// `failed`: where users whom destinations did not take are noted; it need not be there. `files`:
    /// the operator's folder for files.
    pub fn new(failed: PathBuf, files: Option<PathBuf>) -> Self {
        Self { failed_rows: FailedRows::new(failed), files, under_way: Arc::default() }
    }

    /// A place for a run of the activation; `None`: there is one already.
    pub(crate) fn place(&self, app: &AppId, activation: &Name) -> Option<Place> {
        let of = (app.clone(), activation.clone());
        let is_free = self.under_way.lock().insert(of.clone());
        is_free.then(|| Place { of, under_way: self.under_way.clone() })
    }

    /// How many runs there are.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.lock().len()
    }
}

/// While this lives, no other run of the activation begins.
pub(crate) struct Place {
    of: (AppId, Name),
    under_way: Arc<Mutex<BTreeSet<(AppId, Name)>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.of);
    }
}
