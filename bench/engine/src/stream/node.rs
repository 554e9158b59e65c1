//! A data folder with all that live tags go through, put together as the server does it; with a
//! clock whose wall time is set and whose steady time is real.

use crate::published::app;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_crowd::Crowds;
use taghouse_dictionary::Dictionary;
use taghouse_disk::DurableStore;
use taghouse_feed::{Feeds, Retention};
use taghouse_identities::Identities;
use taghouse_index::{Index, LiveOptions};
use taghouse_ingest::{Landing, LandingTrigger, MessageIds};
use taghouse_lake::Lake;
use taghouse_log::{EmbeddedLog, EventLog};
use taghouse_model::{AppId, Clock, TimestampMs};
use taghouse_rules::Definitions;
use taghouse_stream::{Stream, StreamParts, Tick};
use taghouse_users::Users;
use tokio_util::sync::CancellationToken;

/// As the server's.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LAND_EVERY_MS: i64 = 10_000;

pub(crate) struct SetClock {
    /// What it shows, less what has gone by if it runs.
    set_ms: AtomicI64,
    runs: AtomicBool,
    began: Instant,
}

impl SetClock {
    /// One that stands.
    pub(crate) fn at(now_ms: TimestampMs) -> Arc<Self> {
        let (set_ms, runs) = (AtomicI64::new(now_ms), AtomicBool::new(false));
        Arc::new(Self { set_ms, runs, began: Instant::now() })
    }

    pub(crate) fn set(&self, now_ms: TimestampMs) {
        self.set_ms.store(now_ms - self.gone_by_ms(), Ordering::Relaxed);
    }

    /// Puts it forward, if it is not later.
    pub(crate) fn reach(&self, now_ms: TimestampMs) {
        if self.now_ms() < now_ms {
            self.set(now_ms);
        }
    }

    /// Lets it run from what it shows.
    pub(crate) fn run(&self) {
        let now_ms = self.now_ms();
        self.runs.store(true, Ordering::Relaxed);
        self.set(now_ms);
    }

    fn gone_by_ms(&self) -> i64 {
        if self.runs.load(Ordering::Relaxed) { self.steady_ms() } else { 0 }
    }
}

impl Clock for SetClock {
    fn now_ms(&self) -> TimestampMs {
        self.set_ms.load(Ordering::Relaxed) + self.gone_by_ms()
    }

    fn steady_ms(&self) -> i64 {
        self.began.elapsed().as_millis() as i64
    }
}

pub(crate) struct Node {
    pub(crate) app: AppId,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) index: Arc<Index>,
    pub(crate) dictionary: Arc<Dictionary>,
    pub(crate) crowds: Arc<Crowds>,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) landing: Arc<Landing>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) definitions: Arc<Definitions>,
}

/// The log of a folder.
pub(crate) fn log(folder: &Path) -> anyhow::Result<Arc<dyn EventLog>> {
    Ok(Arc::new(EmbeddedLog::open(&folder.join("log"))?))
}

impl Node {
    pub(crate) async fn open(
        folder: &Path,
        definitions: Arc<Definitions>,
        clock: Arc<SetClock>,
        budget_bytes: u64,
    ) -> anyhow::Result<Self> {
        let (objects, by) = (folder.join("objects"), clock.clone());
        std::fs::create_dir_all(&objects)?;
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await?);
        let lake = Arc::new(Lake::open(catalog.clone(), &folder.join("lake"), by.clone())?);
        let log = log(folder)?;
        let store = Arc::new(DurableStore::below(objects.clone())?);
        let index = Index::new(store.clone(), catalog.clone())
            .local(objects)
            .with_live(folder.join("live"), LiveOptions::default());
        let index = Arc::new(index);
        index.flush_in_background();
        let dictionary = Arc::new(Dictionary::open(&folder.join("dictionary"))?);
        let identities = Arc::new(Identities::new(lake.clone()));
        let crowds = Crowds::new(
            store.clone(),
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            by.clone(),
        );
        let crowds = Arc::new(crowds.resolving(identities.clone()));
        crowds.define(&definitions);
        let users = Users::new(
            catalog.clone(),
            index.clone(),
            dictionary.clone(),
            crowds.clone(),
            by.clone(),
        );
        let users = Arc::new(users.noting_in(log.clone()).resolving(identities.clone()));
        users.settle().await?;
        let ids = Arc::new(MessageIds::at(&folder.join("ids"), by.clone()));
        let landing = Landing::new(catalog.clone(), lake.clone(), log.clone(), ids, by.clone());
        let landing = Arc::new(landing.sharing(identities.clone()));
        let feeds = Arc::new(Feeds::new(folder.join("feed"), Retention::default(), by.clone()));
        let stream = Arc::new(Stream::new(StreamParts {
            catalog,
            log: log.clone(),
            lake,
            index: index.clone(),
            feeds: feeds.clone(),
            users,
            identities,
            objects: store,
            scratch: folder.join("scratch"),
            clock: by,
            budget_bytes,
        }));
        landing.follow(stream.clone());
        let app = app()?;
        Ok(Self { app, clock, log, index, dictionary, crowds, feeds, landing, stream, definitions })
    }

    /// What the server does ten times a second, up to a position of the log.
    pub(crate) async fn follow(&self, end: u64) -> anyhow::Result<()> {
        let on = CancellationToken::new();
        self.landing.admit(&self.app, &self.definitions, end, &on).await?;
        if self.stream.tick(&self.definitions).await? == Tick::Rebuild {
            self.stream.rebuild(&self.definitions, &self.landing).await?;
        }
        Ok(())
    }

    /// Lands what is admitted, up to a position of the log.
    pub(crate) async fn land(&self, end: u64) -> anyhow::Result<()> {
        let on = CancellationToken::new();
        self.landing.land_through(&self.app, &self.definitions, end, &on).await?;
        Ok(())
    }

    /// What the server does all the time, until it is stopped: what comes is shown ten times a
    /// second, and lands every ten seconds, or when enough waits.
    pub(crate) async fn serve(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let following = async {
            while !stop.is_cancelled() {
                let end = self.log.end(&self.app).await?;
                self.follow(end).await?;
                tokio::time::sleep(FOLLOW_EVERY).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        let landing = async {
            while !stop.is_cancelled() {
                if self.landing.is_due(&self.app, &LandingTrigger::after(LAND_EVERY_MS)).await? {
                    let end = self.log.end(&self.app).await?;
                    self.land(end).await?;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        tokio::try_join!(following, landing).map(drop)
    }
}

/// [`Node::serve`] as a task of its own, so that nobody beside it waits for its work.
pub(crate) async fn serving(node: &Arc<Node>, stop: &CancellationToken) -> anyhow::Result<()> {
    let (node, stop) = (node.clone(), stop.clone());
    tokio::spawn(async move { node.serve(&stop).await }).await?
}
