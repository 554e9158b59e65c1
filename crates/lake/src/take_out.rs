//! Rows taken out of a table, as part of a commit: files that hold some are replaced by files of
//! what stays. Only files that may hold such rows are read, and only those that do are written
//! again.
//!
//! While rows are being taken out of a table no small files of it are joined, so that the files
//! looked at are still there at the commit.

use crate::commit::Commit;
use crate::scan::ScanBuilder;
use crate::table::Table;
use crate::write::DataFile;
use crate::{Error, Result};
use arrow::array::BooleanArray;
use arrow::compute::{filter_record_batch, not};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;

/// Which rows go.
pub struct Going<'a> {
    /// The columns that tell it.
    pub columns: &'a [&'a str],
    /// Narrows the scan to the files that may hold such rows.
    pub narrow: &'a (dyn Fn(ScanBuilder) -> Result<ScanBuilder> + Sync),
    /// Marks the rows that go; the batch has the columns.
    pub goes: &'a (dyn Fn(&RecordBatch) -> BooleanArray + Sync),
}

impl Commit {
    /// Takes rows out of the app's table of this name, if it has one; gives how many. Until the
    /// commit has ended no small files of the table are joined. After an error give the commit
    /// to [`Commit::abandon`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for unknown columns, [`Error::Corrupt`] if a file cannot be read, and
    /// what writing fails with.
    pub async fn take_out(&mut self, table: &str, going: &Going<'_>) -> Result<u64> {
        let (lake, app) = self.place();
        let Some(found) = lake.table(&app, table).await? else { return Ok(0) };
        self.hold(lake.known().turn_of(found.location()).lock_owned().await);
        // What was committed while this waited is seen, too.
        let table = lake
            .table(&app, table)
            .await?
            .ok_or_else(|| Error::NotFound(format!("app {app} has no table {table} any more")))?;
        let mut removed = 0;
        for file in (going.narrow)(table.scan(going.columns))?.by_file().await? {
            let mut marked = 0;
            let mut batches = file.read();
            while let Some(batch) = batches.next().await {
                marked += (going.goes)(&batch?).true_count() as u64;
            }
            if marked == 0 {
                continue;
            }
            let kept = if marked == file.rows() {
                Vec::new()
            } else {
                kept(&table, &file.file, going).await?
            };
            self.exchange(&table, file.file, kept);
            removed += marked;
        }
        Ok(removed)
    }

    /// Ends the commit without effect and removes the files that were to be part of it.
    pub async fn abandon(self) {
        self.remove_added().await;
    }
}

/// What stays of a file, written again.
async fn kept(
    table: &Table,
    file: &iceberg::spec::DataFile,
    going: &Going<'_>,
) -> Result<Vec<DataFile>> {
    let all: Vec<&str> =
        table.arrow_schema().fields().iter().map(|field| field.name().as_str()).collect();
    let mut writer = table.writer();
    let mut batches = table.read_files(&all, std::slice::from_ref(file))?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let told = going
            .columns
            .iter()
            .map(|column| Ok(batch.schema_ref().index_of(column)?))
            .collect::<Result<Vec<_>>>()?;
        let stays = not(&(going.goes)(&batch.project(&told)?))?;
        writer.write(filter_record_batch(&batch, &stays)?).await?;
    }
    writer.close().await
}
