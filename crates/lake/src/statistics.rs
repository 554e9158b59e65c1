//! Column statistics of a Parquet file as Iceberg's manifests have them, by which every reader prunes.

use crate::datum::decimal;
use iceberg::spec::{DataFileBuilder, Datum, PrimitiveType, Schema, Type};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;
use std::collections::HashMap;

#[derive(Default)]
struct Columns {
    sizes: HashMap<i32, u64>,
    values: HashMap<i32, u64>,
    nulls: HashMap<i32, u64>,
    lower: HashMap<i32, Datum>,
    upper: HashMap<i32, Datum>,
}

/// Sets sizes, counts, bounds and split offsets.
pub(crate) fn describe(builder: &mut DataFileBuilder, schema: &Schema, parquet: &ParquetMetaData) {
    let mut columns = Columns::default();
    let mut unbounded = Vec::new();
    for chunk in parquet.row_groups().iter().flat_map(|g| g.columns()) {
        let info = chunk.column_descr().self_type().get_basic_info();
        if info.has_id() {
            add(&mut columns, &mut unbounded, schema, info.id(), chunk);
        }
    }
    // One row group without bounds leaves the file without them.
    for id in unbounded {
        columns.lower.remove(&id);
        columns.upper.remove(&id);
    }
    builder
        .column_sizes(columns.sizes)
        .value_counts(columns.values)
        .null_value_counts(columns.nulls)
        .lower_bounds(columns.lower)
        .upper_bounds(columns.upper)
        .split_offsets(Some(parquet.row_groups().iter().filter_map(|g| g.file_offset()).collect()));
}

fn add(columns: &mut Columns, unbounded: &mut Vec<i32>, schema: &Schema, id: i32, chunk: &ColumnChunkMetaData) {
    *columns.sizes.entry(id).or_default() += u64::try_from(chunk.compressed_size()).unwrap_or(0);
    let values = u64::try_from(chunk.num_values()).unwrap_or(0);
    *columns.values.entry(id).or_default() += values;
    let Some(statistics) = chunk.statistics() else {
        unbounded.push(id);
        return;
    };
    let nulls = statistics.null_count_opt();
    if let Some(nulls) = nulls {
        *columns.nulls.entry(id).or_default() += nulls;
    }
    // Elements of lists have no bounds.
    if chunk.column_path().parts().len() > 1 || nulls == Some(values) {
        return;
    }
    let ty = schema.field_by_id(id).and_then(|f| primitive(&f.field_type));
    let Some((lower, upper)) = ty.and_then(|ty| bounds(statistics, ty)) else {
        unbounded.push(id);
        return;
    };
    let smaller = columns.lower.get(&id).is_none_or(|old| lower.partial_cmp(old).is_some_and(|o| o.is_lt()));
    if smaller {
        columns.lower.insert(id, lower);
    }
    let greater = columns.upper.get(&id).is_none_or(|old| upper.partial_cmp(old).is_some_and(|o| o.is_gt()));
    if greater {
        columns.upper.insert(id, upper);
    }
}

fn primitive(ty: &Type) -> Option<&PrimitiveType> {
    ty.as_primitive_type()
}

fn bounds(statistics: &Statistics, ty: &PrimitiveType) -> Option<(Datum, Datum)> {
    let pair = |of: &dyn Fn(&[u8]) -> Option<Datum>| Some((of(statistics.min_bytes_opt()?)?, of(statistics.max_bytes_opt()?)?));
    match (ty, statistics.physical_type()) {
        (PrimitiveType::Boolean, PhysicalType::BOOLEAN) => pair(&|b| Some(Datum::bool(b != [0]))),
        (PrimitiveType::Date, PhysicalType::INT32) => pair(&|b| Some(Datum::date(i32::from_le_bytes(b.try_into().ok()?)))),
        (PrimitiveType::Long, PhysicalType::INT64) => pair(&|b| Some(Datum::long(i64::from_le_bytes(b.try_into().ok()?)))),
        (PrimitiveType::Timestamptz, PhysicalType::INT64) => {
            pair(&|b| Some(Datum::timestamptz_micros(i64::from_le_bytes(b.try_into().ok()?))))
        }
        (PrimitiveType::String, PhysicalType::BYTE_ARRAY) => pair(&|b| Some(Datum::string(std::str::from_utf8(b).ok()?))),
        (PrimitiveType::Decimal { .. }, PhysicalType::FIXED_LEN_BYTE_ARRAY) => {
            pair(&|b| decimal(i128::from_be_bytes(b.try_into().ok()?), ty.clone()))
        }
        _ => None,
    }
}
