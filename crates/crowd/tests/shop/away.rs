//! A catalog that can be made to fail, or never to answer, and that counts what it is asked.

use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_catalog::{
    AuditEntry, AuditQuery, AuditRecord, Catalog, Change, Error, IngestedFile, KeyRecord, Pointer,
    Result, RunRecord, StoredDefinition,
};
use taghouse_model::{AppId, Name};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Answers,
    Fails,
    Hangs,
}

pub(crate) struct Away {
    within: Arc<dyn Catalog>,
    mood: watch::Sender<Mood>,
    asked: AtomicU64,
}

impl Away {
    pub(crate) fn new(within: Arc<dyn Catalog>) -> Self {
        Self { within, mood: watch::channel(Mood::Answers).0, asked: AtomicU64::new(0) }
    }

    pub(crate) fn become_one_that(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Questions so far, whatever became of them.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    async fn ask(&self) -> Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut mood = self.mood.subscribe();
        let now = *mood.wait_for(|mood| *mood != Mood::Hangs).await.unwrap();
        if now == Mood::Fails {
            Err(Error::Internal("begin_with at non-zero transaction depth".to_owned()))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Catalog for Away {
    async fn commit(&self, changes: Vec<Change>) -> Result<()> {
        self.ask().await?;
        self.within.commit(changes).await
    }
    async fn pointer(&self, kind: &str, app: &AppId, name: &str) -> Result<Option<Pointer>> {
        self.ask().await?;
        self.within.pointer(kind, app, name).await
    }
    async fn pointers(&self, kind: &str, app: &AppId) -> Result<Vec<(String, Pointer)>> {
        self.ask().await?;
        self.within.pointers(kind, app).await
    }
    async fn pointer_revisions(&self, kind: &str, app: &AppId) -> Result<Vec<(String, u64)>> {
        self.ask().await?;
        self.within.pointer_revisions(kind, app).await
    }
    async fn definitions(&self, app: &AppId) -> Result<Vec<StoredDefinition>> {
        self.ask().await?;
        self.within.definitions(app).await
    }
    async fn apps(&self) -> Result<Vec<AppId>> {
        self.ask().await?;
        self.within.apps().await
    }
    async fn table_location(&self, app: &AppId, table: &str) -> Result<Option<String>> {
        self.ask().await?;
        self.within.table_location(app, table).await
    }
    async fn tables(&self, app: &AppId) -> Result<Vec<String>> {
        self.ask().await?;
        self.within.tables(app).await
    }
    async fn ingested_files(&self, app: &AppId, source: &Name) -> Result<Vec<IngestedFile>> {
        self.ask().await?;
        self.within.ingested_files(app, source).await
    }
    async fn keys(&self) -> Result<Vec<KeyRecord>> {
        self.ask().await?;
        self.within.keys().await
    }
    async fn runs(&self, app: &AppId, limit: u32) -> Result<Vec<RunRecord>> {
        self.ask().await?;
        self.within.runs(app, limit).await
    }
    async fn run(&self, app: &AppId, id: &str) -> Result<Option<RunRecord>> {
        self.ask().await?;
        self.within.run(app, id).await
    }
    async fn unfinished_runs(&self) -> Result<Vec<RunRecord>> {
        self.ask().await?;
        self.within.unfinished_runs().await
    }
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        self.ask().await?;
        self.within.audit(query).await
    }
    async fn open_acts(&self) -> Result<Vec<AuditRecord>> {
        self.ask().await?;
        self.within.open_acts().await
    }
}
