//! Users with their values as a file: what is encoded of a piece.

use crate::error::encode;
use crate::target::text;
use crate::{Change, Error, Member, Order, Piece, Result};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_model::{Value, ValueType};

/// The encoded size of a row group of a Parquet file; until a group is full it is in memory.
const ROW_GROUP_BYTES: usize = 8 << 20;
/// Digits of every decimal column, as the lake has them.
const DECIMAL_DIGITS: u8 = 38;

/// A file in the making.
pub(crate) enum RowFile {
    /// With a header line; the writer keeps nothing.
    Csv,
    /// An object a line.
    Jsonl,
    /// `None` until there is a row: its columns are those of the first piece.
    Parquet(Option<Box<ArrowWriter<Vec<u8>>>>),
    /// Whether 64 bits wide, and the ordinals so far.
    Roaring { wide: bool, set: Bitmap },
}

impl RowFile {
    pub(crate) fn of(format: &str) -> Result<Self> {
        Ok(match format {
            "csv" => Self::Csv,
            "jsonl" => Self::Jsonl,
            "parquet" => Self::Parquet(None),
            "roaring" => Self::Roaring { wide: false, set: Bitmap::new() },
            "roaring64" => Self::Roaring { wide: true, set: Bitmap::new() },
            _ => return Err(Error::UnknownFormat(format.to_owned())),
        })
    }

    /// What comes before the first row.
    pub(crate) fn header(&mut self, order: &Order) -> Result<Vec<u8>> {
        match self {
            Self::Csv => {
                let own = order.since.map(|_| "change");
                let names = own.into_iter().chain([order.id.as_str()]);
                let names = names.chain(order.columns.iter().map(|column| column.name.as_str()));
                let mut writer = csv::Writer::from_writer(Vec::new());
                writer.write_record(names).map_err(encode("csv"))?;
                writer.into_inner().map_err(|error| encode("csv")(error.into_error()))
            }
            Self::Parquet(writer) => {
                let schema =
                    batch(order, Piece { number: 0, change: Change::Entered, members: &[] })?;
                *writer = Some(Box::new(parquet_writer(schema.schema())?));
                Ok(Vec::new())
            }
            Self::Jsonl | Self::Roaring { .. } => Ok(Vec::new()),
        }
    }

    /// The bytes of a piece that are ready.
    pub(crate) fn write(&mut self, order: &Order, piece: Piece<'_>) -> Result<Vec<u8>> {
        match self {
            Self::Csv => csv_rows(order, piece),
            Self::Jsonl => Ok(json_lines(order, piece)),
            Self::Parquet(Some(writer)) => {
                writer.write(&batch(order, piece)?).map_err(encode("parquet"))?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES {
                    writer.flush().map_err(encode("parquet"))?;
                }
                Ok(std::mem::take(writer.inner_mut()))
            }
            Self::Parquet(None) => Ok(Vec::new()),
            Self::Roaring { set, .. } => {
                piece.members.iter().for_each(|member| _ = set.insert(member.ordinal));
                Ok(Vec::new())
            }
        }
    }

    /// The rest.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Csv | Self::Jsonl | Self::Parquet(None) => Ok(Vec::new()),
            Self::Parquet(Some(writer)) => writer.into_inner().map_err(encode("parquet")),
            Self::Roaring { wide: false, set } => Ok(set.serialize_portable()),
            Self::Roaring { wide: true, set } => Ok(set.serialize_portable64()),
        }
    }
}

fn csv_rows(order: &Order, piece: Piece<'_>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for Member { user_id, values, .. } in piece.members {
        let change = order.since.map(|_| piece.change.as_str().to_owned());
        let values = (0..order.columns.len())
            .map(|i| values.get(i).and_then(Option::as_ref).map_or_else(String::new, text));
        let cells = change.into_iter().chain([user_id.clone()]).chain(values);
        writer.write_record(cells).map_err(encode("csv"))?;
    }
    writer.into_inner().map_err(|error| encode("csv")(error.into_error()))
}

fn json_lines(order: &Order, piece: Piece<'_>) -> Vec<u8> {
    let mut lines = String::new();
    for member in piece.members {
        let mut object = serde_json::Map::new();
        if order.since.is_some() {
            object.insert("change".to_owned(), piece.change.as_str().into());
        }
        object.extend(order.json(member));
        lines.push_str(&serde_json::Value::Object(object).to_string());
        lines.push('\n');
    }
    lines.into_bytes()
}

fn parquet_writer(schema: Arc<Schema>) -> Result<ArrowWriter<Vec<u8>>> {
    let level = ZstdLevel::try_new(1).map_err(encode("parquet"))?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(encode("parquet"))
}

/// A piece as columns: `change` in a delta, the id, the values in their types.
fn batch(order: &Order, piece: Piece<'_>) -> Result<RecordBatch> {
    let members = piece.members;
    let mut columns: Vec<(&str, ArrayRef, bool)> = Vec::new();
    if order.since.is_some() {
        let change = vec![piece.change.as_str(); members.len()];
        columns.push(("change", Arc::new(StringArray::from(change)), false));
    }
    let ids = StringArray::from_iter_values(members.iter().map(|member| &member.user_id));
    columns.push((order.id.as_str(), Arc::new(ids), false));
    for (i, column) in order.columns.iter().enumerate() {
        let values: Vec<Option<&Value>> =
            members.iter().map(|member| member.values.get(i).and_then(Option::as_ref)).collect();
        columns.push((column.name.as_str(), array(column.value_type, &values)?, true));
    }
    RecordBatch::try_from_iter_with_nullable(columns).map_err(encode("parquet"))
}

fn array(value_type: ValueType, values: &[Option<&Value>]) -> Result<ArrayRef> {
    let each = values.iter().copied();
    Ok(match value_type {
        ValueType::Bool => Arc::new(BooleanArray::from_iter(each.map(|value| match value {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }))),
        ValueType::Int => Arc::new(Int64Array::from_iter(each.map(|value| match value {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }))),
        ValueType::Decimal { scale } => {
            let units = each.map(|value| match value {
                Some(Value::Decimal(number)) => {
                    let mut number = *number;
                    number.rescale(u32::from(scale));
                    Some(number.mantissa())
                }
                Some(Value::Int(number)) => {
                    Some(i128::from(*number) * 10_i128.pow(u32::from(scale)))
                }
                _ => None,
            });
            let array = Decimal128Array::from_iter(units)
                .with_precision_and_scale(DECIMAL_DIGITS, scale.cast_signed());
            Arc::new(array.map_err(encode("parquet"))?)
        }
        ValueType::Date => Arc::new(Date32Array::from_iter(each.map(|value| match value {
            Some(Value::Date(days)) => Some(*days),
            _ => None,
        }))),
        ValueType::Time => {
            let micros = each.map(|value| match value {
                Some(Value::Time(ms)) => ms.checked_mul(1000),
                _ => None,
            });
            Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("+00:00"))
        }
        ValueType::Text => Arc::new(StringArray::from_iter(each.map(|value| match value {
            Some(Value::Text(text)) => Some(text.as_ref()),
            _ => None,
        }))),
        ValueType::Set => {
            let field = arrow::datatypes::Field::new("element", DataType::Utf8, true);
            let mut lists = ListBuilder::new(StringBuilder::new()).with_field(field);
            for value in each {
                match value {
                    Some(Value::Set(texts)) => {
                        lists.append_value(texts.iter().map(|text| Some(text.as_ref())));
                    }
                    _ => lists.append_null(),
                }
            }
            Arc::new(lists.finish())
        }
    })
}
