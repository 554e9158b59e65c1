//! A cell as it stands in the input.

use super::json_scan::{JsonKind, JsonSpan};
use super::number::print_units;
use super::time::TimeReader;
use std::borrow::Cow;
use taghouse_model::{TimestampMs, Value};

/// One cell of the input. A text of nothing but white space is no value, in every format.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// The row does not speak of it: the file has no such column, the object no such member.
    Absent,
    /// No value: a null.
    Null,
    /// A text, of CSV or a JSON string.
    Text(&'a str),
    /// A JSON number as written.
    Number(&'a str),
    /// A boolean value.
    Bool(bool),
    /// A JSON array or object as written.
    Nested(&'a str),
    /// A whole number of Parquet.
    Int(i64),
    /// A floating number of Parquet: read by its shortest text.
    Float(f64),
    /// A decimal of Parquet.
    Decimal {
        /// In units of 10^-scale.
        units: i128,
        /// Digits behind the point.
        scale: u8,
    },
    /// Days since 1970.
    Day(i32),
    /// Milliseconds since 1970 UTC.
    Instant(TimestampMs),
    /// A wall time of no zone, in milliseconds since 1970-01-01T00:00.
    Wall(i64),
}

impl<'a> Cell<'a> {
    /// The cell of a JSON value; a string with escapes is shown as it is written.
    pub fn of_json(text: &'a str, span: JsonSpan) -> Self {
        match span.kind {
            JsonKind::Null => Self::Null,
            JsonKind::Bool => Self::Bool(span.text(text) == "true"),
            JsonKind::Number => Self::Number(span.text(text)),
            JsonKind::PlainString | JsonKind::EscapedString => {
                Self::Text(text.get(span.start + 1..span.end - 1).unwrap_or_default())
            }
            JsonKind::Array | JsonKind::Object => Self::Nested(span.text(text)),
        }
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Absent | Self::Null => true,
            Self::Text(text) => text.trim_ascii().is_empty(),
            Self::Float(value) => value.is_nan(),
            _ => false,
        }
    }

    /// The cell as text; `None` where it has no value.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        if self.is_empty() {
            return None;
        }
        Some(match self {
            Self::Absent | Self::Null => return None,
            Self::Text(text) | Self::Number(text) | Self::Nested(text) => Cow::Borrowed(*text),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(plain(*value).to_string()),
            Self::Decimal { units, scale } => Cow::Owned(print_units(*units, *scale)),
            Self::Day(days) => Cow::Owned(Value::Date(*days).to_string()),
            Self::Instant(ms) => Cow::Owned(Value::Time(*ms).to_string()),
            Self::Wall(ms) => {
                Cow::Owned(Value::Time(*ms).to_string().trim_end_matches('Z').to_owned())
            }
        })
    }

    /// The cell as a JSON value, for what is kept unmapped.
    pub fn json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Number(text) | Self::Nested(text) => serde_json::from_str(text).ok()?,
            Self::Float(value) => serde_json::Number::from_f64(plain(*value))?.into(),
            other => other.text()?.into_owned().into(),
        })
    }
}

/// A float without the sign of a zero.
fn plain(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
}

/// The instant in a cell, or `None` where there is none to be read.
pub fn read_instant(times: &mut TimeReader, cell: &Cell<'_>) -> Option<TimestampMs> {
    match cell {
        Cell::Text(text) | Cell::Number(text) => times.instant(text),
        Cell::Instant(ms) => Some(*ms),
        Cell::Wall(ms) => times.instant_of_wall(*ms),
        Cell::Day(days) => times.instant_of_wall(i64::from(*days) * 86_400_000),
        Cell::Int(_) | Cell::Float(_) | Cell::Decimal { .. } => times.instant(&cell.text()?),
        Cell::Absent | Cell::Null | Cell::Bool(_) | Cell::Nested(_) => None,
    }
}
