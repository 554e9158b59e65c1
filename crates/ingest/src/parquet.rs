//! Parquet files: columns by name, batch by batch. A column of texts, numbers, dates or times is read as such; lists and structures as
//! their JSON.

use crate::cell::{Cell, Row};
use crate::csv::HeaderMatch;
use crate::input::{AfterRow, Halt};
use crate::reject::{Fault, Reason};
use crate::row::RowReader;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

const BATCH_ROWS: usize = 8192;

/// Reads a whole file into `rows`; see [`crate::csv::read`].
///
/// # Errors
/// The file is no Parquet file, or is damaged.
pub(crate) fn read(path: &Path, rows: &mut RowReader, after_row: &mut AfterRow<'_>) -> Result<(), Halt> {
    let damaged = |e: parquet::errors::ParquetError| Halt::Damaged(format!("the Parquet data is damaged: {e}"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?).map_err(damaged)?;
    let header: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let matched = HeaderMatch::new(&header, rows)?;
    let mut wanted: Vec<usize> = matched.columns.iter().flatten().copied().chain(matched.kept.iter().map(|(at, _)| *at)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
    let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(damaged)?;
    let place = |at: usize| wanted.binary_search(&at).ok();
    let columns: Vec<_> = matched.columns.iter().map(|at| at.and_then(place)).collect();
    let kept: Vec<_> = matched.kept.iter().filter_map(|(at, name)| Some((place(*at)?, name.clone()))).collect();
    let mut number = 0;
    for batch in batches {
        let batch = batch.map_err(|e| Halt::Damaged(format!("the Parquet data is damaged: {e}")))?;
        let cells = batch.columns().iter().map(Cells::new).collect::<Result<Vec<_>, _>>();
        let cells = cells.map_err(|e| Halt::Damaged(format!("a column cannot be read: {e}")))?;
        let size = batch.get_array_memory_size() / batch.num_rows().max(1);
        for at in 0..batch.num_rows() {
            number += 1;
            let row = ParquetRow { cells: &cells, columns: &columns, kept: &kept, batch: &batch, at, size };
            match row.fault() {
                Some(fault) => rows.push_broken(number, &fault, &row.raw()),
                None => rows.push(number, &row),
            }
            after_row(rows)?;
        }
    }
    Ok(())
}

/// A column in one of few forms.
enum Cells {
    Text(StringArray),
    Bytes(BinaryArray),
    Bool(BooleanArray),
    Int(Int64Array),
    Float(Float64Array),
    ShortFloat(Float32Array),
    Decimal(Decimal128Array, u8),
    Day(Date32Array),
    Instant(TimestampMicrosecondArray),
    Wall(TimestampMicrosecondArray),
    Nested(StringArray),
    Null,
}

impl Cells {
    fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        use DataType as D;
        let to = |ty: &DataType| cast(array, ty);
        Ok(match array.data_type() {
            D::Null => Self::Null,
            D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Self::Bytes(to(&D::Binary)?.as_binary::<i32>().clone()),
            D::Boolean => Self::Bool(array.as_boolean().clone()),
            D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 => Self::Int(to(&D::Int64)?.as_primitive().clone()),
            D::UInt64 => Self::Decimal(to(&D::Decimal128(20, 0))?.as_primitive().clone(), 0),
            D::Float16 | D::Float32 => Self::ShortFloat(to(&D::Float32)?.as_primitive().clone()),
            D::Float64 => Self::Float(array.as_primitive().clone()),
            D::Decimal32(_, scale) | D::Decimal64(_, scale) | D::Decimal128(_, scale) => {
                let scale = (*scale).max(0);
                let same = to(&D::Decimal128(38, scale))?;
                Self::Decimal(same.as_primitive().clone(), scale.unsigned_abs())
            }
            D::Date32 | D::Date64 => Self::Day(to(&D::Date32)?.as_primitive().clone()),
            D::Timestamp(_, zone) => {
                let micros = to(&D::Timestamp(TimeUnit::Microsecond, zone.clone()))?.as_primitive().clone();
                if zone.is_some() { Self::Instant(micros) } else { Self::Wall(micros) }
            }
            D::List(_) | D::LargeList(_) | D::FixedSizeList(..) | D::Struct(_) | D::Map(..) => Self::Nested(json_texts(array)?),
            _ => Self::Text(to(&D::Utf8)?.as_string::<i32>().clone()),
        })
    }

    fn cell(&self, at: usize) -> Cell<'_> {
        let null = match self {
            Self::Text(array) | Self::Nested(array) => array.is_null(at),
            Self::Bytes(array) => array.is_null(at),
            Self::Bool(array) => array.is_null(at),
            Self::Int(array) => array.is_null(at),
            Self::Float(array) => array.is_null(at),
            Self::ShortFloat(array) => array.is_null(at),
            Self::Decimal(array, _) => array.is_null(at),
            Self::Day(array) => array.is_null(at),
            Self::Instant(array) | Self::Wall(array) => array.is_null(at),
            Self::Null => true,
        };
        if null {
            return Cell::None;
        }
        match self {
            Self::Text(array) => Cell::Text(array.value(at)),
            Self::Bytes(array) => std::str::from_utf8(array.value(at)).map_or(Cell::None, Cell::Text),
            Self::Bool(array) => Cell::Bool(array.value(at)),
            Self::Int(array) => Cell::Int(array.value(at)),
            Self::Float(array) => Cell::Float(array.value(at)),
            // By its own shortest text: 0.1 shall not become 0.10000000149011612.
            Self::ShortFloat(array) => array.value(at).to_string().parse().map_or(Cell::None, Cell::Float),
            Self::Decimal(array, scale) => Cell::Decimal { units: array.value(at), scale: *scale },
            Self::Day(array) => Cell::Day(array.value(at)),
            Self::Instant(array) => Cell::Instant(array.value(at).div_euclid(1000)),
            Self::Wall(array) => Cell::Wall(array.value(at).div_euclid(1000)),
            Self::Nested(array) => Cell::Nested(array.value(at)),
            Self::Null => Cell::None,
        }
    }
}

/// Each value of a list or structure as JSON.
fn json_texts(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    const HEAD: usize = "{\"v\":".len();
    let schema = Arc::new(Schema::new(vec![Field::new("v", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::clone(array)])?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(&batch)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner()).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    let texts = text.lines().enumerate().map(|(at, line)| if array.is_null(at) { None } else { line.get(HEAD..line.len() - 1) });
    Ok(texts.collect())
}

struct ParquetRow<'r> {
    cells: &'r [Cells],
    columns: &'r [Option<usize>],
    kept: &'r [(usize, String)],
    batch: &'r RecordBatch,
    at: usize,
    /// The mean of the batch, in bytes.
    size: usize,
}

impl ParquetRow<'_> {
    /// Only columns of bytes can hold what is not UTF-8.
    fn fault(&self) -> Option<Fault> {
        let wrong = |cells: &Cells| matches!(cells, Cells::Bytes(array) if array.is_valid(self.at) && std::str::from_utf8(array.value(self.at)).is_err());
        let column = self.cells.iter().position(wrong)?;
        Some(Fault::new(Reason::NotUtf8, format!("column \"{}\" is not UTF-8", self.batch.schema_ref().field(column).name())))
    }
}

impl Row for ParquetRow<'_> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        self.columns[slot].map_or(Cell::None, |column| self.cells[column].cell(self.at))
    }

    fn extra(&self) -> Option<String> {
        let members: serde_json::Map<_, _> =
            self.kept.iter().filter_map(|(column, name)| Some((name.clone(), self.cells[*column].cell(self.at).json()?))).collect();
        (!members.is_empty()).then(|| serde_json::Value::Object(members).to_string())
    }

    /// The columns that were read, as a JSON object.
    fn raw(&self) -> Cow<'_, [u8]> {
        let fields = self.batch.schema_ref().fields().iter();
        let members: serde_json::Map<_, _> =
            fields.zip(self.cells).filter_map(|(field, cells)| Some((field.name().clone(), cells.cell(self.at).json()?))).collect();
        Cow::Owned(serde_json::Value::Object(members).to_string().into_bytes())
    }

    fn size(&self) -> usize {
        self.size
    }
}
