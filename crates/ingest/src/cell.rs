//! What readers give and what columns take: a cell as it stands in the input, and a value of its column's type.

use crate::json_scan::{self, JsonKind};
use crate::parse_number::{NumberFault, parse_int, parse_units, print_units};
use crate::parse_time::TimeReader;
use crate::reject::{Fault, Reason, quoted};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{MAX_TEXT_BYTES, TimestampMs, Value, ValueType};
use taghouse_rules::{MAX_SET_VALUES, TimeFormat};

/// One cell of the input. An empty text is no value, in every format.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// No value.
    None,
    /// A text, of CSV or a JSON string.
    Text(&'a str),
    /// A JSON number as written.
    Number(&'a str),
    /// A boolean.
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

/// A row of any format: cells by slot of the mapping.
pub(crate) trait Row {
    /// The cell of the mapping's slot.
    fn cell(&self, slot: usize) -> Cell<'_>;
    /// The cells that nothing names, as a JSON object, if they are to be kept and there are any.
    fn extra(&self) -> Option<String>;
    /// The row as it stands in the input.
    fn raw(&self) -> Cow<'_, [u8]>;
    /// About how many bytes it brings.
    fn size(&self) -> usize;
}

impl<'a> Cell<'a> {
    /// The cell as text; `None` where it has no value.
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::None | Self::Text("") => return None,
            Self::Text(text) | Self::Number(text) | Self::Nested(text) => Cow::Borrowed(*text),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Float(value) if value.is_nan() => return None,
            Self::Float(value) => Cow::Owned(value.to_string()),
            Self::Decimal { units, scale } => Cow::Owned(print_units(*units, *scale)),
            Self::Day(days) => Cow::Owned(Value::Date(*days).to_string()),
            Self::Instant(ms) => Cow::Owned(Value::Time(*ms).to_string()),
            Self::Wall(ms) => Cow::Owned(Value::Time(*ms).to_string().trim_end_matches('Z').to_owned()),
        })
    }

    /// The cell as a JSON value, for what is kept unmapped.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Number(text) | Self::Nested(text) => serde_json::from_str(text).ok()?,
            Self::Float(value) => serde_json::Number::from_f64(*value)?.into(),
            other => other.text()?.into_owned().into(),
        })
    }
}

/// A value of its column's type, borrowed from the row where it can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parsed<'a> {
    None,
    Bool(bool),
    Int(i64),
    Decimal { units: i128, scale: u8 },
    Text(Cow<'a, str>),
    Set(BTreeSet<Arc<str>>),
    Day(i32),
    Time(TimestampMs),
}

impl Parsed<'_> {
    pub(crate) fn value(&self) -> Option<Value> {
        Some(match self {
            Self::None => return None,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Decimal { units, scale } => Value::Decimal(Decimal::try_from_i128_with_scale(*units, u32::from(*scale)).ok()?),
            Self::Text(text) => Value::text(text),
            Self::Set(members) => Value::Set(members.clone()),
            Self::Day(days) => Value::Date(*days),
            Self::Time(ms) => Value::Time(*ms),
        })
    }

    /// As the column `value` of the table `attributes` holds it: decimals with all digits of their scale, sets as a JSON array.
    pub(crate) fn attribute_text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::None => return None,
            Self::Text(text) => Cow::Borrowed(text.as_ref()),
            Self::Decimal { units, scale } => Cow::Owned(print_units(*units, *scale)),
            Self::Set(members) => Cow::Owned(serde_json::Value::from_iter(members.iter().map(|m| m.as_ref().to_owned())).to_string()),
            other => Cow::Owned(other.value()?.to_string()),
        })
    }
}

/// Reads the cells of one column as values of its type.
#[derive(Debug, Clone)]
pub(crate) struct ColumnReader {
    column: String,
    ty: ValueType,
    times: TimeReader,
    required: bool,
}

impl ColumnReader {
    /// `format`: for dates and times, a strptime pattern or `iso8601`, `epoch_s`, `epoch_ms`.
    pub(crate) fn new(column: &str, ty: ValueType, format: Option<&str>, required: bool, zone: &TimeZone) -> Self {
        let format = match format {
            None | Some("iso8601") => TimeFormat::Iso8601,
            Some("epoch_s") => TimeFormat::EpochSeconds,
            Some("epoch_ms") => TimeFormat::EpochMilliseconds,
            Some(pattern) => TimeFormat::Pattern(pattern.to_owned()),
        };
        Self { column: column.to_owned(), ty, times: TimeReader::new(&format, zone.clone()), required }
    }

    /// Whether a row without a value is refused.
    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    pub(crate) fn read<'a>(&mut self, cell: &Cell<'a>) -> Result<Parsed<'a>, Fault> {
        let parsed = match (self.ty, cell) {
            (_, Cell::None | Cell::Text("")) => Parsed::None,
            (ValueType::Text, cell) => self.text(cell)?,
            (ValueType::Int, cell) => self.int(cell)?,
            (ValueType::Decimal { scale }, cell) => self.decimal(cell, scale)?,
            (ValueType::Bool, cell) => self.boolean(cell)?,
            (ValueType::Date, cell) => self.day(cell)?,
            (ValueType::Time, cell) => self.time(cell)?,
            (ValueType::Set, cell) => self.set(cell)?,
        };
        if self.required && parsed == Parsed::None {
            return Err(Fault::new(Reason::MissingValue, format!("column \"{}\" is empty", self.column)));
        }
        Ok(parsed)
    }

    fn text<'a>(&self, cell: &Cell<'a>) -> Result<Parsed<'a>, Fault> {
        let Some(text) = cell.text() else { return Ok(Parsed::None) };
        self.check_length(&text)?;
        Ok(Parsed::Text(text))
    }

    fn check_length(&self, text: &str) -> Result<(), Fault> {
        if text.len() <= MAX_TEXT_BYTES {
            return Ok(());
        }
        let detail = format!("column \"{}\" has {} bytes, more than {MAX_TEXT_BYTES}: {}", self.column, text.len(), quoted(text));
        Err(Fault::new(Reason::ValueTooLong, detail))
    }

    fn int<'a>(&self, cell: &Cell<'a>) -> Result<Parsed<'a>, Fault> {
        let text = match cell {
            Cell::Int(value) => return Ok(Parsed::Int(*value)),
            Cell::Text(text) | Cell::Number(text) => Cow::Borrowed(*text),
            Cell::Float(_) | Cell::Decimal { .. } => cell.text().unwrap_or_default(),
            _ => return Err(self.bad_type(cell)),
        };
        if text.is_empty() {
            return Ok(Parsed::None);
        }
        parse_int(&text).map(Parsed::Int).map_err(|fault| self.number_fault(fault, cell))
    }

    fn decimal<'a>(&self, cell: &Cell<'a>, scale: u8) -> Result<Parsed<'a>, Fault> {
        let text = match cell {
            Cell::Text(text) | Cell::Number(text) => Cow::Borrowed(*text),
            Cell::Int(_) | Cell::Float(_) | Cell::Decimal { .. } => cell.text().unwrap_or_default(),
            _ => return Err(self.bad_type(cell)),
        };
        if text.is_empty() {
            return Ok(Parsed::None);
        }
        parse_units(&text, scale).map(|units| Parsed::Decimal { units, scale }).map_err(|fault| self.number_fault(fault, cell))
    }

    fn boolean<'a>(&self, cell: &Cell<'a>) -> Result<Parsed<'a>, Fault> {
        match cell {
            Cell::Bool(value) => Ok(Parsed::Bool(*value)),
            Cell::Int(value @ (0 | 1)) => Ok(Parsed::Bool(*value == 1)),
            Cell::Text(text) | Cell::Number(text) => match text.trim_ascii() {
                "1" => Ok(Parsed::Bool(true)),
                "0" => Ok(Parsed::Bool(false)),
                word if word.eq_ignore_ascii_case("true") => Ok(Parsed::Bool(true)),
                word if word.eq_ignore_ascii_case("false") => Ok(Parsed::Bool(false)),
                _ => Err(self.bad_type(cell)),
            },
            _ => Err(self.bad_type(cell)),
        }
    }

    fn day<'a>(&mut self, cell: &Cell<'a>) -> Result<Parsed<'a>, Fault> {
        let days = match cell {
            Cell::Day(days) => Some(*days),
            Cell::Text(text) => self.times.day(text),
            Cell::Instant(ms) => self.times.day_of_instant(*ms),
            Cell::Wall(ms) => i32::try_from(ms.div_euclid(86_400_000)).ok(),
            _ => None,
        };
        days.map(Parsed::Day).ok_or_else(|| self.bad_type(cell))
    }

    fn time<'a>(&mut self, cell: &Cell<'a>) -> Result<Parsed<'a>, Fault> {
        read_instant(&mut self.times, cell).map(Parsed::Time).ok_or_else(|| self.bad_type(cell))
    }

    /// A JSON array of texts, or one text: a set of one.
    fn set<'a>(&self, cell: &Cell<'a>) -> Result<Parsed<'a>, Fault> {
        let mut members = BTreeSet::new();
        match cell {
            Cell::Text(text) if !text.starts_with('[') => {
                self.check_length(text)?;
                members.insert(Arc::from(*text));
            }
            Cell::Text(text) | Cell::Nested(text) => {
                let elements = json_scan::whole(text).and_then(|span| json_scan::elements(text, span));
                for element in elements.ok_or_else(|| self.bad_type(cell))? {
                    let member = match element.kind {
                        JsonKind::Number | JsonKind::Bool => Some(Cow::Borrowed(element.text(text))),
                        _ => element.string(text),
                    };
                    let member = member.ok_or_else(|| self.bad_type(cell))?;
                    self.check_length(&member)?;
                    members.insert(Arc::from(member.as_ref()));
                }
            }
            _ => return Err(self.bad_type(cell)),
        }
        if members.len() > MAX_SET_VALUES {
            let detail = format!("column \"{}\" has {} values, more than {MAX_SET_VALUES}", self.column, members.len());
            return Err(Fault::new(Reason::ValueTooLong, detail));
        }
        Ok(if members.is_empty() { Parsed::None } else { Parsed::Set(members) })
    }

    fn number_fault(&self, fault: NumberFault, cell: &Cell<'_>) -> Fault {
        let text = quoted(&cell.text().unwrap_or_default());
        let (column, ty) = (&self.column, self.ty);
        match fault {
            NumberFault::NotANumber => self.bad_type(cell),
            NumberFault::OutOfRange => Fault::new(Reason::NumberOutOfRange, format!("column \"{column}\": {text} does not fit {ty}")),
            NumberFault::TooManyDigits => {
                Fault::new(Reason::NumberOutOfRange, format!("column \"{column}\": {text} has more digits behind the point than {ty}"))
            }
        }
    }

    fn bad_type(&self, cell: &Cell<'_>) -> Fault {
        let wanted = match self.ty {
            ValueType::Text => "a text".to_owned(),
            ty => ty.to_string(),
        };
        let text = quoted(&cell.text().unwrap_or_default());
        Fault::new(Reason::BadType, format!("column \"{}\": {text} is not {wanted}", self.column))
    }
}

/// The instant in a cell, or `None` where there is none to be read.
pub(crate) fn read_instant(times: &mut TimeReader, cell: &Cell<'_>) -> Option<TimestampMs> {
    match cell {
        Cell::Text(text) | Cell::Number(text) => times.instant(text),
        Cell::Instant(ms) => Some(*ms),
        Cell::Wall(ms) => times.instant_of_wall(*ms),
        Cell::Day(days) => times.instant_of_wall(i64::from(*days) * 86_400_000),
        Cell::Int(_) | Cell::Float(_) | Cell::Decimal { .. } => times.instant(&cell.text()?),
        Cell::None | Cell::Bool(_) | Cell::Nested(_) => None,
    }
}
