//! Parquet files: columns by name, batch by batch. A column of texts, numbers, dates or times is
//! read as such; lists and structures as their JSON.

use crate::halt::{AfterRow, Halt};
use crate::header::HeaderMatch;
use crate::input_row::Row;
use crate::reject::{Fault, Reason};
use crate::row_reader::RowReader;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use taghouse_rules::NotFinite;
use taghouse_rules::reader::Cell;

const BATCH_ROWS: usize = 8192;

/// Reads a whole file into `rows`; see [`crate::csv::read`].
///
/// # Errors
/// The file is not a Parquet file, or is damaged.
pub(crate) fn read(
    path: &Path,
    rows: &mut RowReader,
    after_row: &mut AfterRow<'_>,
) -> Result<(), Halt> {
    let damaged = |e: parquet::errors::ParquetError| {
        Halt::Damaged(format!("the Parquet data is damaged: {e}"))
    };
    let file = File::open(path)?;
    let metadata = metadata(&file).map_err(damaged)?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
    let header: Vec<String> =
        builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let matched = HeaderMatch::new(&header, rows)?;
    let mut wanted: Vec<usize> = matched
        .columns
        .iter()
        .flatten()
        .copied()
        .chain(matched.kept.iter().map(|(at, _)| *at))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
    let batches =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(damaged)?;
    let place = |at: usize| wanted.binary_search(&at).ok();
    let columns: Vec<_> = matched.columns.iter().map(|at| at.and_then(place)).collect();
    let kept: Vec<_> =
        matched.kept.iter().filter_map(|(at, name)| Some((place(*at)?, name.clone()))).collect();
    let mut number = 0;
    for batch in batches {
        let batch =
            batch.map_err(|e| Halt::Damaged(format!("the Parquet data is damaged: {e}")))?;
        let cells = batch
            .columns()
            .iter()
            .map(|column| Cells::new(column, rows.mapping().not_finite))
            .collect::<Result<Vec<_>, _>>();
        let cells = cells.map_err(|e| Halt::Damaged(format!("a column cannot be read: {e}")))?;
        let size = batch.get_array_memory_size() / batch.num_rows().max(1);
        for at in 0..batch.num_rows() {
            number += 1;
            let row = ParquetRow {
                cells: &cells,
                columns: &columns,
                kept: &kept,
                batch: &batch,
                at,
                size,
            };
            match row.fault() {
                Some(fault) => rows.push_broken(number, &fault, &row.raw()),
                None => rows.push(number, &row),
            }
            after_row(rows)?;
        }
    }
    Ok(())
}

/// What the file says of itself. Times of the old form of 96 bits are read in microseconds, for
/// nanoseconds reach from 1677 to 2262 only; those of Spark are instants, as Spark means them.
fn metadata(file: &File) -> parquet::errors::Result<ArrowReaderMetadata> {
    let found = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let columns = found.parquet_schema();
    let is_old = |root: usize| {
        let mut leaves =
            (0..columns.num_columns()).filter(|leaf| columns.get_column_root_idx(*leaf) == root);
        leaves.any(|leaf| {
            columns.column(leaf).path().parts().len() == 1
                && columns.column(leaf).physical_type() == PhysicalType::INT96
        })
    };
    let old: Vec<usize> = (0..found.schema().fields().len()).filter(|root| is_old(*root)).collect();
    if old.is_empty() {
        return Ok(found);
    }
    let said = found.metadata().file_metadata().key_value_metadata();
    let by_spark = said
        .is_some_and(|pairs| pairs.iter().any(|pair| pair.key.starts_with("org.apache.spark.")));
    let zone: Option<Arc<str>> = by_spark.then(|| "+00:00".into());
    let fields =
        found.schema().fields().iter().enumerate().map(|(root, field)| match old.contains(&root) {
            true => Arc::new(
                field
                    .as_ref()
                    .clone()
                    .with_data_type(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
            ),
            false => Arc::clone(field),
        });
    let schema =
        Schema::new_with_metadata(fields.collect::<Vec<_>>(), found.schema().metadata().clone());
    ArrowReaderMetadata::try_new(
        Arc::clone(found.metadata()),
        ArrowReaderOptions::new().with_schema(Arc::new(schema)),
    )
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
    Instant(Int64Array, TimeUnit),
    Wall(Int64Array, TimeUnit),
    Nested(StringArray),
    Null,
}

impl Cells {
    fn new(array: &ArrayRef, not_finite: NotFinite) -> Result<Self, ArrowError> {
        use DataType as D;
        // What does not fit must not become a null in silence.
        let to = |ty: &DataType| {
            cast_with_options(array, ty, &CastOptions { safe: false, ..CastOptions::default() })
        };
        Ok(match array.data_type() {
            D::Null => Self::Null,
            D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => {
                Self::Bytes(to(&D::Binary)?.as_binary::<i32>().clone())
            }
            D::Boolean => Self::Bool(array.as_boolean().clone()),
            D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 => {
                Self::Int(to(&D::Int64)?.as_primitive().clone())
            }
            D::UInt64 => Self::Decimal(to(&D::Decimal128(20, 0))?.as_primitive().clone(), 0),
            D::Float16 | D::Float32 => Self::ShortFloat(to(&D::Float32)?.as_primitive().clone()),
            D::Float64 => Self::Float(array.as_primitive().clone()),
            D::Decimal32(_, scale) | D::Decimal64(_, scale) | D::Decimal128(_, scale) => {
                let scale = (*scale).max(0);
                let same = to(&D::Decimal128(38, scale))?;
                Self::Decimal(same.as_primitive().clone(), scale.unsigned_abs())
            }
            D::Date32 | D::Date64 => Self::Day(to(&D::Date32)?.as_primitive().clone()),
            D::Timestamp(unit, zone) => {
                let counts = to(&D::Int64)?.as_primitive().clone();
                if zone.is_some() {
                    Self::Instant(counts, *unit)
                } else {
                    Self::Wall(counts, *unit)
                }
            }
            D::Dictionary(_, value) => return Self::new(&to(value)?, not_finite),
            D::RunEndEncoded(_, values) => return Self::new(&to(values.data_type())?, not_finite),
            D::List(element) | D::LargeList(element) | D::FixedSizeList(element, _)
                if element.data_type().is_floating() =>
            {
                let doubles = Field::new("element", D::Float64, true);
                Self::Nested(float_lists(to(&D::List(Arc::new(doubles)))?.as_list(), not_finite))
            }
            D::List(_) | D::LargeList(_) | D::FixedSizeList(..) | D::Struct(_) | D::Map(..) => {
                Self::Nested(json_texts(array)?)
            }
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
            Self::Instant(array, _) | Self::Wall(array, _) => array.is_null(at),
            Self::Null => true,
        };
        if null {
            return Cell::Null;
        }
        match self {
            Self::Text(array) => Cell::Text(array.value(at)),
            Self::Bytes(array) => {
                std::str::from_utf8(array.value(at)).map_or(Cell::Null, Cell::Text)
            }
            Self::Bool(array) => Cell::Bool(array.value(at)),
            Self::Int(array) => Cell::Int(array.value(at)),
            Self::Float(array) => Cell::Float(array.value(at)),
            // By its own shortest text: 0.1 shall not become 0.10000000149011612.
            Self::ShortFloat(array) => {
                array.value(at).to_string().parse().map_or(Cell::Null, Cell::Float)
            }
            Self::Decimal(array, scale) => Cell::Decimal { units: array.value(at), scale: *scale },
            Self::Day(array) => Cell::Day(array.value(at)),
            Self::Instant(array, unit) => Cell::Instant(milliseconds(array.value(at), *unit)),
            Self::Wall(array, unit) => Cell::Wall(milliseconds(array.value(at), *unit)),
            Self::Nested(array) => Cell::Nested(array.value(at)),
            Self::Null => Cell::Null,
        }
    }
}

/// What is beyond the range stays beyond every time that there is.
fn milliseconds(count: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => count.saturating_mul(1000),
        TimeUnit::Millisecond => count,
        TimeUnit::Microsecond => count.div_euclid(1_000),
        TimeUnit::Nanosecond => count.div_euclid(1_000_000),
    }
}

/// Lists of floats as JSON, each by its shortest text: whole numbers with a null among them came as
/// floats. What is not finite is null where that is no value; else it stays as it is, which is not
/// JSON, and so the row is rejected.
fn float_lists(lists: &ListArray, not_finite: NotFinite) -> StringArray {
    let no_value = |float: f64| match not_finite {
        NotFinite::NoValue => !float.is_finite(),
        NotFinite::NanIsNoValue => float.is_nan(),
        NotFinite::Reject => false,
    };
    let text = |list: ArrayRef| {
        let floats = list.as_primitive::<Float64Type>().iter().map(|float| match float {
            Some(float) if float.is_finite() => {
                Cell::Float(float).text().unwrap_or_default().into_owned()
            }
            Some(float) if !no_value(float) => float.to_string(),
            _ => "null".to_owned(),
        });
        format!("[{}]", floats.collect::<Vec<_>>().join(","))
    };
    lists.iter().map(|list| list.map(text)).collect()
}

/// Each value of a list or structure as JSON.
fn json_texts(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    const HEAD: usize = "{\"v\":".len();
    let schema = Arc::new(Schema::new(vec![Field::new("v", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::clone(array)])?;
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(&batch)?;
    writer.finish()?;
    let text =
        String::from_utf8(writer.into_inner()).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    let texts = text
        .lines()
        .enumerate()
        .map(|(at, line)| if array.is_null(at) { None } else { line.get(HEAD..line.len() - 1) });
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
        Some(Fault::new(
            Reason::NotUtf8,
            format!("column \"{}\" is not UTF-8", self.batch.schema_ref().field(column).name()),
        ))
    }
}

impl Row for ParquetRow<'_> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        self.columns[slot].map_or(Cell::Absent, |column| self.cells[column].cell(self.at))
    }

    fn extra(&self) -> Option<String> {
        let members: serde_json::Map<_, _> = self
            .kept
            .iter()
            .filter_map(|(column, name)| {
                Some((name.clone(), self.cells[*column].cell(self.at).json()?))
            })
            .collect();
        (!members.is_empty()).then(|| serde_json::Value::Object(members).to_string())
    }

    /// The columns that were read, as a JSON object.
    fn raw(&self) -> Cow<'_, [u8]> {
        let fields = self.batch.schema_ref().fields().iter();
        let members: serde_json::Map<_, _> = fields
            .zip(self.cells)
            .filter_map(|(field, cells)| Some((field.name().clone(), cells.cell(self.at).json()?)))
            .collect();
        Cow::Owned(serde_json::Value::Object(members).to_string().into_bytes())
    }

    fn size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_in_a_list_is_no_value_or_no_list_as_asked() {
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([
            Some(vec![Some(4.0), None, Some(f64::NAN), Some(0.5)]),
            None,
            Some(vec![Some(f64::INFINITY), Some(1.0)]),
        ]);
        for (not_finite, first, last) in [
            (NotFinite::NanIsNoValue, "[4,null,null,0.5]", "[inf,1]"),
            (NotFinite::NoValue, "[4,null,null,0.5]", "[null,1]"),
            (NotFinite::Reject, "[4,null,NaN,0.5]", "[inf,1]"),
        ] {
            let texts = float_lists(&lists, not_finite);
            assert_eq!(
                (texts.value(0), texts.is_null(1), texts.value(2)),
                (first, true, last),
                "{not_finite:?}"
            );
        }
    }
}
