use crate::{Activations, Error, Memory, Result};
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_backup::{Backup, Written};
use taghouse_catalog::Catalog;
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_feed::Feeds;
use taghouse_identities::Identities;
use taghouse_index::Index;
use taghouse_ingest::{FileIngest, Landing};
use taghouse_lake::Lake;
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock, Entropy};
use taghouse_produce::Producer;
use taghouse_schedule::Scheduler;
use taghouse_stream::Stream;
use taghouse_users::Users;
use taghouse_webhook::Webhooks;
use tokio::runtime::Handle;

/// The crates of one data folder, put together by the binary.
pub struct Engine {
    /// Definitions, pointers, keys, runs.
    pub catalog: Arc<dyn Catalog>,
    /// The Iceberg tables.
    pub lake: Arc<Lake>,
    /// Live calls, until they are landed.
    pub log: Arc<dyn EventLog>,
    /// Which ids are whose.
    pub identities: Arc<Identities>,
    /// Tag values as bitmaps.
    pub index: Arc<Index>,
    /// User ids and ordinals.
    pub dictionary: Arc<Dictionary>,
    /// Crowds and judgments.
    pub crowds: Arc<Crowds>,
    /// Changes and deletions of users.
    pub users: Arc<Users>,
    /// Starts and follows runs.
    pub scheduler: Arc<Scheduler>,
    /// Tags from the lake.
    pub producer: Arc<Producer>,
    /// Files into the lake.
    pub files: Arc<FileIngest>,
    /// The log into the lake.
    pub landing: Arc<Landing>,
    /// What live tags changed, for those who follow it.
    pub feeds: Arc<Feeds>,
    /// Live tags.
    pub stream: Arc<Stream>,
    /// What is sent to HTTP servers, and what became of it.
    pub webhooks: Arc<Webhooks>,
    /// Where files are kept that are needed for a while; emptied when the folder is opened.
    pub scratch: PathBuf,
    /// What is sent to other systems, and whom they did not take.
    pub activations: Activations,
    /// The clock that all times come from.
    pub clock: Arc<dyn Clock>,
    /// Randomness for secrets and message ids.
    pub entropy: Arc<dyn Entropy>,
    /// What this process remembers.
    pub memory: Memory,
    /// Writes backups of the data folder.
    pub backup: Backup,
    /// Where work that can wait is done: its threads give way to those that answer.
    pub background: Handle,
}

impl Engine {
    /// Fails if a run of this kind is in progress. The caller holds `memory.producing`, under which
    /// such runs begin.
    pub(crate) fn no_run_of(&self, app: &AppId, kind: &str) -> Result<()> {
        let running = self
            .scheduler
            .list(app)
            .into_iter()
            .find(|run| run.kind == kind && !run.state.is_final());
        running.map_or(Ok(()), |run| {
            Err(Error::Running { id: run.id, kind: run.kind, app: app.clone() })
        })
    }

    /// Writes a backup of the whole data folder into a folder that is not there yet.
    ///
    /// # Errors
    /// Those of the backup; what was written is removed again.
    pub async fn back_up(self: &Arc<Self>, folder: PathBuf) -> Result<Written> {
        let engine = self.clone();
        // Not one of the threads that answer: it reads and writes all there is.
        let written =
            self.background.spawn(async move { engine.backup.write(&folder).await }).await;
        Ok(written.map_err(|error| Error::BackupBrokeOff(error.to_string()))??)
    }

    /// Random bytes as lower-case hex, for ids.
    pub fn random_id(&self) -> String {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
