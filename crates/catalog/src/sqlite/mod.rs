mod apply;
mod read;
mod schema;

use crate::{AuditRecord, Catalog, Change, IngestedFile, KeyRecord, Pointer, Result, RunRecord, StoredDefinition};
use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::time::Duration;
use taghouse_model::{AppId, Name};

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
const READERS: u32 = 4;
/// The catalog name under which pyiceberg finds our tables: `SqlCatalog("taghouse", uri="sqlite:///…/catalog.db")`.
const ICEBERG_CATALOG: &str = "taghouse";

/// The catalog in one SQLite file: write-ahead log, synced at every commit, one writer, several readers.
///
/// Several processes may open the same file; each commit is still atomic among them.
#[derive(Debug, Clone)]
pub struct SqliteCatalog {
    // One connection: writers of this process queue for it instead of meeting SQLITE_BUSY.
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteCatalog {
    /// Opens the file, making it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// `Corrupt` for a file that is not a catalog, `TooNew` for one of a newer schema, `Unavailable` for one that cannot be reached.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full)
            .thread_name(|n| format!("catalog-{n}"));
        let pool =
            SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(None).max_lifetime(None).test_before_acquire(false);
        let write = options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        schema::refuse_foreign_bytes(path)?;
        let writer = pool.clone().max_connections(1).connect_with(write).await?;
        schema::migrate(&writer, path).await?;
        let readers = pool.max_connections(READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers })
    }

    /// Waits for what runs and closes the file. Calls after this are `Unavailable`. Needless for durability: every commit is on disk.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn commit(&self, changes: Vec<Change>) -> Result<()> {
        // IMMEDIATE takes the write lock before the first condition is read, so what is checked cannot move until the end.
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for change in &changes {
            apply::apply(&mut transaction, change).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn pointer(&self, kind: &str, app: &AppId, name: &str) -> Result<Option<Pointer>> {
        read::pointer(&self.readers, kind, app, name).await
    }

    async fn pointers(&self, kind: &str, app: &AppId) -> Result<Vec<(String, Pointer)>> {
        read::pointers(&self.readers, kind, app).await
    }

    async fn definitions(&self, app: &AppId) -> Result<Vec<StoredDefinition>> {
        read::definitions(&self.readers, app).await
    }

    async fn apps(&self) -> Result<Vec<AppId>> {
        read::apps(&self.readers).await
    }

    async fn table_location(&self, app: &AppId, table: &str) -> Result<Option<String>> {
        read::table_location(&self.readers, app, table).await
    }

    async fn tables(&self, app: &AppId) -> Result<Vec<String>> {
        read::tables(&self.readers, app).await
    }

    async fn ingested_files(&self, app: &AppId, source: &Name) -> Result<Vec<IngestedFile>> {
        read::ingested_files(&self.readers, app, source).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>> {
        read::keys(&self.readers).await
    }

    async fn runs(&self, app: &AppId, limit: u32) -> Result<Vec<RunRecord>> {
        read::runs(&self.readers, app, limit).await
    }

    async fn run(&self, app: &AppId, id: &str) -> Result<Option<RunRecord>> {
        read::run(&self.readers, app, id).await
    }

    async fn unfinished_runs(&self) -> Result<Vec<RunRecord>> {
        read::unfinished_runs(&self.readers).await
    }

    async fn audit(&self, app: Option<&AppId>, limit: u32) -> Result<Vec<AuditRecord>> {
        read::audit(&self.readers, app, limit).await
    }
}
