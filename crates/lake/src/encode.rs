//! Batches of one partition as Parquet files.

use crate::content;
use crate::objects::Objects;
use crate::split::PartitionKey;
use crate::statistics::describe;
use crate::table::Table;
use crate::{Error, Result};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::sync::Arc;

/// A file of this size is closed and the next one begun.
const ROLL_BYTES: usize = 128 << 20;
/// Row groups are the unit of reading in parallel and of pruning within a file.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Batches of fewer rows are joined before they are encoded, for each costs a fixed time a column.
const SMALL_BATCH_ROWS: usize = 4096;
/// Files of fewer rows are compressed with Snappy instead of Zstandard: making a Zstandard context
/// for each of their columns would take longer than the rest of writing them, and of reading them.
const SMALL_FILE_ROWS: usize = 16 << 10;
/// Columns in which hardly any text comes twice, but neighbours share prefixes.
const UNIQUE_TEXTS: [&str; 1] = ["message_id"];

/// What encoding needs of the table.
pub(crate) struct EncodeContext {
    pub(crate) table: Table,
    pub(crate) objects: Objects,
    schema: SchemaRef,
    small: WriterProperties,
    large: WriterProperties,
    runtime: tokio::runtime::Handle,
}

impl EncodeContext {
    pub(crate) fn new(table: &Table) -> Result<Self> {
        Ok(Self {
            table: table.clone(),
            objects: table.warehouse().objects.clone(),
            schema: table.file_schema().clone(),
            small: properties(Compression::SNAPPY),
            large: properties(Compression::ZSTD(ZstdLevel::try_new(1).map_err(encoding)?)),
            runtime: tokio::runtime::Handle::try_current()
                .map_err(|e| Error::Internal(format!("a table's writer outside a runtime: {e}")))?,
        })
    }
}

fn properties(compression: Compression) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by("taghouse".to_owned())
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_offset_index_disabled(true);
    for column in UNIQUE_TEXTS {
        let path = ColumnPath::from(column);
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BYTE_ARRAY);
    }
    builder.build()
}

/// A file that is being written, in memory until it is whole.
pub(crate) struct OpenFile(ArrowWriter<Vec<u8>>);

impl OpenFile {
    fn new(context: &EncodeContext, small: bool) -> Result<Self> {
        let properties = if small { &context.small } else { &context.large };
        let writer =
            ArrowWriter::try_new(Vec::new(), context.schema.clone(), Some(properties.clone()));
        Ok(Self(writer.map_err(encoding)?))
    }

    /// The size of what is held, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.0.bytes_written() + self.0.in_progress_size()
    }
}

/// Encodes the batches into `open` or a new file, and writes the files that are full, or all of
/// them with `finish`. Blocking.
pub(crate) fn encode(
    context: &Arc<EncodeContext>,
    key: &PartitionKey,
    open: Option<OpenFile>,
    batches: Vec<RecordBatch>,
    finish: bool,
) -> Result<(Option<OpenFile>, Vec<DataFile>)> {
    let small =
        finish && batches.iter().map(RecordBatch::num_rows).sum::<usize>() < SMALL_FILE_ROWS;
    let mut open = open;
    let mut files = Vec::new();
    for batch in joined(context, batches)? {
        let mut file = match open.take() {
            Some(file) => file,
            None => OpenFile::new(context, small)?,
        };
        file.0.write(&batch).map_err(encoding)?;
        if file.size_bytes() >= ROLL_BYTES {
            files.push(close(context, key, file)?);
        } else {
            open = Some(file);
        }
    }
    if finish && let Some(file) = open.take() {
        files.push(close(context, key, file)?);
    }
    Ok((open, files))
}

fn joined(context: &EncodeContext, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if batches.len() > 1 && rows < batches.len() * SMALL_BATCH_ROWS {
        return Ok(vec![concat_batches(&context.schema, &batches)?]);
    }
    Ok(batches)
}

fn close(context: &EncodeContext, key: &PartitionKey, mut file: OpenFile) -> Result<DataFile> {
    let parquet = file.0.finish().map_err(encoding)?;
    let bytes = Bytes::from(std::mem::take(file.0.inner_mut()));
    let table = &context.table;
    let folder = key.folder(&table.partition());
    let path = content::named(
        &format!("{}/data/{folder}{}.parquet", table.location(), uuid::Uuid::new_v4()),
        &bytes,
    );
    let mut builder = DataFileBuilder::default();
    builder
        .content(DataContentType::Data)
        .file_path(path.clone())
        .file_format(DataFileFormat::Parquet)
        .partition(key.tuple())
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(u64::try_from(parquet.file_metadata().num_rows()).unwrap_or(0))
        .file_size_in_bytes(bytes.len() as u64);
    describe(&mut builder, table.metadata().current_schema(), &parquet);
    let described =
        builder.build().map_err(|e| Error::Internal(format!("data file {path}: {e}")))?;
    context.runtime.block_on(context.objects.write(&path, bytes))?;
    Ok(described)
}

fn encoding(e: parquet::errors::ParquetError) -> Error {
    Error::Internal(format!("parquet: {e}"))
}
