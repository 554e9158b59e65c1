//! Opens a data folder: every crate opens its own part of it.
//!
//! ```text
//! DATA/catalog.db    definitions, pointers, keys, runs, Iceberg's catalog   ground truth
//! DATA/*.mark        how much of catalog and log was acknowledged
//! DATA/lake/         Iceberg tables                                         ground truth
//! DATA/log/          live calls that are not landed yet                     ground truth
//! DATA/ids/          message ids of the last day                            derived from the lake
//! DATA/dictionary/   user ids and ordinals                                  derived from the lake
//! DATA/objects/      index segments, crowd versions, states of live tags    derived from the lake
//! DATA/live/         changes of tag values that are in no segment yet       ground truth
//! DATA/feed/         what live tags changed of late, for those who follow it
//! DATA/webhooks/     what webhooks could not deliver, and what became of deliveries
//! DATA/activations/  whom destinations of activations did not take; not in backups
//! DATA/uploads/      files on their way into the lake
//! DATA/scratch/      what productions and live tags keep on disk while they are computed; emptied when the folder is opened
//! DATA/place         where the folder was created
//! DATA/lock          who holds the folder
//! ```

use crate::location::FolderLocation;
use crate::system::{OsEntropy, SystemClock};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use taghouse_api::{KeyRing, Limits, Server};
use taghouse_backup::Backup;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_disk::DurableStore;
use taghouse_engine::{Activations, Engine, Memory};
use taghouse_feed::{Feeds, Retention};
use taghouse_identities::Identities;
use taghouse_index::{Index, LiveOptions};
use taghouse_ingest::{FileIngest, Landing, MessageIds};
use taghouse_lake::Lake;
use taghouse_log::{EmbeddedLog, EventLog};
use taghouse_model::Clock;
use taghouse_produce::Producer;
use taghouse_schedule::Scheduler;
use taghouse_stream::{Stream, StreamParts};
use taghouse_users::Users;
use taghouse_webhook::{Networks, Webhooks, WebhooksParts};
use tokio::runtime::Handle;

/// How soon it is noticed that another process has published, where several share a catalog.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Bytes of live tags' states that an app keeps in memory.
const STATES_BYTES: u64 = 256 << 20;

/// The paths of the parts of a data folder.
pub(crate) struct DataPaths {
    pub(crate) folder: PathBuf,
    pub(crate) catalog: PathBuf,
    pub(crate) lake: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) ids: PathBuf,
    pub(crate) objects: PathBuf,
    pub(crate) live: PathBuf,
    pub(crate) feed: PathBuf,
    pub(crate) webhooks: PathBuf,
    pub(crate) activations: PathBuf,
    pub(crate) dictionary: PathBuf,
    pub(crate) uploads: PathBuf,
    pub(crate) scratch: PathBuf,
}

impl DataPaths {
    /// The parts of a folder that can be written. Missing ones are created.
    fn of(folder: &Path) -> Result<Self> {
        let part = |name: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            taghouse_disk::make_folder(&path)
                .with_context(|| format!("making {}", path.display()))?;
            Ok(std::fs::canonicalize(path)?)
        };
        Ok(Self {
            folder: folder.to_owned(),
            catalog: folder.join("catalog.db"),
            lake: part("lake")?,
            log: part("log")?,
            ids: folder.join("ids"),
            objects: part("objects")?,
            live: part("live")?,
            feed: part("feed")?,
            webhooks: folder.join("webhooks"),
            activations: folder.join("activations"),
            dictionary: part("dictionary")?,
            uploads: part("uploads")?,
            scratch: part("scratch")?,
        })
    }
}

/// What a data folder is opened with.
pub(crate) struct Options<'a> {
    /// The key of this process's own calls.
    pub(crate) local_key: &'a str,
    pub(crate) limits: Limits,
    /// How much of the change feeds is kept.
    pub(crate) feed: Retention,
    /// Where callers on other machines may have backups written.
    pub(crate) backups: Option<PathBuf>,
    pub(crate) webhooks: WebhookOptions,
    /// The folder for files of activations.
    pub(crate) activation_files: Option<PathBuf>,
    /// Runs background work, such as flushes.
    pub(crate) background: &'a Handle,
}

/// Whom webhooks are sent to.
#[derive(Default)]
pub(crate) struct WebhookOptions {
    /// Where they may be, besides the public internet.
    pub(crate) networks: Networks,
    /// A PEM file of authorities that are trusted besides the public ones.
    pub(crate) certificates: Option<PathBuf>,
}

impl WebhookOptions {
    fn open(self, folder: PathBuf, clock: &Arc<dyn Clock>) -> Result<Arc<Webhooks>> {
        let Self { networks, certificates } = self;
        let (clock, entropy) = (clock.clone(), Arc::new(OsEntropy));
        let parts = WebhooksParts { folder, networks, certificates, clock, entropy };
        Ok(Arc::new(Webhooks::new(parts)?))
    }
}

/// Opens every crate. The caller holds the folder's lock.
pub(crate) async fn open(folder: &Path, options: Options<'_>) -> Result<Arc<Server>> {
    let location = FolderLocation::of(folder)?;
    let paths = DataPaths::of(folder)?;
    taghouse_disk::remove_unfinished(&paths.objects)
        .with_context(|| format!("removing unfinished files in {}", paths.objects.display()))?;
    Backup::sweep(folder)?;
    let background = options.background.clone();
    let server = wire(paths, options, Some(&location)).await?;
    let engine = &server.engine;
    sweep_index(engine).await?;
    engine.end_interrupted().await?;
    {
        let _there = background.enter();
        engine.index.flush_in_background();
        engine.index.follow_in_background(FOLLOW_EVERY);
    }
    Ok(server)
}

/// Removes objects of the index that killed processes left: the folder is ours, and nothing is
/// published yet.
async fn sweep_index(engine: &Engine) -> Result<()> {
    for app in engine.catalog.apps().await? {
        match engine.index.sweep(&app).await {
            Ok(0) => {}
            Ok(objects) => {
                tracing::info!(%app, objects, "objects of the index that nothing leads to were removed")
            }
            // Of an index that cannot be read nothing is removed; who asks for it is told.
            Err(error) => {
                tracing::warn!(%app, %error, "objects of the index that nothing leads to stay")
            }
        }
    }
    Ok(())
}

/// Opens every crate for reading, where the folder cannot be written.
pub(crate) async fn open_mirror(
    folder: &Path,
    paths: DataPaths,
    local_key: &str,
    background: &Handle,
) -> Result<Arc<Server>> {
    let location = FolderLocation::of(folder)?;
    if let Some(former) = &location.former {
        bail!(
            "the data folder {} was moved from {} and cannot be written: run a command there once as a user who may write, so that its tables name \
             the new place",
            location.here,
            former.display()
        );
    }
    let (limits, feed) = (Limits::default(), Retention::default());
    let (webhooks, backups, activation_files) = (WebhookOptions::default(), None, None);
    let options =
        Options { local_key, limits, feed, backups, webhooks, activation_files, background };
    wire(paths, options, None).await
}

/// Opens the crates from the bottom up, each with the ones below that it uses. `location` is given
/// for a folder that can be written.
async fn wire(
    paths: DataPaths,
    options: Options<'_>,
    location: Option<&FolderLocation>,
) -> Result<Arc<Server>> {
    let Options { local_key, limits, feed, backups, webhooks, activation_files, background } =
        options;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);

    let GroundTruth { catalog, lake, log } = GroundTruth::open(&paths, &clock, location).await?;

    // What is derived from it.
    let identities = Arc::new(Identities::new(lake.clone()));
    let serving = Serving::open(&paths, &catalog, &log, &clock, &identities).await?;
    let producer = serving.producer(&catalog, &lake);

    // The ways in.
    let ids = Arc::new(MessageIds::at(&paths.ids, clock.clone()));
    let landing = Landing::new(catalog.clone(), lake.clone(), log.clone(), ids, clock.clone());
    let landing = Arc::new(landing.sharing(identities.clone()));
    let files = FileIngest::new(catalog.clone(), lake.clone(), clock.clone()).beside(&landing);
    let feeds = Arc::new(Feeds::new(paths.feed, feed, clock.clone()));
    let stream = serving.stream(&catalog, &log, &lake, &feeds, &identities, &clock);
    landing.follow(stream.clone());

    // What works on the whole folder.
    let scheduler = Arc::new(Scheduler::new(catalog.clone(), clock.clone()).on(background.clone()));
    scheduler.recover().await?;
    let backup = Backup::new(taghouse_backup::BackupParts {
        catalog: catalog.clone(),
        lake: lake.clone(),
        log: log.clone(),
        index: serving.index.clone(),
        dictionary: serving.dictionary.clone(),
        users: serving.users.clone(),
        landing: landing.clone(),
        clock: clock.clone(),
        feeds: feeds.clone(),
        objects: paths.objects,
        webhooks: paths.webhooks.clone(),
        folder: paths.folder,
    });
    let engine = Engine {
        backup,
        producer,
        files: Arc::new(files),
        landing,
        memory: Memory::new(limits.audit),
        background: background.clone(),
        catalog,
        lake,
        log,
        identities,
        index: serving.index,
        dictionary: serving.dictionary,
        crowds: serving.crowds,
        users: serving.users,
        feeds,
        webhooks: webhooks.open(paths.webhooks, &clock)?,
        scratch: serving.scratch,
        activations: Activations::new(paths.activations, activation_files),
        stream,
        scheduler,
        clock,
        entropy: Arc::new(OsEntropy),
    };
    let keys = KeyRing::load(engine.catalog.as_ref(), local_key, limits.requests_per_key).await?;
    Ok(Arc::new(Server::new(Arc::new(engine), keys, limits, swept(&paths.uploads)?, backups)))
}

/// What all else can be made of.
struct GroundTruth {
    catalog: Arc<dyn Catalog>,
    lake: Arc<Lake>,
    log: Arc<dyn EventLog>,
}

impl GroundTruth {
    async fn open(
        paths: &DataPaths,
        clock: &Arc<dyn Clock>,
        location: Option<&FolderLocation>,
    ) -> Result<Self> {
        let catalog: Arc<dyn Catalog> = Arc::new(SqliteCatalog::open(&paths.catalog).await?);
        let lake = Arc::new(Lake::open(catalog.clone(), &paths.lake, clock.clone())?);
        if let Some(location) = location {
            location.settle(catalog.as_ref(), &lake).await?;
        }
        let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(&paths.log)?);
        Ok(Self { catalog, lake, log })
    }
}

/// The crates that answer questions.
struct Serving {
    store: Arc<DurableStore>,
    index: Arc<Index>,
    dictionary: Arc<Dictionary>,
    crowds: Arc<Crowds>,
    users: Arc<Users>,
    /// An empty folder.
    scratch: PathBuf,
}

impl Serving {
    async fn open(
        paths: &DataPaths,
        catalog: &Arc<dyn Catalog>,
        log: &Arc<dyn EventLog>,
        clock: &Arc<dyn Clock>,
        identities: &Arc<Identities>,
    ) -> Result<Self> {
        let store = Arc::new(DurableStore::below(paths.objects.clone())?);
        let index = Arc::new(
            Index::new(store.clone(), catalog.clone())
                .local(paths.objects.clone())
                .with_live(paths.live.clone(), LiveOptions::default()),
        );
        let dictionary = Arc::new(Dictionary::open(&paths.dictionary)?);
        let crowds = Crowds::new(
            store.clone(),
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            clock.clone(),
        );
        let crowds = Arc::new(crowds.resolving(identities.clone()));
        let users = Users::new(
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            crowds.clone(),
            clock.clone(),
        );
        let users = Arc::new(users.noting_in(log.clone()).resolving(identities.clone()));
        users.settle().await?;
        let scratch = swept(&paths.scratch)?;
        Ok(Self { store, index, dictionary, crowds, users, scratch })
    }

    /// What computes tags from the lake.
    fn producer(&self, catalog: &Arc<dyn Catalog>, lake: &Arc<Lake>) -> Arc<Producer> {
        let (index, dictionary) = (self.index.clone(), self.dictionary.clone());
        let scratch = self.scratch.clone();
        Arc::new(Producer::new(catalog.clone(), lake.clone(), index, dictionary, scratch))
    }

    /// What keeps live tags current.
    fn stream(
        &self,
        catalog: &Arc<dyn Catalog>,
        log: &Arc<dyn EventLog>,
        lake: &Arc<Lake>,
        feeds: &Arc<Feeds>,
        identities: &Arc<Identities>,
        clock: &Arc<dyn Clock>,
    ) -> Arc<Stream> {
        Arc::new(Stream::new(StreamParts {
            catalog: catalog.clone(),
            log: log.clone(),
            lake: lake.clone(),
            index: self.index.clone(),
            feeds: feeds.clone(),
            users: self.users.clone(),
            identities: identities.clone(),
            objects: self.store.clone(),
            scratch: self.scratch.clone(),
            clock: clock.clone(),
            budget_bytes: STATES_BYTES,
        }))
    }
}

/// Removes what an earlier process left in its folders here, such as uploads that nobody can ingest
/// any more: the data folder is ours.
fn swept(folder: &Path) -> Result<PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            std::fs::remove_dir_all(&path)
                .with_context(|| format!("removing what was left in {}", path.display()))?;
        }
    }
    Ok(folder.to_owned())
}
