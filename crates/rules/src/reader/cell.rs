//! What comes in and what columns take: a cell as it stands in the input, and a value of its
//! column's type. This is the one reader of values, whatever way they come: files, live calls,
//! changes by hand, attributes of the lake.

use super::json_scan::{self, JsonKind, JsonSpan};
use super::number::{NumberFault, parse_int, parse_units, parse_units_rounded, print_units};
use super::time::TimeReader;
use crate::{ColumnMapping, MAX_SET_VALUES, NotFinite, TimeFormat};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{MAX_TEXT_BYTES, TimestampMs, Value, ValueType};

/// The days and instants of the years 1 to 9999, which every reader of the lake knows.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
const INSTANTS_MS: std::ops::RangeInclusive<TimestampMs> =
    -62_135_596_800_000..=253_402_300_799_999;

/// How much of a wrong text is quoted, in characters.
const QUOTED_CHARS: usize = 80;

/// Text as a message quotes it: short and on one line.
pub fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(QUOTED_CHARS).collect();
    format!("{head:?}{}", if chars.next().is_some() { "…" } else { "" })
}

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

/// A value of its column's type, borrowed from the row where it can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed<'a> {
    /// There is no value.
    None,
    /// Of a bool.
    Bool(bool),
    /// Of an int.
    Int(i64),
    /// Of a decimal.
    Decimal {
        /// In units of 10^-scale.
        units: i128,
        /// Digits behind the point.
        scale: u8,
    },
    /// Of a text.
    Text(Cow<'a, str>),
    /// Of a set, never empty.
    Set(BTreeSet<Arc<str>>),
    /// Days since 1970.
    Day(i32),
    /// Milliseconds since 1970 UTC.
    Time(TimestampMs),
}

impl Parsed<'_> {
    /// As a value of the model.
    pub fn value(&self) -> Option<Value> {
        Some(match self {
            Self::None => return None,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Decimal { units, scale } => {
                Value::Decimal(Decimal::try_from_i128_with_scale(*units, u32::from(*scale)).ok()?)
            }
            Self::Text(text) => Value::text(text),
            Self::Set(members) => Value::Set(members.clone()),
            Self::Day(days) => Value::Date(*days),
            Self::Time(ms) => Value::Time(*ms),
        })
    }

    /// As the column `value` of the table `attributes` holds it: decimals with all digits of their
    /// scale, sets as a JSON array.
    pub fn attribute_text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::None => return None,
            Self::Text(text) => Cow::Borrowed(text.as_ref()),
            Self::Decimal { units, scale } => Cow::Owned(print_units(*units, *scale)),
            Self::Set(members) => Cow::Owned(
                serde_json::Value::from_iter(members.iter().map(|m| m.as_ref().to_owned()))
                    .to_string(),
            ),
            other => Cow::Owned(other.value()?.to_string()),
        })
    }
}

/// Why a cell is no value of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is none of the type.
    BadType,
    /// A text over 1024 bytes, or a set of too many.
    TooLong,
    /// A number that does not fit the type.
    OutOfRange,
    /// There is none, and it is required.
    Missing,
}

/// A cell that is no value of its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueFault {
    /// The class of the fault.
    pub kind: FaultKind,
    /// What is wrong, to be read after the name of the column.
    pub problem: String,
}

impl ValueFault {
    fn new(kind: FaultKind, problem: impl Into<String>) -> Self {
        Self { kind, problem: problem.into() }
    }
}

/// Whether a text may be a list of texts in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextLists {
    /// It may: the input has no lists of its own, as CSV.
    Json,
    /// A text is a text, whatever it begins with.
    None,
}

/// Reads the cells of one column as values of its type.
#[derive(Debug, Clone)]
pub struct ColumnReader {
    ty: ValueType,
    times: TimeReader,
    required: bool,
    round: bool,
    separator: Option<Arc<str>>,
    lists: TextLists,
    not_finite: NotFinite,
}

impl ColumnReader {
    /// A reader of values as they are written where no source says otherwise. Times without an
    /// offset are those of `zone`.
    pub fn plain(ty: ValueType, zone: &TimeZone, lists: TextLists) -> Self {
        let times = TimeReader::new(&TimeFormat::Iso8601, zone.clone());
        Self {
            ty,
            times,
            required: false,
            round: false,
            separator: None,
            lists,
            not_finite: NotFinite::default(),
        }
    }

    /// A reader of a source's column.
    pub fn new(
        column: &ColumnMapping,
        zone: &TimeZone,
        lists: TextLists,
        not_finite: NotFinite,
    ) -> Self {
        let format = column.format.as_deref().map_or(TimeFormat::Iso8601, TimeFormat::of);
        Self {
            times: TimeReader::new(&format, zone.clone()),
            required: column.required,
            round: column.round,
            separator: column.separator.as_deref().map(Arc::from),
            not_finite,
            ..Self::plain(column.value_type, zone, lists)
        }
    }

    /// The same, numbers of too many digits rounded to the scale, half away from zero.
    #[must_use]
    pub fn rounding(self) -> Self {
        Self { round: true, ..self }
    }

    /// Whether a row without a value is refused.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// The value in the cell.
    ///
    /// # Errors
    /// It is none of the column's type, or there is none and it is required.
    pub fn read<'a>(&mut self, cell: &Cell<'a>) -> Result<Parsed<'a>, ValueFault> {
        let parsed = match (self.ty, cell) {
            (_, Cell::Float(value)) if !value.is_finite() => {
                self.not_finite(cell, value.is_nan())?
            }
            (_, cell) if cell.is_empty() => Parsed::None,
            (ValueType::Text, cell) => Self::text(cell)?,
            (ValueType::Int, cell) => self.int(cell)?,
            (ValueType::Decimal { scale }, cell) => self.decimal(cell, scale)?,
            (ValueType::Bool, cell) => self.boolean(cell)?,
            (ValueType::Date, cell) => self.day(cell)?,
            (ValueType::Time, cell) => self.time(cell)?,
            (ValueType::Set, cell) => self.set(cell)?,
        };
        if self.required && parsed == Parsed::None {
            return Err(ValueFault::new(FaultKind::Missing, "is empty"));
        }
        Ok(parsed)
    }

    fn not_finite<'a>(&self, cell: &Cell<'_>, nan: bool) -> Result<Parsed<'a>, ValueFault> {
        match self.not_finite {
            NotFinite::NoValue => Ok(Parsed::None),
            NotFinite::NanIsNoValue if nan => Ok(Parsed::None),
            NotFinite::NanIsNoValue | NotFinite::Reject => Err(self.bad_type(cell)),
        }
    }

    fn text<'a>(cell: &Cell<'a>) -> Result<Parsed<'a>, ValueFault> {
        let Some(text) = cell.text() else { return Ok(Parsed::None) };
        check_length(&text)?;
        Ok(Parsed::Text(text))
    }

    /// The text of a number; `None` where the source takes it as none.
    fn number<'a>(&self, cell: &Cell<'a>) -> Result<Option<Cow<'a, str>>, ValueFault> {
        match cell {
            Cell::Text(text) if self.not_finite == NotFinite::NoValue && is_not_finite(text) => {
                Ok(None)
            }
            Cell::Text(text) | Cell::Number(text) => Ok(Some(Cow::Borrowed(text))),
            Cell::Int(_) | Cell::Float(_) | Cell::Decimal { .. } => Ok(cell.text()),
            _ => Err(self.bad_type(cell)),
        }
    }

    fn int<'a>(&self, cell: &Cell<'a>) -> Result<Parsed<'a>, ValueFault> {
        if let Cell::Int(value) = cell {
            return Ok(Parsed::Int(*value));
        }
        let Some(text) = self.number(cell)? else { return Ok(Parsed::None) };
        parse_int(&text).map(Parsed::Int).map_err(|fault| self.number_fault(fault, cell))
    }

    fn decimal<'a>(&self, cell: &Cell<'a>, scale: u8) -> Result<Parsed<'a>, ValueFault> {
        let Some(text) = self.number(cell)? else { return Ok(Parsed::None) };
        let units =
            if self.round { parse_units_rounded(&text, scale) } else { parse_units(&text, scale) };
        units
            .map(|units| Parsed::Decimal { units, scale })
            .map_err(|fault| self.number_fault(fault, cell))
    }

    fn boolean<'a>(&self, cell: &Cell<'a>) -> Result<Parsed<'a>, ValueFault> {
        let value = match cell {
            Cell::Bool(value) => Some(*value),
            Cell::Text(text) | Cell::Number(text) => boolean_word(text.trim_ascii()),
            Cell::Int(_) | Cell::Float(_) | Cell::Decimal { .. } => {
                match parse_int(&cell.text().unwrap_or_default()) {
                    Ok(0) => Some(false),
                    Ok(1) => Some(true),
                    _ => None,
                }
            }
            _ => None,
        };
        value.map(Parsed::Bool).ok_or_else(|| self.bad_type(cell))
    }

    fn day<'a>(&mut self, cell: &Cell<'a>) -> Result<Parsed<'a>, ValueFault> {
        self.refuse_other_unit(cell)?;
        let days = match cell {
            Cell::Day(days) => Some(*days),
            Cell::Text(text) => self.times.day(text),
            Cell::Instant(ms) => self.times.day_of_instant(*ms),
            Cell::Wall(ms) => i32::try_from(ms.div_euclid(86_400_000)).ok(),
            Cell::Number(_) | Cell::Int(_) | Cell::Float(_) | Cell::Decimal { .. }
                if self.times.counts() =>
            {
                cell.text().and_then(|text| self.times.day(&text))
            }
            _ => None,
        };
        days.filter(|days| DAYS.contains(days)).map(Parsed::Day).ok_or_else(|| self.bad_type(cell))
    }

    fn time<'a>(&mut self, cell: &Cell<'a>) -> Result<Parsed<'a>, ValueFault> {
        self.refuse_other_unit(cell)?;
        read_instant(&mut self.times, cell)
            .filter(|ms| INSTANTS_MS.contains(ms))
            .map(Parsed::Time)
            .ok_or_else(|| self.bad_type(cell))
    }

    /// A number of time since 1970 in another unit than the column's would be a time that nobody
    /// meant. Whole days are left alone, for people were born in January 1970.
    fn refuse_other_unit(&self, cell: &Cell<'_>) -> Result<(), ValueFault> {
        let Some(text) = self.times.counts().then(|| cell.text()).flatten() else { return Ok(()) };
        match self.times.other_unit(&text).filter(|_| !self.times.is_whole_day(&text)) {
            Some(unit) => Err(ValueFault::new(
                FaultKind::BadType,
                format!("{} {}", quoted(&text), unit.hint()),
            )),
            None => Ok(()),
        }
    }

    /// A list, each of whose members is a text, or one text: a set of one. Nulls are left out.
    fn set<'a>(&self, cell: &Cell<'a>) -> Result<Parsed<'a>, ValueFault> {
        let mut members = BTreeSet::new();
        let mut add = |member: &str| {
            if member.trim_ascii().is_empty() {
                return Ok(());
            }
            check_length(member)?;
            members.insert(Arc::from(member));
            Ok(())
        };
        match (cell, &self.separator) {
            (Cell::Text(text), Some(separator)) => {
                text.split(separator.as_ref()).try_for_each(|member| add(member.trim_ascii()))?
            }
            (Cell::Text(text), None) => match self.text_list(text) {
                Some(elements) => self
                    .elements(text, &elements, cell)
                    .and_then(|texts| texts.iter().try_for_each(|text| add(text)))?,
                None => add(text)?,
            },
            (Cell::Nested(text), _) => {
                let elements = json_scan::whole(text)
                    .and_then(|span| json_scan::elements(text, span))
                    .ok_or_else(|| self.bad_type(cell))?;
                self.elements(text, &elements, cell)?.iter().try_for_each(|text| add(text))?;
            }
            (cell, _) => add(&cell.text().unwrap_or_default())?,
        }
        if members.len() > MAX_SET_VALUES {
            let problem = format!("it has {} values, more than {MAX_SET_VALUES}", members.len());
            return Err(ValueFault::new(FaultKind::TooLong, problem));
        }
        Ok(if members.is_empty() { Parsed::None } else { Parsed::Set(members) })
    }

    /// The list that a text is, where the input has no other way to write one.
    fn text_list(&self, text: &str) -> Option<Vec<JsonSpan>> {
        if self.lists == TextLists::None || !text.trim_ascii_start().starts_with('[') {
            return None;
        }
        json_scan::elements(text, json_scan::whole(text)?)
    }

    fn elements<'t>(
        &self,
        text: &'t str,
        elements: &[JsonSpan],
        cell: &Cell<'_>,
    ) -> Result<Vec<Cow<'t, str>>, ValueFault> {
        let present = elements.iter().filter(|element| element.kind != JsonKind::Null);
        let texts = present.map(|element| match element.kind {
            JsonKind::Number | JsonKind::Bool => Some(Cow::Borrowed(element.text(text))),
            _ => element.string(text),
        });
        texts.collect::<Option<_>>().ok_or_else(|| self.bad_type(cell))
    }

    fn number_fault(&self, fault: NumberFault, cell: &Cell<'_>) -> ValueFault {
        let text = quoted(&cell.text().unwrap_or_default());
        let ty = self.ty;
        match fault {
            NumberFault::NotANumber => self.bad_type(cell),
            NumberFault::OutOfRange => {
                ValueFault::new(FaultKind::OutOfRange, format!("{text} does not fit {ty}"))
            }
            NumberFault::TooManyDigits => ValueFault::new(
                FaultKind::OutOfRange,
                format!("{text} has more digits behind the point than {ty}"),
            ),
        }
    }

    fn bad_type(&self, cell: &Cell<'_>) -> ValueFault {
        let wanted = match self.ty {
            ValueType::Text => "a text".to_owned(),
            ty => ty.to_string(),
        };
        let text = match cell {
            Cell::Float(value) => value.to_string(),
            cell => cell.text().unwrap_or_default().into_owned(),
        };
        let hint = match self.ty {
            ValueType::Date | ValueType::Time => {
                self.times.unit_of(&text).map(|unit| format!(", but {}", unit.hint()))
            }
            _ => None,
        };
        ValueFault::new(
            FaultKind::BadType,
            format!("{} is not {wanted}{}", quoted(&text), hint.unwrap_or_default()),
        )
    }
}

fn check_length(text: &str) -> Result<(), ValueFault> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    Err(ValueFault::new(
        FaultKind::TooLong,
        format!("it has {} bytes, more than {MAX_TEXT_BYTES}: {}", text.len(), quoted(text)),
    ))
}

fn boolean_word(word: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    match word {
        _ if is(&["true", "1", "1.0", "t"]) => Some(true),
        _ if is(&["false", "0", "0.0", "f"]) => Some(false),
        _ => None,
    }
}

/// Whether a text is how programs write what is not a finite number.
fn is_not_finite(text: &str) -> bool {
    let text = text.trim_ascii();
    let word = text.strip_prefix(['-', '+']).unwrap_or(text);
    ["nan", "inf", "infinity"].iter().any(|known| word.eq_ignore_ascii_case(known))
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

#[cfg(test)]
mod tests;
