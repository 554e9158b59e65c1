//! One tag's values as rows of its table and as a segment of the index.

use crate::roster::Roster;
use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use std::sync::Arc;
use taghouse_fold::ColumnReader;
use taghouse_index::SegmentBuilder;
use taghouse_lake::{TableLayout, layout, layout_schema};
use taghouse_model::{Name, TimestampMs, ValueType};

/// What is written of one tag.
pub(crate) struct Output {
    pub(crate) rows: RecordBatch,
    pub(crate) segment: Vec<u8>,
    pub(crate) users: u64,
}

/// The rows and the segment of a tag, from its values in the roster's order.
pub(crate) fn build(
    tag: &Name,
    value_type: ValueType,
    values: &ArrayRef,
    roster: &Roster,
    as_of_ms: TimestampMs,
) -> Result<Output> {
    let reader = ColumnReader::new(tag.as_str(), values, value_type)?;
    let mut segment = SegmentBuilder::new(value_type);
    let mut present = Vec::with_capacity(values.len() - values.null_count());
    for (row, ordinal) in roster.ordinals.iter().enumerate() {
        if values.is_valid(row)
            && let Some(value) = reader.value(row)
        {
            segment.add(*ordinal, &value)?;
            present.push(row as u32);
        }
    }
    let table = layout::tag(tag, value_type);
    let failed = |error: arrow::error::ArrowError| Error::Rows {
        table: table.name.clone(),
        detail: error.to_string(),
    };
    let present = UInt32Array::from(present);
    let ids = arrow::compute::take(roster.ids.as_ref(), &present, None).map_err(failed)?;
    let values = arrow::compute::take(values, &present, None).map_err(failed)?;
    let rows = batch(&table, vec![as_of(present.len(), as_of_ms), ids, values])?;
    Ok(Output { users: rows.num_rows() as u64, rows, segment: segment.finish()? })
}

/// The rows of the wide table: one a user, one column a tag.
pub(crate) fn wide(
    table: &TableLayout,
    tags: Vec<ArrayRef>,
    roster: &Roster,
    as_of_ms: TimestampMs,
) -> Result<RecordBatch> {
    let ids: ArrayRef = roster.ids.clone();
    let columns = [as_of(roster.len(), as_of_ms), ids].into_iter().chain(tags).collect();
    batch(table, columns)
}

fn as_of(rows: usize, as_of_ms: TimestampMs) -> ArrayRef {
    Arc::new(
        TimestampMicrosecondArray::from_value(as_of_ms.saturating_mul(1000), rows)
            .with_timezone("+00:00"),
    )
}

fn batch(table: &TableLayout, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let schema = layout_schema(table)?;
    RecordBatch::try_new(schema, columns)
        .map_err(|error| Error::Rows { table: table.name.clone(), detail: error.to_string() })
}
