//! `sql` tags: what a query says of each user.

use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_fold::ColumnReader;
use taghouse_identities::Mapping;
use taghouse_lake::{Lake, layout, with_as_of};
use taghouse_model::{AppId, Name, TimestampMs, Value, ValueType};

/// Runs the query of an `sql` tag. `{as_of}` in it becomes the as-of time. Of `events` and
/// `attributes` it sees the rows before that time (`all_events` and `all_attributes` hold those of
/// all times); `tag_<name>` and `users_wide` hold every as-of time produced so far, and none
/// of this one if it is the first.
///
/// # Errors
/// The lake refuses the query, the result is not `user_id, value`, or a user stands in it twice.
pub(crate) async fn values(
    lake: &Lake,
    app: &AppId,
    tag: &Name,
    value_type: ValueType,
    query: &str,
    as_of_ms: TimestampMs,
    mapping: &Mapping,
) -> Result<HashMap<String, Value>> {
    let sql = |source| Error::Sql { tag: tag.clone(), source };
    let seen = [(layout::EVENTS, as_of_ms), (layout::ATTRIBUTES, as_of_ms)];
    let (schema, mut batches) = lake
        .sql_by_user(app, &with_as_of(query, as_of_ms), &seen, links(mapping))
        .await
        .map_err(sql)?;
    let wrong = |detail: String| Error::SqlResult { tag: tag.clone(), detail };
    check(&schema, value_type).map_err(wrong)?;
    let wanted = arrow_type(value_type);
    let mut values = HashMap::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(sql)?;
        let failed = |error: arrow::error::ArrowError| {
            wrong(format!("the column value does not fit the tag's type {value_type}: {error}"))
        };
        let ids = arrow::compute::cast(batch.column(0), &DataType::Utf8).map_err(failed)?;
        let ids = ids.as_string::<i32>();
        // The safe cast makes a number out of range null; that is told apart from a null by the
        // count.
        let cast = arrow::compute::cast(batch.column(1), &wanted).map_err(failed)?;
        let lost = cast.null_count() - batch.column(1).logical_null_count();
        if lost > 0 {
            return Err(wrong(format!(
                "{lost} values do not fit the tag's type {value_type}: cast or round them in the query"
            )));
        }
        let reader = ColumnReader::new("value", &cast, value_type)?;
        for row in 0..batch.num_rows() {
            if ids.is_null(row) {
                continue;
            }
            let Some(value) = reader.value(row) else { continue };
            if values.insert(ids.value(row).to_owned(), value).is_some() {
                return Err(wrong(format!(
                    "user \"{}\" stands in the result twice: group by user_id",
                    ids.value(row)
                )));
            }
        }
    }
    Ok(values)
}

/// The mapping, as the lake takes it; `None`: it says nothing.
pub(crate) fn links(mapping: &Mapping) -> Option<RecordBatch> {
    let (ids, users): (Vec<&str>, Vec<&str>) = mapping.links_by_id().unzip();
    let column = |texts: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    let columns = [("linked_id", column(ids)), ("linked_user", column(users))];
    RecordBatch::try_from_iter(columns).ok().filter(|links| links.num_rows() > 0)
}

fn check(schema: &Schema, value_type: ValueType) -> std::result::Result<(), String> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if names != ["user_id", "value"] {
        return Err(format!(
            "the query gives the columns {}: select exactly user_id and value",
            names.join(", ")
        ));
    }
    let found = schema.field(1).data_type();
    if let (ValueType::Decimal { scale: kept }, DataType::Decimal128(_, scale)) =
        (value_type, found)
        && *scale > kept.cast_signed()
    {
        return Err(format!(
            "the column value has {scale} digits after the point, the tag keeps {kept}: round and cast it in the query, such as CAST(round(…, {kept}) AS DECIMAL(38, {kept}))"
        ));
    }
    let fits = match value_type {
        ValueType::Bool => matches!(found, DataType::Boolean),
        ValueType::Int => found.is_integer(),
        ValueType::Decimal { .. } => {
            found.is_integer() || matches!(found, DataType::Decimal128(..))
        }
        ValueType::Date => matches!(found, DataType::Date32),
        ValueType::Time => matches!(found, DataType::Timestamp(..)),
        ValueType::Text => matches!(found, DataType::Utf8),
        ValueType::Set => matches!(found, DataType::List(_)),
    };
    if fits || matches!(found, DataType::Null) {
        Ok(())
    } else {
        Err(format!(
            "the column value is of type {found}, the tag of type {value_type}: cast it in the query"
        ))
    }
}

fn arrow_type(value_type: ValueType) -> DataType {
    match value_type {
        ValueType::Bool => DataType::Boolean,
        ValueType::Int => DataType::Int64,
        ValueType::Decimal { scale } => DataType::Decimal128(38, scale.cast_signed()),
        ValueType::Date => DataType::Date32,
        ValueType::Time => {
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("+00:00".into()))
        }
        ValueType::Text => DataType::Utf8,
        ValueType::Set => DataType::List(Field::new("element", DataType::Utf8, true).into()),
    }
}
