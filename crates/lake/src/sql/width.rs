//! How many bytes values take, told before they are copied or joined.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

/// The bytes of the rows that the array shows, whatever its buffers hold beside them.
pub(super) fn bytes(array: &dyn Array) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

/// The bytes of the batch's rows.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| bytes(column)).sum()
}

/// The bytes of the batch's widest row, or a little more.
pub(super) fn widest_row(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| widest(column)).sum()
}

/// The bytes of the array's widest value, or a little more.
pub(super) fn widest(array: &dyn Array) -> usize {
    let longest = |offsets: &[i32]| {
        offsets
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).unsigned_abs() as usize)
            .max()
            .unwrap_or(0)
    };
    match array.data_type() {
        DataType::Utf8 => longest(array.as_string::<i32>().value_offsets()),
        DataType::Binary => longest(array.as_binary::<i32>().value_offsets()),
        DataType::Utf8View => {
            array.as_string_view().iter().flatten().map(str::len).max().unwrap_or(0)
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            longest(list.value_offsets()).saturating_mul(widest(list.values().as_ref()))
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| widest(column)).sum()
        }
        other => match other.primitive_width() {
            Some(width) => width,
            // Of any other kind a row is taken to be all of them.
            None => bytes(array),
        },
    }
}

/// How many items each list of the batch holds at most in one row, added up over its rows; 0
/// without lists.
pub(super) fn list_items(batch: &RecordBatch) -> usize {
    let of = |column: &dyn Array| match column.data_type() {
        DataType::List(_) => {
            let offsets = column.as_list::<i32>().value_offsets();
            offsets
                .last()
                .zip(offsets.first())
                .map_or(0, |(last, first)| (last - first).unsigned_abs() as usize)
        }
        DataType::LargeList(_) | DataType::FixedSizeList(..) => bytes(column),
        _ => 0,
    };
    batch.columns().iter().map(|column| of(column)).sum()
}
