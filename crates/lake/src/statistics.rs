//! Column statistics of a Parquet file as Iceberg's manifests have them, by which every reader
//! prunes.
//!
//! Only the columns that every row has get any: time, user, event, source and the like. A property
//! of a few events prunes hardly a file, and with hundreds of properties its statistics would be
//! most of what each commit writes and each plan reads.

use crate::datum::decimal;
use iceberg::spec::{
    DataFileBuilder, Datum, NestedField, NestedFieldRef, PrimitiveType, Schema, Type,
};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;
use std::collections::HashMap;

/// Texts in bounds are cut to so many characters, as Iceberg's mode `truncate(16)`.
const BOUND_CHARS: usize = 16;

#[derive(Default)]
struct Columns {
    sizes: HashMap<i32, u64>,
    values: HashMap<i32, u64>,
    nulls: HashMap<i32, u64>,
    lower: HashMap<i32, Datum>,
    upper: HashMap<i32, Datum>,
}

/// Whether the column has statistics.
fn prunes(field: &NestedField) -> bool {
    field.required && field.field_type.is_primitive()
}

/// Iceberg's table properties that tell other engines to write the same statistics.
pub(crate) fn metrics_modes(schema: &Schema) -> impl Iterator<Item = (String, String)> {
    let of_column = |field: &NestedFieldRef| {
        let mode = match field.field_type.as_primitive_type() {
            Some(PrimitiveType::String) => format!("truncate({BOUND_CHARS})"),
            _ => "full".to_owned(),
        };
        (format!("write.metadata.metrics.column.{}", field.name), mode)
    };
    let columns: Vec<_> =
        schema.as_struct().fields().iter().filter(|f| prunes(f)).map(of_column).collect();
    std::iter::once(("write.metadata.metrics.default".to_owned(), "none".to_owned())).chain(columns)
}

/// Sets sizes, counts, bounds and split offsets.
pub(crate) fn describe(builder: &mut DataFileBuilder, schema: &Schema, parquet: &ParquetMetaData) {
    let mut columns = Columns::default();
    let mut unbounded = Vec::new();
    for chunk in parquet.row_groups().iter().flat_map(|g| g.columns()) {
        let info = chunk.column_descr().self_type().get_basic_info();
        if info.has_id() && schema.as_struct().field_by_id(info.id()).is_some_and(|f| prunes(f)) {
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

fn add(
    columns: &mut Columns,
    unbounded: &mut Vec<i32>,
    schema: &Schema,
    id: i32,
    chunk: &ColumnChunkMetaData,
) {
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
    let smaller =
        columns.lower.get(&id).is_none_or(|old| lower.partial_cmp(old).is_some_and(|o| o.is_lt()));
    if smaller {
        columns.lower.insert(id, lower);
    }
    let greater =
        columns.upper.get(&id).is_none_or(|old| upper.partial_cmp(old).is_some_and(|o| o.is_gt()));
    if greater {
        columns.upper.insert(id, upper);
    }
}

fn primitive(ty: &Type) -> Option<&PrimitiveType> {
    ty.as_primitive_type()
}

fn bounds(statistics: &Statistics, ty: &PrimitiveType) -> Option<(Datum, Datum)> {
    let pair = |of: &dyn Fn(&[u8]) -> Option<Datum>| {
        Some((of(statistics.min_bytes_opt()?)?, of(statistics.max_bytes_opt()?)?))
    };
    match (ty, statistics.physical_type()) {
        (PrimitiveType::Boolean, PhysicalType::BOOLEAN) => pair(&|b| Some(Datum::bool(b != [0]))),
        (PrimitiveType::Date, PhysicalType::INT32) => {
            pair(&|b| Some(Datum::date(i32::from_le_bytes(b.try_into().ok()?))))
        }
        (PrimitiveType::Long, PhysicalType::INT64) => {
            pair(&|b| Some(Datum::long(i64::from_le_bytes(b.try_into().ok()?))))
        }
        (PrimitiveType::Timestamptz, PhysicalType::INT64) => {
            pair(&|b| Some(Datum::timestamptz_micros(i64::from_le_bytes(b.try_into().ok()?))))
        }
        (PrimitiveType::String, PhysicalType::BYTE_ARRAY) => {
            let lower = lower_text(std::str::from_utf8(statistics.min_bytes_opt()?).ok()?);
            let upper = upper_text(std::str::from_utf8(statistics.max_bytes_opt()?).ok()?)?;
            Some((Datum::string(lower), Datum::string(upper)))
        }
        (PrimitiveType::Decimal { .. }, PhysicalType::FIXED_LEN_BYTE_ARRAY) => {
            pair(&|b| decimal(i128::from_be_bytes(b.try_into().ok()?), ty.clone()))
        }
        _ => None,
    }
}

/// A short text that is not above `text`.
fn lower_text(text: &str) -> &str {
    text.char_indices().nth(BOUND_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// A short text that is not below `text`: its beginning with the last character raised that can be.
/// `None` if there is none.
fn upper_text(text: &str) -> Option<String> {
    let beginning = lower_text(text);
    if beginning.len() == text.len() {
        return Some(text.to_owned());
    }
    let mut characters: Vec<char> = beginning.chars().collect();
    while let Some(last) = characters.pop() {
        // The next number may be none of a character: those of surrogates are passed over.
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_long_texts_are_short_and_hold() {
        let check = |text: &str, lower: &str, upper: Option<&str>| {
            assert_eq!((lower_text(text), upper_text(text).as_deref()), (lower, upper), "{text}");
            assert!(lower_text(text) <= text);
            assert!(upper_text(text).is_none_or(|upper| upper.as_str() >= text));
        };
        check("", "", Some(""));
        check("sixteen letters.", "sixteen letters.", Some("sixteen letters."));
        check("sixteen letters.!", "sixteen letters.", Some("sixteen letters/"));
        check("ääääääääääääääääx", "ääääääääääääääää", Some("äääääääääääääääå"));
        let highest = char::MAX.to_string();
        check(&format!("a{}", highest.repeat(16)), &format!("a{}", highest.repeat(15)), Some("b"));
        check(&highest.repeat(17), &highest.repeat(16), None);
        let before_surrogates = format!("aaaaaaaaaaaaaaa{}b", '\u{D7FF}');
        check(
            &before_surrogates,
            &before_surrogates[..before_surrogates.len() - 1],
            Some(&format!("aaaaaaaaaaaaaaa{}", '\u{E000}')),
        );
    }
}
