//! Everything that a request may need, put together by the binary.

use crate::Problem;
use crate::access::KeyRing;
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_catalog::Catalog;
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_index::Index;
use taghouse_ingest::{FileIngest, Landing};
use taghouse_lake::Lake;
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock, Entropy, ErrorKind};
use taghouse_produce::Producer;
use taghouse_rules::{Definitions, Document};
use taghouse_schedule::Scheduler;

/// The rooms of one data folder.
pub struct House {
    /// Definitions, pointers, keys, runs.
    pub catalog: Arc<dyn Catalog>,
    /// The tables.
    pub lake: Arc<Lake>,
    /// Live calls, until they are landed.
    pub log: Arc<dyn EventLog>,
    /// Tag values as bitmaps.
    pub index: Arc<Index>,
    /// User ids and ordinals.
    pub dictionary: Arc<Dictionary>,
    /// Crowds and judgments.
    pub crowds: Arc<Crowds>,
    /// Runs.
    pub scheduler: Arc<Scheduler>,
    /// Tags from the lake.
    pub producer: Arc<Producer>,
    /// Files into the lake.
    pub files: Arc<FileIngest>,
    /// The log into the lake.
    pub landing: Arc<Landing>,
    /// Who may call.
    pub keys: KeyRing,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for secrets and message ids.
    pub entropy: Arc<dyn Entropy>,
    /// The folder of files sent over HTTP, until they are ingested.
    pub uploads: PathBuf,
}

impl House {
    /// The app's definitions, checked.
    pub(crate) async fn definitions(&self, app: &AppId) -> Result<Arc<Definitions>, Problem> {
        let stored = self.catalog.definitions(app).await?;
        if stored.is_empty() {
            return Err(Problem::new(ErrorKind::NotFound, format!("there is no app \"{app}\"; define it with `taghouse apply -f DIR`")));
        }
        let documents: Vec<Document> = stored.iter().filter_map(|old| Document::stored(&old.kind, &old.name, &old.body)).collect();
        let definitions = Definitions::check(&documents).map_err(|errors| {
            let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            Problem::new(ErrorKind::Invalid, format!("the stored definitions of \"{app}\" no longer check; apply mended ones: {detail}"))
        })?;
        Ok(Arc::new(definitions))
    }

    /// Random bytes as lower-case hex, for ids.
    pub(crate) fn random_id(&self) -> String {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
