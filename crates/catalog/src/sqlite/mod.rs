mod acknowledged;
mod apply;
mod keys;
mod read;
mod rows;
mod schema;
mod sealed;

use crate::{
    AuditEntry, AuditQuery, AuditRecord, Catalog, Change, Error, IngestedFile, KeyRecord, Pointer,
    Result, RunRecord, StoredDefinition,
};
use acknowledged::Acknowledged;
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::{AppId, Name};

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
const READERS: u32 = 4;
/// The catalog name under which pyiceberg finds our tables: `SqlCatalog("taghouse",
/// uri="sqlite:///…/catalog.db")`.
const ICEBERG_CATALOG: &str = "taghouse";

/// The catalog in one SQLite file: write-ahead log, synced at every commit, one writer, several
/// readers.
///
/// Several processes may open the same file; each commit is still atomic among them. Beside it, a
/// file with the ending `mark` notes how many commits were acknowledged: a file that has lost some
/// is refused.
#[derive(Debug, Clone)]
pub struct SqliteCatalog {
    // One connection: writers of this process queue for it instead of meeting SQLITE_BUSY.
    writer: SqlitePool,
    readers: SqlitePool,
    acknowledged: Arc<Acknowledged>,
    path: PathBuf,
}

impl SqliteCatalog {
    /// Opens the file, making it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// `Corrupt` for a file that is not a catalog, `Lost` for one that lacks acknowledged commits,
    /// `TooNew` for one of a newer schema, `Unavailable` for one that cannot be reached.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full)
            .thread_name(|n| format!("catalog-{n}"));
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        let write = options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        schema::refuse_foreign_bytes(path)?;
        let open = async {
            let writer = pool.clone().max_connections(1).connect_with(write).await?;
            let checked = async {
                schema::migrate(&writer, path).await?;
                let mut connection = writer.acquire().await?;
                let acknowledged = Acknowledged::check(&mut connection, path).await?;
                sealed::check(&mut connection).await?;
                Ok(acknowledged)
            };
            match checked.await {
                Ok(acknowledged) => Ok((writer, acknowledged)),
                Err(error) => {
                    // Not some time later: the last connection to close touches the files.
                    writer.close().await;
                    Err(error)
                }
            }
        };
        let (writer, acknowledged) = open.await.map_err(|error: Error| error.of_file(path))?;
        let readers = pool.max_connections(READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers, acknowledged: Arc::new(acknowledged), path: path.to_owned() })
    }

    /// Waits for what runs and closes the file. Calls after this are `Unavailable`. Needless for
    /// durability: every commit is on disk.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn commit(&self, changes: Vec<Change>) -> Result<()> {
        let commit = async {
            let mut connection = self.writer.acquire().await?;
            match write(&mut connection, &changes).await {
                Ok(number) => self.acknowledged.note(number),
                Err(Failure::Refused(error)) => Err(error),
                Err(Failure::Broken(error)) => {
                    // A disk that is full, say: a connection that could not end its transaction
                    // would refuse every later one.
                    connection.close_on_drop();
                    Err(error)
                }
            }
        };
        commit.await.map_err(|error| error.of_file(&self.path))
    }

    async fn pointer(&self, kind: &str, app: &AppId, name: &str) -> Result<Option<Pointer>> {
        read::pointer(&self.readers, kind, app, name)
            .await
            .map_err(|error| error.of_file(&self.path))
    }

    async fn pointers(&self, kind: &str, app: &AppId) -> Result<Vec<(String, Pointer)>> {
        read::pointers(&self.readers, kind, app).await.map_err(|error| error.of_file(&self.path))
    }

    async fn pointer_revisions(&self, kind: &str, app: &AppId) -> Result<Vec<(String, u64)>> {
        read::pointer_revisions(&self.readers, kind, app)
            .await
            .map_err(|error| error.of_file(&self.path))
    }

    async fn definitions(&self, app: &AppId) -> Result<Vec<StoredDefinition>> {
        read::definitions(&self.readers, app).await.map_err(|error| error.of_file(&self.path))
    }

    async fn apps(&self) -> Result<Vec<AppId>> {
        read::apps(&self.readers).await.map_err(|error| error.of_file(&self.path))
    }

    async fn table_location(&self, app: &AppId, table: &str) -> Result<Option<String>> {
        read::table_location(&self.readers, app, table)
            .await
            .map_err(|error| error.of_file(&self.path))
    }

    async fn tables(&self, app: &AppId) -> Result<Vec<String>> {
        read::tables(&self.readers, app).await.map_err(|error| error.of_file(&self.path))
    }

    async fn ingested_files(&self, app: &AppId, source: &Name) -> Result<Vec<IngestedFile>> {
        read::ingested_files(&self.readers, app, source)
            .await
            .map_err(|error| error.of_file(&self.path))
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>> {
        read::keys(&self.readers).await.map_err(|error| error.of_file(&self.path))
    }

    async fn runs(&self, app: &AppId, limit: u32) -> Result<Vec<RunRecord>> {
        read::runs(&self.readers, app, limit).await.map_err(|error| error.of_file(&self.path))
    }

    async fn run(&self, app: &AppId, id: &str) -> Result<Option<RunRecord>> {
        read::run(&self.readers, app, id).await.map_err(|error| error.of_file(&self.path))
    }

    async fn unfinished_runs(&self) -> Result<Vec<RunRecord>> {
        read::unfinished_runs(&self.readers).await.map_err(|error| error.of_file(&self.path))
    }

    async fn copy_to(&self, file: &Path) -> Result<()> {
        read::copy(&self.readers, file).await.map_err(|error| error.of_file(file))
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        read::audit(&self.readers, query).await.map_err(|error| error.of_file(&self.path))
    }

    async fn open_acts(&self) -> Result<Vec<AuditRecord>> {
        read::open_acts(&self.readers).await.map_err(|error| error.of_file(&self.path))
    }
}

/// Why nothing was committed.
enum Failure {
    /// A condition did not hold. The connection is as before.
    Refused(Error),
    /// The store failed, and the state of the connection is unknown.
    Broken(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// Applies the changes in one transaction; the number of the commit.
async fn write(
    connection: &mut SqliteConnection,
    changes: &[Change],
) -> std::result::Result<u64, Failure> {
    // IMMEDIATE takes the write lock before the first condition is read, so what is checked cannot
    // move until the end.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for change in changes {
        if let Err(error) = apply::apply(&mut transaction, change).await {
            transaction.rollback().await?;
            let refused =
                matches!(error, Error::Conflict { .. } | Error::NotFound(_) | Error::Invalid(_));
            return Err(if refused { Failure::Refused(error) } else { Failure::Broken(error) });
        }
    }
    let number: i64 = sqlx::query_scalar("UPDATE commits SET number = number + 1 RETURNING number")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(u64::try_from(number).unwrap_or(0))
}
