//! Reads the data files of a table, each on its own.

use crate::Result;
use crate::plan::Scan;
use crate::read::BatchStream;
use crate::scan::ScanBuilder;
use crate::table::Table;
use crate::write::DataFile;
use futures::StreamExt;

/// A data file of a table that may hold rows of interest. It stays while this is there.
pub struct TableFile {
    pub(crate) file: iceberg::spec::DataFile,
    scan: Scan,
}

impl TableFile {
    /// Its absolute path. What it holds never changes.
    pub fn path(&self) -> &str {
        self.file.file_path()
    }

    /// How many rows it holds.
    pub fn rows(&self) -> u64 {
        self.scan.rows()
    }

    /// All its rows, with the columns of the scan.
    pub fn read(&self) -> BatchStream {
        self.scan.stream(0)
    }
}

impl ScanBuilder {
    /// The files that may hold rows of interest, in the table's order.
    ///
    /// # Errors
    /// As [`ScanBuilder::plan`].
    pub async fn by_file(self) -> Result<Vec<TableFile>> {
        let (table, columns) = (self.table().clone(), self.columns().to_vec());
        let planned = self.files().await?;
        let one = |file: iceberg::spec::DataFile| {
            let scan = Scan::of_files(&table, &columns, std::slice::from_ref(&file), 1, false)?
                .held(planned.pin.clone());
            Ok(TableFile { file, scan })
        };
        planned.files.into_iter().map(one).collect()
    }
}

impl Table {
    /// Reads a data file that was written for the table and is not yet part of it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for an unknown column.
    pub fn read_written(&self, columns: &[&str], file: &DataFile) -> Result<BatchStream> {
        self.read_files(columns, std::slice::from_ref(&file.file))
    }

    pub(crate) fn read_files(
        &self,
        columns: &[&str],
        files: &[iceberg::spec::DataFile],
    ) -> Result<BatchStream> {
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let streams = Scan::of_files(self, &columns, files, 1, false)?.partitions();
        Ok(futures::stream::iter(streams).flatten().boxed())
    }
}
