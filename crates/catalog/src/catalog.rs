use crate::{
    AuditEntry, AuditQuery, AuditRecord, Change, Error, IngestedFile, KeyRecord, Pointer, Result,
    RunRecord, StoredDefinition,
};
use async_trait::async_trait;
use std::path::Path;
use taghouse_model::{AppId, Name};

/// The interface of a catalog: today SQLite; PostgreSQL once one machine is too small.
///
/// Every method fails with `Unavailable` when the store is busy or unreachable and with `Corrupt`
/// when it contains data that was never written.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Applies all changes in one durable transaction, or none.
    ///
    /// # Errors
    /// `Conflict` names the first condition that did not hold; `NotFound` an unknown key to revoke.
    async fn commit(&self, changes: Vec<Change>) -> Result<()>;

    /// One pointer, or `None` if no pointer has that name.
    async fn pointer(&self, kind: &str, app: &AppId, name: &str) -> Result<Option<Pointer>>;

    /// All pointers of one kind, by name.
    async fn pointers(&self, kind: &str, app: &AppId) -> Result<Vec<(String, Pointer)>>;

    /// The revisions of all pointers of one kind, by name: what tells whether any of them moved,
    /// without reading what they point to.
    async fn pointer_revisions(&self, kind: &str, app: &AppId) -> Result<Vec<(String, u64)>> {
        Ok(self
            .pointers(kind, app)
            .await?
            .into_iter()
            .map(|(name, pointer)| (name, pointer.revision))
            .collect())
    }

    /// All definitions of an app, by kind and name.
    async fn definitions(&self, app: &AppId) -> Result<Vec<StoredDefinition>>;

    /// The apps that have a definition, in order.
    async fn apps(&self) -> Result<Vec<AppId>>;

    /// The current metadata location of an Iceberg table.
    async fn table_location(&self, app: &AppId, table: &str) -> Result<Option<String>>;

    /// The names of an app's Iceberg tables, in order.
    async fn tables(&self, app: &AppId) -> Result<Vec<String>>;

    /// The files of one source that have landed, by name.
    async fn ingested_files(&self, app: &AppId, source: &Name) -> Result<Vec<IngestedFile>>;

    /// All keys, revoked ones too, oldest first.
    async fn keys(&self) -> Result<Vec<KeyRecord>>;

    /// An app's runs, newest first, at most `limit`.
    async fn runs(&self, app: &AppId, limit: u32) -> Result<Vec<RunRecord>>;

    /// The record of one run.
    async fn run(&self, app: &AppId, id: &str) -> Result<Option<RunRecord>>;

    /// Runs of all apps that have no end recorded, oldest first.
    async fn unfinished_runs(&self) -> Result<Vec<RunRecord>>;

    /// Writes a copy of the whole catalog, as it is at one moment, to a file that is not there yet.
    /// Readers and writers go on.
    ///
    /// # Errors
    /// `Invalid` where the store has ways of its own for this; `Unavailable` if the file cannot be
    /// written.
    async fn copy_to(&self, file: &Path) -> Result<()> {
        Err(Error::Invalid(format!(
            "this catalog cannot be copied to {}: back it up with the tools of its store",
            file.display()
        )))
    }

    /// Lines of the audit trail, newest first.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>>;

    /// The first lines of acts that have no end in the trail, oldest first: they go on, or their
    /// process died.
    async fn open_acts(&self) -> Result<Vec<AuditRecord>>;
}
