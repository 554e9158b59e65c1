//! Layouts as Iceberg schemas, and those as Arrow schemas.

use crate::layout::{Column, Partition, TableLayout};
use crate::{Error, Result};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{
    ListType, NestedField, NestedFieldRef, PrimitiveType, Schema, Transform, Type,
    UnboundPartitionSpec,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::ValueType;

/// The digits of every decimal column.
pub(crate) const DECIMAL_PRECISION: u32 = 38;

/// Refuses layouts that no engine could read back: no columns, names twice, a partition by
/// something that is not there.
pub(crate) fn check(layout: &TableLayout) -> Result<()> {
    let table = &layout.name;
    let plain = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !plain(table) {
        return Err(Error::Invalid(format!(
            "\"{table}\" cannot name a table: use letters, digits and _"
        )));
    }
    let mut seen = BTreeSet::new();
    for column in &layout.columns {
        if !seen.insert(column.name.to_ascii_lowercase()) {
            return Err(Error::Invalid(format!(
                "table {table} would have column {} twice: rename one",
                column.name
            )));
        }
    }
    let source = match &layout.partition {
        Partition::None => return Ok(()),
        Partition::Day(source) | Partition::Identity(source) => source,
    };
    let column = layout.columns.iter().find(|c| &c.name == source);
    let column = column.ok_or_else(|| {
        Error::Invalid(format!("table {table} is cut by {source}, which is none of its columns"))
    })?;
    if !column.required {
        return Err(Error::Invalid(format!(
            "table {table} is cut by {source}, which must be required"
        )));
    }
    match (&layout.partition, column.value) {
        (Partition::Day(_), ValueType::Time) => {}
        (
            Partition::Identity(_),
            ValueType::Time | ValueType::Date | ValueType::Int | ValueType::Text,
        ) => {}
        (_, ty) => {
            return Err(Error::Invalid(format!(
                "table {table} cannot be cut by {source} of type {ty}"
            )));
        }
    }
    if let Partition::Day(source) = &layout.partition
        && seen.contains(&day_field(source).to_ascii_lowercase())
    {
        return Err(Error::Invalid(format!(
            "table {table} cannot have a column {}: it names the partition; rename it",
            day_field(source)
        )));
    }
    Ok(())
}

/// The schema of a new table; the metadata builder numbers the fields again.
pub(crate) fn schema(layout: &TableLayout) -> Result<Schema> {
    let mut next = layout.columns.len() as i32;
    let fields = layout.columns.iter().zip(1..).map(|(column, id)| field(id, column, &mut next));
    Ok(Schema::builder().with_fields(fields.collect::<Vec<_>>()).build()?)
}

/// The partition spec of a new table.
pub(crate) fn partition_spec(
    layout: &TableLayout,
    schema: &Schema,
) -> Result<Option<UnboundPartitionSpec>> {
    let (source, name, transform) = match &layout.partition {
        Partition::None => return Ok(None),
        Partition::Day(source) => (source, day_field(source), Transform::Day),
        Partition::Identity(source) => (source, source.clone(), Transform::Identity),
    };
    let id = schema
        .field_id_by_name(source)
        .ok_or_else(|| Error::Internal(format!("no column {source}")))?;
    Ok(Some(UnboundPartitionSpec::builder().add_partition_field(id, name, transform)?.build()))
}

fn day_field(source: &str) -> String {
    format!("{source}_day")
}

/// The schema with the layout's missing columns added as nullable ones; `None` if nothing is
/// missing. Columns that the layout does not name stay.
///
/// # Errors
/// A column of another type than the layout's.
pub(crate) fn evolve(
    table: &str,
    current: &Schema,
    last_column_id: i32,
    layout: &TableLayout,
) -> Result<Option<Schema>> {
    let mut fields: Vec<NestedFieldRef> = current.as_struct().fields().to_vec();
    let mut next = last_column_id;
    let mut changed = false;
    for column in &layout.columns {
        let Some(at) = fields.iter().position(|f| f.name.eq_ignore_ascii_case(&column.name)) else {
            next += 1;
            let id = next;
            fields.push(field(id, &Column { required: false, ..column.clone() }, &mut next));
            changed = true;
            continue;
        };
        let old = &fields[at];
        let mut ids = i32::MAX - 1;
        let same = same_type(&old.field_type, &column_type(column.value, &mut ids));
        if !same || old.name != column.name {
            return Err(Error::Invalid(format!(
                "table {table} has a column {} of type {}, not {} of type {}: give the new one another name",
                old.name, old.field_type, column.name, column.value
            )));
        }
        if old.required && !column.required {
            fields[at] =
                Arc::new(NestedField::optional(old.id, &old.name, (*old.field_type).clone()));
            changed = true;
        }
    }
    if !changed {
        return Ok(None);
    }
    Ok(Some(Schema::builder().with_fields(fields).build()?))
}

fn same_type(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::List(a), Type::List(b)) => {
            same_type(&a.element_field.field_type, &b.element_field.field_type)
        }
        (a, b) => a == b,
    }
}

fn field(id: i32, column: &Column, next: &mut i32) -> NestedFieldRef {
    Arc::new(NestedField::new(id, &column.name, column_type(column.value, next), column.required))
}

fn column_type(ty: ValueType, next: &mut i32) -> Type {
    Type::Primitive(match ty {
        ValueType::Bool => PrimitiveType::Boolean,
        ValueType::Text => PrimitiveType::String,
        ValueType::Int => PrimitiveType::Long,
        ValueType::Decimal { scale } => {
            PrimitiveType::Decimal { precision: DECIMAL_PRECISION, scale: u32::from(scale) }
        }
        ValueType::Date => PrimitiveType::Date,
        ValueType::Time => PrimitiveType::Timestamptz,
        ValueType::Set => {
            *next += 1;
            let element =
                NestedField::list_element(*next, Type::Primitive(PrimitiveType::String), false);
            return Type::List(ListType::new(Arc::new(element)));
        }
    })
}

/// The Arrow schema of data files: field ids in the metadata.
pub(crate) fn file_schema(schema: &Schema) -> Result<ArrowSchemaRef> {
    Ok(Arc::new(schema_to_arrow_schema(schema)?))
}

/// The Arrow schema that callers see: the same without ids.
pub(crate) fn arrow_schema(file: &ArrowSchema) -> ArrowSchemaRef {
    Arc::new(ArrowSchema::new(file.fields().iter().map(|f| plain(f)).collect::<Vec<_>>()))
}

fn plain(field: &Field) -> Field {
    let ty = match field.data_type() {
        DataType::List(element) => DataType::List(Arc::new(plain(element))),
        other => other.clone(),
    };
    Field::new(field.name(), ty, field.is_nullable())
}

/// The Arrow schema that batches of a layout's table have: `Time` is Timestamp(µs, "+00:00"),
/// `Decimal` Decimal128(38, scale), `Set` a list of Utf8, `Date` Date32.
///
/// # Errors
/// A layout that cannot be a table.
pub fn layout_schema(layout: &TableLayout) -> Result<ArrowSchemaRef> {
    check(layout)?;
    Ok(arrow_schema(file_schema(&schema(layout)?)?.as_ref()))
}
