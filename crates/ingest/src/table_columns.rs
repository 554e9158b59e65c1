//! Columns of the tables `events` and `attributes`, filled row by row.

use crate::landed_ids::day_of;
use crate::mapping::Mapping;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Date32Builder, Decimal128Builder,
    Int64Builder, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondBuilder, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_lake::layout;
use taghouse_model::TimestampMs;
use taghouse_rules::reader::Parsed;

/// The columns of `events` before the properties, which stand in the order in which they came to
/// be.
const FIXED_COLUMNS: usize = 8;

const TIME_OF_EVENTS: usize = 2;
const TIME_OF_ATTRIBUTES: usize = 3;

/// The schemas of the tables that ingestion fills, as the lake gives them.
#[derive(Debug, Clone)]
pub(crate) struct Schemas {
    pub(crate) events: SchemaRef,
    pub(crate) attributes: SchemaRef,
    pub(crate) rejected: SchemaRef,
}

/// What every row has, whether event or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowHead<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) time: TimestampMs,
    pub(crate) message_id: &'a str,
    pub(crate) source: &'a str,
    pub(crate) received_at: TimestampMs,
    /// The user is not known.
    pub(crate) anonymous: bool,
}

/// The columns that both tables have.
#[derive(Default)]
struct HeadColumns {
    user_id: StringBuilder,
    time: TimestampMicrosecondBuilder,
    message_id: StringBuilder,
    source: StringBuilder,
    received_at: TimestampMicrosecondBuilder,
    user_id_type: StringBuilder,
}

impl HeadColumns {
    fn push(&mut self, head: &RowHead<'_>) {
        self.user_id.append_value(head.user_id);
        self.time.append_value(head.time.saturating_mul(1000));
        self.message_id.append_value(head.message_id);
        self.source.append_value(head.source);
        self.received_at.append_value(head.received_at.saturating_mul(1000));
        self.user_id_type.append_option(head.anonymous.then_some(layout::ANONYMOUS));
    }

    /// `user_id`, `time`, `message_id`, `source`, `received_at`, `user_id_type`.
    fn finish(&mut self) -> [ArrayRef; 6] {
        [
            Arc::new(self.user_id.finish()),
            Arc::new(self.time.finish().with_timezone("+00:00")),
            Arc::new(self.message_id.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.received_at.finish().with_timezone("+00:00")),
            Arc::new(self.user_id_type.finish()),
        ]
    }
}

/// A column of one property.
enum PropertyBuilder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    Set(ListBuilder<StringBuilder>),
    Day(Date32Builder),
    Time(TimestampMicrosecondBuilder),
}

impl PropertyBuilder {
    fn new(ty: &DataType) -> Result<Self, ArrowError> {
        Ok(match ty {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::Decimal128(..) => {
                Self::Decimal(Decimal128Builder::new().with_data_type(ty.clone()))
            }
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::List(field) => {
                Self::Set(ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(field)))
            }
            DataType::Date32 => Self::Day(Date32Builder::new()),
            DataType::Timestamp(..) => {
                Self::Time(TimestampMicrosecondBuilder::new().with_data_type(ty.clone()))
            }
            other => {
                return Err(ArrowError::SchemaError(format!("no property is of type {other}")));
            }
        })
    }

    /// A value of another type than the column's cannot come: the mapping gave both. It would be
    /// null.
    fn push(&mut self, value: &Parsed<'_>) {
        match (self, value) {
            (Self::Bool(column), Parsed::Bool(value)) => column.append_value(*value),
            (Self::Bool(column), _) => column.append_null(),
            (Self::Int(column), Parsed::Int(value)) => column.append_value(*value),
            (Self::Int(column), _) => column.append_null(),
            (Self::Decimal(column), Parsed::Decimal { units, .. }) => column.append_value(*units),
            (Self::Decimal(column), _) => column.append_null(),
            (Self::Text(column), Parsed::Text(value)) => column.append_value(value),
            (Self::Text(column), _) => column.append_null(),
            (Self::Set(column), Parsed::Set(members)) => {
                members.iter().for_each(|member| column.values().append_value(member));
                column.append(true);
            }
            (Self::Set(column), _) => column.append(false),
            (Self::Day(column), Parsed::Day(days)) => column.append_value(*days),
            (Self::Day(column), _) => column.append_null(),
            (Self::Time(column), Parsed::Time(ms)) => column.append_value(ms.saturating_mul(1000)),
            (Self::Time(column), _) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(column) => Arc::new(column.finish()),
            Self::Int(column) => Arc::new(column.finish()),
            Self::Decimal(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
            Self::Set(column) => Arc::new(column.finish()),
            Self::Day(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish()),
        }
    }
}

/// Fills batches of `events`. A property that the source does not map is null in all its rows.
pub(crate) struct EventBuilder {
    schema: SchemaRef,
    head: HeadColumns,
    event: StringBuilder,
    extra: StringBuilder,
    /// By mapped property, with the column's place in the schema.
    properties: Vec<(usize, PropertyBuilder)>,
    rows: usize,
    /// The file that brings the rows; `None`: they are of live calls.
    pub(crate) file: Option<String>,
}

impl EventBuilder {
    pub(crate) fn new(schema: &SchemaRef, mapping: &Mapping) -> Result<Self, ArrowError> {
        let column = |name: &str| {
            let at = schema.index_of(name)?;
            if at < FIXED_COLUMNS {
                return Err(ArrowError::SchemaError(format!(
                    "the property {name} has the name of a fixed column"
                )));
            }
            Ok((at, PropertyBuilder::new(schema.field(at).data_type())?))
        };
        Ok(Self {
            schema: Arc::clone(schema),
            head: HeadColumns::default(),
            event: StringBuilder::new(),
            extra: StringBuilder::new(),
            properties: mapping
                .properties
                .iter()
                .map(|p| column(p.name.as_str()))
                .collect::<Result<_, ArrowError>>()?,
            rows: 0,
            file: None,
        })
    }

    /// Adds an event; `values` begin with the mapped properties' in the mapping's order, `extra` is
    /// the JSON of what is kept unmapped.
    pub(crate) fn push(
        &mut self,
        head: &RowHead<'_>,
        event: &str,
        values: &[Parsed<'_>],
        extra: Option<&str>,
    ) {
        self.head.push(head);
        self.event.append_value(event);
        self.extra.append_option(extra);
        for ((_, column), value) in self.properties.iter_mut().zip(values) {
            column.push(value);
        }
        self.rows += 1;
    }

    /// How many rows there are since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let [user_id, time, message_id, source, received_at, user_id_type] = self.head.finish();
        let mut columns: Vec<Option<ArrayRef>> = vec![
            Some(user_id),
            Some(Arc::new(self.event.finish())),
            Some(time),
            Some(message_id),
            Some(source),
            Some(received_at),
            Some(Arc::new(self.extra.finish())),
            Some(of_file(self.file.as_deref(), rows)),
        ];
        columns.resize(self.schema.fields().len(), None);
        // In a table from before it was kept it stands behind the properties of then.
        columns[self.schema.index_of(layout::USER_ID_TYPE)?] = Some(user_id_type);
        for (at, column) in &mut self.properties {
            columns[*at] = Some(column.finish());
        }
        let fields = self.schema.fields().iter();
        let columns = columns.into_iter().zip(fields).map(|(column, field)| {
            column.unwrap_or_else(|| new_null_array(field.data_type(), rows))
        });
        RecordBatch::try_new(Arc::clone(&self.schema), columns.collect())
    }
}

/// Fills batches of `attributes`.
pub(crate) struct AttributeBuilder {
    schema: SchemaRef,
    head: HeadColumns,
    name: StringBuilder,
    value: StringBuilder,
    /// For each attribute row the accepted row that it came with.
    origin: Vec<u32>,
    /// As [`EventBuilder::file`].
    pub(crate) file: Option<String>,
}

impl AttributeBuilder {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            head: HeadColumns::default(),
            name: StringBuilder::new(),
            value: StringBuilder::new(),
            origin: Vec::new(),
            file: None,
        }
    }

    /// Adds what a row says of an attribute. No value: the user has none from then on.
    pub(crate) fn push(
        &mut self,
        head: &RowHead<'_>,
        name: &str,
        value: Option<&str>,
        origin: u32,
    ) {
        self.head.push(head);
        self.name.append_value(name);
        self.value.append_option(value);
        self.origin.push(origin);
    }

    /// Adds a row that says nothing but that its user exists.
    pub(crate) fn push_user(&mut self, head: &RowHead<'_>, origin: u32) {
        self.push(head, layout::NO_ATTRIBUTE, None, origin);
    }

    /// How many rows there are since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.origin.len()
    }

    fn finish(&mut self) -> Result<(RecordBatch, Vec<u32>), ArrowError> {
        let [user_id, time, message_id, source, received_at, user_id_type] = self.head.finish();
        let (name, value) = (Arc::new(self.name.finish()), Arc::new(self.value.finish()));
        let file = of_file(self.file.as_deref(), self.origin.len());
        let columns: Vec<ArrayRef> =
            vec![user_id, name, value, time, message_id, source, received_at, file, user_id_type];
        Ok((
            RecordBatch::try_new(Arc::clone(&self.schema), columns)?,
            std::mem::take(&mut self.origin),
        ))
    }
}

/// The column `source_file` of so many rows.
fn of_file(file: Option<&str>, rows: usize) -> ArrayRef {
    match file {
        Some(file) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(file, rows))),
        None => new_null_array(&DataType::Utf8, rows),
    }
}

/// Accepted rows of a stretch of the input, as batches of the two tables.
pub(crate) struct Accepted {
    pub(crate) events: RecordBatch,
    pub(crate) attributes: RecordBatch,
    /// For each attribute row the accepted row that it came with.
    origin: Vec<u32>,
}

impl Accepted {
    pub(crate) fn finish(
        events: &mut EventBuilder,
        attributes: &mut AttributeBuilder,
    ) -> Result<Self, ArrowError> {
        let (attributes, origin) = attributes.finish()?;
        Ok(Self { events: events.finish()?, attributes, origin })
    }

    /// Rows of the log, which are not filtered any more.
    pub(crate) fn of(events: RecordBatch, attributes: RecordBatch) -> Self {
        Self { events, attributes, origin: Vec::new() }
    }

    /// Keeps the rows whose mark is true only; `keep` has one mark for each accepted row.
    pub(crate) fn retain(&mut self, keep: &[bool]) -> Result<(), ArrowError> {
        // Rows of a source without events exist in `attributes` only.
        if self.events.num_rows() > 0 {
            self.events = filter_record_batch(&self.events, &BooleanArray::from(keep.to_vec()))?;
        }
        if self.attributes.num_rows() > 0 {
            let marks: Vec<bool> = self.origin.iter().map(|row| keep[*row as usize]).collect();
            self.attributes = filter_record_batch(&self.attributes, &BooleanArray::from(marks))?;
        }
        Ok(())
    }

    /// Adds the UTC days of the rows.
    pub(crate) fn add_days(&self, days: &mut BTreeSet<i32>) {
        for (batch, column) in
            [(&self.events, TIME_OF_EVENTS), (&self.attributes, TIME_OF_ATTRIBUTES)]
        {
            let Some(times) = batch.column(column).as_primitive_opt::<TimestampMicrosecondType>()
            else {
                continue;
            };
            let mut last = None;
            for time in times.values() {
                let day = day_of(time.div_euclid(1000));
                if last.replace(day) != Some(day) {
                    days.insert(day);
                }
            }
        }
    }

    /// Adds the events to `counts`, by name.
    pub(crate) fn count_events(&self, counts: &mut BTreeMap<String, u64>) {
        let Some(names) = self.events.column(1).as_any().downcast_ref::<StringArray>() else {
            return;
        };
        let mut start = 0;
        for row in 1..=names.len() {
            if row == names.len() || names.value(row) != names.value(start) {
                *entry(counts, names.value(start)) += (row - start) as u64;
                start = row;
            }
        }
    }
}

/// The count of `key`, without a new key text where there is one already.
pub(crate) fn entry<'c>(counts: &'c mut BTreeMap<String, u64>, key: &str) -> &'c mut u64 {
    if !counts.contains_key(key) {
        counts.insert(key.to_owned(), 0);
    }
    counts.entry(key.to_owned()).or_default()
}
