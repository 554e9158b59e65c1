//! Everything that a request may need, put together by the binary.

use crate::access::KeyRing;
use crate::memory::KnownDefinitions;
use crate::{Memory, Problem};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use taghouse_backup::Backup;
use taghouse_catalog::Catalog;
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_index::Index;
use taghouse_ingest::{FileIngest, Landed, Landing};
use taghouse_lake::Lake;
use taghouse_log::EventLog;
use taghouse_model::{AppId, Clock, Entropy, ErrorKind, Name};
use taghouse_produce::Producer;
use taghouse_rules::{CheckError, Definitions, Document};
use taghouse_schedule::Scheduler;
use taghouse_users::Users;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A catalog that has not answered for so long does not answer.
const CATALOG_WAIT: Duration = Duration::from_secs(5);

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
    /// Users who change and go.
    pub users: Arc<Users>,
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
    /// What this process remembers.
    pub memory: Memory,
    /// Writes backups.
    pub backup: Backup,
    /// Where callers on other machines may have backups written; `None`: nowhere.
    pub backups: Option<PathBuf>,
    /// Where work that can wait is done: its threads give way to those that answer.
    pub background: Handle,
}

impl House {
    /// The app's definitions, checked. From memory where nobody changed them: judgments ask too.
    pub(crate) async fn definitions(&self, app: &AppId) -> Result<Arc<Definitions>, Problem> {
        let known = self.memory.definitions(app);
        if let Some(current) = known.current() {
            return Ok(current);
        }
        let failures = known.failures();
        let _reading = known.reading.lock().await;
        if let Some(current) = known.current() {
            return Ok(current);
        }
        let refused = |detail: &str| {
            Problem::new(ErrorKind::Unavailable, format!("the definitions of \"{app}\" cannot be read now ({detail}): try again"))
        };
        if known.failures() != failures {
            // Whoever asked meanwhile asked in vain: a catalog that fails is not asked once for each who waits.
            return known.last().ok_or_else(|| refused("the catalog did not answer"));
        }
        let outcome = self.read_definitions(app, &known).await;
        match outcome {
            // Better the definitions of before a change than no answer: the change is in the catalog, and the next call asks again.
            Err(problem) if problem.status >= 500 => {
                known.failed();
                known.last().ok_or_else(|| refused(&problem.detail))
            }
            Err(problem) if problem.status == 404 => {
                self.memory.no_app(app);
                Err(problem)
            }
            outcome => outcome,
        }
    }

    /// Reads and checks an app's definitions, and keeps them.
    async fn read_definitions(&self, app: &AppId, known: &KnownDefinitions) -> Result<Arc<Definitions>, Problem> {
        let changes = known.changes();
        let late = |_| Problem::new(ErrorKind::Unavailable, "the catalog does not answer");
        let stored = tokio::time::timeout(CATALOG_WAIT, self.catalog.definitions(app)).await.map_err(late)??;
        if stored.is_empty() {
            return Err(Problem::new(ErrorKind::NotFound, format!("there is no app \"{app}\"; define it with `taghouse apply -f DIR`")));
        }
        let documents: Vec<Document> = stored.iter().filter_map(|old| Document::stored(&old.kind, &old.name, &old.body)).collect();
        let definitions = Definitions::check(&documents).map_err(|errors| {
            let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            Problem::new(
                ErrorKind::Invalid,
                format!("the stored definitions of \"{app}\" are no longer valid: {detail}; fix them and run `taghouse apply`"),
            )
        })?;
        let definitions = Arc::new(definitions);
        known.keep(&definitions, changes);
        Ok(definitions)
    }

    /// Whether the app is defined, be its definitions such that they check or not.
    pub(crate) async fn exists(&self, app: &AppId) -> Result<(), Problem> {
        match self.definitions(app).await {
            Err(problem) if problem.status == 400 => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    /// The app's definitions, if they define these crowds: an object that was computed for a definition of the past answers no more.
    pub(crate) async fn with_crowds(&self, app: &AppId, crowds: &[String]) -> Result<Arc<Definitions>, Problem> {
        let definitions = self.definitions(app).await?;
        let Some(unknown) = crowds.iter().find(|crowd| !definitions.crowds.contains_key(crowd.as_str())) else { return Ok(definitions) };
        let message = format!("there is no crowd `{unknown}` in app {app}");
        let error = CheckError { message, leaf: 0, unknown: Some(unknown.clone()) };
        let error = error.suggest(definitions.crowds.keys().map(Name::as_str));
        Err(Problem::new(ErrorKind::NotFound, format!("{}; `taghouse crowds` lists them", error.message)))
    }

    /// That no run of these kinds goes on. The caller holds `memory.producing`, under which such runs begin.
    pub(crate) fn no_run_of(&self, app: &AppId, kinds: &[&str]) -> Result<(), Problem> {
        let runs = self.scheduler.list(app);
        let Some(running) = runs.into_iter().find(|run| kinds.contains(&run.kind.as_str()) && !run.state.is_final()) else { return Ok(()) };
        let detail = format!("run {} ({}) of \"{app}\" goes on: wait until it has ended, or cancel it", running.id, running.kind);
        Err(Problem::new(ErrorKind::Conflict, detail))
    }

    /// Lands an app's live calls and keeps count. A landing is of use to everybody, and is never broken off: whoever drops this stops waiting
    /// for it, and `stop` ends it after what it has begun with.
    pub(crate) async fn land(self: &Arc<Self>, app: &AppId, stop: &CancellationToken) -> Result<Landed, Problem> {
        let (house, app, stop) = (self.clone(), app.clone(), stop.clone());
        let landing = self.background.spawn(async move {
            let outcome = async {
                let definitions = house.definitions(&app).await?;
                let end = house.users.settled(&app, house.log.as_ref()).await?;
                Ok(house.landing.land_through(&app, &definitions, end, &stop).await?)
            };
            let outcome: Result<Landed, Problem> = outcome.await;
            house.memory.landed(&app, outcome.as_ref().map_err(|problem| problem.detail.clone()));
            outcome
        });
        landing.await.map_err(|error| Problem::new(ErrorKind::Internal, format!("the landing broke off: {error}")))?
    }

    /// Random bytes as lower-case hex, for ids.
    pub(crate) fn random_id(&self) -> String {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
