//! Data files as batches: columns by field id, absent ones null.

use crate::objects::Objects;
use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use iceberg::io::FileRead;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use std::ops::Range;
use std::sync::Arc;

/// Batches of one partition of a scan.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

const BATCH_ROWS: usize = 8192;
/// Smaller files are read whole with one request.
const SMALL_FILE_BYTES: u64 = 1 << 20;
/// How much of a large file's end is read at first: mostly the whole footer.
const TAIL_BYTES: u64 = 64 << 10;

/// A file, or a part of it.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) path: Arc<str>,
    pub(crate) file_bytes: u64,
    /// Row groups whose middle lies in this range of the file.
    pub(crate) range: Range<u64>,
}

/// A column that a scan gives.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) field_id: i32,
    pub(crate) data_type: DataType,
}

pub(crate) fn stream(
    objects: Objects,
    schema: SchemaRef,
    targets: Arc<Vec<Target>>,
    pieces: Vec<Piece>,
) -> BatchStream {
    let opened = futures::stream::iter(pieces).then(move |piece| {
        let (objects, schema, targets) = (objects.clone(), schema.clone(), targets.clone());
        async move { open(&objects, schema, targets, piece).await }
    });
    opened.try_flatten().boxed()
}

async fn open(
    objects: &Objects,
    schema: SchemaRef,
    targets: Arc<Vec<Target>>,
    piece: Piece,
) -> Result<BatchStream> {
    let path = piece.path.clone();
    let corrupt = |e: ParquetError| Error::corrupt(&path, e);
    let mut source = Source::open(objects, &piece).await?;
    // Types come from Parquet's own schema: other engines write no Arrow schema, and parsing ours
    // costs more than it tells.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let parquet = source.get_metadata(Some(&options)).await.map_err(corrupt)?;
    let groups: Vec<usize> = (0..parquet.num_row_groups())
        .filter(|&i| piece.range.contains(&middle(parquet.row_group(i))))
        .collect();
    let roots = roots(&parquet, &targets);
    let present: Vec<usize> = roots.iter().copied().flatten().collect();
    if present.is_empty() {
        let rows: usize = groups
            .iter()
            .map(|&i| usize::try_from(parquet.row_group(i).num_rows()).unwrap_or(0))
            .sum();
        return Ok(nulls(schema, rows).map(Ok).boxed());
    }
    let mask =
        ProjectionMask::roots(parquet.file_metadata().schema_descr(), present.iter().copied());
    let metadata = ArrowReaderMetadata::try_new(parquet, options).map_err(corrupt)?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(source, metadata);
    let batches = builder
        .with_projection(mask)
        .with_row_groups(groups)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(corrupt)?;
    // The reader gives the columns in the file's order.
    let mut sorted = present;
    sorted.sort_unstable();
    sorted.dedup();
    let positions: Vec<Option<usize>> =
        roots.iter().map(|root| root.and_then(|r| sorted.iter().position(|s| *s == r))).collect();
    let path = piece.path;
    let shaped = batches.map(move |batch| {
        let batch = batch.map_err(|e| Error::corrupt(&path, e))?;
        shape(&path, &schema, &targets, &positions, &batch)
    });
    Ok(shaped.boxed())
}

/// Where the middle of a row group lies in its file.
fn middle(group: &RowGroupMetaData) -> u64 {
    let begin = group.columns().first().map_or(0, |c| c.byte_range().0);
    begin + u64::try_from(group.compressed_size()).unwrap_or(0) / 2
}

/// For each column asked for its position among the file's root columns.
fn roots(parquet: &ParquetMetaData, targets: &[Target]) -> Vec<Option<usize>> {
    let fields = parquet.file_metadata().schema_descr().root_schema().get_fields();
    let has =
        |info: &parquet::schema::types::BasicTypeInfo, id: i32| info.has_id() && info.id() == id;
    targets
        .iter()
        .map(|t| fields.iter().position(|f| has(f.get_basic_info(), t.field_id)))
        .collect()
}

/// Batches of nulls, or of no columns at all.
fn nulls(schema: SchemaRef, rows: usize) -> BoxStream<'static, RecordBatch> {
    let sizes = (0..rows).step_by(BATCH_ROWS).map(move |start| BATCH_ROWS.min(rows - start));
    futures::stream::iter(sizes)
        .filter_map(move |size| {
            let columns =
                schema.fields().iter().map(|f| new_null_array(f.data_type(), size)).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(size));
            let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options).ok();
            async move { batch }
        })
        .boxed()
}

fn shape(
    path: &str,
    schema: &SchemaRef,
    targets: &[Target],
    positions: &[Option<usize>],
    batch: &RecordBatch,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut columns = Vec::with_capacity(targets.len());
    for (target, position) in targets.iter().zip(positions) {
        columns.push(match position {
            Some(position) => typed(path, batch.column(*position), &target.data_type)?,
            None => new_null_array(&target.data_type, rows),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::corrupt(path, e))
}

fn typed(path: &str, array: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    match (array.data_type(), ty) {
        (from, to) if from == to => Ok(array.clone()),
        // The same instants under another name of UTC.
        (
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)),
        ) => Ok(Arc::new(
            array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone(zone.clone()),
        )),
        (_, to) => cast(array, to).map_err(|e| Error::corrupt(path, e)),
    }
}

/// The bytes of one file.
enum Source {
    Whole(Bytes),
    Ranges { file: Box<dyn FileRead>, file_bytes: u64 },
}

impl Source {
    async fn open(objects: &Objects, piece: &Piece) -> Result<Self> {
        if piece.file_bytes > SMALL_FILE_BYTES {
            return Ok(Self::Ranges {
                file: objects.open(&piece.path).await?,
                file_bytes: piece.file_bytes,
            });
        }
        let bytes = objects.read(&piece.path).await?;
        if bytes.len() as u64 != piece.file_bytes {
            return Err(Error::corrupt(
                &piece.path,
                format!("it has {} bytes instead of {}", bytes.len(), piece.file_bytes),
            ));
        }
        Ok(Self::Whole(bytes))
    }

    async fn range(&self, range: Range<u64>) -> std::result::Result<Bytes, ParquetError> {
        match self {
            Self::Whole(bytes) => {
                let cut = |v: u64| usize::try_from(v).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(cut(range.start)..cut(range.end)))
            }
            Self::Ranges { file, .. } => {
                file.read(range).await.map_err(|e| ParquetError::External(Box::new(e)))
            }
        }
    }
}

impl AsyncFileReader for Source {
    fn get_bytes(
        &mut self,
        range: Range<u64>,
    ) -> BoxFuture<'_, std::result::Result<Bytes, ParquetError>> {
        async move { self.range(range).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, std::result::Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let mut reader = ParquetMetaDataReader::new();
            match self {
                Self::Whole(bytes) => reader.try_parse(bytes)?,
                Self::Ranges { file_bytes, .. } => {
                    let file_bytes = *file_bytes;
                    let mut wanted = TAIL_BYTES.min(file_bytes);
                    loop {
                        let tail = self.range(file_bytes - wanted..file_bytes).await?;
                        match reader.try_parse_sized(&tail, file_bytes) {
                            Err(ParquetError::NeedMoreData(more))
                                if (more as u64) > wanted && (more as u64) <= file_bytes =>
                            {
                                wanted = more as u64
                            }
                            parsed => break parsed?,
                        }
                    }
                }
            }
            Ok(Arc::new(reader.finish()?))
        }
        .boxed()
    }
}
