//! Reads the cells of a column as values of its type. This is the one reader of values, whatever way
//! they enter: files, live calls, changes by hand, attributes of the lake.

use super::cell::{Cell, read_instant};
use super::fault::{FaultKind, ValueFault, quoted};
use super::json_scan::{self, JsonKind, JsonSpan};
use super::number::{NumberFault, parse_int, parse_units, parse_units_rounded};
use super::parsed::Parsed;
use super::time::TimeReader;
use crate::{ColumnMapping, MAX_SET_VALUES, NotFinite, TimeFormat};
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_model::{MAX_TEXT_BYTES, TimestampMs, ValueType};

/// The days and instants of the years 1 to 9999, which every reader of the lake knows.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
const INSTANTS_MS: std::ops::RangeInclusive<TimestampMs> =
    -62_135_596_800_000..=253_402_300_799_999;

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

    /// The same reader, but numbers with too many digits are rounded to the scale, half away from zero.
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
    /// The cell does not have the column's type, or it is empty and the column is required.
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

#[cfg(test)]
mod tests;
