use crate::encode::{EncodeContext, OpenFile, encode};
use crate::layout::Partition;
use crate::pin::Writing;
use crate::split::{PartitionKey, split};
use crate::table::Table;
use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::task::JoinSet;

/// A partition with as much waiting is encoded without waiting for the end.
const ENCODE_BYTES: usize = 16 << 20;
/// The batches that wait in memory, over all partitions.
const WAITING_BYTES: usize = 256 << 20;
/// The encoded files that are open in memory, over all partitions.
const OPEN_BYTES: usize = 256 << 20;
/// Files that are encoded and written at once; more than cores, for syncing a file waits for the
/// disk.
const JOBS: usize = 8;

/// A data file on disk, not yet part of its table.
#[derive(Debug, Clone)]
pub struct DataFile {
    pub(crate) file: iceberg::spec::DataFile,
    /// Not swept while this is there.
    pub(crate) writing: Writing,
}

impl DataFile {
    /// Its absolute path.
    pub fn path(&self) -> &str {
        self.file.file_path()
    }

    /// How many rows it holds.
    pub fn rows(&self) -> u64 {
        self.file.record_count()
    }

    /// Its size on disk.
    pub fn size_bytes(&self) -> u64 {
        self.file.file_size_in_bytes()
    }
}

/// Writes batches as data files, cut by the table's partition, encoded on all cores. Many small
/// partitions are cheap.
///
/// Files are on disk when [`TableWriter::close`] returns. A writer that is dropped before removes
/// what it has written.
pub struct TableWriter {
    table: Table,
    partition: Partition,
    context: Option<Arc<EncodeContext>>,
    parts: HashMap<PartitionKey, PartitionWriter>,
    jobs: JoinSet<Result<Done>>,
    waiting_bytes: usize,
    open_bytes: usize,
    files: BTreeMap<PartitionKey, Vec<iceberg::spec::DataFile>>,
    writing: Writing,
}

#[derive(Default)]
struct PartitionWriter {
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
    open: Option<OpenFile>,
    busy: bool,
}

/// The result of a background job.
struct Done {
    key: PartitionKey,
    open: Option<OpenFile>,
    files: Vec<iceberg::spec::DataFile>,
}

impl Table {
    /// A writer of new data files, which become part of the table by a [`crate::Commit`].
    pub fn writer(&self) -> TableWriter {
        TableWriter::new(self.clone())
    }
}

impl TableWriter {
    fn new(table: Table) -> Self {
        Self {
            partition: table.partition(),
            writing: table.warehouse().pins.writing(table.warehouse().now_ms()),
            table,
            context: None,
            parts: HashMap::new(),
            jobs: JoinSet::new(),
            waiting_bytes: 0,
            open_bytes: 0,
            files: BTreeMap::new(),
        }
    }

    /// Takes a batch. Columns are found by name; nullable ones may be missing; the types are those
    /// of [`Table::arrow_schema`], or such that cast to them without loss.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a column that the table lacks, of another type, or null where it is
    /// required; [`Error::Unavailable`] if the disk is full.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = conform(&self.table, batch)?;
        for (key, rows) in split(batch, &self.partition)? {
            let bytes = rows.get_array_memory_size();
            self.waiting_bytes += bytes;
            let part = self.parts.entry(key.clone()).or_default();
            part.waiting_bytes += bytes;
            part.waiting.push(rows);
            if part.waiting_bytes >= ENCODE_BYTES && !part.busy {
                self.start(key, false)?;
            }
        }
        while let Some(done) = self.jobs.try_join_next() {
            self.take(done)?;
        }
        self.relieve().await
    }

    /// Writes what is left and gives all files, in the partitions' order.
    ///
    /// # Errors
    /// As [`TableWriter::write`]; the files written are removed then.
    pub async fn close(mut self) -> Result<Vec<DataFile>> {
        let mut keys: Vec<PartitionKey> = self.parts.keys().cloned().collect();
        keys.sort();
        for key in keys {
            // A busy part comes back before it is finished.
            while self.jobs.len() >= JOBS || self.parts.get(&key).is_some_and(|p| p.busy) {
                self.wait().await?;
            }
            self.start(key, true)?;
        }
        while !self.jobs.is_empty() {
            self.wait().await?;
        }
        let files = std::mem::take(&mut self.files).into_values().flatten();
        Ok(files.map(|file| DataFile { file, writing: self.writing.clone() }).collect())
    }

    /// Keeps memory within its bounds: encodes the largest of what waits, closes the largest open
    /// files.
    async fn relieve(&mut self) -> Result<()> {
        while self.waiting_bytes > WAITING_BYTES || self.open_bytes > OPEN_BYTES {
            let finish = self.open_bytes > OPEN_BYTES;
            let size = |p: &PartitionWriter| {
                if finish {
                    p.open.as_ref().map_or(0, OpenFile::size_bytes)
                } else {
                    p.waiting_bytes
                }
            };
            let largest = self
                .parts
                .iter()
                .filter(|(_, p)| !p.busy && size(p) > 0)
                .max_by_key(|(_, p)| size(p))
                .map(|(k, _)| k.clone());
            match largest {
                Some(key) if self.jobs.len() < JOBS => self.start(key, finish)?,
                _ if self.jobs.is_empty() => break,
                _ => self.wait().await?,
            }
        }
        Ok(())
    }

    fn start(&mut self, key: PartitionKey, finish: bool) -> Result<()> {
        let context = match &self.context {
            Some(context) => context.clone(),
            None => self.context.insert(Arc::new(EncodeContext::new(&self.table)?)).clone(),
        };
        let Some(part) = self.parts.get_mut(&key) else { return Ok(()) };
        let batches = std::mem::take(&mut part.waiting);
        let open = part.open.take();
        self.waiting_bytes -= std::mem::take(&mut part.waiting_bytes);
        self.open_bytes =
            self.open_bytes.saturating_sub(open.as_ref().map_or(0, OpenFile::size_bytes));
        part.busy = true;
        self.jobs.spawn_blocking(move || {
            let (open, files) = encode(&context, &key, open, batches, finish)?;
            Ok(Done { key, open, files })
        });
        Ok(())
    }

    async fn wait(&mut self) -> Result<()> {
        match self.jobs.join_next().await {
            Some(done) => self.take(done),
            None => Ok(()),
        }
    }

    fn take(
        &mut self,
        done: std::result::Result<Result<Done>, tokio::task::JoinError>,
    ) -> Result<()> {
        let done = done.map_err(|e| {
            Error::Internal(format!("encoding of table {} failed: {e}", self.table.name()))
        })??;
        self.open_bytes += done.open.as_ref().map_or(0, OpenFile::size_bytes);
        self.files.entry(done.key.clone()).or_default().extend(done.files);
        let part = self.parts.entry(done.key).or_default();
        part.open = done.open;
        part.busy = false;
        Ok(())
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        let mut jobs = std::mem::take(&mut self.jobs);
        let written: Vec<String> =
            self.files.values().flatten().map(|f| f.file_path().to_owned()).collect();
        if written.is_empty() && jobs.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let objects = self.table.warehouse().objects.clone();
        runtime.spawn(async move {
            objects.remove(written).await;
            while let Some(done) = jobs.join_next().await {
                if let Ok(Ok(done)) = done {
                    objects.remove(done.files.into_iter().map(|f| f.file_path().to_owned())).await;
                }
            }
        });
    }
}

/// The batch with the table's columns in the table's order and types.
fn conform(table: &Table, batch: RecordBatch) -> Result<RecordBatch> {
    let schema = table.file_schema();
    for field in batch.schema().fields() {
        if schema.field_with_name(field.name()).is_err() {
            return Err(Error::Invalid(format!(
                "table {} has no column {}: ensure the layout first",
                table.name(),
                field.name()
            )));
        }
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(table, &batch, field))
        .collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn column(table: &Table, batch: &RecordBatch, field: &Field) -> Result<ArrayRef> {
    let name = field.name();
    let array = match batch.column_by_name(name) {
        Some(array) => array.clone(),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    if !field.is_nullable() && array.null_count() > 0 {
        return Err(Error::Invalid(format!(
            "column {name} of table {} is required and would be null in {} rows",
            table.name(),
            array.null_count()
        )));
    }
    if array.data_type() == field.data_type() {
        return Ok(array);
    }
    let wrong = || {
        let wanted = field.data_type();
        Error::Invalid(format!(
            "column {name} of table {} is of Arrow type {wanted}, the batch has {}",
            table.name(),
            array.data_type()
        ))
    };
    if !lossless(array.data_type(), field.data_type()) {
        return Err(wrong());
    }
    // Not safe: what does not fit is an error, never a null.
    cast_with_options(
        &array,
        field.data_type(),
        &CastOptions { safe: false, ..CastOptions::default() },
    )
    .map_err(|_| wrong())
}

fn lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Date32, Decimal128, Dictionary, Int8, Int16, Int32, Int64, LargeList, LargeUtf8, List,
        Timestamp, UInt8, UInt16, UInt32, Utf8, Utf8View,
    };
    match (from, to) {
        (Dictionary(_, values), to) => values.as_ref() == to || lossless(values, to),
        (Utf8View | LargeUtf8, Utf8)
        | (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Int64)
        | (Date32, Date32) => true,
        (Timestamp(from, Some(_)), Timestamp(to, Some(_))) => from <= to,
        (Decimal128(_, from), Decimal128(_, to)) => from <= to,
        (List(from) | LargeList(from), List(to)) => {
            from.data_type() == to.data_type() || lossless(from.data_type(), to.data_type())
        }
        _ => false,
    }
}
