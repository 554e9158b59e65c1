//! Rows of the lake that are one user's, as lines of an export.

use crate::clock_text::local;
use crate::{Error, Result};
use arrow::array::{Array, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeSet, HashMap};
use taghouse_fold::ColumnReader;
use taghouse_lake::{Table, layout};
use taghouse_model::{TimestampMs, ValueType};
use taghouse_wire::{AttributeLine, EventLine, HandChangeLine, MembershipLine, UserLine, json};

/// The columns of events that are no properties.
const OF_EVENTS: [&str; 9] = [
    "user_id",
    "event",
    "time",
    "message_id",
    "source",
    "received_at",
    "properties",
    "source_file",
    layout::USER_ID_TYPE,
];

/// Whose rows are wanted.
pub(crate) struct Kept {
    /// All ids of the user.
    pub(crate) ids: BTreeSet<String>,
    /// When ids were deleted: what is from before that, or came before it, is hidden.
    pub(crate) gone: HashMap<String, TimestampMs>,
    pub(crate) zone: TimeZone,
}

/// What a batch has of the user.
#[derive(Default)]
pub(crate) struct Found {
    /// Whether there is a row, be it one that says nothing.
    pub(crate) exists: bool,
    pub(crate) lines: Vec<UserLine>,
}

/// A table with rows of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    Attributes,
    Events,
    Changes,
    Memberships,
}

impl Rows {
    /// In the order of an export.
    pub(crate) const ALL: [Self; 4] =
        [Self::Attributes, Self::Events, Self::Changes, Self::Memberships];

    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Attributes => layout::ATTRIBUTES,
            Self::Events => layout::EVENTS,
            Self::Changes => layout::USER_CHANGES,
            Self::Memberships => layout::CROWD_CHANGES,
        }
    }

    /// The columns to read.
    pub(crate) fn columns(self, table: &Table) -> Vec<String> {
        let of: &[&str] = match self {
            Self::Attributes => {
                &["user_id", "name", "value", "time", "received_at", "message_id", "source"]
            }
            Self::Changes => &["user_id", "tag", "op", "value", "time"],
            Self::Memberships => &["user_id", "crowd", "event", "time"],
            // Each property has a column.
            Self::Events => {
                let fields = table.arrow_schema().fields();
                return fields.iter().map(|field| field.name().clone()).collect();
            }
        };
        of.iter().map(|column| (*column).to_owned()).collect()
    }

    /// The user's rows of a batch.
    ///
    /// # Errors
    /// A column is not what the table's layout says.
    pub(crate) fn lines(self, batch: &RecordBatch, kept: &Kept) -> Result<Found> {
        let rows = kept.rows(self, batch)?;
        if rows.is_empty() {
            return Ok(Found::default());
        }
        let lines = match self {
            Self::Attributes => attributes(batch, &rows, kept)?,
            Self::Events => events(batch, &rows, kept)?,
            Self::Changes => changes(batch, &rows, kept)?,
            Self::Memberships => memberships(batch, &rows, kept)?,
        };
        // Who was noted in a crowd's history, or in a change that was undone, need not exist.
        let exists = matches!(self, Self::Attributes | Self::Events) || !lines.is_empty();
        Ok(Found { exists, lines })
    }
}

impl Kept {
    /// Notes the deletions of these ids.
    ///
    /// # Errors
    /// A column is missing.
    pub(crate) fn note_gone(
        batch: &RecordBatch,
        ids: &BTreeSet<String>,
        gone: &mut HashMap<String, TimestampMs>,
    ) -> Result<()> {
        let (users, acts) = (text(batch, "user_id")?, text(batch, "op")?);
        let times = times(batch, "time")?;
        for row in 0..batch.num_rows() {
            if [layout::DELETED, layout::EXPIRED].contains(&acts.value(row))
                && ids.contains(users.value(row))
            {
                let at_ms = times.value(row).div_euclid(1000);
                let known = gone.entry(users.value(row).to_owned()).or_insert(at_ms);
                *known = at_ms.max(*known);
            }
        }
        Ok(())
    }

    fn rows(&self, of: Rows, batch: &RecordBatch) -> Result<Vec<usize>> {
        let (users, happened) = (text(batch, "user_id")?, times(batch, "time")?);
        let received = match of {
            Rows::Attributes | Rows::Events => Some(times(batch, "received_at")?),
            Rows::Changes | Rows::Memberships => None,
        };
        let is_visible = |row: &usize| {
            if users.is_null(*row) || !self.ids.contains(users.value(*row)) {
                return false;
            }
            let later = |times: &TimestampMicrosecondArray, gone_ms: TimestampMs| {
                times.value(*row).div_euclid(1000) > gone_ms
            };
            self.gone.get(users.value(*row)).is_none_or(|gone_ms| {
                later(happened, *gone_ms)
                    && received.is_none_or(|received| later(received, *gone_ms))
            })
        };
        Ok((0..batch.num_rows()).filter(is_visible).collect())
    }

    fn time(&self, times: &TimestampMicrosecondArray, row: usize) -> String {
        local(times.value(row).div_euclid(1000), &self.zone)
    }
}

fn attributes(batch: &RecordBatch, rows: &[usize], kept: &Kept) -> Result<Vec<UserLine>> {
    let (users, names, values) =
        (text(batch, "user_id")?, text(batch, "name")?, text(batch, "value")?);
    let (messages, sources) = (text(batch, "message_id")?, text(batch, "source")?);
    let (happened, received) = (times(batch, "time")?, times(batch, "received_at")?);
    let named = rows.iter().filter(|row| names.value(**row) != layout::NO_ATTRIBUTE);
    let line = |row: &usize| {
        let row = *row;
        UserLine::Attribute(AttributeLine {
            user_id: users.value(row).to_owned(),
            name: names.value(row).to_owned(),
            value: optional(values, row),
            time: kept.time(happened, row),
            received_at: kept.time(received, row),
            message_id: messages.value(row).to_owned(),
            source: sources.value(row).to_owned(),
        })
    };
    Ok(named.map(line).collect())
}

fn events(batch: &RecordBatch, rows: &[usize], kept: &Kept) -> Result<Vec<UserLine>> {
    let (users, names) = (text(batch, "user_id")?, text(batch, "event")?);
    let (messages, sources) = (text(batch, "message_id")?, text(batch, "source")?);
    let (happened, received) = (times(batch, "time")?, times(batch, "received_at")?);
    let others = text(batch, "properties")?;
    let schema = batch.schema();
    let mut properties = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if !OF_EVENTS.contains(&field.name().as_str()) {
            let value_type = type_of(field.data_type()).ok_or_else(|| lacking(field.name()))?;
            let reader = ColumnReader::new(field.name(), column, value_type)
                .map_err(|error| Error::Export(error.to_string()))?;
            properties.push((field.name(), reader));
        }
    }
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows.iter().copied() {
        let values = properties
            .iter()
            .filter_map(|(name, reader)| Some(((*name).clone(), json(&reader.value(row)?))));
        lines.push(UserLine::Event(EventLine {
            user_id: users.value(row).to_owned(),
            event: names.value(row).to_owned(),
            time: kept.time(happened, row),
            received_at: kept.time(received, row),
            message_id: messages.value(row).to_owned(),
            source: sources.value(row).to_owned(),
            properties: values.collect::<Map<String, Json>>(),
            other: optional(others, row).map(read_other),
        }));
    }
    Ok(lines)
}

/// JSON that came as text; what is none stays text.
fn read_other(text: String) -> Json {
    serde_json::from_str(&text).unwrap_or(Json::String(text))
}

fn changes(batch: &RecordBatch, rows: &[usize], kept: &Kept) -> Result<Vec<UserLine>> {
    let (users, tags) = (text(batch, "user_id")?, text(batch, "tag")?);
    let (acts, values) = (text(batch, "op")?, text(batch, "value")?);
    let times = times(batch, "time")?;
    let of_tags = rows.iter().copied().filter(|row| tags.is_valid(*row));
    let line = |row: usize| {
        UserLine::Change(HandChangeLine {
            user_id: users.value(row).to_owned(),
            tag: tags.value(row).to_owned(),
            op: acts.value(row).to_owned(),
            value: optional(values, row),
            time: kept.time(times, row),
        })
    };
    Ok(of_tags.map(line).collect())
}

fn memberships(batch: &RecordBatch, rows: &[usize], kept: &Kept) -> Result<Vec<UserLine>> {
    let (users, crowds) = (text(batch, "user_id")?, text(batch, "crowd")?);
    let (events, times) = (text(batch, "event")?, times(batch, "time")?);
    let of_crowds = rows.iter().copied().filter(|row| crowds.is_valid(*row));
    let line = |row: usize| {
        UserLine::Membership(MembershipLine {
            user_id: users.value(row).to_owned(),
            crowd: crowds.value(row).to_owned(),
            event: events.value(row).to_owned(),
            time: kept.time(times, row),
        })
    };
    Ok(of_crowds.map(line).collect())
}

fn optional(column: &StringArray, row: usize) -> Option<String> {
    column.is_valid(row).then(|| column.value(row).to_owned())
}

/// The type of a column of the lake.
fn type_of(of: &DataType) -> Option<ValueType> {
    Some(match of {
        DataType::Boolean => ValueType::Bool,
        DataType::Int64 => ValueType::Int,
        DataType::Decimal128(_, scale) => ValueType::Decimal { scale: u8::try_from(*scale).ok()? },
        DataType::Utf8 => ValueType::Text,
        DataType::List(_) => ValueType::Set,
        DataType::Date32 => ValueType::Date,
        DataType::Timestamp(..) => ValueType::Time,
        _ => return None,
    })
}

fn lacking(column: &str) -> Error {
    Error::Export(format!("the column {column} is not what the table's layout says"))
}

fn text<'b>(batch: &'b RecordBatch, column: &str) -> Result<&'b StringArray> {
    let array = batch.column_by_name(column).and_then(|array| array.as_string_opt());
    array.ok_or_else(|| lacking(column))
}

fn times<'b>(batch: &'b RecordBatch, column: &str) -> Result<&'b TimestampMicrosecondArray> {
    let array = batch
        .column_by_name(column)
        .and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
    array.ok_or_else(|| lacking(column))
}
