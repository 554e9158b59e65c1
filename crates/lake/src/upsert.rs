use crate::Result;
use crate::table::Table;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

/// Row-level changes by key. Its place only: position deletes (pyiceberg reads no equality deletes) come with the issue on the lake; until
/// then keyed tables are appended to and the latest row by time counts.
#[async_trait]
pub trait Upsert: Send + Sync {
    /// Makes the rows of `batches` the table's only rows with their values of the columns `key`, in one snapshot, and gives its id. Within
    /// the batches each key stands once.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if a key column is missing, null or there twice; otherwise as [`crate::Commit::commit`].
    async fn upsert(&self, table: &Table, key: &[&str], batches: Vec<RecordBatch>) -> Result<i64>;
}
