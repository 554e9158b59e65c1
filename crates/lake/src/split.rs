//! Rows by the partition they belong to.

use crate::layout::Partition;
use crate::{Error, Result};
use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use iceberg::spec::{Literal, Struct};
use std::collections::BTreeMap;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// A partition's value. Ordered, so that files come out in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PartitionKey {
    /// The table is not cut.
    Whole,
    /// Days since 1970-01-01, of a day partition or a date.
    Day(i32),
    /// A whole number.
    Int(i64),
    /// Microseconds since 1970.
    Time(i64),
    Text(String),
}

impl PartitionKey {
    /// The partition tuple of a data file.
    pub(crate) fn tuple(&self) -> Struct {
        let literal = match self {
            Self::Whole => return Struct::empty(),
            Self::Day(days) => Literal::date(*days),
            Self::Int(v) => Literal::long(*v),
            Self::Time(micros) => Literal::timestamptz(*micros),
            Self::Text(text) => Literal::string(text),
        };
        Struct::from_iter([Some(literal)])
    }

    /// A folder name that every file system and URL parser takes; two keys may share one.
    pub(crate) fn folder(&self, partition: &Partition) -> String {
        let value = match self {
            Self::Whole => return String::new(),
            Self::Day(days) => day(*days),
            Self::Int(v) => v.to_string(),
            Self::Time(micros) => {
                let rest = micros.rem_euclid(MICROS_A_DAY);
                let day = day(i32::try_from(micros.div_euclid(MICROS_A_DAY)).unwrap_or(0));
                let seconds = rest / 1_000_000;
                format!(
                    "{day}T{:02}-{:02}-{:02}.{:03}",
                    seconds / 3600,
                    seconds / 60 % 60,
                    seconds % 60,
                    rest / 1000 % 1000
                )
            }
            Self::Text(text) => text
                .chars()
                .take(40)
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect(),
        };
        match partition {
            Partition::None => String::new(),
            Partition::Day(column) => format!("{column}_day={value}/"),
            Partition::Identity(column) => format!("{column}={value}/"),
        }
    }
}

fn day(days: i32) -> String {
    let span = jiff::Span::new().try_days(days).ok();
    span.and_then(|s| jiff::civil::date(1970, 1, 1).checked_add(s).ok())
        .map_or_else(|| days.to_string(), |d| d.to_string())
}

/// Cuts the batch. Its partition column has no nulls.
pub(crate) fn split(
    batch: RecordBatch,
    partition: &Partition,
) -> Result<Vec<(PartitionKey, RecordBatch)>> {
    let (column, by_day) = match partition {
        Partition::None => return Ok(vec![(PartitionKey::Whole, batch)]),
        Partition::Day(column) => (column, true),
        Partition::Identity(column) => (column, false),
    };
    let array = batch
        .column_by_name(column)
        .ok_or_else(|| Error::Internal(format!("no partition column {column}")))?
        .clone();
    match array.data_type() {
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().values();
            if by_day {
                let of_day = |day: i64| PartitionKey::Day(i32::try_from(day).unwrap_or(i32::MAX));
                cut(batch, micros.iter().map(|t| t.div_euclid(MICROS_A_DAY)), of_day)
            } else {
                cut(batch, micros.iter().copied(), PartitionKey::Time)
            }
        }
        DataType::Date32 => cut(
            batch,
            array.as_primitive::<Date32Type>().values().iter().copied(),
            PartitionKey::Day,
        ),
        DataType::Int64 => cut(
            batch,
            array.as_primitive::<Int64Type>().values().iter().copied(),
            PartitionKey::Int,
        ),
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            cut(batch, (0..texts.len()).map(|i| texts.value(i)), |t: &str| {
                PartitionKey::Text(t.to_owned())
            })
        }
        other => Err(Error::Internal(format!("a table cut by a column of Arrow type {other}"))),
    }
}

fn cut<K: Ord + Copy>(
    batch: RecordBatch,
    keys: impl Iterator<Item = K> + Clone,
    named: impl Fn(K) -> PartitionKey,
) -> Result<Vec<(PartitionKey, RecordBatch)>> {
    let Some(first) = keys.clone().next() else { return Ok(Vec::new()) };
    if keys.clone().all(|k| k == first) {
        return Ok(vec![(named(first), batch)]);
    }
    let mut rows: BTreeMap<K, Vec<u32>> = BTreeMap::new();
    // Neighbours are mostly of one partition: look it up once a run.
    let mut run: (K, Vec<u32>) = (first, Vec::new());
    for (row, key) in (0u32..).zip(keys) {
        if key != run.0 {
            let (done, mut indices) = std::mem::replace(&mut run, (key, Vec::new()));
            rows.entry(done).or_default().append(&mut indices);
        }
        run.1.push(row);
    }
    rows.entry(run.0).or_default().append(&mut run.1);
    rows.into_iter()
        .map(|(key, indices)| {
            Ok((named(key), take_record_batch(&batch, &UInt32Array::from(indices))?))
        })
        .collect()
}
