use crate::flags::Watches;
use crate::gates::Gates;
use crate::quota::UploadQuota;
use crate::refusals::Refusals;
use crate::{KeyRing, Limits};
use axum::extract::FromRef;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use taghouse_engine::Engine;
use tokio::sync::Semaphore;

/// How many exports encode a piece at one time; further pieces wait. A reader who does not read
/// takes up none of these places.
const EXPORTS_AT_ONCE: usize = 16;

/// The engine of a data folder, with the keys and limits of its callers.
pub struct Server {
    /// The engine of the data folder.
    pub engine: Arc<Engine>,
    /// Who may call.
    pub keys: KeyRing,
    /// The folder of files sent over HTTP, until they are ingested.
    pub(crate) uploads: PathBuf,
    /// The folder for backups that are requested from other machines; `None`: such requests are
    /// refused.
    pub(crate) backups: Option<PathBuf>,
    /// How old answers may be until it says that it is not ready.
    pub(crate) max_stale: Duration,
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) gates: Gates,
    pub(crate) quota: Arc<UploadQuota>,
    pub(crate) refusals: Refusals,
    /// Who waits for changes of flags.
    pub(crate) watches: Watches,
    /// When it began, by the steady clock.
    pub(crate) began_ms: i64,
}

impl Server {
    /// A server that has just begun. Files that are sent are kept in `uploads`; callers on other
    /// machines may have backups written into `backups`.
    pub fn new(
        engine: Arc<Engine>,
        keys: KeyRing,
        limits: Limits,
        uploads: PathBuf,
        backups: Option<PathBuf>,
    ) -> Self {
        let began_ms = engine.clock.steady_ms();
        Self {
            engine,
            keys,
            uploads,
            backups,
            max_stale: limits.max_stale,
            exports: Arc::new(Semaphore::new(EXPORTS_AT_ONCE)),
            gates: Gates::new(limits),
            quota: Arc::new(UploadQuota::new(limits.uploads)),
            refusals: Refusals::default(),
            watches: Watches::default(),
            began_ms,
        }
    }

    /// Writes the lines of refused calls that are due, and removes what callers left behind; call
    /// it every minute. What fails is tried again at the next turn.
    pub async fn tidy(&self) {
        if let Err(error) = self.write_refusals(false).await {
            tracing::error!(%error, "refused calls could not be written into the audit trail; it is tried again");
        }
        self.note_uses().await;
        if let Err(error) = self.sweep_uploads().await {
            tracing::error!(%error, "an abandoned upload could not be removed");
        }
    }

    /// Tells those who follow the flags of users, or the server's health, that nothing more comes, for
    /// the process ends.
    pub fn end_streams(&self) {
        self.watches.end();
    }

    /// Waits until every line of the audit trail is written. At the end of a process; runs have
    /// ended before.
    pub async fn settle_audit(&self) {
        if let Err(error) = self.write_refusals(true).await {
            tracing::error!(%error, "the audit trail's lines of refused calls are lost");
        }
        self.note_uses().await;
        self.engine.settle_audit().await;
    }

    /// Writes when keys were last used.
    async fn note_uses(&self) {
        if let Err(error) = self.keys.note_uses(self.engine.catalog.as_ref()).await {
            tracing::error!(%error, "when keys were last used could not be written; it is tried again");
        }
    }
}

/// What routes take their parts of: those that need the engine alone take that.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Server>);

impl FromRef<Shared> for Arc<Server> {
    fn from_ref(shared: &Shared) -> Self {
        shared.0.clone()
    }
}

impl FromRef<Shared> for Arc<Engine> {
    fn from_ref(shared: &Shared) -> Self {
        shared.0.engine.clone()
    }
}
