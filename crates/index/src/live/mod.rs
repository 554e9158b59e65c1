//! Live changes: durable in a log before they are acknowledged, gathered into an overlay that
//! readers see on top of the segments, and flushed into new segments in the background.
//!
//! ```text
//! change ─► log (fsync, then the position is told) ─► pending ─► every tick: a sorted run a tag ─► overlay, in tiers
//! snapshot = one revision of the index + one overlay       flush: segment + overlay up to P ─► published with `flushed_through: P`
//! ```
//!
//! **Ground truth**: the log and its checkpoint contain every change that no published segment
//! contains. Overlays are rebuilt from them.

mod app_log;
mod change;
mod change_frame;
mod change_log;
mod checkpoint;
mod codec;
mod commit;
mod deletions;
mod entry;
mod gather;
mod leaf;
mod overlay;
mod pins;
mod room;
mod run;
mod tag_log;
mod view;

pub(crate) use app_log::{AppLog, Hold};
pub use change::{ChangeColumn, Changes, Op, TagChange, TagChanges};
pub(crate) use checkpoint::write as write_checkpoint;
pub(crate) use codec::Item;
pub use deletions::{Deleted, Deletions};
pub(crate) use entry::Entry;
pub(crate) use gather::Published;
pub(crate) use leaf::{Changed, live_leaf};
pub(crate) use overlay::{Overlay, ShowsOverlay, TagOverlay};
pub use pins::Pin;
pub(crate) use room::{Admitted, Weight};
pub(crate) use tag_log::TagLog;
pub use view::TagView;

use crate::error::{Error, Result};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::AppId;

/// How live changes are gathered, kept and flushed.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// How often what was logged becomes visible.
    pub tick: Duration,
    /// The approximate size of a file of the log, in bytes.
    pub file_bytes: u64,
    /// A checkpoint is written after this many changes, or after as many as the overlay has if
    /// that is more.
    pub checkpoint_changes: u64,
    /// A tag is flushed in the background once it has this many live changes…
    pub flush_changes: usize,
    /// …and more than one for each this many users of its segment.
    pub flush_share: u64,
    /// The most live changes of an app that are in memory and in no segment yet. From half of it
    /// on, the tags with the most are flushed whatever their share; beyond it, changes wait until
    /// there is room.
    pub limit_changes: u64,
    /// The most bytes of memory for the different texts of live changes of an app. From half of it
    /// on, all tags are flushed; beyond it, changes wait until texts are freed.
    pub limit_text_bytes: u64,
    /// How often to check whether something is due to be flushed; `None`: only
    /// [`crate::Index::flush`] flushes.
    pub flush_every: Option<Duration>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(100),
            file_bytes: 64 << 20,
            checkpoint_changes: 4 << 20,
            flush_changes: 64 << 10,
            flush_share: 8,
            limit_changes: 16 << 20,
            limit_text_bytes: 512 << 20,
            flush_every: Some(Duration::from_secs(1)),
        }
    }
}

/// The live changes of all apps, each in a folder of its own.
#[derive(Clone)]
pub(crate) struct Live {
    folder: PathBuf,
    pub(crate) options: LiveOptions,
    apps: Arc<Mutex<HashMap<AppId, Arc<AppLog>>>>,
}

impl Live {
    pub(crate) fn new(folder: PathBuf, options: LiveOptions) -> Self {
        Self { folder, options, apps: Arc::default() }
    }

    /// The log of an app, which keeps `shown` up to date. One that is new begins under
    /// `generation`, behind what the index's segments hold, `flushed_through`. Reads files: not
    /// for I/O threads.
    pub(crate) fn open(
        &self,
        app: &AppId,
        generation: u64,
        flushed_through: u64,
        shown: Arc<dyn ShowsOverlay>,
    ) -> Result<Arc<AppLog>> {
        let mut apps = self.apps.lock();
        if let Some(open) = apps.get(app) {
            return Ok(open.clone());
        }
        let folder = self.folder.join(app.as_str());
        let open = Arc::new(AppLog::open(&folder, generation, self.options.clone(), shown)?);
        let end = open.overlay().position;
        if end < flushed_through {
            if end > 0 {
                return Err(Error::log(
                    &folder,
                    format!(
                        "it ends at change {end}, the index holds changes up to {flushed_through}"
                    ),
                ));
            }
            // A log lost after all of it was flushed, or taken away with its app's last changes:
            // positions go on behind the old ones.
            tracing::warn!(%app, flushed_through, "the index holds live changes of a log that is gone; a new one begins behind them");
            open.restart(generation, 0, flushed_through)?;
        }
        apps.insert(app.clone(), open.clone());
        Ok(open)
    }

    /// The log of an app if it is open.
    pub(crate) fn opened(&self, app: &AppId) -> Option<Arc<AppLog>> {
        self.apps.lock().get(app).cloned()
    }

    pub(crate) fn open_apps(&self) -> Vec<AppId> {
        self.apps.lock().keys().cloned().collect()
    }
}
